"""Compare every value of every row on both sides, and show what differs, by row and column.

Rows in quarantine are taken out of the source's side: what remains must be equal.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from migration.buckets import Buckets, bucket_of, source_buckets, target_buckets
from migration.canonical import canonical_value, sql_digest, sql_field
from migration.convert import Converted
from migration.digest import RowDigester, TableDigest, fetch_digest
from migration.plan import TablePlan
from migration.present import Present
from migration.rows import RefusedRow
from migration.source import Row
from migration.statements import Connection, statement
from migration.target import identifier

#: Differences shown per table.
_SHOWN = 20
_BUCKETS_SEARCHED = 64
#: What stands for a row that a side does not have.
_MISSING = "missing"


@dataclass(frozen=True)
class Difference:
    """One value, or one whole row (column None), that is not the same on both sides."""

    table: str
    key: str
    column: str | None
    source: str
    target: str


@dataclass(frozen=True)
class ReplayedRow:
    """A row that was repaired and loaded after its run: its place in the source, its values."""

    position: int
    values: list[Converted]


@dataclass(frozen=True)
class VerifiedTable:
    """The outcome of one table; `verified` means that every value is the same."""

    table: TablePlan
    #: Rows of the source that are in the target, those that were there before included.
    rows: int
    digest_source: str
    digest_target: str
    differences: tuple[Difference, ...]

    @property
    def verified(self) -> bool:
        """Whether both sides are equal."""
        return not self.differences and self.digest_source == self.digest_target


def verify_table(
    connection: Connection,
    snapshot: Path,
    table: TablePlan,
    source: TableDigest,
    quarantined: Iterable[RefusedRow],
    *,
    replayed: Sequence[ReplayedRow] = (),
    present: Present | None = None,
    others: Buckets | None = None,
    target: TableDigest | None = None,
) -> VerifiedTable:
    """Compare one table.

    Args:
        connection: the target; inside the migration's transaction or after it.
        snapshot: the source.
        table: which table, and how its values were converted.
        source: the digest of the convertible rows of the source.
        quarantined: rows that were expelled although they convert; they are taken out.
        replayed: rows of quarantine that were loaded after all; they are put in.
        present: inside a merge, the rows that were there before; those are left out which the
            source has not.
        others: after a merge, the content of the rows that were left out.
        target: the target's side, where it is known already (`target_side`).
    """
    digester = RowDigester(table)
    # A row that does not convert was never in the source's digest.
    excluded = Counter(filter(None, (digester.digest_of(entry.row) for entry in quarantined)))
    put_in = [digester.digest(row.values) for row in replayed]
    _account(source, excluded, put_in)
    if target is None:
        target = target_side(connection, table, present)
    if others is not None:
        target = target.without(others.whole())
    differences: list[Difference] = []
    if not source.equals(target):
        # Both sides once more, by bucket: that is only worth it where something is wrong.
        ours = source_buckets(snapshot, table)
        _account(ours, excluded, put_in)
        search = _search(connection, table, ours, present, others)
        differences = _locate(connection, snapshot, table, search, excluded, replayed=replayed)
    return VerifiedTable(table, target.rows, source.summary(), target.summary(), tuple(differences))


def _account(
    side: TableDigest | Buckets, excluded: Counter[bytes], put_in: Iterable[bytes]
) -> None:
    """Make the rows of the source those that are expected in the target."""
    for digest, times in excluded.items():
        side.add(digest, times=-times)
    for digest in put_in:
        side.add(digest)


def target_side(
    connection: Connection, table: TablePlan, present: Present | None = None
) -> TableDigest:
    """What is in the target, digested by PostgreSQL; inside a merge, what the source has too."""
    if table.impossible:
        return TableDigest()
    return fetch_digest(connection, _digests(table, present))


def _digests(table: TablePlan, present: Present | None) -> sql.Composed:
    """A query for the digests of the rows that the source has to account for."""
    digests = sql_digest(table.columns, identifier(table))
    if present is None:
        return digests
    return statement("source_rows").format(digests=digests, places=present.places)


@dataclass(frozen=True)
class _Search:
    """Where differences are looked for."""

    #: The query for the digests of the target's rows.
    digests: sql.Composed
    buckets: set[int]
    #: Buckets that hold rows which are not the source's, and cannot be told from new ones.
    unknown: frozenset[int]


def _search(
    connection: Connection,
    table: TablePlan,
    ours: Buckets,
    present: Present | None,
    others: Buckets | None,
) -> _Search:
    """The first buckets that differ between the source's and the target's side."""
    digests = _digests(table, present)
    theirs = Buckets() if table.impossible else target_buckets(connection, digests)
    if others is not None:
        theirs = theirs.without(others)
    buckets = set(ours.differing(theirs)[:_BUCKETS_SEARCHED])
    return _Search(digests, buckets, frozenset(others.sums if others else ()))


@dataclass(frozen=True)
class _Cells:
    """A row's values: canonical to compare, and as people read them."""

    canonical: tuple[str | None, ...]
    shown: tuple[str, ...]


