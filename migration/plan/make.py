"""What becomes of every table and column, decided before anything runs."""

from collections.abc import Collection

from database.errors import UsageError
from migration.known import TargetTables
from migration.plan.created import created_table
from migration.plan.draft import Draft
from migration.plan.expected import expectations
from migration.plan.joined import joined_facts
from migration.plan.known import known_table
from migration.plan.model import PUBLIC, Plan
from migration.plan.names import Names
from migration.plan.views import views
from migration.policies import Policies
from migration.profile import Profile
from migration.quoting import fold
from migration.schema import LeftOut


def make_plan(
    profile: Profile,
    target: TargetTables,
    backfills: Collection[tuple[str, str]] = (),
    schema: str = PUBLIC,
    *,
    policies: Policies | None = None,
    taken: Collection[str] = (),
) -> Plan:
    """Decide for every table and column.

    Args:
        profile: the source's facts.
        target: the tables that the schema has, by name, with their columns.
        backfills: (table, column) that sql/ has a value for where an older source lacks it.
        schema: the schema of the target that everything goes into; sql/'s tables are in public.
        policies: what to do with values that PostgreSQL cannot hold as they are.
        taken: names of all relations of the schema (tables, indexes, sequences, views).

    Raises:
        UsageError: the policies name a table or a column that the source lacks.
    """
    policies = policies or Policies()
    _check_names(policies, profile)
    if schema != PUBLIC:
        backfills = ()
    not_carried = list(profile.left_out)
    carried = []
    for entry in profile.tables:
        if policies.table(entry.table.name).skip:
            why = f"skipped by policy, with its {entry.rows} rows"
            not_carried.append(LeftOut(kind="table", name=entry.table.name, why=why))
        else:
            carried.append(entry)
    draft = Draft(
        profile=profile,
        policies=policies,
        names=Names(carried, target, taken),
        facts=joined_facts(carried),
        not_carried=not_carried,
    )
    tables = []
    for entry in carried:
        name = draft.names.tables[entry.table.name]
        if entry.known:
            tables.append(known_table(entry, name, target[name], backfills, draft))
        else:
            tables.append(created_table(entry, draft))
    translated = views([plan for plan in tables if not plan.impossible], draft, schema)
    return Plan(
        tables=tuple(table.model_copy(update={"schema_name": schema}) for table in tables),
        not_carried=tuple(not_carried),
        problems=tuple(draft.problems),
        views=translated,
        expected=expectations(profile, tables),
        schema_name=schema,
    )


def _check_names(policies: Policies, profile: Profile) -> None:
    for name, rules in policies.tables.items():
        entry = profile.table(name)
        if entry is None:
            raise UsageError(
                f"The policies name the table {name}, which the source has not.",
                "Correct the name in the file of --policies.",
            )
        columns = {fold(column.name) for column in entry.table.columns}
        unknown = [column for column in rules.columns if fold(column) not in columns]
        if unknown:
            raise UsageError(
                f"The policies name the column {name}.{unknown[0]}, which the source has not.",
                "Correct the name in the file of --policies.",
            )
