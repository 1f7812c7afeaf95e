"""Tables that sql/ describes: their columns are matched by name."""

from collections.abc import Collection

from migration.plan.column import new_column
from migration.plan.model import ColumnPlan, TablePlan, TargetColumn
from migration.profile import TableProfile


def known_table(
    entry: TableProfile,
    name: str,
    columns: tuple[TargetColumn, ...],
    backfills: Collection[tuple[str, str]],
    problems: list[str],
) -> TablePlan:
    """Match the columns by name; what cannot be matched goes to `problems`."""
    there = {column.name: column for column in columns}
    plans = []
    for column, facts in zip(entry.table.columns, entry.columns, strict=True):
        match = there.get(column.name) or there.get(column.name.lower())
        if match is None:
            plans.append(new_column(column, facts, column.name, added=True))
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
                    why="as sql/ defines it",
                    added=False,
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
    return TablePlan(
        table=entry.table,
        target=name,
        known=True,
        rows=entry.rows,
        columns=tuple(plans),
        backfilled=tuple(sorted(backfilled)),
    )
