"""Views whose SELECT means the same in PostgreSQL; a view may read another one."""

from collections.abc import Sequence

from migration.plan.declared import scope_of
from migration.plan.draft import Draft
from migration.plan.model import TablePlan, ViewPlan
from migration.quoting import fold
from migration.schema import View
from migration.translate import RelationScope, UntranslatableError, read_definition, view

#: What sql/'s types are to an expression.
_KINDS = {
    "smallint": "bigint",
    "integer": "bigint",
    "real": "double precision",
    "character varying": "text",
    "character": "text",
}


def views(tables: Sequence[TablePlan], draft: Draft, schema: str) -> tuple[ViewPlan, ...]:
    """The views in an order in which they can be created; the others are noted."""
    relations = {fold(plan.table.name): _relation(plan, draft, schema) for plan in tables}
    plans: list[ViewPlan] = []
    waiting = list(draft.profile.views)
    while waiting:
        reasons: list[tuple[View, str]] = []
        for entry in waiting:
            try:
                found = view(entry.definition, relations)
            except UntranslatableError as error:
                reasons.append((entry, str(error)))
                continue
            name = draft.names.relation(entry.name)
            relations[fold(entry.name)] = found.as_relation(schema, name)
            plans.append(
                ViewPlan(source=entry.name, target=name, columns=found.columns, select=found.select)
            )
        if len(reasons) == len(waiting):
            for entry, why in reasons:
                draft.leave_out("view", entry.name, why)
            break
        waiting = [entry for entry, _ in reasons]
    return tuple(plans)


def _relation(plan: TablePlan, draft: Draft, schema: str) -> RelationScope:
    entry = draft.profile.table(plan.table.name)
    assert entry is not None
    if not plan.known:
        scope = scope_of(entry, plan.columns, read_definition(plan.table.definition))
        return RelationScope(schema, plan.target, scope.columns)
    columns = {
        fold(column.source): (column.target, _KINDS.get(column.pg_type, column.pg_type))
        for column in plan.columns
    }
    return RelationScope(schema, plan.target, columns)
