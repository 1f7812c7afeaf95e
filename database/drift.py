"""Drift: what of the tables in public is not as sql/ declares it, without changing anything.

Derived from sql/ itself: the numbered files declare the tables in scratch schemas, the views
of differences/ compare them with what is there, and everything is rolled back.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

import psycopg

from database.apply import SQL_DIRECTORY

#: What load.sql includes for tables alone: no roles, functions, policies or privileges.
_TABLES = "20_tables.sql"
_FILES = (
    "00_begin.sql",
    _TABLES,
    "25_backfills.sql",
    "30_indexes.sql",
    "40_foreign_keys.sql",
    "differences/structure.sql",
    "differences/words.sql",
)


@dataclass(frozen=True)
class Drift:
    """One thing about a table that is not as declared."""

    table: str
    difference: str
    #: What a person has to run; None where `python -m database apply` repairs it.
    by_hand: str | None

    def __str__(self) -> str:
        repair = f"run: {self.by_hand};" if self.by_hand else "'database apply' repairs it"
        return f"{self.table}: {self.difference} ({repair})"


def table_drift(
    connection: psycopg.Connection[tuple[object, ...]], tables: Collection[str]
) -> list[Drift]:
    """What differs in these tables of public; a name that sql/ does not know differs in nothing.

    Args:
        connection: outside any transaction, in autocommit mode, as a role that may create schemas.
        tables: names in public.
    """
    if not _may_declare(tables):
        return []
    try:
        for name in _FILES:
            connection.execute((SQL_DIRECTORY / name).read_bytes())
        rows = connection.execute(
            "select table_name, difference, by_hand from declared.table_difference"
            " where schema = 'public' and table_name = any(%s) order by 1, 2",
            [list(tables)],
        ).fetchall()
    finally:
        if not connection.closed:
            connection.rollback()
    return [
        Drift(str(table), str(difference), str(by_hand) if by_hand else None)
        for table, difference, by_hand in rows
    ]


def _may_declare(tables: Collection[str]) -> bool:
    # Declaring takes longer than loading a small database, and other projects' have no such name.
    text = (SQL_DIRECTORY / _TABLES).read_text(encoding="utf-8")
    return any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text) for name in tables)
