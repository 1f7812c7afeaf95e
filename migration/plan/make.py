"""What becomes of every table and column, decided before anything runs."""

from collections.abc import Collection

from migration.plan.created import created_table
from migration.plan.known import known_table
from migration.plan.model import Plan, TargetColumn
from migration.plan.names import target_names
from migration.profile import Profile


def make_plan(
    profile: Profile,
    target: dict[str, tuple[TargetColumn, ...]],
    backfills: Collection[tuple[str, str]] = (),
) -> Plan:
    """Decide for every table and column.

    Args:
        profile: the source's facts.
        target: the tables that the target has, by name, with their columns.
        backfills: (table, column) that sql/ has a value for where an older source lacks it.
    """
    not_carried = list(profile.left_out)
    problems: list[str] = []
    names = target_names((entry.table.name for entry in profile.tables), target)
    tables = []
    for entry in profile.tables:
        name = names[entry.table.name]
        if name in target:
            tables.append(known_table(entry, name, target[name], backfills, problems))
        else:
            tables.append(created_table(entry, names, profile, not_carried))
    return Plan(tables=tuple(tables), not_carried=tuple(not_carried), problems=tuple(problems))
