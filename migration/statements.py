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
