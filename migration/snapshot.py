"""One consistent copy of the source, WAL included, taken while the platform may be writing.

The snapshot is also the pre-migration backup: it stays, with its checksum beside it, until
somebody deletes it.
"""

import hashlib
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from database.errors import SourceError, UsageError
from migration.capture.install import strip
from migration.readable import open_schema, repair_names, unread_objects
from migration.salvage import salvage
from migration.schema import LeftOut
from migration.shared_folder import refuse_shared_folder
from migration.source import check_source, explained, hint_for, is_busy, open_source

_PAGES_PER_STEP = 4096
_COPY_ATTEMPTS = 3


@dataclass(frozen=True)
class Snapshot:
    """A finished snapshot. `directory` also holds the run's plan and reports."""

    source: Path
    path: Path
    sha256: str
    size_bytes: int
    journal_mode: str
    #: What was lost or changed on the way into the snapshot.
    left_out: tuple[LeftOut, ...] = ()
    #: Of a source whose changes are captured: the last one that the snapshot has.
    watermark: int | None = None

    @property
    def directory(self) -> Path:
        """The folder of this snapshot and of the reports about it."""
        return self.path.parent

    def settle(self) -> None:
        """Wait until it is on the disk: the backup from before the migration outlives a crash."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())


def take_snapshot(source: Path, work: Path, *, salvaging: bool = False) -> Snapshot:
    """Copy `source` by SQLite's backup API into `work/<name>-<sha256…>/snapshot.db`.

    The same content gives the same folder: a second run over an unchanged source finds it.

    Args:
        source: a SQLite file.
        work: the folder of snapshots.
        salvaging: mend the copy where it is damaged; the copy as it was stays beside it,
            as `damaged.db`.

    Raises:
        SourceError: the source is no database, is locked for too long, or, without
            `salvaging`, is seen to be damaged.
        UsageError: `work` cannot be written.
    """
    check_source(source)
    if _size(source.resolve().with_name(f"{source.resolve().name}-wal")):
        # Somebody writes to it, or died while doing so.
        refuse_shared_folder(source)
    draft = work / f".snapshot-{os.getpid()}.db"
    damaged = work / f".damaged-{os.getpid()}.db"
    try:
        work.mkdir(parents=True, exist_ok=True, mode=0o700)
        if salvaging:
            journal_mode, left_out = _copy_damaged(source, draft, damaged)
        else:
            journal_mode, left_out = copy_source(source, draft), ()
        with explained(source):
            watermark = _strip(draft)
            left_out += _renamed(draft)
            if not salvaging:
                _check_tables(source, draft)
        digest = file_sha256(draft)
        directory = work / f"{source.stem}-{digest[:12]}"
        directory.mkdir(exist_ok=True, mode=0o700)
        path = draft.replace(directory / "snapshot.db")
        if damaged.exists():
            damaged.replace(directory / "damaged.db")
    except OSError as error:
        raise UsageError(
            f"Cannot write the snapshot into {work}: {error.strerror}.",
            "Choose a folder with enough free space with MIGRATION_DIR.",
        ) from error
    finally:
        for leftover in (draft, damaged):
            leftover.unlink(missing_ok=True)
    (directory / "snapshot.sha256").write_text(f"{digest}  snapshot.db\n")
    return Snapshot(source, path, digest, path.stat().st_size, journal_mode, left_out, watermark)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_source(source: Path, draft: Path) -> str:
    """Back `source` up into `draft`, a new file, as one state; return the source's journal mode."""
    draft.unlink(missing_ok=True)
    try:
        with closing(open_source(source)) as reading:
            return _back_up(reading, draft)
    except (SourceError, sqlite3.Error) as error:
        # A file that is being written to is never copied as a file: it would not be one state.
        if is_busy(error) or is_busy(error.__cause__):
            if isinstance(error, SourceError):
                raise
            raise _failed(source, error) from error
        # SQLite has to write beside a file in WAL mode, and beside one that a crash left with a
        # journal: in a folder that cannot be written, or on a file that shall not be, that is
        # done on a copy of the files.
        draft.unlink(missing_ok=True)
        with TemporaryDirectory(dir=draft.parent) as folder:
            copy = _copy_files(source, Path(folder))
            if copy is None:
                raise _failed(source, error) from error
            try:
                with closing(sqlite3.connect(copy, isolation_level=None)) as reading:
                    open_schema(reading)
                    return _back_up(reading, draft)
            except sqlite3.Error as second:
                draft.unlink(missing_ok=True)
                raise _failed(source, error) from second


