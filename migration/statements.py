"""The SQL files of this package, as psycopg statements."""

from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

Connection = psycopg.Connection[tuple[object, ...]]

_DIRECTORY = Path(__file__).parent / "sql"


def trusted(text: str) -> sql.SQL:
    """Text as SQL: only for files of this package, and for PostgreSQL's own definitions."""
    return sql.SQL(text)  # type: ignore[arg-type, unused-ignore]  # psycopg asks for a literal


@cache
def statement(name: str) -> sql.SQL:
    """The statement in `migration/sql/<name>.sql`."""
    return trusted((_DIRECTORY / f"{name}.sql").read_text())


def fetch(connection: Connection, name: str, **values: object) -> list[dict[str, Any]]:
    """Run a statement file with named values; each row as a dictionary by column name."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), values).fetchall()


def fetch_number(connection: Connection, query: sql.Composed | sql.SQL, *values: object) -> int:
    """The one number that a query gives."""
    row = connection.execute(query, values or None).fetchone()
    assert row is not None
    return int(str(row[0]))


def is_impossible(error: psycopg.Error) -> bool:
    """PostgreSQL cannot have what was asked for: it does not accept the expression or cannot
    compute it, a key is too long for an index, types cannot be compared. No fault of the server.
    """
    return (error.sqlstate or "").startswith(("0A", "22", "42", "54"))


def said(error: psycopg.Error) -> str:
    """What PostgreSQL said, with its detail, in one line."""
    parts = filter(None, (error.diag.message_primary, error.diag.message_detail))
    return f"{'. '.join(parts) or error} ({error.sqlstate})"
