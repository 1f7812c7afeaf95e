"""The source at one moment: which keys changed since another one, and the rows that they have.

A moment is read from the live file, quickly, or from a copy of it. What is read from the live file
is kept in memory, and its read transaction ends before PostgreSQL is asked for anything: with a
rollback journal, a writer would wait for it.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from sys import getsizeof

from database.errors import SourceError
from migration.batches import read_rows
from migration.capture.changes import (
    Key,
    TableChanges,
    all_rows_of,
    changed_keys,
    first_change,
    rows_of,
)
from migration.capture.install import Capture, find, fingerprint, last_change
from migration.capture.keys import CapturedTable
from migration.follow.followed import Followed
from migration.source import Row, explained, open_source

#: What is read from the live file at once at most: keys, and bytes of rows.
_MOST_KEYS = 20_000
_MOST_BYTES = 64_000_000
_RESTART = "'python -m migration follow --replace' starts over."


class TooMuchError(Exception):
    """More changed than is read from a file that others write to: copy it, and read the copy."""


@dataclass
class Moment:
    """The changes up to an entry of the changelog, with the state of their rows at that moment."""

    upto: int
    schema_version: int
    changes: dict[int, TableChanges]
    _rows: Mapping[int, list[Row]]
    _connection: sqlite3.Connection | None = None
    #: The copy that it is read from.
    copy: Path | None = None

    def rows(self, changes: TableChanges) -> Iterator[Row]:
        """The rows with the changed keys."""
        if self._connection is None:
            return iter(self._rows.get(changes.captured.number, ()))
        return rows_of(self._connection, changes)

    def all_rows(self, captured: CapturedTable) -> Iterator[Row]:
        """Every row of a table that is to be loaded anew."""
        if self.copy is None:
            return iter(self._rows[captured.number])
        return read_rows(self.copy, captured.table)


@contextmanager
def open_live(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads a file that others write to, outside any transaction."""
    with explained(path), closing(open_source(path)) as connection:
        connection.text_factory = _text
        yield connection


@contextmanager
def open_copy(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that reads a copy, which nobody writes to."""
    with explained(path), closing(open_source(path, immutable=True)) as connection:
        connection.text_factory = _text
        yield connection


def read_live(
    connection: sqlite3.Connection,
    followed: Followed,
    retried: Mapping[int, list[Key]],
) -> Moment:
    """The present moment, kept in memory.

    Args:
        connection: the live file.
        followed: which tables, and since which entry.
        retried: keys by table that are read as well where the table changed.

    Raises:
        SourceError: the schema changed, or the file is not the one that was followed.
        TooMuchError: this takes a copy.
    """
    connection.execute("begin")
    try:
        moment = _moment(connection, followed, retried)
        if sum(len(changes.keys) for changes in moment.changes.values()) > _MOST_KEYS:
            raise TooMuchError
        rows: dict[int, list[Row]] = {}
        weight = 0
        for number, changes in moment.changes.items():
            found = rows.setdefault(number, [])
            read = all_rows_of(connection, changes.captured) if changes.anew else None
            for row in read or rows_of(connection, changes):
                found.append(row)
                weight += sum(map(getsizeof, row.values))
                if weight > _MOST_BYTES:
                    raise TooMuchError
    finally:
        connection.execute("rollback")
    moment._rows = rows
    return moment


def read_copy(
    connection: sqlite3.Connection,
    path: Path,
    followed: Followed,
    retried: Mapping[int, list[Key]],
) -> Moment:
    """The moment of a copy, whose rows are read when they are asked for."""
    moment = _moment(connection, followed, retried)
    moment._connection, moment.copy = connection, path
    return moment


def _moment(
    connection: sqlite3.Connection,
    followed: Followed,
    retried: Mapping[int, list[Key]],
) -> Moment:
    applied, schema_version = followed.applied, followed.schema_version
    now = int(connection.execute("pragma schema_version").fetchone()[0])
    check_capture(connection, followed.capture)
    upto = last_change(connection)
    if upto < applied:
        raise SourceError(
            "The source is older than what the target has of it: it was restored, or lost its "
            f"last writes in a crash (entry {upto} of the changelog; {applied} was applied).",
            _RESTART,
        )
    if first_change(connection) > applied + 1:
        raise SourceError(
            "The target has lost what it had: it was restored from a backup, or another server "
            "took over (entries that it no longer has are no longer in the changelog either).",
            _RESTART,
        )
    changes = changed_keys(connection, followed.captured, applied, upto)
    for number, entry in followed.captured.items():
        if now != schema_version and not entry.key and number not in changes:
            # VACUUM may have given its rows new numbers: those in quarantine are found no more.
            changes[number] = TableChanges(entry)
    for number, entry_changes in changes.items():
        for key in retried.get(number, ()):
            entry_changes.keys.setdefault(key, False)
        entry_changes.renumbered = now != schema_version
    return Moment(upto, now, changes, {})


def check_capture(connection: sqlite3.Connection, capture: Capture) -> None:
    """Raise a SourceError where the file is not as it was when the capture was put into it."""
    there = find(connection)
    if there is None or there.token != capture.token:
        raise SourceError("The capture is no longer in the source.", _RESTART)
    if fingerprint(connection) != capture.fingerprint:
        raise SourceError(
            "The schema of the source changed: a table or a unique key was added, changed or "
            "dropped. What was captured since may not be complete.",
            _RESTART,
        )


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
