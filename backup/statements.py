"""The SQL files of this package, as psycopg statements."""

from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

Connection = psycopg.Connection[tuple[object, ...]]

_DIRECTORY = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> sql.SQL:
    """The statement in `backup/sql/<name>.sql`."""
    text = (_DIRECTORY / f"{name}.sql").read_text()
    return sql.SQL(text)  # type: ignore[arg-type, unused-ignore]  # psycopg asks for a literal


def fetch(connection: Connection, name: str, /, **values: object) -> list[dict[str, Any]]:
    """Run a statement file with named values; each row as a dictionary by column name."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), values or None).fetchall()


def fetch_one(connection: Connection, name: str, /, **values: object) -> dict[str, Any]:
    """The one row of a statement file."""
    (row,) = fetch(connection, name, **values)
    return row