def _copy_damaged(source: Path, draft: Path, damaged: Path) -> tuple[str, tuple[LeftOut, ...]]:
    """As `copy_source`, of a file that may be damaged; also what was lost of it."""
    damaged.unlink(missing_ok=True)
    lost: tuple[LeftOut, ...] = ()
    try:
        journal_mode = copy_source(source, draft)
    except SourceError as error:
        # Too damaged for SQLite to copy its pages: the file is taken as it is.
        if is_busy(error.__cause__):
            raise
        source = source.resolve()
        shutil.copyfile(source, draft)
        journal_mode = "unknown"
        journals = [source.with_name(source.name + suffix) for suffix in ("-wal", "-journal")]
        waiting = [journal.name for journal in journals if _size(journal)]
        why = f"SQLite cannot apply it: {error.message}"
        lost = tuple(LeftOut(kind="damaged pages", name=name, why=why) for name in waiting)
    return journal_mode, lost + salvage(draft, damaged)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_tables(source: Path, draft: Path) -> None:
    """Raise a SourceError where a table's definition, and with it its rows, cannot be read."""
    with closing(open_source(draft, immutable=True)) as connection:
        unread = [entry for entry in unread_objects(connection) if entry[0] == "unreadable table"]
    if unread:
        names = ", ".join(name for _, name, _ in unread)
        raise SourceError(
            f"{source}: the definition of {names} cannot be read. {unread[0][2]}.",
            "Nothing was changed. Open it with the program that wrote it, and a newer SQLite; "
            "--salvage carries over the other tables.",
        )


def _strip(draft: Path) -> int | None:
    """Take out what follows the source: the snapshot is what the source would be without it."""
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        open_schema(connection)
        return strip(connection)


def _renamed(draft: Path) -> tuple[LeftOut, ...]:
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        names = repair_names(connection)
    why = "its definition is not UTF-8, or holds NUL: such bytes became � and their digits"
    return tuple(LeftOut(kind="name", name=name, why=why) for name in names)


def _back_up(reading: sqlite3.Connection, draft: Path) -> str:
    journal_mode = str(reading.execute("pragma journal_mode").fetchone()[0])
    # One read transaction for the whole copy: a writer cannot make it start over.
    reading.execute("begin")
    reading.execute("select count(*) from sqlite_master").fetchone()
    with closing(sqlite3.connect(draft)) as writing:
        # A draft that a crash leaves behind is of no use, so nothing has to wait for the disk.
        writing.execute("pragma journal_mode = off")
        writing.execute("pragma synchronous = off")
        reading.backup(writing, pages=_PAGES_PER_STEP)
        # Also where SQLite cannot read every definition ...
        writing.execute("pragma writable_schema = on")
        # ... the copy must be readable without a -wal beside it.
        writing.execute("pragma journal_mode = delete")
    reading.execute("commit")
    return journal_mode


def _copy_files(source: Path, folder: Path) -> Path | None:
    """The database with its journals in `folder`; None where it would not stand still."""
    # The journals are beside the file itself, not beside a link to it.
    source = source.resolve()
    names = [source.with_name(source.name + suffix) for suffix in ("", "-wal", "-journal")]
    for _ in range(_COPY_ATTEMPTS):
        before = _states(names)
        for name in names:
            (folder / name.name).unlink(missing_ok=True)
            if name.exists():
                shutil.copyfile(name, folder / name.name)
        if _states(names) == before:
            return folder / source.name
    return None


def _states(names: list[Path]) -> list[tuple[int, int] | None]:
    found = [name.stat() if name.exists() else None for name in names]
    return [(entry.st_size, entry.st_mtime_ns) if entry else None for entry in found]


def _failed(source: Path, error: Exception) -> SourceError:
    if isinstance(error, SourceError):
        return error
    hint = hint_for(error) if isinstance(error, sqlite3.Error) else ""
    return SourceError(f"The snapshot of {source} failed: {error}.", hint)
