"""Staging: constraint-free tables of text that pgloader fills, and the casts out of them.

PostgreSQL does the casting, so a row that it refuses is found again by its position and keeps
PostgreSQL's own reason.
"""

from pathlib import Path

import psycopg
from psycopg import sql

from database.connect import connect
from database.settings import Server
from migration.load.pgloader_command import APPLICATION
from migration.load.refusal import (
    Attempt,
    Refusal,
    column_types,
    explain_refusal,
    is_refusal,
    narrow,
)
from migration.load.rendering import RenderedTable, Rendering, remove_renderings
from migration.statements import Connection, fetch, fetch_number, statement, trusted
from migration.target import LOGIN, OWNER, STAGING, identifier

_LOCK_TIMEOUT = "10s"


def open_staging(server: Server) -> Connection:
    """A connection as the owner, without leftovers of a killed run in staging."""
    connection = connect(server, LOGIN, autocommit=True, application_name="migration staging")
    try:
        fetch(connection, "staging_sessions", application=APPLICATION)
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(OWNER)))
        connection.execute("set search_path = pg_catalog")
        connection.execute("set statement_timeout = 0")
        connection.execute("set idle_session_timeout = 0")
        connection.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(_LOCK_TIMEOUT)))
        drop_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def has_sessions(connection: Connection) -> bool:
    """Whether pgloader has a session in PostgreSQL."""
    with connection.transaction():
        # The owner may not look at sessions; the login may.
        connection.execute("set local role none")
        (found,) = fetch(connection, "pgloader_sessions", application=APPLICATION)
    return bool(found["sessions"])


def clear_leftovers(connection: Connection, server: Server, work: Path) -> None:
    """Remove what a killed run left in staging and on disk, whichever engine comes next.

    Args:
        connection: holds the migration's lock.
        server: the target.
        work: the folder that the run works in.
    """
    if fetch(connection, "staging_tables", schema=STAGING):
        open_staging(server).close()
    remove_renderings(work)


def drop_tables(connection: Connection) -> None:
    """Empty the staging schema."""
    for row in fetch(connection, "staging_tables", schema=STAGING):
        name = sql.Identifier(STAGING, row["relname"])
        connection.execute(sql.SQL("drop table {}").format(name))


def create_tables(connection: Connection, rendering: Rendering) -> None:
    """A table for each one of the rendering. They are unlogged: nobody needs them after a crash."""
    for table in rendering.tables.values():
        columns = [
            sql.SQL("{} text").format(_column(number)) for number in range(len(table.plan.columns))
        ]
        create = sql.SQL("create unlogged table {} (n bigint, {})")
        connection.execute(create.format(_staged(table), sql.SQL(", ").join(columns)))
    create = sql.SQL(
        "create unlogged table {} (table_number bigint, n bigint, column_number bigint, "
        "part bigint, piece text)"
    )
    connection.execute(create.format(sql.Identifier(STAGING, rendering.pieces_name)))


def count_rows(connection: Connection, rendering: Rendering) -> dict[str, int]:
    """The rows of each staging table, counted one by one."""
    counts = {}
    for name in rendering.names:
        query = sql.SQL("select count(*) from {}").format(sql.Identifier(STAGING, name))
        counts[name] = fetch_number(connection, query)
    return counts


def join_pieces(connection: Connection, rendering: Rendering) -> None:
    """Put every long value back into its row."""
    for table in rendering.tables.values():
        for column in sorted(table.cut):
            connection.execute(
                statement("join_pieces").format(
                    staging=_staged(table),
                    staged_column=_column(column),
                    pieces=sql.Identifier(STAGING, rendering.pieces_name),
                ),
                {"table_number": table.number, "column_number": column},
            )


