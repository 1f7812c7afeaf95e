"""The copy engine: rows go from SQLite straight into PostgreSQL's COPY.

All rows of a table go at once. PostgreSQL 17's `ON_ERROR ignore` with verbose logging skips the
rows that it cannot read and names each one by its line, which leads back to the source row.
Where COPY itself fails of a row, or the names do not account for every row (an older server, or
one that speaks another language), the table is sent again in small batches, of which the
refused ones are halved.
"""

import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg
from psycopg import errors, sql

from migration.batches import read_rows
from migration.convert import Converted, text_of
from migration.load.copy_text import copy_blocks, copy_line
from migration.load.engine import EngineName, LoadedTable, Progress
from migration.load.refusal import (
    Attempt,
    Refusal,
    column_types,
    explain_converted,
    is_refusal,
    narrow,
    refused_rows,
)
from migration.plan import TablePlan
from migration.rows import RefusedRow, RowConverter, rows_at
from migration.source import Row
from migration.statements import Connection
from migration.target import identifier

_SKIPPED = re.compile(r"\bline (\d+)\b.*?\bcolumn \"?(.+?)\"?:", re.DOTALL)
#: The first version whose COPY can skip rows.
_SKIPPING_VERSION = 170000
#: A batch has this many rows at most ...
_BATCH_ROWS = 1_000
#: ... and ends with the row that brings it to this many characters and bytes.
_BATCH_LENGTH = 4_000_000


class CopyEngine:
    """Streams COPY text; nothing is kept outside the transaction."""

    name = EngineName.COPY
    stages = False

    def prepare(self, snapshot: Path, plan: object, progress: Progress) -> None:
        """Nothing to do."""

    def clean(self) -> None:
        """Nothing to do."""

    def load(
        self, connection: Connection, snapshot: Path, table: TablePlan, progress: Progress
    ) -> LoadedTable:
        """Send every row that converts; account for each one that PostgreSQL does not take."""
        started = time.monotonic()
        copy = _Copy(connection, snapshot, table, progress)
        loaded = copy.at_once() or copy.in_batches()
        loaded.seconds = time.monotonic() - started
        return loaded


class _NotAccountedError(Exception):
    """Rows were skipped, but which ones is not known: everything is sent again."""


def _account(sent: int, loaded: LoadedTable, skipped: list[tuple[int, str]]) -> None:
    if sent != loaded.rows + len(skipped):
        raise _NotAccountedError


