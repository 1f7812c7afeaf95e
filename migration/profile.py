"""What the values really are, per column: counted by SQLite itself.

Where the facts only decide types, a column is guessed from its first rows and the guess is proved
in one pass (`guess`); all facts are counted only of the columns where it was wrong.
"""

import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from migration import facts
from migration.counter import Counter, unordered
from migration.facts import ColumnProfile, Counts
from migration.forms import form_of_text
from migration.guess import Guess, guess
from migration.known import TargetTables, known_as
from migration.quoting import fold, quote_name
from migration.ranges import extremes, ranges_of
from migration.schema import ForeignKey, LeftOut, Table, View, read_schema
from migration.source import explained, open_source

#: Rows that a guess is made from.
_SEEN = 100


class TableProfile(BaseModel):
    """A table's row count and facts."""

    model_config = ConfigDict(frozen=True)

    table: Table
    rows: int
    #: By column name; only the columns whose type is decided by it, where the table is known.
    columns: dict[str, ColumnProfile]
    #: The target has this very table.
    known: bool = False
    #: Rows with NULL in the primary key, and rows whose key another row has. None: not counted.
    null_keys: int | None = None
    duplicate_keys: int | None = None
    #: Rows without a parent, by foreign key ('column, column → parent').
    orphans: dict[str, int] = {}


class Profile(BaseModel):
    """The whole source."""

    model_config = ConfigDict(frozen=True)

    tables: tuple[TableProfile, ...]
    views: tuple[View, ...]
    left_out: tuple[LeftOut, ...]

    def table(self, name: str) -> TableProfile | None:
        """The table of this name, whatever its case."""
        return next((t for t in self.tables if fold(t.table.name) == fold(name)), None)


def profile_source(
    path: Path,
    target: TargetTables | None = None,
    *,
    left_out: Iterable[LeftOut] = (),
    everything: bool = False,
    jobs: int = 1,
) -> Profile:
    """Profile a snapshot.

    Args:
        path: the snapshot.
        target: the tables that the target has. The types of their columns are decided already,
            so without `everything` their rows are counted and nothing more.
        left_out: what did not even arrive in the snapshot.
        everything: also the facts that explain and decide nothing: date forms, bad UTF-8, orphans.
        jobs: how many threads may count at the same time.

    Raises:
        SourceError: it cannot be opened.
    """
    with explained(path), closing(open_source(path, immutable=True)) as connection:
        with Counter(path, jobs) as counter:
            profiler = _Profiler(connection, counter, target or {}, everything=everything)
            schema = read_schema(connection)
            profiles, unreadable = profiler.virtual(schema.tables)
            if unreadable:
                schema = read_schema(connection, unreadable)
            profiles += [profiler.table(table) for table in schema.tables if not table.virtual]
        profiles.sort(key=lambda entry: entry.table.name)
        if everything:
            profiles = [_with_orphans(connection, entry, profiles) for entry in profiles]
        return Profile(
            tables=tuple(profiles), views=schema.views, left_out=(*left_out, *schema.left_out)
        )


