"""The SQLite file: is it one, can it be read, and its rows. The source is only ever read."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from sys import getsizeof
from urllib.parse import quote

from database.errors import SourceError
from migration.filetype import HEAD, is_sqlite, what_it_is
from migration.quoting import quote_name
from migration.ranges import WHOLE, Range
from migration.readable import open_schema
from migration.schema import Table

_DAMAGED = (
    "Nothing was changed. Restore the file from a backup; or --salvage carries over what can "
    "be read of it, and says what cannot."
)
#: What to do, by what SQLite says.
_HINTS = {
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_IOERR: _DAMAGED,
    sqlite3.SQLITE_BUSY: "Another program holds it locked: stop that program, or try again later.",
    sqlite3.SQLITE_LOCKED: "Another program holds it locked: stop that program, or try again.",
    sqlite3.SQLITE_CANTOPEN: "Check that the file and its folder can be read by this user.",
    sqlite3.SQLITE_FULL: "There is no space left for temporary files (SQLITE_TMPDIR).",
}

#: How long to wait for a lock that another program holds.
BUSY_SECONDS = 30.0
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

#: Reading and converting by so many rows is as fast as by more.
_MOST_AT_ONCE = 256
#: Characters or bytes of the rows that are read at once, as far as the last ones tell.
_LENGTH_AT_ONCE = 500_000

#: A value as SQLite stores it: its storage class is the Python type.
Value = int | float | str | bytes | None


@dataclass(frozen=True)
class Row:
    """One row of the source: its position in reading order, its key, its values."""

    position: int
    key: tuple[Value, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a table, as they were read."""

    #: The position of the first row.
    start: int
    #: Key and values of each row.
    rows: list[tuple[Value, ...]]
    #: How many values of a row are its key.
    key_width: int

    def columns(self) -> list[tuple[Value, ...]]:
        """The values by column, without the keys."""
        return list(zip(*self.rows, strict=True))[self.key_width :]

    def weight(self) -> int:
        """Bytes that the values take in memory."""
        return sum(map(getsizeof, chain.from_iterable(self.rows)))

    def row(self, number: int) -> Row:
        """One row."""
        values = self.rows[number]
        position = self.start + number
        return Row(position, values[: self.key_width], values[self.key_width :])


class Pace:
    """How many rows are read at once: many, where rows are short; one, where they are long.

    Args:
        most: never more rows than this.
    """

    def __init__(self, most: int = _MOST_AT_ONCE) -> None:
        self.rows = 1
        self._most = most

    def note(self, batch: Batch, length: int) -> None:
        """Say how many characters or bytes a batch took: all of them, whatever became of it."""
        room = _LENGTH_AT_ONCE * len(batch.rows) // max(length, 1)
        # Doubled at most: a table that begins with short rows need not go on so.
        self.rows = max(1, min(room, 2 * self.rows, self._most))


def find_source(path: Path) -> Path | None:
    """The database file meant by `path`: the file itself, or the one inside a folder.

    A folder with no database gives None; `atlastrinity.db` is preferred where there are more.

    Raises:
        SourceError: there is no such path, or a folder holds several databases.
    """
    path = path.expanduser()
    if not path.exists():
        raise SourceError(f"There is no file {path}.", "Check the path of the SQLite database.")
    if not path.is_dir():
        return path
    found = sorted(entry for entry in path.iterdir() if entry.is_file() and _has_magic(entry))
    preferred = [entry for entry in found if entry.name == "atlastrinity.db"] or found
    if len(preferred) > 1:
        names = ", ".join(entry.name for entry in preferred)
        raise SourceError(
            f"{path} holds several SQLite databases: {names}.",
            "Name the one to migrate with SQLITE_PATH.",
        )
    return preferred[0] if preferred else None


def check_source(path: Path) -> None:
    """Raise a SourceError that says what is wrong, where `path` is no readable SQLite database."""
    try:
        # Only a file: opening a pipe would wait for somebody to write into it.
        if not stat.S_ISREG(path.stat().st_mode):
            raise SourceError(
                f"{path} is no file.", "Name the database file, not a device or pipe."
            )
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise SourceError(
            f"Cannot read {path}: {error.strerror}.", "Check the path and its permissions."
        ) from error
    if not head:
        raise SourceError(f"{path} is empty.", "Name the database file that the platform writes.")
    if not is_sqlite(head):
        what, advice = what_it_is(head)
        raise SourceError(f"{path} is not a SQLite database ({what}).", advice)


