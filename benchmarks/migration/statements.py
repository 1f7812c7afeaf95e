"""The SQL files of this package, as psycopg statements."""

from pathlib import Path

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[object, ...]]

_DIRECTORY = Path(__file__).parent / "sql"


def statement(name: str) -> sql.SQL:
    """The statement in `sql/<name>.sql`."""
    text = (_DIRECTORY / f"{name}.sql").read_text(encoding="utf-8")
    return sql.SQL(text)  # type: ignore[arg-type, unused-ignore]  # psycopg asks for a literal


def quoted(name: str) -> str:
    """A name in double quotes, as SQLite, PostgreSQL and DuckDB all read it."""
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def literal(text: str) -> str:
    """A text in single quotes, as all three read it (standard_conforming_strings is on)."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
