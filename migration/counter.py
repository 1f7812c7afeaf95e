"""SQLite's aggregates over all pieces of a table at once.

By threads, since SQLite counts without Python's lock.
"""

import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import apsw

from migration import facts
from migration.facts import Counts
from migration.guess import Guess
from migration.own_sqlite import open_snapshot
from migration.quoting import quote_name
from migration.ranges import Range
from migration.schema import Table
from migration.source import open_source

_Result = tuple[Any, ...]
_AnyConnection = TypeVar("_AnyConnection", sqlite3.Connection, apsw.Connection)
#: SQLite allows 2000 columns in a result; a wide table is counted in several passes.
_RESULT_COLUMNS = 1900
#: Pieces of a table for each thread: rowids may be missing, so some have fewer rows.
_PIECES = 2


class Counter:
    """Counts in the pieces of a table at the same time, and adds up.

    Args:
        path: the snapshot.
        jobs: how many threads.
    """

    def __init__(self, path: Path, jobs: int) -> None:
        self.pieces = 1 if jobs == 1 else _PIECES * jobs
        self._path = path
        self._own = threading.local()
        self._connections: list[sqlite3.Connection | apsw.Connection] = []
        self._threads = ThreadPoolExecutor(jobs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            # A thread that is inside of SQLite hears nothing else.
            for connection in self._connections:
                connection.interrupt()
        self._threads.shutdown(cancel_futures=True)
        for connection in self._connections:
            connection.close()

    def rows(self, table: Table, ranges: Sequence[Range]) -> int:
        """How many rows a table has."""
        counted = self._in_pieces(
            table,
            ranges,
            lambda part: f"select count(*) from {_rows(table, part)}",  # noqa: S608
        )
        return sum(int(values[0] or 0) for values in counted)

    def proved(
        self, table: Table, ranges: Sequence[Range], guesses: Mapping[str, Guess], rows: int
    ) -> dict[str, Counts]:
        """The facts of those columns of a table of so many rows that were guessed right."""
        expressions = {name: guess.expressions(quote_name(name)) for name, guess in guesses.items()}

        def query(names: Sequence[str], part: Range) -> str:
            text = ", ".join(
                expression for name in names for expression in expressions[name].values()
            )
            return f"select {text} from {_rows(table, part)}"  # noqa: S608

        by_column = {name: list(counts) for name, counts in expressions.items()}
        counted = self._by_column(table, ranges, by_column, query)
        proofs = {name: guesses[name].facts(values, rows) for name, values in counted.items()}
        return {name: proof for name, proof in proofs.items() if proof is not None}

    def facts(
        self,
        table: Table,
        ranges: Sequence[Range],
        columns: Sequence[str],
        expressions: Mapping[str, str],
    ) -> dict[str, Counts]:
        """All facts of some columns."""

        def query(names: Sequence[str], part: Range) -> str:
            text = ", ".join(
                facts.of_column(expression, number)
                for number in range(len(names))
                for expression in expressions.values()
            )
            source = facts.prepared(_rows(table, part), list(map(quote_name, names)))
            return f"select {text} from {source}"  # noqa: S608

        wanted = {name: list(expressions) for name in columns}
        return self._by_column(table, ranges, wanted, query)

    def _by_column(
        self,
        table: Table,
        ranges: Sequence[Range],
        wanted: Mapping[str, list[str]],
        query: Callable[[Sequence[str], Range], str],
    ) -> dict[str, Counts]:
        """Results by column and name, of queries that give them in this order."""
        found = {}
        names = list(wanted)
        step = _RESULT_COLUMNS // max(map(len, wanted.values()), default=1)
        for start in range(0, len(names), step):
            some = names[start : start + step]
            pieces = self._in_pieces(table, ranges, partial(query, some))
            place = 0
            for name in some:
                end = place + len(wanted[name])
                found[name] = facts.merged(
                    dict(zip(wanted[name], values[place:end], strict=True)) for values in pieces
                )
                place = end
        return found

    def _in_pieces(
        self, table: Table, ranges: Sequence[Range], query: Callable[[Range], str]
    ) -> list[_Result]:
        """The one row that a query gives for each piece."""
        fetch = self._fetch_fast if table.is_stored else self._fetch
        return list(self._threads.map(fetch, map(query, ranges)))

    def _fetch_fast(self, query: str) -> _Result:
        try:
            result: _Result = next(self._connection("fast", open_snapshot).execute(query))
        except apsw.InterruptError:
            raise
        except apsw.Error:
            # What is wrong, or unknown to it, is said or known by Python's module.
            return self._fetch(query)
        return result

    def _fetch(self, query: str) -> _Result:
        open_it = partial(open_source, immutable=True, own_thread=False)
        result: _Result = next(self._connection("standard", open_it).execute(query))
        return result

    def _connection(self, name: str, open_it: Callable[[Path], _AnyConnection]) -> _AnyConnection:
        """This thread's own connection of a kind."""
        connection: _AnyConnection | None = getattr(self._own, name, None)
        if connection is None:
            connection = open_it(self._path)
            facts.prepare(connection)
            self._connections.append(connection)
            setattr(self._own, name, connection)
        return connection


def unordered(table: Table) -> str:
    """The text after FROM for a whole table, in the order of its own b-tree."""
    # An index may be ordered by a collation that only the application knows.
    return quote_name(table.name) + ("" if table.virtual else " not indexed")


def _rows(table: Table, part: Range) -> str:
    return unordered(table) + part.condition(table)
