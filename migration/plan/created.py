"""Tables that sql/ does not know: made as the source declares them and its values allow."""

from migration.plan.column import new_column
from migration.plan.keys import foreign_keys, indexes
from migration.plan.model import TablePlan
from migration.plan.names import column_names
from migration.profile import Profile, TableProfile
from migration.schema import Column, LeftOut, Table


def created_table(
    entry: TableProfile, names: dict[str, str], profile: Profile, not_carried: list[LeftOut]
) -> TablePlan:
    """Columns and keys of a table that will be created; what it loses goes to `not_carried`."""
    table = entry.table
    columns = column_names(table)
    plans = tuple(
        new_column(
            column, facts, columns[column.name], added=False, required=_in_key(column, table)
        )
        for column, facts in zip(table.columns, entry.columns, strict=True)
    )
    nulls = {plan.source for plan, facts in zip(plans, entry.columns, strict=True) if facts.nulls}
    key = table.primary_key
    if nulls & set(key):
        why = "SQLite allowed NULL in this key; PostgreSQL does not"
        not_carried.append(LeftOut(kind="primary key", name=table.name, why=why))
        key = ()
    if table.has_checks:
        why = "CHECK constraints are not translated yet"
        not_carried.append(LeftOut(kind="check", name=table.name, why=why))
    for column in table.columns:
        if column.generated:
            why = "a generated column arrives as plain values"
            left = LeftOut(kind="generated column", name=f"{table.name}.{column.name}", why=why)
            not_carried.append(left)
        if column.default is not None:
            why = f"the default {column.default} is not translated yet"
            left = LeftOut(kind="default", name=f"{table.name}.{column.name}", why=why)
            not_carried.append(left)
    return TablePlan(
        table=table,
        target=names[table.name],
        known=False,
        rows=entry.rows,
        columns=plans,
        primary_key=tuple(columns[name] for name in key),
        foreign_keys=foreign_keys(table, columns, names, profile, not_carried),
        indexes=indexes(table, columns, not_carried),
    )


def _in_key(column: Column, table: Table) -> bool:
    return column.name in table.primary_key
