"""Putting capture into a SQLite file, finding it there, and taking it out without a trace.

Invariant: each of these is one transaction of SQLite. A file has all of a capture, or nothing.
"""

import hashlib
import json
import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from database.errors import SourceError
from migration.capture.keys import CapturedTable, captured_tables
from migration.capture.triggers import BLOCK, CHANGELOG, PREFIX, changelog_definition, triggers
from migration.quoting import fold, quote_name
from migration.readable import open_schema
from migration.schema import Table, read_schema
from migration.shared_folder import refuse_shared_folder
from migration.source import BUSY_SECONDS, check_source, explained, hint_for

_CAPTURE = f"{PREFIX}capture"
#: Changes with what is put into the file, so that a newer program knows an older capture.
_LAYOUT = 1
_OURS = f"name like '{PREFIX.replace('_', chr(92) + '_')}%' escape '\\'"


@dataclass(frozen=True)
class Capture:
    """A capture as it is in a file."""

    #: Tells this capture from any other, also after it was taken out and put in again.
    token: str
    #: Names of the captured tables, by their number in the changelog.
    names: tuple[str, ...]
    #: Of the tables and unique keys that the triggers were made for.
    fingerprint: str


@contextmanager
def open_for_writing(path: Path, *, timeout: float = BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
    """A connection that may write to an existing file, outside any transaction.

    Args:
        path: the file.
        timeout: seconds to wait for a lock that another program holds.

    Raises:
        SourceError: whatever SQLite says while the connection is used.
    """
    check_source(path)
    refuse_shared_folder(path)
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode=rw"
    with explained(path):
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=timeout)
        with closing(connection):
            open_schema(connection)
            yield connection


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that holds the file's write lock from its beginning."""
    connection.execute("begin immediate")
    try:
        yield
        connection.execute("commit")
    except BaseException:
        # An error may have ended the transaction already.
        with suppress(sqlite3.Error):
            connection.execute("rollback")
        raise


def install(path: Path, left_out: frozenset[str] = frozenset()) -> Capture:
    """Begin to log the changes of every table; a capture that is there already is kept.

    Args:
        path: the SQLite file. It is locked for a moment.
        left_out: names of tables, folded, that are not wanted.

    Raises:
        SourceError: the file cannot be written, or a table cannot be followed.
    """
    with open_for_writing(path) as connection, writing(connection):
        there = find(connection)
        if there is not None:
            return there
        _refuse_moved(connection, path)
        wanted = tuple(
            table for table in own_tables(connection) if fold(table.name) not in left_out
        )
        captured = captured_tables(wanted)
        width = max((len(entry.logged) for entry in captured), default=1)
        connection.execute(changelog_definition(width))
        connection.execute(
            f"create table {_CAPTURE} (token text, layout integer, tables text, fingerprint text)"
        )
        for entry in captured:
            _install_triggers(connection, entry)
        capture = Capture(
            uuid.uuid4().hex, tuple(table.name for table in wanted), fingerprint(connection)
        )
        connection.execute(
            f"insert into {_CAPTURE} values (?, ?, ?, ?)",  # noqa: S608
            [capture.token, _LAYOUT, json.dumps(capture.names), capture.fingerprint],
        )
        return capture


def _refuse_moved(connection: sqlite3.Connection, path: Path) -> None:
    query = "select 1 from sqlite_master where name = ?"
    if connection.execute(query, [BLOCK]).fetchone():
        raise SourceError(
            f"{path} moved to PostgreSQL by a cutover; nobody writes to it.",
            "'python -m migration rollback' makes it the platform's database again.",
        )


def find(connection: sqlite3.Connection) -> Capture | None:
    """The capture that is in a file, if there is one.

    Raises:
        SourceError: another version of this program put it there.
    """
    if not _objects(connection):
        return None
    try:
        token, layout, tables, expected = connection.execute(
            f"select token, layout, tables, fingerprint from {_CAPTURE}"  # noqa: S608
        ).fetchone()
    except (sqlite3.OperationalError, TypeError) as error:
        raise SourceError(
            f"The file has tables or triggers named {PREFIX}…, but no capture.",
            "'python -m migration follow --stop' takes them out.",
        ) from error
    if layout != _LAYOUT:
        raise SourceError(
            "Another version of this program is following the file.",
            "'python -m migration follow --stop' ends that; then start anew.",
        )
    return Capture(token, tuple(json.loads(tables)), expected)


def remove(connection: sqlite3.Connection) -> bool:
    """Take the capture out, inside the caller's transaction; whether there was one.

    The schema is then what it was. (Pages that the changelog used stay in the file as free ones.)
    """
    objects = _objects(connection)
    for kind, name in objects:
        connection.execute(f"drop {kind} {quote_name(name)}")
    return bool(objects)


def last_change(connection: sqlite3.Connection) -> int:
    """The number of the last entry of the changelog; 0 where there is none."""
    query = f"select coalesce(max(seq), 0) from {CHANGELOG}"  # noqa: S608
    return int(connection.execute(query).fetchone()[0])


def strip(connection: sqlite3.Connection) -> int | None:
    """Take a capture out of a copy of a followed file.

    Returns:
        The number of the last change that the copy has; None where it is not captured.
    """
    if find(connection) is None:
        return None
    with writing(connection):
        watermark = last_change(connection)
        remove(connection)
    return watermark


def own_tables(connection: sqlite3.Connection) -> tuple[Table, ...]:
    """The file's tables, without those of the capture."""
    tables = read_schema(connection).tables
    return tuple(table for table in tables if not table.name.startswith((PREFIX, BLOCK)))


def fingerprint(connection: sqlite3.Connection) -> str:
    """Of every table and unique key: other than at the start of a capture, it misses changes.

    Plain indexes, views and triggers of the application may come and go.
    """
    found = connection.execute(
        f"select type, name, cast(sql as blob) from sqlite_master where not {_OURS} "  # noqa: S608
        "and type in ('table', 'index') and substr(name, 1, 7) <> 'sqlite_' and name <> ? "
        "order by type, name",
        [BLOCK],
    ).fetchall()
    digest = hashlib.sha256()
    for kind, name, definition in found:
        unique = kind == "table" or b"unique" in (definition or b"")[:60].lower()
        if unique:
            digest.update(repr((kind, name, definition)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _install_triggers(connection: sqlite3.Connection, captured: CapturedTable) -> None:
    for text in filter(None, triggers(captured)):
        try:
            connection.execute(text)
        except sqlite3.Error as error:
            raise SourceError(
                f"Changes of table {captured.table.name} cannot be captured: {error}.",
                hint_for(error),
            ) from error


def _objects(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """(type, name) of all that is ours, the triggers first."""
    return connection.execute(
        f"select type, name from sqlite_master where type in ('table', 'trigger') and {_OURS} "  # noqa: S608
        "order by type desc, name"
    ).fetchall()
