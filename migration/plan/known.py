"""Tables that sql/ describes: their columns are matched by name."""

from collections.abc import Collection

from migration.known import TargetColumn
from migration.plan.column import new_column
from migration.plan.draft import Draft
from migration.plan.model import ColumnPlan, TablePlan
from migration.policies import Orphans
from migration.profile import TableProfile
from migration.quoting import fold


def known_table(
    entry: TableProfile,
    name: str,
    columns: tuple[TargetColumn, ...],
    backfills: Collection[tuple[str, str]],
    draft: Draft,
) -> TablePlan:
    """Match the columns by name; what cannot be matched is noted as a problem."""
    policies, problems = draft.policies, draft.problems
    there = {column.name: column for column in columns}
    plans = []
    for column in entry.table.columns:
        match = there.get(column.name) or there.get(fold(column.name))
        policy = policies.column(entry.table.name, column.name)
        if match is None:
            evidence = column.declared, entry.columns[column.name]
            # Nullable, since the platform's new rows will not fill it.
            plans.append(
                new_column(column, evidence, column.name, policy, not_null=False, added=True)
            )
        elif match.generated:
            problems.append(f"{name}.{match.name} is generated in the target and cannot be loaded")
        else:
            plans.append(
                ColumnPlan(
                    source=column.name,
                    target=match.name,
                    declared=column.declared,
                    pg_type=match.pg_type,
                    not_null=match.not_null,
                    why="as the target defines it",
                    added=False,
                    policy=policy,
                    length=match.length,
                )
            )
    missing = {key for key, column in there.items() if column.not_null and not column.has_default}
    missing -= {plan.target for plan in plans}
    backfilled = {column for column in missing if (name, column) in backfills}
    missing -= backfilled
    if missing and entry.rows:
        problems.append(
            f"{name}: the source has no column {', '.join(sorted(missing))}, "
            "and the target accepts no NULL in it"
        )
    orphans = policies.table(entry.table.name).orphans or Orphans.QUARANTINE
    if orphans is Orphans.KEEP:
        problems.append(f"{name}: the target demands its foreign keys, so orphans cannot be kept")
    return TablePlan(
        table=entry.table,
        target=name,
        known=True,
        rows=entry.rows,
        columns=tuple(plans),
        backfilled=tuple(sorted(backfilled)),
    )
