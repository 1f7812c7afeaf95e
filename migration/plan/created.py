"""Tables that sql/ does not know: made as the source declares them and its values allow."""

from migration.plan.column import new_column
from migration.plan.declared import checks, scope_of, with_declarations
from migration.plan.draft import Draft
from migration.plan.keys import foreign_keys, indexes
from migration.plan.model import MOST_COLUMNS, TablePlan
from migration.plan.names import column_names
from migration.profile import TableProfile
from migration.quoting import fold
from migration.schema import Column, Table
from migration.translate import read_definition


def created_table(entry: TableProfile, draft: Draft) -> TablePlan:
    """Columns and keys of a table that will be created; what it loses is noted."""
    table = entry.table
    columns = column_names(table)
    plans = tuple(
        new_column(
            column,
            draft.facts[fold(table.name), fold(column.name)],
            columns[column.name],
            draft.policies.column(table.name, column.name),
            not_null=_is_not_null(entry, column),
            added=False,
        )
        for column in table.columns
    )
    why = impossible(table)
    if why:
        draft.leave_out("table", table.name, f"{why}; its {entry.rows} rows are quarantined")
        return TablePlan(
            table=table,
            target=draft.names.tables[table.name],
            known=False,
            rows=entry.rows,
            columns=plans,
            impossible=why,
        )
    key = _primary_key(entry, draft)
    definition = read_definition(table.definition)
    scope = scope_of(entry, plans, definition)
    return TablePlan(
        table=table,
        target=draft.names.tables[table.name],
        known=False,
        rows=entry.rows,
        columns=with_declarations(table, plans, scope, definition, draft),
        primary_key=tuple(columns[name] for name in key),
        foreign_keys=foreign_keys(table, columns, definition, draft),
        indexes=indexes(table, scope, draft, keyed=bool(key)),
        checks=checks(table, scope, definition, draft),
        orphans=draft.policies.orphans_of(table.name),
    )


def impossible(table: Table) -> str | None:
    """Why PostgreSQL cannot have this table, if it cannot."""
    if len(table.columns) <= MOST_COLUMNS:
        return None
    return (
        f"it has {len(table.columns)} columns, and PostgreSQL's tables have {MOST_COLUMNS} at most"
    )


def _is_not_null(entry: TableProfile, column: Column) -> bool:
    """NOT NULL is kept where every value keeps it."""
    required = column.not_null or column.name in entry.table.primary_key
    return required and not entry.columns[column.name].nulls


def _primary_key(entry: TableProfile, draft: Draft) -> tuple[str, ...]:
    table: Table = entry.table
    nulls = [name for name in table.primary_key if entry.columns[name].nulls]
    if not nulls:
        return table.primary_key
    why = f"SQLite allowed NULL in {', '.join(nulls)}; PostgreSQL has a unique index instead"
    draft.leave_out("primary key", table.name, why)
    return ()