def insert_cast(connection: Connection, table: RenderedTable) -> tuple[int, list[Refusal]]:
    """Cast the staged rows into the target table, inside the caller's transaction.

    All at once first; where PostgreSQL refuses that, the rows with a refused value are set
    aside; where it still refuses, the others are found by halving.

    Returns:
        How many rows the target took, and the refusals of all others.
    """
    insert = _Insert(connection, table)
    everything = 0, table.plan.rows
    rows = insert.attempt(*everything)
    if isinstance(rows, int):
        return rows, []
    refusals = insert.set_aside_refused_inputs()
    rows = insert.attempt(*everything)
    if not isinstance(rows, int):
        insert.index_positions()
        rows, others = narrow(*everything, insert.attempt, insert.explain)
        refusals += others
    return rows, refusals


class _Insert:
    """INSERT … SELECT cast(…) of one table, whole or in part."""

    def __init__(self, connection: Connection, table: RenderedTable) -> None:
        self._connection = connection
        self._table = table
        types = column_types(connection, table.plan)
        self._checked = [
            (number, found.checked_type)
            for number, found in enumerate(types)
            if found.checked_type != "text"
        ]
        # The text of a type is PostgreSQL's own. A column GENERATED ALWAYS takes the source's
        # values like any other.
        self._insert = sql.SQL(
            "insert into {} ({}) overriding system value select {} from {}"
        ).format(
            identifier(table.plan),
            sql.SQL(", ").join(sql.Identifier(column.target) for column in table.plan.columns),
            sql.SQL(", ").join(
                sql.SQL("cast({} as {})").format(_column(number), trusted(found.cast_type))
                for number, found in enumerate(types)
            ),
            _staged(table),
        )

    def attempt(self, low: int, high: int) -> Attempt:
        """Insert the staged rows of positions low ≤ n < high."""
        # Literals, not parameters: with parameters a '%' in a name would have a meaning.
        part = sql.SQL("{} where n >= {} and n < {} order by n").format(
            self._insert, sql.Literal(low), sql.Literal(high)
        )
        try:
            with self._connection.transaction():
                return self._connection.execute(part).rowcount
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            return error

    def set_aside_refused_inputs(self) -> list[Refusal]:
        """Find every row with a value that its type refuses, and take it out of staging."""
        if not self._checked:
            return []
        values = [
            sql.SQL("({}, s.{}, {})").format(
                sql.Literal(number), _column(number), sql.Literal(checked_type)
            )
            for number, checked_type in self._checked
        ]
        query = statement("refused_inputs").format(
            staging=_staged(self._table),
            checked_values=sql.SQL("values {}").format(sql.SQL(", ").join(values)),
        )
        try:
            with self._connection.transaction():
                found = self._connection.execute(query).fetchall()
        except psycopg.Error as error:
            # Some types raise instead of answering; halving deals with them.
            if not is_refusal(error):
                raise
            return []
        refusals = [
            Refusal(int(str(row[0])), int(str(row[1])), str(row[2]), str(row[3])) for row in found
        ]
        self._connection.execute(
            sql.SQL("delete from {} where n = any(%s)").format(_staged(self._table)),
            [[refusal.position for refusal in refusals]],
        )
        return refusals

    def index_positions(self) -> None:
        """Let parts of staging be found without reading all of it."""
        self._connection.execute(sql.SQL("create index on {} (n)").format(_staged(self._table)))

    def explain(self, position: int, error: psycopg.Error) -> Refusal:
        """Why the row at this position is refused, and which column is the cause, if one is."""
        types = dict(self._checked)

        def input_error(number: int) -> tuple[object, ...] | None:
            query = sql.SQL(
                "select e.message, e.sql_error_code"
                " from {} as s, pg_input_error_info(s.{}, {}) as e where s.n = {}"
            ).format(
                _staged(self._table),
                _column(number),
                sql.Literal(types[number]),
                sql.Literal(position),
            )
            with self._connection.transaction():
                return self._connection.execute(query).fetchone()

        return explain_refusal(self._table.plan, position, error, types, input_error)


def _staged(table: RenderedTable) -> sql.Identifier:
    return sql.Identifier(STAGING, table.name)


def _column(number: int) -> sql.Identifier:
    return sql.Identifier(f"c{number}")
