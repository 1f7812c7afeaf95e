"""Rows into a SQLite file, in batches, without keeping them."""

import sqlite3
from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path

from migration.export.definition import PLATFORM_SCHEMA
from scripts.demo_data.platform import Batch, Row

_SQL = Path(__file__).parent
_BATCHES_PER_TRANSACTION = 500


class Writer:
    """A new database file with AtlasTrinity's schema.

    Rows always have February's columns; those that January's schema lacks are left out.
    """

    def __init__(self, path: Path, *, january: bool) -> None:
        february = _columns(PLATFORM_SCHEMA.read_text("utf-8"))
        self._connection = sqlite3.connect(path, isolation_level=None)
        # Nobody can see the file before it is finished, so a crash needs no recovery.
        self._connection.executescript("pragma journal_mode = off; pragma synchronous = off")
        schema = _SQL / "schema_january.sql" if january else PLATFORM_SCHEMA
        for file in (schema, _SQL / "datasets.sql"):
            self._connection.executescript(file.read_text("utf-8"))
        existing = _existing_columns(self._connection)
        self._inserts = {name: _insert(name, columns) for name, columns in existing.items()}
        self._pickers = {
            name: itemgetter(*(columns.index(kept) for kept in existing[name]))
            for name, columns in february.items()
            if name in existing and existing[name] != columns
        }
        self._page_size = int(self._connection.execute("pragma page_size").fetchone()[0])
        self._batches = 0
        self._connection.execute("begin")

    @property
    def size(self) -> int:
        """Bytes of the file, pages that are still in memory included."""
        pages = self._connection.execute("pragma page_count").fetchone()[0]
        return int(pages) * self._page_size

    def write(self, batch: Batch) -> None:
        """Insert the rows of several tables; tables that the schema lacks are skipped."""
        for table, rows in batch.items():
            if table in self._inserts:
                self.insert(table, rows)
        self._batches += 1
        if self._batches % _BATCHES_PER_TRANSACTION == 0:
            self._connection.execute("commit")
            self._connection.execute("begin")

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Insert rows of one table."""
        picker = self._pickers.get(table)
        self._connection.executemany(self._inserts[table], map(picker, rows) if picker else rows)

    def close(self, *, finished: bool) -> None:
        """Close the file; when finished, in the journal mode in which the platform leaves it."""
        if finished:
            self._connection.execute("commit")
            self._connection.execute("pragma journal_mode = delete")
        self._connection.close()


def _columns(schema: str) -> dict[str, list[str]]:
    connection = sqlite3.connect(":memory:")
    try:
        connection.executescript(schema)
        return _existing_columns(connection)
    finally:
        connection.close()


def _existing_columns(connection: sqlite3.Connection) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for table, column in connection.execute(
        "select m.name, c.name from sqlite_master as m, pragma_table_info(m.name) as c "
        "where m.type = 'table' order by m.rowid, c.cid"
    ):
        found.setdefault(table, []).append(column)
    return found


def _insert(table: str, columns: list[str]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    places = ", ".join("?" * len(columns))
    return f'insert into "{table}" ({names}) values ({places})'  # noqa: S608
