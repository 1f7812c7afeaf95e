"""What becomes of every table and column, decided before anything runs."""

from collections.abc import Collection

from migration.plan.created import created_table
from migration.plan.known import known_table
from migration.plan.model import PUBLIC, Plan, TargetColumn
from migration.plan.names import target_names
from migration.profile import Profile


def make_plan(
    profile: Profile,
    target: dict[str, tuple[TargetColumn, ...]],
    backfills: Collection[tuple[str, str]] = (),
    schema: str = PUBLIC,
) -> Plan:
    """Decide for every table and column.

    Args:
        profile: the source's facts.
        target: the tables that the schema has, by name, with their columns.
        backfills: (table, column) that sql/ has a value for where an older source lacks it.
        schema: the schema of the target that everything goes into; sql/'s tables are in public.
    """
    not_carried = list(profile.left_out)
    if schema != PUBLIC:
        backfills = ()
    problems: list[str] = []
    names = target_names((entry.table.name for entry in profile.tables), target)
    tables = []
    for entry in profile.tables:
        name = names[entry.table.name]
        if name in target:
            tables.append(known_table(entry, name, target[name], backfills, problems))
        else:
            tables.append(created_table(entry, names, profile, not_carried))
    return Plan(
        tables=tuple(table.model_copy(update={"schema_name": schema}) for table in tables),
        not_carried=tuple(not_carried),
        problems=tuple(problems),
        schema_name=schema,
    )
