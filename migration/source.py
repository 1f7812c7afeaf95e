"""The SQLite file: is it one, and can it be read? The source is only ever read."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from database.errors import SourceError
from migration.filetype import HEAD, is_sqlite, what_it_is
from migration.readable import open_schema

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

#: Without it, a damaged page may be read beyond its end: what is found there is taken for rows.
CHECK_CELLS = "pragma cell_size_check = on"

#: A value as SQLite stores it: its storage class is the Python type.
Value = int | float | str | bytes | None


@dataclass(frozen=True)
class Row:
    """One row of the source: its position in reading order, its key, its values."""

    position: int
    key: tuple[Value, ...]
    values: tuple[Value, ...]


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
    uri = immutable_uri(path) if immutable else _read_only_uri(path)
    with explained(path):
        connection = sqlite3.connect(
            uri,
            uri=True,
            isolation_level=None,
            timeout=BUSY_SECONDS,
            check_same_thread=own_thread,
        )
        try:
            connection.execute(CHECK_CELLS)
            open_schema(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def immutable_uri(path: Path) -> str:
    """For SQLite, a file that is only read, without any locks: nobody writes to it."""
    return f"{_read_only_uri(path)}&immutable=1"


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says about a damaged file into a SourceError about `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise SourceError(f"SQLite cannot read {path}: {error}.", hint_for(error)) from error


def is_busy(error: BaseException | None) -> bool:
    """Whether an error means that another program holds a lock."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF in _BUSY


def hint_for(error: Exception) -> str:
    """What to do about an error of SQLite while it reads."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return _HINTS.get(code, "Check the file with 'PRAGMA integrity_check'.")


def _read_only_uri(path: Path) -> str:
    return f"file:{quote(os.fsencode(path.absolute()))}?mode=ro"


def _has_magic(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_sqlite(file.read(HEAD))
    except OSError as error:
        raise SourceError(
            f"Cannot read {path}: {error.strerror}.",
            "Make it readable, or read it as its owner (compose: SQLITE_UID in .env).",
        ) from error
