"""What a created table keeps of its declarations: checks, defaults, generated columns."""

from collections.abc import Mapping

from migration.facts import ColumnProfile
from migration.plan.draft import Draft
from migration.plan.model import CheckPlan, ColumnPlan
from migration.plan.names import unique_name
from migration.profile import TableProfile
from migration.quoting import fold
from migration.schema import Table
from migration.translate import (
    Scope,
    ScopeColumn,
    TableDefinition,
    UntranslatableError,
    default,
    expression,
)


def scope_of(
    entry: TableProfile, columns: tuple[ColumnPlan, ...], definition: TableDefinition
) -> Scope:
    """The names and types that the table's expressions may use."""
    collations = {fold(name): text for name, text in definition.collations.items()}
    return Scope(
        {
            column.source: ScopeColumn(
                column.target,
                column.pg_type,
                declared=column.declared,
                collation=collations.get(fold(column.source), "BINARY"),
                uniform=_uniform(column.pg_type, entry.columns[column.source]),
            )
            for column in columns
        }
    )


def checks(
    table: Table, scope: Scope, definition: TableDefinition, draft: Draft
) -> tuple[CheckPlan, ...]:
    """The CHECKs that mean the same in PostgreSQL; the others are noted."""
    target = draft.names.tables[table.name]
    plans: list[CheckPlan] = []
    for text in definition.not_understood:
        draft.leave_out("definition", table.name, f"not understood: {text}")
    for check in definition.checks:
        name = unique_name(check.name or f"{target}_check", {plan.name for plan in plans})
        try:
            translated = expression(check.expression, scope, "boolean")
        except UntranslatableError as error:
            what = f"{table.name}.{check.name}" if check.name else table.name
            draft.leave_out("check", what, f"({check.expression}): {error}")
            continue
        plans.append(CheckPlan(name=name, source=check.expression, expression=translated))
    return tuple(plans)


def with_declarations(
    table: Table,
    columns: tuple[ColumnPlan, ...],
    scope: Scope,
    definition: TableDefinition,
    draft: Draft,
) -> tuple[ColumnPlan, ...]:
    """The columns with their defaults and their expressions, as far as they mean the same."""
    generated = {fold(name): text for name, text in definition.generated.items()}
    declared = {column.name: column for column in table.columns}
    return tuple(
        column.model_copy(
            update={
                "default": _default(table, column, declared[column.source].default, draft),
                "generated": _generated(table, column, generated, scope, draft)
                if declared[column.source].generated
                else None,
            }
        )
        for column in columns
    )


def _default(table: Table, column: ColumnPlan, text: str | None, draft: Draft) -> str | None:
    if text is None:
        return None
    try:
        return default(text, column.pg_type)
    except UntranslatableError as error:
        name = f"{table.name}.{column.source}"
        draft.leave_out("default", name, f"{text}, in a column of type {column.pg_type}: {error}")
        return None


def _generated(
    table: Table, column: ColumnPlan, generated: Mapping[str, str], scope: Scope, draft: Draft
) -> str | None:
    text = generated.get(fold(column.source), "")
    try:
        return expression(text, scope, column.pg_type)
    except UntranslatableError as error:
        name = f"{table.name}.{column.source}"
        why = f"its values arrive as plain values; ({text}) is not computed any more: {error}"
        draft.leave_out("generated column", name, why)
        return None


def _uniform(pg_type: str, facts: ColumnProfile) -> bool:
    """Whether all values are of the storage class that the type suggests."""
    if pg_type == "bytea":
        return facts.blobs == facts.values
    if pg_type in ("bigint", "double precision", "numeric", "boolean"):
        return facts.integers + facts.reals == facts.values
    return facts.texts == facts.values
