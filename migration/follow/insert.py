"""Rows into tables as they stand: without COPY, which refuses tables whose policies bind owners."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

import psycopg
from psycopg import sql

from migration.backfill import backfills
from migration.convert import Converted, text_of
from migration.digest import RowDigester
from migration.load.copy import batches
from migration.load.refusal import (
    Attempt,
    Refusal,
    column_types,
    explain_converted,
    is_refusal,
    narrow,
)
from migration.plan import TablePlan
from migration.rows import RefusedRow, RowConverter
from migration.source import Row
from migration.statements import Connection, fetch, statement, trusted
from migration.target import identifier


class Inserter:
    """Inserts rows of one table, and keeps account of every one of them."""

    def __init__(self, connection: Connection, table: TablePlan) -> None:
        self._connection = connection
        self._table = table
        self._converter = RowConverter(table)
        self._digester = RowDigester(table)
        computed = _computed(connection, table)
        self._sent = [n for n, column in enumerate(table.columns) if column.target not in computed]
        types = column_types(connection, table)
        self._types = [entry.checked_type for entry in types]
        self._insertion = _insertion(table, self._sent, [entry.cast_type for entry in types])
        #: Rows that are in neither the table nor any other table of the target.
        self.refused: list[RefusedRow] = []
        #: Where the rows are that PostgreSQL took, as texts of ctids; for tables without a key.
        self.places: list[str] = []
        #: Digests of the rows that PostgreSQL took, as they are in the source.
        self.digests: Counter[bytes] = Counter()

    def insert(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Insert rows, no two of them at one position; yields those that PostgreSQL took."""
        for batch in batches(self._converted(rows)):
            _, refusals = narrow(0, len(batch), self._attempt(batch), self._explain(batch))
            by_position = {refusal.position: refusal for refusal in refusals}
            for row, values in batch:
                if row.position in by_position:
                    self.refused.append(by_position[row.position].of(self._table, row))
                else:
                    self.digests[self._digester.digest(values)] += 1
                    yield row

    def _converted(self, rows: Iterable[Row]) -> Iterator[tuple[Row, list[Converted]]]:
        for row in rows:
            converted = self._converter.convert(row)
            if isinstance(converted, RefusedRow):
                self.refused.append(converted)
            else:
                yield row, converted

    def _attempt(
        self, batch: Sequence[tuple[Row, list[Converted]]]
    ) -> Callable[[int, int], Attempt]:
        def attempt(low: int, high: int) -> Attempt:
            columns = [[text_of(values[n]) for _, values in batch[low:high]] for n in self._sent]
            try:
                # Numbered parameters: with named ones a % in a column's name would be one too.
                with self._connection.transaction(), psycopg.RawCursor(self._connection) as cursor:
                    taken = cursor.execute(self._insertion, columns).fetchall()
            except psycopg.Error as error:
                if not is_refusal(error):
                    raise
                return error
            self.places += [str(place) for (place,) in taken]
            return len(taken)

        return attempt

    def _explain(
        self, batch: Sequence[tuple[Row, list[Converted]]]
    ) -> Callable[[int, psycopg.Error], Refusal]:
        def explain(number: int, error: psycopg.Error) -> Refusal:
            sent = batch[number]
            return explain_converted(
                self._connection, self._table, self._types, sent, error=error, columns=self._sent
            )

        return explain


def _insertion(table: TablePlan, sent: Sequence[int], types: Sequence[str]) -> sql.Composed:
    """The statement for many rows; columns that the source lacks have sql/'s values."""
    names = [table.columns[number].target for number in sent]
    values = [trusted(f"g.c{number}::{types[number]}") for number in sent]
    values += [trusted(backfills()[table.target, column]) for column in table.backfilled]
    insertion = statement("insert_texts").format(
        relation=identifier(table),
        names=sql.SQL(", ").join(map(sql.Identifier, [*names, *table.backfilled])),
        values=sql.SQL(", ").join(values),
        texts=sql.SQL(", ").join(trusted(f"${n}::text[]") for n in range(1, len(sent) + 1)),
        fields=sql.SQL(", ").join(trusted(f"c{number}") for number in sent),
    )
    return insertion + sql.SQL(" returning ctid::text")


def _computed(connection: Connection, table: TablePlan) -> frozenset[str]:
    """The columns that PostgreSQL computes, and nobody inserts."""
    if not any(column.generated for column in table.columns):
        return frozenset()
    name = identifier(table).as_string(connection)
    found = fetch(connection, "generated_columns", table=name)
    return frozenset(row["column_name"] for row in found)
