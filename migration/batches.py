"""The rows of a table of the snapshot, some at a time, always in the same order."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from sys import getsizeof
from typing import Protocol

import apsw

from database.errors import SourceError
from migration.own_sqlite import open_snapshot
from migration.quoting import quote_name
from migration.ranges import WHOLE, Range
from migration.schema import Table
from migration.source import Row, Value, hint_for, open_source

#: Reading and converting by so many rows is as fast as by more.
_MOST_AT_ONCE = 256
#: A query has no more columns than this, unless SQLite was built to have them.
_MOST_COLUMNS = 2_000
#: Characters or bytes of the rows that are read at once, as far as the last ones tell.
_LENGTH_AT_ONCE = 500_000

_Values = tuple[Value, ...]


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a table, as they were read."""

    #: The position of the first row.
    start: int
    #: The columns of each row, and behind them what else its key consists of.
    rows: list[_Values]
    #: How many columns a row has.
    width: int
    #: Where in a row its key is.
    key: tuple[int, ...]
    #: All text is valid UTF-8. Else there may be surrogate escapes for its bad bytes.
    is_unicode: bool

    def columns(self) -> list[_Values]:
        """The values by column."""
        return list(zip(*self.rows, strict=True))[: self.width]

    def weight(self) -> int:
        """Bytes that the values take in memory."""
        return sum(map(getsizeof, chain.from_iterable(self.rows)))

    def row(self, number: int) -> Row:
        """One row."""
        values = self.rows[number]
        key = tuple(values[place] for place in self.key)
        return Row(self.start + number, key, values[: self.width])


class Pace:
    """How many rows are read at once: many, where rows are short; one, where they are long.

    Args:
        most: never more rows than this.
    """

    def __init__(self, most: int = _MOST_AT_ONCE) -> None:
        self.rows = 1
        self._most = most

    def note(self, batch: Batch, length: int) -> None:
        """Say how many characters or bytes a batch took: all of them, whatever became of it."""
        room = _LENGTH_AT_ONCE * len(batch.rows) // max(length, 1)
        # Doubled at most: a table that begins with short rows need not go on so.
        self.rows = max(1, min(room, 2 * self.rows, self._most))


def read_rows(path: Path, table: Table, *, start: int = 0) -> Iterator[Row]:
    """The rows of `read_batches`, one by one."""
    for batch in read_batches(path, table, Pace(most=1), start=start):
        yield batch.row(0)


def read_batches(
    path: Path,
    table: Table,
    pace: Pace,
    *,
    start: int = 0,
    stop: int | None = None,
    within: Range = WHOLE,
) -> Iterator[Batch]:
    """The rows of a table of the snapshot, always in the same order.

    Text that is not UTF-8 arrives with its bad bytes as surrogate escapes, so nothing is lost.

    Args:
        path: the snapshot.
        table: which table.
        pace: how many rows a batch has; whoever reads long rows tells it.
        start: skip this many rows.
        stop: end before the row at this position.
        within: of these rows only, and positions are counted among them.

    Raises:
        SourceError: SQLite cannot read a page of the table.
    """
    query = _Query(table, within)
    position = start
    for reader in _READERS if table.is_stored else _READERS[1:]:
        try:
            with closing(reader.open(path)) as connection:
                rows = query.rows(connection, position, stop)
                while found := list(islice(rows, pace.rows)):
                    yield Batch(position, found, query.width, query.key, reader.is_strict)
                    position += len(found)
                return
        except (apsw.Error, sqlite3.Error, UnicodeDecodeError) as error:
            if not reader.passes_on(error):
                raise _unreadable(table, position, error) from error


class _Connection(Protocol):
    """Either module's connection."""

    def execute(self, text: str, /) -> Iterator[_Values]:
        """The rows of a query."""

    def close(self) -> None:
        """Let go of the file."""


@dataclass(frozen=True)
class _Reader:
    """A way to read rows."""

    open: Callable[[Path], _Connection]
    #: Whether the next reader goes on where this one stopped with an error.
    passes_on: Callable[[Exception], bool]
    #: Whether text that is not UTF-8 is such an error.
    is_strict: bool = True


class _Query:
    """What is asked of a table."""

    def __init__(self, table: Table, within: Range) -> None:
        columns = [quote_name(column.name) for column in table.columns]
        self.width = len(columns)
        #: The columns, and what the key needs besides them.
        self._wanted = list(dict.fromkeys([*columns, *table.key_expressions]))
        self.key = tuple(map(self._wanted.index, table.key_expressions))
        self._from = f"from {quote_name(table.name)}"
        if not table.virtual:
            # The table's own b-tree, not an index that happens to hold the same columns: it may
            # be damaged, or in an order that only the application knows.
            self._from += " not indexed"
        self._from += within.condition(table)
        if table.key_expressions:
            self._from += f" order by {', '.join(table.key_expressions)}"

    def rows(self, connection: _Connection, start: int, stop: int | None) -> Iterator[_Values]:
        """The rows at positions start ≤ n < stop: their columns, and what the key needs more."""
        part = f"{self._from} limit {-1 if stop is None else stop - start} offset {start}"
        if len(self._wanted) <= _MOST_COLUMNS or len(self._wanted) == self.width:
            return connection.execute(f"select {', '.join(self._wanted)} {part}")
        values = connection.execute(f"select {', '.join(self._wanted[: self.width])} {part}")
        extra = connection.execute(f"select {', '.join(self._wanted[self.width :])} {part}")
        return (one + other for one, other in zip(values, extra, strict=True))


def _open_strict(path: Path) -> _Connection:
    return open_source(path, immutable=True)


def _open_lenient(path: Path) -> _Connection:
    connection = open_source(path, immutable=True)
    connection.text_factory = _lenient_text
    return connection


#: Each goes on where the one before it cannot: apsw hands values over in half the time, but knows
#: nothing of the application's collations; Python's own module decodes in C and stops at the first
#: byte that is not UTF-8.
_READERS = (
    _Reader(open_snapshot, lambda _: True),
    _Reader(_open_strict, lambda error: "decode" in str(error)),
    _Reader(_open_lenient, lambda _: False, is_strict=False),
)


def _unreadable(table: Table, position: int, error: Exception) -> SourceError:
    return SourceError(
        f"Row {position + 1} of table {table.name} cannot be read: {error}.", hint_for(error)
    )


def _lenient_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