class _Copy:
    """COPY of one table."""

    def __init__(
        self, connection: Connection, snapshot: Path, table: TablePlan, progress: Progress
    ) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._table = table
        self._progress = progress
        self._told = 0
        self._converter = RowConverter(table)
        self._types = [entry.checked_type for entry in column_types(connection, table)]
        self._copy = sql.SQL("copy {} ({}) from stdin").format(
            identifier(table),
            sql.SQL(", ").join(sql.Identifier(column.target) for column in table.columns),
        )

    def at_once(self) -> LoadedTable | None:
        """Send all rows; None, and nothing is changed, where that does not do."""
        skipped: list[tuple[int, str]] = []

        def note(diagnostic: errors.Diagnostic) -> None:
            found = _SKIPPED.search(diagnostic.message_primary or "")
            if found:
                skipped.append((int(found[1]), found[2]))

        command = self._copy
        if self._connection.info.server_version >= _SKIPPING_VERSION:
            command += sql.SQL(" (on_error ignore, log_verbosity verbose)")
        loaded = LoadedTable(self._table)
        self._connection.add_notice_handler(note)
        try:
            with self._connection.transaction():
                sent = 0
                with self._connection.cursor() as cursor:
                    with cursor.copy(command) as copy:
                        for block in copy_blocks(self._snapshot, self._converter, loaded.refused):
                            copy.write(block.text)
                            sent += block.rows
                            self._tell(block.read)
                    loaded.rows = cursor.rowcount
                _account(sent, loaded, skipped)
        except _NotAccountedError:
            return None
        except psycopg.Error as error:
            if not is_refusal(error):
                raise
            return None
        finally:
            self._connection.remove_notice_handler(note)
        loaded.refused += self._explain_skipped(skipped, loaded.refused)
        return loaded

    def in_batches(self) -> LoadedTable:
        """Send all rows in batches, and narrow down those that are refused."""
        loaded = LoadedTable(self._table)
        refusals: list[Refusal] = []
        for batch in batches(self._converted(loaded.refused)):
            rows, refused = self._load_batch(batch)
            loaded.rows += rows
            refusals += refused
        loaded.refused += refused_rows(self._snapshot, self._table, refusals)
        return loaded

    def _load_batch(self, batch: list[tuple[Row, list[Converted]]]) -> tuple[int, list[Refusal]]:
        def attempt(low: int, high: int) -> Attempt:
            try:
                with self._connection.transaction(), self._connection.cursor() as cursor:
                    with cursor.copy(self._copy) as copy:
                        for _, values in batch[low:high]:
                            copy.write(copy_line(map(text_of, values)))
                    return cursor.rowcount
            except psycopg.Error as error:
                if not is_refusal(error):
                    raise
                return error

        def explain(number: int, error: psycopg.Error) -> Refusal:
            row, values = batch[number]
            return self._explain(row, values, error=error)

        return narrow(0, len(batch), attempt, explain)

    def _explain(
        self,
        row: Row,
        values: list[Converted],
        error: psycopg.Error | None = None,
        columns: Iterable[int] | None = None,
    ) -> Refusal:
        sent = (row, values)
        return explain_converted(
            self._connection, self._table, self._types, sent, error=error, columns=columns
        )

    def _converted(self, refused: list[RefusedRow]) -> Iterator[tuple[Row, list[Converted]]]:
        """Every row that converts; the others go to `refused`."""
        for row in read_rows(self._snapshot, self._table.table):
            converted = self._converter.convert(row)
            if isinstance(converted, RefusedRow):
                refused.append(converted)
            else:
                yield row, converted
            self._tell(row.position + 1)

    def _tell(self, read: int) -> None:
        """Rows that are sent a second time are no progress."""
        if read > self._told:
            self._progress.advance(self._table, read - self._told)
            self._told = read

    def _explain_skipped(
        self, skipped: list[tuple[int, str]], not_sent: list[RefusedRow]
    ) -> list[RefusedRow]:
        """The source rows behind COPY's line numbers, each with PostgreSQL's own reason."""
        skipped.sort()
        positions = _positions(
            [line for line, _ in skipped], [entry.row.position for entry in not_sent]
        )
        columns = {
            position: column for (_, column), position in zip(skipped, positions, strict=True)
        }
        numbers = {column.target: number for number, column in enumerate(self._table.columns)}
        refused = []
        for row in rows_at(self._snapshot, self._table, set(columns)) if columns else ():
            converted = self._converter.convert(row)
            assert not isinstance(converted, RefusedRow)
            number = numbers[columns[row.position]]
            refusal = self._explain(row, converted, columns=[number])
            refused.append(refusal.of(self._table, row))
        return refused


def batches(
    rows: Iterable[tuple[Row, list[Converted]]],
) -> Iterator[list[tuple[Row, list[Converted]]]]:
    """Rows by the thousand, fewer where they are long."""
    batch: list[tuple[Row, list[Converted]]] = []
    length = 0
    for row, values in rows:
        batch.append((row, values))
        length += sum(len(value) for value in values if isinstance(value, str | bytes))
        if len(batch) == _BATCH_ROWS or length >= _BATCH_LENGTH:
            yield batch
            batch, length = [], 0
    if batch:
        yield batch


def _positions(lines: list[int], not_sent: list[int]) -> list[int]:
    """Source positions of COPY's 1-based line numbers: rows that were not sent have no line."""
    gaps = sorted(not_sent)
    positions = []
    passed = 0
    for line in sorted(lines):
        position = line - 1 + passed
        while passed < len(gaps) and gaps[passed] <= position:
            passed += 1
            position += 1
        positions.append(position)
    return positions
