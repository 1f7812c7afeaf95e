"""A database read so that it does not notice: no file changed or left behind, no long lock.

How a file is opened depends on how it was left:
- in use, or in rollback-journal mode: read-only, with SQLite's ordinary locks;
- WAL mode, cleanly closed: as immutable, since a reader would leave an empty -wal and a -shm;
- left by a crash, with a journal to be replayed: on a copy, since replaying is writing.
"""

import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

from database.errors import InterruptedRunError, SourceError
from migration.source import check_source, open_source

#: In rollback-journal mode a reader holds writers up: less than a second, where SQLite's
#: default time-out is five.
_SECONDS_PER_STATEMENT: Final = 0.8
#: In WAL mode readers hold nobody up.
_SECONDS_PER_STATEMENT_WAL: Final = 20.0
_STEPS_BETWEEN_LOOKS: Final = 2_000
_WAL_VERSION: Final = 2

_CLOSED: Final = "closed: nobody has it open"

JournalMode = Literal["wal", "rollback"]
Value = int | float | str | bytes | None


@dataclass(frozen=True)
class Reader:
    """An open database and how long one statement may take."""

    connection: sqlite3.Connection
    journal_mode: JournalMode
    seconds_per_statement: float
    note: str

    def was_opened_meanwhile(self, path: Path) -> bool:
        """Whether the file was read as one that nobody has open, and somebody has opened it."""
        return self.note == _CLOSED and path.with_name(path.name + "-shm").exists()

    def rows(self, query: str, values: Sequence[Value] = ()) -> list[tuple[Value, ...]] | None:
        """The rows of one statement; None where it took too long and was stopped.

        Raises:
            sqlite3.OperationalError: SQLite cannot run it.
            SourceError: the file is damaged or locked.
        """
        deadline = time.monotonic() + self.seconds_per_statement
        self.connection.set_progress_handler(
            lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS
        )
        try:
            return self.connection.execute(query, values).fetchall()
        except sqlite3.DatabaseError as error:
            if "interrupted" in str(error):
                if time.monotonic() < deadline:
                    # Ctrl-C arrived in the progress handler, which swallows exceptions.
                    raise InterruptedRunError("Interrupted.") from error
                return None
            raise_if_unreadable(error)
            raise
        finally:
            self.connection.set_progress_handler(None, 0)

    def columns(self, table: str) -> list[tuple[str, str]]:
        """Name and declared type of a table's columns; none where its module is not loaded."""
        try:
            found = self.rows("select name, type from pragma_table_info(?)", (table,))
        except sqlite3.OperationalError:
            return []
        return [(str(name), str(declared)) for name, declared in found or []]

    def number(self, query: str, values: Sequence[Value] = ()) -> int | None:
        """The first value of the first row as a number; None where it took too long or is NULL."""
        rows = self.rows(query, values)
        value = rows[0][0] if rows else None
        return int(value) if isinstance(value, int | float) else None


def raise_if_unreadable(error: sqlite3.DatabaseError) -> None:
    """Raise a SourceError where `error` is about the file rather than about the statement."""
    text = str(error)
    if "locked" in text:
        raise SourceError(
            f"The database is locked: {text}.",
            "A writer has held it for seconds: that is lock contention. Try again later.",
        ) from error
    if "malformed" in text or "not a database" in text or "disk I/O" in text:
        raise SourceError(
            f"The database is damaged: {text}.",
            "Recover it with sqlite3's .recover, and keep the damaged file.",
        ) from error


def journal_mode(path: Path) -> JournalMode:
    """The mode that the file's header names."""
    with path.open("rb") as file:
        return "wal" if file.read(20)[18:19] == bytes([_WAL_VERSION]) else "rollback"


@contextmanager
def open_reader(path: Path) -> Iterator[Reader]:
    """Open a database in the way described above.

    Raises:
        SourceError: it is missing, no database, encrypted, damaged or locked.
    """
    check_source(path)
    mode = journal_mode(path)
    with _opened(path, mode) as (connection, note), closing(connection):
        # Foreign bytes in text columns must not stop a count.
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        bound = _SECONDS_PER_STATEMENT_WAL if mode == "wal" or note else _SECONDS_PER_STATEMENT
        try:
            yield Reader(connection, mode, bound, note)
        except sqlite3.DatabaseError as error:
            raise_if_unreadable(error)
            raise SourceError(
                f"SQLite cannot read {path}: {error}.", "Check it with PRAGMA integrity_check."
            ) from error


def _opened(
    path: Path, mode: JournalMode
) -> AbstractContextManager[tuple[sqlite3.Connection, str]]:
    wal, shared, journal = (
        path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")
    )
    if mode == "wal" and not shared.exists():
        if wal.exists() and wal.stat().st_size:
            return _opened_copy(path)
        return nullcontext((open_source(path, immutable=True), _CLOSED))
    try:
        return nullcontext((open_source(path), ""))
    except SourceError as error:
        if isinstance(error.__cause__, sqlite3.DatabaseError):
            raise_if_unreadable(error.__cause__)
        if wal.exists() or journal.exists():
            return _opened_copy(path)
        raise


@contextmanager
def _opened_copy(path: Path) -> Iterator[tuple[sqlite3.Connection, str]]:
    with TemporaryDirectory(prefix="database-size-") as folder:
        copy = Path(folder) / path.name
        try:
            for suffix in ("", "-wal", "-journal"):
                source = path.with_name(path.name + suffix)
                if source.exists():
                    shutil.copyfile(source, copy.with_name(source.name))
            connection = sqlite3.connect(copy, isolation_level=None)
            connection.execute("select count(*) from sqlite_master").fetchone()
        except (OSError, sqlite3.Error) as error:
            raise SourceError(
                f"{path} was left with a journal by a crash, and a copy cannot be read: {error}.",
                "Start the platform once, so that SQLite replays the journal, and try again.",
            ) from error
        yield connection, "left by a crash with a journal: read from a copy"
