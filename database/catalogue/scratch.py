"""The declared facts: what a catalogue says where sql/ alone was applied.

Invariant: nothing stays. sql/ is applied in a database of its own, in one transaction that is
rolled back; roles are the whole server's, and so are put back as they were with it.
"""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from database.apply import ADMIN, SQL_DIRECTORY
from database.catalogue.facts import Facts, Key, live_facts
from database.connect import connect
from database.errors import TargetError
from database.settings import Server

_PREFIX = "atlas_drift_"
_BACKFILLS = b"select table_name, column_name, expression from declared.backfill"
_ROLES = b"select name from declared.role"
_Connection = psycopg.Connection[tuple[object, ...]]


def scratch_facts(server: Server, *, admin: str = ADMIN) -> Facts:
    """What sql/ declares, as this server prints it.

    Columns have `backfill` in addition: what existing rows get (25_backfills.sql).

    Raises:
        TargetError: the server is unreachable, or the administrator may create no database.
    """
    with _scratch_database(server, admin) as scratch, connect(scratch, admin) as connection:
        try:
            _run(connection, SQL_DIRECTORY / "load.sql")
            facts = live_facts(connection)
            for table, column, expression in connection.execute(_BACKFILLS).fetchall():
                key = Key("column", "public", str(table), str(column))
                facts[key] |= {"backfill": str(expression)}
            roles = {str(name) for (name,) in connection.execute(_ROLES).fetchall()}
        finally:
            connection.rollback()
    return {key: definition for key, definition in facts.items() if _is_declared(key, roles)}


def _is_declared(key: Key, roles: set[str]) -> bool:
    """Whether it is sql/'s; the server may have other roles, which are the site's."""
    match key.kind:
        case "role":
            return key.name in roles
        case "setting":
            return key.relation in roles
        case "membership":
            # What ours are members of, PostgreSQL's own roles included.
            return key.name in roles
    return True


def _run(connection: _Connection, file: Path) -> None:
    r"""Run a manifest of psql's: SQL, `\ir`, `\gexec` and `\set`; all but its end, the commit."""
    text: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("\\ir "):
            _flush(connection, text)
            included = file.parent / line.split()[1]
            if included.name != "99_end.sql":
                _run(connection, included)
        elif line.endswith("\\gexec"):
            text.append(line.removesuffix("\\gexec"))
            statements = connection.execute("\n".join(text).encode()).fetchall()
            text.clear()
            for (statement,) in statements:
                connection.execute(str(statement).encode())
        elif not line.startswith("\\set"):
            text.append(line)
    _flush(connection, text)


def _flush(connection: _Connection, text: list[str]) -> None:
    statement = "\n".join(text)
    text.clear()
    if statement.strip():
        connection.execute(statement.encode())


@contextmanager
def _scratch_database(server: Server, admin: str) -> Iterator[Server]:
    name = sql.Identifier(f"{_PREFIX}{int(time.time())}_{secrets.token_hex(4)}")
    with connect(server.with_database("postgres"), admin, autocommit=True) as connection:
        _remove_leftovers(connection)
        try:
            connection.execute(sql.SQL("create database {} template template0").format(name))
        except psycopg.errors.InsufficientPrivilege as error:
            raise TargetError(
                f"{admin} may not create the scratch database that sql/ is read in.",
                "Give the administrator CREATEDB.",
            ) from error
        try:
            yield server.with_database(name.as_string().strip('"'))
        finally:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(name))


def _remove_leftovers(connection: _Connection) -> None:
    """Remove those of runs that were killed; one that somebody works in stays."""
    rows = connection.execute(
        "select datname from pg_database where starts_with(datname, %s) and not exists"
        " (select from pg_stat_activity where pg_stat_activity.datname = pg_database.datname)"
        # A twin's that was just created, and is not connected to yet, is younger than this.
        " and split_part(datname, '_', 3)::bigint < extract(epoch from now()) - 600",
        [_PREFIX],
    ).fetchall()
    for (leftover,) in rows:
        connection.execute(
            sql.SQL("drop database if exists {}").format(sql.Identifier(str(leftover)))
        )
