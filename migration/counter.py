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
from typing import Self

from migration import facts
from migration.facts import Counts
from migration.guess import Guess
from migration.quoting import quote_name
from migration.ranges import Range
from migration.schema import Table
from migration.source import open_source

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
        self._connections: list[sqlite3.Connection] = []
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
        counted = self._by_column(ranges, by_column, query)
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

        return self._by_column(ranges, {name: list(expressions) for name in columns}, query)

    def _by_column(
        self,
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
            pieces = self._in_pieces(ranges, partial(query, some))
            place = 0
            for name in some:
                end = place + len(wanted[name])
                found[name] = facts.merged(
                    dict(zip(wanted[name], values[place:end], strict=True)) for values in pieces
                )
                place = end
        return found

    def _in_pieces(
        self, ranges: Sequence[Range], query: Callable[[Range], str]
    ) -> list[tuple[int | float | None, ...]]:
        """The one row that a query gives for each piece."""
        return list(self._threads.map(self._fetch, map(query, ranges)))

    def _fetch(self, query: str) -> tuple[int | float | None, ...]:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = open_source(self._path, immutable=True, own_thread=False)
            facts.prepare(connection)
            self._connections.append(connection)
            self._own.connection = connection
        found: tuple[int | float | None, ...] = connection.execute(query).fetchone()
        return found


def unordered(table: Table) -> str:
    """The text after FROM for a whole table, in the order of its own b-tree."""
    # An index may be ordered by a collation that only the application knows.
    return quote_name(table.name) + ("" if table.virtual else " not indexed")


def _rows(table: Table, part: Range) -> str:
    return unordered(table) + part.condition(table)
