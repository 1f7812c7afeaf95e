"""Making what the target lacks: bare tables before the load; after it, what their rows allow.

Translated defaults and expressions are tried one by one in savepoints: what PostgreSQL
does not accept, or computes differently, is said and left out.
"""

from collections.abc import Iterable

import psycopg
from psycopg import sql

from migration.plan import ColumnPlan, Plan, TablePlan
from migration.schema import LeftOut
from migration.statements import Connection, fetch_number, is_impossible, said, trusted
from migration.target import STAGING, identifier

#: Every type that a plan can choose; a name from anywhere else never becomes SQL.
_TYPES = {
    "bigint": sql.SQL("bigint"),
    "double precision": sql.SQL("double precision"),
    "numeric": sql.SQL("numeric"),
    "boolean": sql.SQL("boolean"),
    "timestamp without time zone": sql.SQL("timestamp without time zone"),
    "timestamp with time zone": sql.SQL("timestamp with time zone"),
    "uuid": sql.SQL("uuid"),
    "date": sql.SQL("date"),
    "jsonb": sql.SQL("jsonb"),
    "bytea": sql.SQL("bytea"),
    "text": sql.SQL("text"),
}


def create_missing(connection: Connection, plan: Plan) -> None:
    """Create the tables and columns that the target lacks, without keys and indexes."""
    for table in plan.loadable:
        if not table.known:
            _create_table(connection, table, generated=())
        for column in table.columns:
            if column.added:
                connection.execute(
                    sql.SQL("alter table {} add column {} {}").format(
                        identifier(table), sql.Identifier(column.target), _TYPES[column.pg_type]
                    )
                )


def complete_tables(connection: Connection, plan: Plan) -> list[LeftOut]:
    """Generated columns and defaults of the tables that were created and loaded.

    Returns:
        What could not be had: the values are there, the declaration is not.
    """
    left_out: list[LeftOut] = []
    for table in plan.loadable:
        if not table.known:
            _generate(connection, table, left_out)
            for column in table.columns:
                _set_default(connection, table, column, left_out)
    return left_out


def _generate(connection: Connection, table: TablePlan, left_out: list[LeftOut]) -> None:
    """Make the columns generated whose expression gives every value that was loaded.

    A plain column cannot become a generated one, so the table is made once more.
    """
    generated = []
    for column in table.columns:
        if column.generated is not None:
            why = _why_not_generated(connection, table, column)
            if why:
                name = f"{table.table.name}.{column.source}"
                why = f"its values arrive as plain values: {why}"
                left_out.append(LeftOut(kind="generated column", name=name, why=why))
            else:
                generated.append(column.target)
    if not generated:
        return
    try:
        with connection.transaction():
            _make_again(connection, table, generated)
    except psycopg.Error as error:
        if not is_impossible(error):
            raise
        for name in generated:
            why = f"its values arrive as plain values: {said(error)}"
            left_out.append(
                LeftOut(kind="generated column", name=f"{table.table.name}.{name}", why=why)
            )


def _why_not_generated(connection: Connection, table: TablePlan, column: ColumnPlan) -> str:
    query = sql.SQL("select count(*) from {} where {} is distinct from ({})").format(
        identifier(table), sql.Identifier(column.target), trusted(column.generated or "")
    )
    try:
        with connection.transaction():
            differing = fetch_number(connection, query)
    except psycopg.Error as error:
        if not is_impossible(error):
            raise
        return said(error)
    return f"PostgreSQL computes {differing} of them differently" if differing else ""


def _make_again(connection: Connection, table: TablePlan, generated: list[str]) -> None:
    # Out of the way with its sequence, so that the new table's gets the usual name.
    loaded = sql.Identifier(STAGING, table.target)
    connection.execute(
        sql.SQL("alter table {} set schema {}").format(identifier(table), sql.Identifier(STAGING))
    )
    _create_table(connection, table, generated)
    names = sql.SQL(", ").join(
        sql.Identifier(column.target) for column in table.columns if column.target not in generated
    )
    connection.execute(
        sql.SQL("insert into {} ({names}) select {names} from {}").format(
            identifier(table), loaded, names=names
        )
    )
    connection.execute(sql.SQL("drop table {}").format(loaded))


def _set_default(
    connection: Connection, table: TablePlan, column: ColumnPlan, left_out: list[LeftOut]
) -> None:
    if column.default is None:
        return
    try:
        with connection.transaction():
            connection.execute(
                sql.SQL("alter table {} alter column {} set default {}").format(
                    identifier(table), sql.Identifier(column.target), trusted(column.default)
                )
            )
    except psycopg.Error as error:
        if not is_impossible(error):
            raise
        name = f"{table.table.name}.{column.source}"
        left_out.append(LeftOut(kind="default", name=name, why=said(error)))


def _create_table(connection: Connection, table: TablePlan, generated: Iterable[str]) -> None:
    definitions = [
        sql.SQL("{} {}{}{}{}").format(
            sql.Identifier(column.target),
            _TYPES[column.pg_type],
            sql.SQL(" generated by default as identity" if _is_identity(table, column) else ""),
            sql.SQL(" generated always as ({}) stored").format(trusted(column.generated or ""))
            if column.target in generated
            else sql.SQL(""),
            sql.SQL(" not null" if column.not_null else ""),
        )
        for column in table.columns
    ]
    connection.execute(
        sql.SQL("create table {} ({})").format(identifier(table), sql.SQL(", ").join(definitions))
    )


def _is_identity(table: TablePlan, column: ColumnPlan) -> bool:
    alias = table.table.rowid_alias
    return column.source == alias and column.pg_type == "bigint" and column.not_null
