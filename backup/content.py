"""What every table holds, at a moment that a restored server can be brought to.

Under load, a snapshot of the data and a position in the log never mean the same moment: a
transaction writes its end into the log before others see it. So nobody may write for the moment in
which both are taken: all tables are locked against writers, who wait for some milliseconds. The
snapshot outlives the locks; the tables are read after they are gone.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import IsolationLevel, sql

from backup.repository import TableContent
from backup.statements import Connection, fetch, fetch_one, statement
from database.connect import connect
from database.settings import Server

Content = dict[str, dict[str, TableContent]]

#: A writer waits for so long at most, then is let through before the next try.
_LOCK_MILLISECONDS = 1000
_PAUSE_SECONDS = 0.5
#: Lock timeout, statement timeout, deadlock; a table that went away meanwhile.
_TRY_AGAIN = ("55P03", "57014", "40P01", "42P01", "3F000")

_Table = tuple[str, str]


@dataclass(frozen=True)
class Moment:
    """A restore point, and the tables' content at it."""

    point: str
    tables: Content


def content_at_point(
    server: Server, databases: list[str], name: str, seconds: float
) -> Moment | None:
    """Create a restore point and read what every table holds at it.

    Args:
        server: any database of it.
        databases: all of its databases.
        name: what the point is called; a number is added.
        seconds: how long to try.

    Returns:
        None where a transaction that writes was open all the time.
    """
    deadline = time.monotonic() + seconds
    attempt = 0
    while True:
        attempt += 1
        point = f"{name}-{attempt}"
        with ExitStack() as stack:
            readers = {
                database: stack.enter_context(_connected(server.with_database(database)))
                for database in databases
            }
            tables = _quiet_point(server, readers, point)
            if tables is not None:
                return Moment(
                    point,
                    {
                        database: read_content(reader, tables[database])
                        for database, reader in readers.items()
                    },
                )
        if time.monotonic() > deadline:
            return None
        time.sleep(_PAUSE_SECONDS)


def server_content(server: Server, databases: list[str]) -> Content:
    """What every table of some databases holds now."""
    content = {}
    for database in databases:
        with _connected(server.with_database(database)) as reader:
            content[database] = read_content(reader, _tables(reader))
    return content


def read_content(reader: Connection, tables: list[_Table]) -> dict[str, TableContent]:
    """The content of some tables, in the snapshot of the reader's transaction."""
    reader.execute(statement("fixed_texts"))
    content = {}
    for schema, name in tables:
        query = statement("table_content").format(relation=_only((schema, name)))
        row = reader.execute(query).fetchone()
        assert row is not None
        content[f"{schema}.{name}"] = TableContent(rows=int(str(row[0])), digest=str(row[1]))
    return content


def differences(expected: Content, found: Content) -> list[str]:
    """What is not the same, in words; empty where everything is."""
    said = []
    for database in sorted(expected.keys() | found.keys()):
        before, after = expected.get(database, {}), found.get(database, {})
        for table in sorted(before.keys() | after.keys()):
            label = f"{database}: {table}"
            if table not in after:
                said.append(f"{label} is missing ({before[table].rows} rows)")
            elif table not in before:
                said.append(f"{label} was not there ({after[table].rows} rows)")
            elif before[table].rows != after[table].rows:
                said.append(f"{label} has {after[table].rows} rows, not {before[table].rows}")
            elif before[table] != after[table]:
                said.append(f"{label} holds other values")
    return said


@contextmanager
def _connected(server: Server) -> Iterator[Connection]:
    with connect(server, server.administrator, application_name="atlas-backup") as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        yield connection
        connection.rollback()


def _quiet_point(
    server: Server, readers: dict[str, Connection], point: str
) -> dict[str, list[_Table]] | None:
    """Give the readers the snapshot of a restore point; the tables in it by database.

    None where somebody would not let go of a table, or where tables came or went meanwhile.
    """
    tables: dict[str, list[_Table]] = {}
    with ExitStack() as stack:
        lockers = {
            database: stack.enter_context(_connected(server.with_database(database)))
            for database in readers
        }
        control = stack.enter_context(
            connect(server, server.administrator, autocommit=True, application_name="atlas-backup")
        )
        try:
            for database, locker in lockers.items():
                tables[database] = _lock_tables(locker)
        except psycopg.Error as error:
            if error.sqlstate in _TRY_AGAIN:
                return None
            raise
        for database, locker in lockers.items():
            if _tables(locker) != tables[database]:
                return None
            _share_snapshot(locker, readers[database])
        fetch_one(control, "restore_point", name=point)
        for database, locker in lockers.items():
            # A new snapshot: a table that was created just before the point is not in the first.
            locker.rollback()
            if _tables(locker) != tables[database]:
                return None
    return tables


def _lock_tables(locker: Connection) -> list[_Table]:
    """Lock all tables of a database against writers; the transaction has no snapshot yet."""
    tables = _tables(locker)
    locker.rollback()
    locker.execute(
        sql.SQL("set local statement_timeout = {}").format(sql.Literal(_LOCK_MILLISECONDS))
    )
    if tables:
        relations = sql.SQL(", ").join(map(_only, tables))
        locker.execute(sql.SQL("lock table {} in share mode").format(relations))
    return tables


def _tables(connection: Connection) -> list[_Table]:
    return [(row["schema"], row["name"]) for row in fetch(connection, "tables")]


def _only(table: _Table) -> sql.Composed:
    """A table without those that inherit from it, which are tables of their own."""
    return sql.SQL("only {}").format(sql.Identifier(*table))


def _share_snapshot(owner: Connection, reader: Connection) -> None:
    row = owner.execute("select pg_export_snapshot()").fetchone()
    assert row is not None
    reader.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(row[0])))
