"""The folder that holds everything: finished backups, the archive, and nothing half done.

    repository.json       which server it belongs to
    backups/<id>/         data/ (pg_basebackup's), backup.json (written last), verified.json
    wal/<timeline>-<n>/   the archived log
    archive.json          how far the archive reaches, or why it does not

Invariant: a folder in backups/ with a backup.json is whole. It gets its name by a rename after
everything in it is on disk; whatever a killed run left has another name, and goes at the next one.
"""

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ValidationError

from backup.wal import Timeline, parse_history
from database.errors import BackupError, UsageError

_DRAFT = ".draft-"
_LEAVING = ".leaving-"


class TableContent(BaseModel):
    """What a table held: equal content has equal figures."""

    rows: int
    digest: str


class BackupKind(StrEnum):
    """What a backup copies, under pgBackRest's names: everything, what changed since the last full
    one, or what changed since the last one of any kind."""

    FULL = "full"
    DIFF = "diff"
    INCR = "incr"


class Backup(BaseModel):
    """What is known of one backup. Positions are LSNs as PostgreSQL prints them, times UTC."""

    id: str
    kind: BackupKind = BackupKind.FULL
    server: str
    version: str
    database: str
    started_at: datetime
    finished_at: datetime
    bytes: int
    timeline: int
    start_lsn: str
    stop_lsn: str
    #: The transactions that were still running at the end of it, as pg_current_snapshot() prints.
    snapshot: str
    #: The restore point at which the tables held what `tables` says; None where nobody could be
    #: kept from writing for a moment.
    point: str | None = None
    #: Database → schema.table → content.
    tables: dict[str, dict[str, TableContent]] = {}

    @property
    def age_hours(self) -> float:
        """Since it was finished."""
        return (datetime.now(UTC) - self.finished_at).total_seconds() / 3600


class Verified(BaseModel):
    """The outcome of the last `verify` of a backup."""

    at: datetime
    problems: list[str]


class ArchiveState(BaseModel):
    """How far the archive reaches."""

    #: Timeline → the position up to which it was received and is on disk.
    reached: dict[int, str] = {}
    received_at: datetime | None = None
    #: Why the last attempt failed, and since when attempts have been failing.
    error: str | None = None
    failing_since: datetime | None = None


class BusyError(BackupError):
    """Another process holds a lock of the repository."""


class Identity(BaseModel):
    """Which server a repository belongs to, and its own name there."""

    system_identifier: str
    slot: str


