"""Reading the changelog, and the rows that it is about as they are by now."""

import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from migration.capture.keys import CapturedTable
from migration.capture.triggers import CHANGELOG, MOMENT
from migration.convert import is_unicode
from migration.quoting import quote_name
from migration.source import Row, Value

Key = tuple[Value, ...]

#: Entries that are deleted at once: the file's write lock is held for a moment only.
_PRUNED_AT_ONCE = 2_000


@dataclass(frozen=True)
class Lag:
    """How far behind the target is."""

    #: Entries of the changelog; a row that changed twice counts twice.
    entries: int
    #: Since the oldest of them was written.
    seconds: float


@dataclass
class TableChanges:
    """The changed keys of a table."""

    captured: CapturedTable
    #: Key → whether it was there before. 1 and 1.0 are one key, as they are in SQLite.
    keys: dict[Key, bool] = field(default_factory=dict)
    #: Key → an entry of the changelog that has it. Keys from elsewhere have none.
    entries: dict[Key, int] = field(default_factory=dict)
    #: VACUUM may have given rows other rowids since they were logged.
    renumbered: bool = False

    @property
    def vanishing(self) -> list[Key]:
        """The keys whose rows of before are no longer what they were."""
        return [key for key, existed in self.keys.items() if existed]

    @property
    def anew(self) -> bool:
        """Whether its rows cannot be told apart in the target: all of them are taken once more."""
        captured = self.captured
        return not captured.key and bool(self.vanishing or self.renumbered or captured.nameless)


def lag(connection: sqlite3.Connection, applied: int) -> Lag:
    """What is logged above the number `applied`."""
    count, age = connection.execute(
        f"select count(*), ({MOMENT} - min(moment)) / 1000.0 from {CHANGELOG} where seq > ?",  # noqa: S608
        [applied],
    ).fetchone()
    return Lag(count, max(0.0, age or 0.0))


def first_change(connection: sqlite3.Connection) -> int:
    """The number of the first entry that is still there; 0 where there is none."""
    query = f"select coalesce(min(seq), 0) from {CHANGELOG}"  # noqa: S608
    return int(connection.execute(query).fetchone()[0])


def touched_tables(connection: sqlite3.Connection, applied: int) -> list[int]:
    """The numbers of the tables that entries above the number `applied` are about."""
    query = f"select distinct table_number from {CHANGELOG} where seq > ?"  # noqa: S608
    return [number for (number,) in connection.execute(query, [applied])]


def changed_keys(
    connection: sqlite3.Connection, tables: Mapping[int, CapturedTable], applied: int, upto: int
) -> dict[int, TableChanges]:
    """The keys that entries applied < seq ≤ upto name, by number of table."""
    found: dict[int, TableChanges] = {}
    rows = connection.execute(
        f"select * from {CHANGELOG} where seq > ? and seq <= ? order by seq",  # noqa: S608
        [applied, upto],
    )
    for seq, _, number, existed, *keys in rows:
        captured = tables[number]
        changes = found.setdefault(number, TableChanges(captured))
        key = tuple(keys[: len(captured.logged)])
        # Several rows may have one key with a NULL in it: it may always have been there.
        changes.keys.setdefault(key, bool(existed) or None in key)
        changes.entries.setdefault(key, seq)
    return found


def rows_of(connection: sqlite3.Connection, changes: TableChanges) -> Iterator[Row]:
    """The rows that have the changed keys now. Their positions count from 0."""
    captured = changes.captured
    table = captured.table
    columns = [*table.key_expressions, *(quote_name(column.name) for column in table.columns)]
    selected = ", ".join([*captured.logged, *columns])
    query = f"select {selected} from {quote_name(table.name)} where "  # noqa: S608
    width = len(table.key_expressions)
    position = 0
    for key in changes.keys:
        entry = changes.entries.get(key)
        condition, values = _of_key(key, captured) if entry is None else _logged(entry, captured)
        for found in connection.execute(query + condition, values):
            # By a key's own collation 'a' finds 'A' too, which has an entry of its own.
            if found[: len(key)] == key:
                row = found[len(key) :]
                yield Row(position, row[:width], row[width:])
                position += 1


def all_rows_of(connection: sqlite3.Connection, captured: CapturedTable) -> Iterator[Row]:
    """Every row of a table. Their positions count from 0."""
    table = captured.table
    columns = [*table.key_expressions, *(quote_name(column.name) for column in table.columns)]
    width = len(table.key_expressions)
    query = f"select {', '.join(columns)} from {quote_name(table.name)}"  # noqa: S608
    for position, row in enumerate(connection.execute(query)):
        yield Row(position, row[:width], row[width:])


def _logged(entry: int, captured: CapturedTable) -> tuple[str, list[Value]]:
    """The rows whose key an entry has: SQLite compares its own values, whatever they are."""
    terms = [
        f"{name} is (select k{number} from {CHANGELOG} where seq = ?1)"  # noqa: S608
        for number, name in enumerate(captured.logged)
    ]
    return " and ".join(terms), [entry]


def _of_key(key: Key, captured: CapturedTable) -> tuple[str, list[Value]]:
    """The rows with a key. Text that is not UTF-8 goes as its bytes."""
    terms, values = list[str](), list[Value]()
    for name, value in zip(captured.logged, key, strict=True):
        if isinstance(value, str) and not is_unicode(value):
            terms.append(f"{name} is cast(? as text)")
            values.append(value.encode("utf-8", "surrogateescape"))
        else:
            terms.append(f"{name} is ?")
            values.append(value)
    return " and ".join(terms), values


def prune(connection: sqlite3.Connection, applied: int) -> None:
    """Delete the entries up to `applied`, but never the last one, whose number goes on counting."""
    while True:
        deleted = connection.execute(
            f"delete from {CHANGELOG} where seq in (select seq from {CHANGELOG} where seq <= ? "  # noqa: S608
            f"and seq < (select max(seq) from {CHANGELOG}) order by seq limit {_PRUNED_AT_ONCE})",
            [applied],
        ).rowcount
        if deleted < _PRUNED_AT_ONCE:
            return