class _Profiler:
    """Profiles one table after another."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        counter: Counter,
        target: TargetTables,
        *,
        everything: bool,
    ) -> None:
        self._connection = connection
        self._counter = counter
        self._target = target
        self._everything = everything
        self._expressions = facts.expressions(connection, everything=everything)
        facts.prepare(connection)

    def virtual(self, tables: Iterable[Table]) -> tuple[list[TableProfile], dict[str, str]]:
        """The virtual tables, and why some cannot be read to their end: their storage is."""
        profiles, unreadable = [], {}
        for table in tables:
            if table.virtual:
                try:
                    profiles.append(self.table(table))
                except sqlite3.DatabaseError as error:
                    unreadable[table.name] = str(error)
        return profiles, unreadable

    def table(self, table: Table) -> TableProfile:
        """One table, read to its end."""
        known = known_as(self._connection, table, self._target)
        decided = set[str]() if self._everything else {column.name for column in known or ()}
        wanted = [column.name for column in table.columns if fold(column.name) not in decided]
        ranges = ranges_of(self._connection, table, self._counter.pieces)
        rows = self._counter.rows(table, ranges)
        found: dict[str, Counts] = {}
        if not self._everything:
            found = self._rowids(table, wanted, rows)
            guessed = self._guessed(table, [name for name in wanted if name not in found])
            found |= self._counter.proved(table, ranges, guessed, rows)
        missing = [name for name in wanted if name not in found]
        found |= self._counter.facts(table, ranges, missing, self._expressions)
        null_keys, duplicates = (
            _key_faults(self._connection, table) if self._everything else (None, None)
        )
        return TableProfile(
            table=table,
            rows=rows,
            columns={name: ColumnProfile.of(found[name]) for name in wanted},
            known=known is not None,
            null_keys=null_keys,
            duplicate_keys=duplicates,
        )

    def _rowids(self, table: Table, wanted: Collection[str], rows: int) -> dict[str, Counts]:
        """A column that stands for the rowid: whole numbers by definition, in order."""
        alias = table.rowid_alias
        if alias is None or alias not in wanted:
            return {}
        smallest, largest = extremes(self._connection, table)
        counted: Counts = {"values": rows, "proved": rows, "smallest": smallest, "largest": largest}
        proved = Guess("integer").facts(counted, rows)
        assert proved is not None
        return {alias: proved}

    def _guessed(self, table: Table, columns: Iterable[str]) -> dict[str, Guess]:
        """What the columns seem to hold, by their first rows."""
        found = {}
        for column in columns:
            name = quote_name(column)
            seen = self._connection.execute(
                f"select typeof({name}), {form_of_text(name)},"  # noqa: S608
                f" case typeof({name}) when 'blob' then {facts.IS_TEXT.format(column=name)} end"
                f" from {unordered(table)} limit {_SEEN}"
            ).fetchall()
            guessed = guess(seen)
            if guessed is not None:
                found[column] = guessed
        return found


def _key_faults(connection: sqlite3.Connection, table: Table) -> tuple[int, int]:
    """Rows with NULL in the primary key, and rows beyond the first of each key."""
    if not table.primary_key or table.rowid_alias or table.virtual:
        return 0, 0
    key = [quote_name(column) for column in table.primary_key]
    nulls = " or ".join(f"{column} is null" for column in key)
    names = ", ".join(key)
    relation = quote_name(table.name)
    null_keys = connection.execute(
        f"select count(*) from {relation} where {nulls}"  # noqa: S608
    ).fetchone()[0]
    duplicates = connection.execute(
        f"select coalesce(sum(n - 1), 0) from (select count(*) as n from {relation}"  # noqa: S608
        f" where not ({nulls}) group by {names} having n > 1)"
    ).fetchone()[0]
    return null_keys, duplicates


def _with_orphans(
    connection: sqlite3.Connection, entry: TableProfile, profiles: Collection[TableProfile]
) -> TableProfile:
    parents = {fold(other.table.name): other.table for other in profiles}
    orphans = {}
    for key in entry.table.foreign_keys:
        parent = parents.get(fold(key.parent))
        references = key.references or (parent.primary_key if parent else ())
        if parent is None or len(references) != len(key.columns):
            continue
        count = _orphans(connection, entry.table, key, parent, references)
        if count:
            orphans[f"{', '.join(key.columns)} → {parent.name}"] = count
    return entry.model_copy(update={"orphans": orphans})


def _orphans(
    connection: sqlite3.Connection,
    table: Table,
    key: ForeignKey,
    parent: Table,
    references: tuple[str, ...],
) -> int:
    present = " and ".join(f"c.{quote_name(name)} is not null" for name in key.columns)
    pairs = " and ".join(
        f"p.{quote_name(theirs)} = c.{quote_name(ours)}"
        for theirs, ours in zip(references, key.columns, strict=True)
    )
    count: int = connection.execute(
        f"select count(*) from {quote_name(table.name)} as c where {present}"  # noqa: S608
        f" and not exists (select 1 from {quote_name(parent.name)} as p where {pairs})"
    ).fetchone()[0]
    return count
