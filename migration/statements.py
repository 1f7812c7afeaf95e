"""The SQL files of this package, as psycopg statements."""

from functools import cache
from pathlib import Path
from typing import Any, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

Connection = psycopg.Connection[tuple[object, ...]]

_DIRECTORY = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> sql.SQL:
    """The statement in `migration/sql/<name>.sql`."""
    # The text comes from this package alone, which is what LiteralString asks for.
    return sql.SQL(cast(LiteralString, (_DIRECTORY / f"{name}.sql").read_text()))


def fetch(connection: Connection, name: str, **values: object) -> list[dict[str, Any]]:
    """Run a statement file with named values; each row as a dictionary by column name."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(name), values).fetchall()