class Repository:
    """The backups and the archive of one server.

    Args:
        directory: its folder; made by the first backup, readable by its owner alone.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.backups = self.directory / "backups"
        self.wal = self.directory / "wal"
        self._identity = self.directory / "repository.json"
        self._archive = self.directory / "archive.json"

    def exists(self) -> bool:
        """Whether a backup was ever begun here."""
        return self._identity.exists()

    def create(self) -> None:
        """Make the folders that are missing.

        Raises:
            UsageError: they cannot be written.
        """
        try:
            for folder in (self.directory, self.backups, self.wal):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UsageError(
                f"Cannot write to {self.directory}: {error.strerror}.",
                "Choose a writable folder with BACKUP_DIR.",
            ) from error

    def claim(self, system_identifier: str) -> Identity:
        """Make it this server's, where it is nobody's yet; its identity.

        Raises:
            BackupError: it is another server's.
        """
        if not self.exists():
            slot = f"atlas_backup_{secrets.token_hex(4)}"
            _write(self._identity, Identity(system_identifier=system_identifier, slot=slot))
        identity = self.identity()
        if identity.system_identifier != system_identifier:
            raise BackupError(
                f"{self.directory} holds the backups of another server (or of this one before "
                "its cluster was made anew).",
                "Choose another folder with BACKUP_DIR.",
            )
        return identity

    def identity(self) -> Identity:
        """Which server it belongs to.

        Raises:
            BackupError: there is no repository here.
        """
        if not self.exists():
            raise BackupError(
                f"There are no backups in {self.directory}.",
                "Take one with 'backup.py take', or name their folder by BACKUP_DIR.",
            )
        return Identity.model_validate_json(self._identity.read_bytes())

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:
        """Hold one of the repository's locks: "backup", "archive" or "verification".

        Raises:
            BusyError: another process holds it.
        """
        with locked_file(self.directory, what):
            yield

    # -- backups

    def draft(self, backup_id: str) -> Path:
        """A new folder for a backup that is being taken."""
        path = self.backups / f"{_DRAFT}{backup_id}"
        path.mkdir(mode=0o700)
        return path

    def finish(self, draft: Path, backup: Backup) -> None:
        """Give a whole backup its name."""
        _write(draft / "backup.json", backup)
        draft.rename(self.backups / backup.id)
        _sync(self.backups)

    def record(self, backup: Backup) -> None:
        """Write down what became known of a finished backup."""
        _write(self.backups / backup.id / "backup.json", backup)

    def sweep(self) -> list[str]:
        """Remove what killed runs left; only under the lock "backup"."""
        left = [*self.backups.glob(f"{_DRAFT}*"), *self.backups.glob(f"{_LEAVING}*")]
        for path in left:
            shutil.rmtree(path)
        return [path.name for path in left]

    def remove(self, backup: Backup) -> None:
        """Delete a backup: under another name first, so that no half of it is ever listed."""
        leaving = self.backups / f"{_LEAVING}{backup.id}"
        (self.backups / backup.id).rename(leaving)
        shutil.rmtree(leaving)

    def taken(self) -> list[Backup]:
        """The finished backups, oldest first.

        Raises:
            BackupError: the record of one is damaged.
        """
        found = []
        for path in sorted(self.backups.glob("[!.]*/backup.json")):
            try:
                found.append(Backup.model_validate_json(path.read_bytes()))
            except ValidationError as error:
                raise BackupError(
                    f"{path} is damaged ({error.error_count()} errors).",
                    f"Remove the folder {path.parent}, or bring the file back from a copy.",
                ) from error
        return sorted(found, key=lambda backup: backup.finished_at)

    def find(self, backup_id: str | None) -> Backup:
        """A backup by its id; the newest one without.

        Raises:
            BackupError: there is none.
        """
        self.identity()
        found = [b for b in self.taken() if backup_id in (None, b.id)]
        if not found:
            raise BackupError(
                f"There is no backup {backup_id or ''} in {self.directory}.".replace("  ", " "),
                "'python scripts/backup.py list' says which there are.",
            )
        return found[-1]

    def data(self, backup: Backup) -> Path:
        """The files of a backup."""
        return self.backups / backup.id / "data"

    def verified(self, backup: Backup) -> Verified | None:
        """How the last `verify` of a backup ended."""
        path = self.backups / backup.id / "verified.json"
        return Verified.model_validate_json(path.read_bytes()) if path.exists() else None

    def note_verified(self, backup: Backup, outcome: Verified) -> None:
        """Write down how a `verify` ended."""
        _write(self.backups / backup.id / "verified.json", outcome)

    # -- the archive

    def archive_folder(self, timeline: int) -> Path:
        """The folder that a timeline's log is received into.

        Each timeline has its own, since a restored server's log may begin before the end of its
        parent's; and each beginning has, since a receiver goes on where its folder ends.
        """
        folders = sorted(self.wal.glob(f"{timeline:08X}-*"))
        return folders[-1] if folders else self.new_archive_folder(timeline)

    def new_archive_folder(self, timeline: int) -> Path:
        """An empty folder for a timeline's log that does not continue what is here."""
        number = len(list(self.wal.glob(f"{timeline:08X}-*")))
        folder = self.wal / f"{timeline:08X}-{number:04d}"
        folder.mkdir(mode=0o700)
        return folder

    def archive_state(self) -> ArchiveState:
        """How far the archive reaches."""
        if not self._archive.exists():
            return ArchiveState()
        return ArchiveState.model_validate_json(self._archive.read_bytes())

    def note_archive(self, state: ArchiveState) -> None:
        """Write down how far the archive reaches."""
        _write(self._archive, state)

    def timelines(self) -> dict[int, Timeline]:
        """The timelines that are known, by number. The first one has no history file."""
        found = {1: Timeline(1)}
        for path in self.wal.glob("*/*.history"):
            timeline = parse_history(path.name, path.read_text())
            if timeline is not None:
                found[timeline.number] = timeline
        return found


@contextmanager
def locked_file(directory: Path, what: str) -> Iterator[None]:
    """Hold a lock of a folder that excludes other processes.

    Raises:
        BusyError: another process holds it.
    """
    with (directory / f".{what}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"Another {what} is at work in {directory}.", "Wait until it has ended."
            ) from None
        yield


def _write(path: Path, content: BaseModel) -> None:
    """Replace a small file so that it is the old one or the new one, whatever happens."""
    draft = path.with_name(f".{path.name}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content.model_dump(mode="json"), file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BackupError(
            f"Cannot write {path}: {error.strerror}.",
            "Free some space, or correct its permissions.",
        ) from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
