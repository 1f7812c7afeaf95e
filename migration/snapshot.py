"""One consistent copy of the source, WAL included, taken while the platform may be writing.

The snapshot is also the pre-migration backup: it stays, with its checksum beside it, until
somebody deletes it.
"""

import hashlib
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from database.errors import SourceError, UsageError
from migration.source import check_source, open_source

_PAGES_PER_STEP = 4096
_BUSY_SECONDS = 30


@dataclass(frozen=True)
class Snapshot:
    """A finished snapshot. `directory` also holds the run's plan and reports."""

    source: Path
    path: Path
    sha256: str
    size_bytes: int
    journal_mode: str

    @property
    def directory(self) -> Path:
        """The folder of this snapshot and of the reports about it."""
        return self.path.parent


def take_snapshot(source: Path, work: Path) -> Snapshot:
    """Copy `source` by SQLite's backup API into `work/<name>-<sha256…>/snapshot.db`.

    The same content gives the same folder: a second run over an unchanged source finds it.

    Raises:
        SourceError: the source is no database, is locked for too long, or is damaged.
        UsageError: `work` cannot be written.
    """
    check_source(source)
    try:
        work.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = work / f".snapshot-{os.getpid()}.db"
        journal_mode = _copy(source, draft)
        digest = file_sha256(draft)
        directory = work / f"{source.stem}-{digest[:12]}"
        directory.mkdir(exist_ok=True, mode=0o700)
        path = directory / "snapshot.db"
        draft.replace(path)
    except OSError as error:
        raise UsageError(
            f"Cannot write the snapshot into {work}: {error.strerror}.",
            "Choose a folder with enough free space with MIGRATION_DIR.",
        ) from error
    (directory / "snapshot.sha256").write_text(f"{digest}  snapshot.db\n")
    return Snapshot(source, path, digest, path.stat().st_size, journal_mode)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def now() -> datetime:
    """The current time, in UTC."""
    return datetime.now(UTC)


def _copy(source: Path, draft: Path) -> str:
    draft.unlink(missing_ok=True)
    try:
        with closing(open_source(source)) as reading, closing(sqlite3.connect(draft)) as writing:
            reading.execute(f"pragma busy_timeout = {_BUSY_SECONDS * 1000}")
            journal_mode = str(reading.execute("pragma journal_mode").fetchone()[0])
            # One read transaction for the whole copy: a writer cannot make it start over.
            reading.execute("begin")
            reading.execute("select count(*) from sqlite_master").fetchone()
            reading.backup(writing, pages=_PAGES_PER_STEP)
            reading.execute("commit")
            # The copy must be readable without a -wal beside it.
            writing.execute("pragma journal_mode = delete")
            return journal_mode
    except sqlite3.Error as error:
        draft.unlink(missing_ok=True)
        raise SourceError(
            f"The snapshot of {source} failed: {error}.",
            "Check the file with 'PRAGMA integrity_check'; where it is locked, try again later.",
        ) from error
