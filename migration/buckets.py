"""Where two sides of a table differ: its content as 4096 sums of row digests instead of one.

A row falls into a bucket by its own digest. A row that differs leaves a trace in two buckets at
most, and only the rows of such buckets are looked at one by one.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from migration.digest import RowDigester, TableDigest, number_of
from migration.plan import TablePlan
from migration.statements import Connection, statement

#: A table has so many buckets less one; a power of two less one.
_LAST_BUCKET = 4095
_EMPTY = (0, 0)


@dataclass
class Buckets:
    """Rows and digest sums by bucket. Sums count duplicates, and rows can be taken out again."""

    sums: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, digest: bytes, *, times: int = 1) -> None:
        """Put a row in (or, with times=-1, take it out)."""
        bucket = bucket_of(digest)
        count, total = self.sums.get(bucket, _EMPTY)
        self.sums[bucket] = (count + times, total + times * number_of(digest))

    def differing(self, other: "Buckets") -> list[int]:
        """The buckets that are not equal in both."""
        return sorted(
            bucket
            for bucket in self.sums.keys() | other.sums.keys()
            if self.sums.get(bucket, _EMPTY) != other.sums.get(bucket, _EMPTY)
        )

    def without(self, part: "Buckets") -> "Buckets":
        """What remains when the rows of a part of it are taken out."""
        left = dict(self.sums)
        for bucket, (count, total) in part.sums.items():
            rows, sum_before = left.get(bucket, _EMPTY)
            left[bucket] = (rows - count, sum_before - total)
        return Buckets(left)

    def whole(self) -> TableDigest:
        """All buckets as one sum."""
        rows = sum(count for count, _ in self.sums.values())
        return TableDigest(rows, sum(total for _, total in self.sums.values()))


def bucket_of(digest: bytes) -> int:
    """The bucket of a row: the last bits of the number that is summed."""
    return number_of(digest) & _LAST_BUCKET


def source_buckets(snapshot: Path, table: TablePlan) -> Buckets:
    """The source rows that can be converted at all."""
    result = Buckets()
    for _, digests in RowDigester(table).scan(snapshot):
        for digest in filter(None, digests):
            result.add(digest)
    return result


def target_buckets(connection: Connection, digests: sql.Composed) -> Buckets:
    """The rows that a query gives (`sql_digest`, or some rows of it), by PostgreSQL."""
    return fetch_buckets(connection, statement("table_buckets").format(digests=digests))


def fetch_buckets(connection: Connection, query: sql.Composed) -> Buckets:
    """What a query for (bucket, rows, total) gives."""
    rows: Iterable[tuple[int, int, int]] = connection.execute(query).fetchall()  # type: ignore[assignment]
    return Buckets({bucket: (count, int(total)) for bucket, count, total in rows})