def open_source(
    path: Path, *, immutable: bool = False, own_thread: bool = True
) -> sqlite3.Connection:
    """A read-only connection.

    Args:
        path: an existing SQLite file.
        immutable: nobody writes to the file (a snapshot): read it without any locks.
        own_thread: only the thread that opens it may use it.

    Raises:
        SourceError: SQLite cannot read it.
    """
    options = "mode=ro&immutable=1" if immutable else "mode=ro"
    uri = f"file:{quote(os.fsencode(path.absolute()))}?{options}"
    with explained(path):
        connection = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            timeout=BUSY_SECONDS,
            check_same_thread=own_thread,
        )
        try:
            open_schema(connection)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says about a damaged file into a SourceError about `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise SourceError(f"SQLite cannot read {path}: {error}.", hint_for(error)) from error


def read_rows(path: Path, table: Table, *, start: int = 0) -> Iterator[Row]:
    """The rows of `read_batches`, one by one."""
    for batch in read_batches(path, table, Pace(most=1), start=start):
        yield batch.row(0)


def read_batches(
    path: Path,
    table: Table,
    pace: Pace,
    *,
    start: int = 0,
    stop: int | None = None,
    within: Range = WHOLE,
) -> Iterator[Batch]:
    """The rows of a table of the snapshot, always in the same order.

    Text that is not UTF-8 arrives with its bad bytes as surrogate escapes, so nothing is lost.

    Args:
        path: the snapshot.
        table: which table.
        pace: how many rows a batch has; whoever reads long rows tells it.
        start: skip this many rows.
        stop: end before the row at this position.
        within: of these rows only, and positions are counted among them.

    Raises:
        SourceError: SQLite cannot read a page of the table.
    """
    columns = [quote_name(column.name) for column in table.columns]
    key = ", ".join(table.key_expressions)
    text = f"from {quote_name(table.name)}"
    if not table.virtual:
        # The table's own b-tree, not an index that happens to hold the same columns: it may be
        # damaged, or in an order that only the application knows.
        text += " not indexed"
    text += within.condition(table)
    if table.key_expressions:
        text += f" order by {key}"
    position = start
    with closing(open_source(path, immutable=True)) as connection:
        while True:
            try:
                limit = -1 if stop is None else stop - position
                part = f"{text} limit {limit} offset {position}"
                rows = _read(connection, list(table.key_expressions), columns, part)
                while found := list(islice(rows, pace.rows)):
                    yield Batch(position, found, len(table.key_expressions))
                    position += len(found)
            except sqlite3.OperationalError as error:
                # The driver decodes in C and stops at the first bad byte: from that batch on,
                # the slower factory reads what is there.
                if "decode" not in str(error) or connection.text_factory is not str:
                    raise _unreadable(table, position, error) from error
                connection.text_factory = _lenient_text
            except sqlite3.Error as error:
                raise _unreadable(table, position, error) from error
            else:
                return


def _read(
    connection: sqlite3.Connection, key: list[str], columns: list[str], text: str
) -> Iterator[tuple[Value, ...]]:
    """Key and columns of every row; by two queries where one cannot have so many columns."""
    if len(key) + len(columns) <= connection.getlimit(sqlite3.SQLITE_LIMIT_COLUMN):
        return connection.execute(f"select {', '.join(key + columns)} {text}")
    keys = connection.execute(f"select {', '.join(key)} {text}")
    values = connection.execute(f"select {', '.join(columns)} {text}")
    return (one + other for one, other in zip(keys, values, strict=True))


def _unreadable(table: Table, position: int, error: sqlite3.Error) -> SourceError:
    return SourceError(
        f"Row {position + 1} of table {table.name} cannot be read: {error}.",
        hint_for(error),
    )


def is_busy(error: BaseException | None) -> bool:
    """Whether an error means that another program holds a lock."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF in _BUSY


def hint_for(error: sqlite3.Error) -> str:
    """What to do about an error of SQLite while it reads."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return _HINTS.get(code, "Check the file with 'PRAGMA integrity_check'.")


def _lenient_text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _has_magic(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_sqlite(file.read(HEAD))
    except OSError as error:
        raise SourceError(
            f"Cannot read {path}: {error.strerror}.",
            "Make it readable, or read it as its owner (compose: SQLITE_UID in .env).",
        ) from error
