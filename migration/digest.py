"""A table's content as one sum of row digests, equal on both sides or not.

No key and no order is needed: tables without a key are compared as multisets. Where the sums
differ, `buckets` tells where.
"""

import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from migration.batches import Batch, Pace, read_batches
from migration.canonical import line_digest, row_digest, sql_digest
from migration.convert import Converted
from migration.plain import NotPlainError, PlainTable
from migration.plan import TablePlan
from migration.ranges import WHOLE, Range
from migration.rows import RefusedRow, RowConverter
from migration.source import Row
from migration.statements import Connection, statement


@dataclass
class TableDigest:
    """Rows and the sum of their digests. It counts duplicates, and rows can be taken out again."""

    rows: int = 0
    total: int = 0
    #: Of the source: values that policies changed, by (target column, policy).
    repairs: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, digest: bytes, *, times: int = 1) -> None:
        """Put a row in (or, with times=-1, take it out)."""
        self.rows += times
        self.total += times * number_of(digest)

    def add_all(self, digests: Iterable[bytes]) -> None:
        """Put many rows in."""
        # In C as far as possible: this is done for every row of the source.
        words = array("q", b"".join(digests))
        if sys.byteorder == "little":
            words.byteswap()
        numbers = words[::4]
        self.rows += len(numbers)
        self.total += sum(numbers)

    def merge(self, other: "TableDigest") -> None:
        """Put all rows of another part of the same table in."""
        self.rows += other.rows
        self.total += other.total
        self.repairs += other.repairs

    def without(self, part: "TableDigest") -> "TableDigest":
        """What remains when the rows of a part of it are taken out."""
        return TableDigest(self.rows - part.rows, self.total - part.total)

    def equals(self, other: "TableDigest") -> bool:
        """Whether both hold the same rows."""
        return (self.rows, self.total) == (other.rows, other.total)

    def summary(self) -> str:
        """64 bits, for reports: equal content gives equal text."""
        return f"{self.total % 2**64:016x}"


def number_of(digest: bytes) -> int:
    """The 64 bits of a digest that are summed."""
    return int.from_bytes(digest[:8], "big", signed=True)


class RowDigester:
    """Converts rows of one table as they are loaded, and digests them."""

    def __init__(self, table: TablePlan) -> None:
        self._table = table
        self._plain = PlainTable(table)
        self._converter = RowConverter(table)
        self._has_blobs = any(column.pg_type == "bytea" for column in table.columns)

    @property
    def repairs(self) -> Counter[tuple[str, str]]:
        """What policies changed so far, by (target column, policy)."""
        return self._converter.repairs

    def digest(self, values: Iterable[Converted]) -> bytes:
        """The digest of a converted row."""
        return row_digest(self._table.columns, values)

    def convert(self, row: Row) -> list[Converted]:
        """The values of a row that has a digest."""
        converted = self._converter.convert(row)
        assert not isinstance(converted, RefusedRow)
        return converted

    def digest_of(self, row: Row) -> bytes | None:
        """The digest of a row; None where it cannot be converted."""
        converted = self._converter.convert(row)
        return None if isinstance(converted, RefusedRow) else self.digest(converted)

    def scan(
        self, snapshot: Path, start: int = 0, stop: int | None = None, within: Range = WHOLE
    ) -> Iterator[tuple[Batch, list[bytes | None]]]:
        """The table's rows, with the digest of each one; None where it cannot be converted.

        Args:
            snapshot: the source.
            start: begin with the row at this position.
            stop: end before the row at this position.
            within: of these rows only, and positions are counted among them.
        """
        pace, table = Pace(), self._table.table
        for batch in read_batches(snapshot, table, pace, start=start, stop=stop, within=within):
            try:
                lines = self._plain.lines(batch)
            except NotPlainError:
                digests = [self.digest_of(batch.row(n)) for n in range(len(batch.rows))]
                pace.note(batch, batch.weight())
                yield batch, digests
            else:
                # Blobs are not in the lines, only their own digests.
                pace.note(batch, batch.weight() if self._has_blobs else sum(map(len, lines)))
                yield batch, list(map(line_digest, lines))


def source_digest(
    snapshot: Path,
    table: TablePlan,
    start: int = 0,
    stop: int | None = None,
    within: Range = WHOLE,
) -> TableDigest:
    """The digest of the source rows that can be converted at all, of those that `scan` reads."""
    result = TableDigest()
    digester = RowDigester(table)
    for _, digests in digester.scan(snapshot, start, stop, within):
        result.add_all(filter(None, digests))
    result.repairs = digester.repairs
    return result


def target_digest(connection: Connection, table: TablePlan) -> TableDigest:
    """The digest of every row of the target table, computed by PostgreSQL."""
    relation = sql.Identifier(table.schema_name, table.target)
    return fetch_digest(connection, sql_digest(table.columns, relation))


def fetch_digest(connection: Connection, digests: sql.Composed) -> TableDigest:
    """The digest of the rows that a query gives (`sql_digest`, or some rows of it)."""
    query = statement("table_digest").format(digests=digests)
    ((rows, total),) = connection.execute(query).fetchall()
    return TableDigest(int(str(rows)), int(str(total)))
