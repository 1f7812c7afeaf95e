"""A table's content as 4096 buckets of row digests, equal on both sides or not.

A row falls into a bucket by its own digest, so no key and no order is needed: tables without a
key are compared as multisets. A row that differs leaves a trace in two buckets at most, and only
the rows of such buckets are looked at one by one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from migration.canonical import field_of, row_digest, sql_digest
from migration.convert import Converted
from migration.plan import Plan, TablePlan
from migration.rows import RefusedRow, RowConverter
from migration.source import Row, read_rows
from migration.statements import statement

_BUCKET_BITS = 12

_Connection = psycopg.Connection[tuple[object, ...]]


@dataclass
class TableDigest:
    """Rows and digest sums by bucket. Sums count duplicates, and rows can be taken out again."""

    buckets: dict[int, tuple[int, int]] = field(default_factory=dict)
    #: Of the source: values that policies changed, by (target column, policy).
    repairs: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def rows(self) -> int:
        """How many rows are in it."""
        return sum(count for count, _ in self.buckets.values())

    def add(self, digest: bytes, *, times: int = 1) -> None:
        """Put a row in (or, with times=-1, take it out)."""
        bucket = bucket_of(digest)
        count, total = self.buckets.get(bucket, (0, 0))
        high = int.from_bytes(digest[:8], "big", signed=True)
        self.buckets[bucket] = (count + times, total + times * high)

    def differing(self, other: "TableDigest") -> list[int]:
        """The buckets that are not equal in both."""
        empty = (0, 0)
        return sorted(
            bucket
            for bucket in self.buckets.keys() | other.buckets.keys()
            if self.buckets.get(bucket, empty) != other.buckets.get(bucket, empty)
        )

    def without(self, part: "TableDigest") -> "TableDigest":
        """What remains when the rows of a part of it are taken out."""
        left = dict(self.buckets)
        for bucket, (count, total) in part.buckets.items():
            rows, high = left.get(bucket, (0, 0))
            left[bucket] = (rows - count, high - total)
        return TableDigest(left)

    def summary(self) -> str:
        """64 bits over all buckets, for reports: equal content gives equal text."""
        total = sum(high for _, high in self.buckets.values())
        return f"{total % 2**64:016x}"


def bucket_of(digest: bytes) -> int:
    """The bucket of a row: 12 bits that the sum does not use."""
    return int.from_bytes(digest[8:10], "big") >> (16 - _BUCKET_BITS)


class RowDigester:
    """Converts rows of one table as they are loaded, and digests them."""

    def __init__(self, table: TablePlan) -> None:
        self._converter = RowConverter(table)
        self._fields = [field_of(column) for column in table.columns]

    @property
    def repairs(self) -> Counter[tuple[str, str]]:
        """What policies changed so far, by (target column, policy)."""
        return self._converter.repairs

    def digest(self, values: list[Converted]) -> bytes:
        """The digest of a converted row."""
        return row_digest(self._fields, values)

    def digested(self, rows: Iterable[Row]) -> Iterator[tuple[Row, list[Converted], bytes]]:
        """Each row that can be converted, with its values for PostgreSQL and their digest."""
        for row in rows:
            converted = self._converter.convert(row)
            if not isinstance(converted, RefusedRow):
                yield row, converted, self.digest(converted)


def source_digest(snapshot: Path, table: TablePlan) -> TableDigest:
    """The digest of every source row that can be converted at all."""
    result = TableDigest()
    digester = RowDigester(table)
    for _, _, digest in digester.digested(read_rows(snapshot, table.table)):
        result.add(digest)
    result.repairs = digester.repairs
    return result


def source_digests(snapshot: Path, plan: Plan) -> dict[str, TableDigest]:
    """All tables of the source by target name. Runs in a process of its own beside the load."""
    return {table.target: source_digest(snapshot, table) for table in plan.tables}


def target_digest(connection: _Connection, table: TablePlan) -> TableDigest:
    """The digest of every row of the target table, computed by PostgreSQL."""
    relation = sql.Identifier(table.schema_name, table.target)
    digests = sql_digest(table.columns, relation)
    return fetch_digest(connection, statement("table_digest").format(digests=digests))


def fetch_digest(connection: _Connection, query: sql.Composed) -> TableDigest:
    """The digest that a query for (bucket, rows, total) gives."""
    rows: Iterable[tuple[int, int, int]] = connection.execute(query).fetchall()  # type: ignore[assignment]
    return TableDigest({bucket: (count, int(total)) for bucket, count, total in rows})