def _locate(
    connection: Connection,
    snapshot: Path,
    table: TablePlan,
    search: _Search,
    excluded: Counter[bytes],
    *,
    replayed: Sequence[ReplayedRow],
) -> list[Difference]:
    """The differing rows of the first few differing buckets, paired by their keys."""
    theirs = _target_rows(connection, table, search)
    unmatched = Counter({digest: len(rows) for digest, rows in theirs.items()}) + excluded
    missing: list[tuple[Row, _Cells]] = []
    for row, converted, digest in _source_rows(snapshot, table, search.buckets, replayed):
        if unmatched[digest] > 0:
            unmatched[digest] -= 1
        elif len(missing) < _SHOWN:
            canonical = tuple(map(canonical_value, table.columns, converted))
            shown = tuple(_readable(None if v is None else str(v)) for v in converted)
            missing.append((row, _Cells(canonical, shown)))
    extra = [cells for digest, rows in theirs.items() for cells in rows[: unmatched[digest]]]
    found = _pair(table, missing, extra)
    if search.unknown & search.buckets:
        # The rows that were there before are among them: they are no difference.
        found = [entry for entry in found if entry.source != _MISSING]
        found = found or [Difference(table.target, "", None, "as at the merge", "changed since")]
    return found[:_SHOWN]


def _source_rows(
    snapshot: Path, table: TablePlan, buckets: set[int], replayed: Sequence[ReplayedRow]
) -> Iterator[tuple[Row, list[Converted], bytes]]:
    """The convertible rows of some buckets, and those that were repaired."""
    digester = RowDigester(table)
    for batch, digests in digester.scan(snapshot):
        for number, digest in enumerate(digests):
            if digest is not None and bucket_of(digest) in buckets:
                row = batch.row(number)
                yield row, digester.convert(row), digest
    for repaired in replayed:
        digest = digester.digest(repaired.values)
        if bucket_of(digest) in buckets:
            yield Row(repaired.position, (), ()), repaired.values, digest


def _target_rows(
    connection: Connection, table: TablePlan, search: _Search
) -> dict[bytes, list[_Cells]]:
    # Equal rows are grouped by PostgreSQL, so that one difference in a large table brings
    # only the rows of its two buckets here.
    query = statement("rows_of_buckets").format(
        canonical=sql.SQL(", ").join(map(sql_field, table.columns)),
        shown=sql.SQL(", ").join(
            sql.SQL("left({}::text, 200)").format(sql.Identifier(column.target))
            for column in table.columns
        ),
        relation=identifier(table),
        digests=search.digests,
        # A literal, not a parameter: with parameters a % in a column's name would be one too.
        buckets=sql.Literal(list(search.buckets)),
    )
    found: dict[bytes, list[_Cells]] = {}
    for digest, canonical, shown in connection.execute(query):
        cells = _Cells(_texts(canonical), tuple(map(_readable, _texts(shown))))
        found.setdefault(bytes.fromhex(str(digest)), []).append(cells)
    return found


def _readable(text: str | None) -> str:
    """What cannot be seen is spelt out."""
    return "NULL" if text is None else text or "''"


def _texts(array: object) -> tuple[str | None, ...]:
    assert isinstance(array, list)
    return tuple(array)


def _pair(
    table: TablePlan, missing: list[tuple[Row, _Cells]], extra: list[_Cells]
) -> list[Difference]:
    """Rows with the same key are compared column by column; the others are shown whole."""
    keys = [n for n, column in enumerate(table.columns) if column.source in table.table.primary_key]
    by_key = {tuple(cells.canonical[n] for n in keys): cells for cells in extra} if keys else {}
    found = []
    for row, ours in missing:
        theirs = by_key.pop(tuple(ours.canonical[n] for n in keys), None)
        label = ", ".join(ours.shown[n] for n in keys) or f"row {row.position + 1}"
        if theirs is None:
            found.append(Difference(table.target, label, None, "a row", _MISSING))
            continue
        found += [
            Difference(table.target, label, column.target, ours.shown[n], theirs.shown[n])
            for n, column in enumerate(table.columns)
            if ours.canonical[n] != theirs.canonical[n]
        ]
    for cells in by_key.values() if keys else extra:
        label = ", ".join(cells.shown[n] for n in keys) or "; ".join(cells.shown)[:200]
        found.append(Difference(table.target, label, None, _MISSING, "a row"))
    return found
