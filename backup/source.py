"""What recovery needs of the place where backups and the archived log are, whichever engine made
them."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from backup.repository import Backup, Verified
from backup.wal import Timeline

#: What to do where a backup turns out to be damaged.
DAMAGED = (
    "This backup is damaged: restore another one by --backup, and look after the disk it is on."
)


class Source(Protocol):
    """The backups of one server, and its archived log."""

    def taken(self) -> list[Backup]:
        """The finished backups, oldest first.

        Raises:
            BackupError: there is no repository, or a record in it is damaged.
        """

    def find(self, backup_id: str | None) -> Backup:
        """A backup by its id; the newest one without.

        Raises:
            BackupError: there is none.
        """

    def timelines(self) -> dict[int, Timeline]:
        """The timelines that are known, by number."""

    def reached(self, timeline: int) -> int | None:
        """A position, in bytes, up to which the timeline's log is archived for certain."""

    def fetch(self, backup: Backup, data: Path) -> None:
        """Put a backup's files into a new folder, each compared with its checksum.

        Raises:
            BackupError: the backup is damaged, or the disk too small.
        """

    def restore_command(self, data: Path, /) -> str:
        """PostgreSQL's setting of this name for a server in `data`: how it gets archived log."""

    def log_problems(self, backup: Backup) -> list[str]:
        """What is wrong with the archived log from a backup on, in words."""

    def restorable_to(self, backup: Backup) -> str | None:
        """Up to which position the log leads from a backup, or before which gap it ends."""

    def scratch(self) -> Path:
        """The folder that verifications restore into: always the same one, so that what a killed
        run left is found again."""

    def locked(self, what: str) -> AbstractContextManager[None]:
        """Hold a lock that excludes other processes: "backup", "archive" or "verification".

        Raises:
            BusyError: another process holds it.
        """

    def verified(self, backup: Backup) -> Verified | None:
        """How the last `verify` of a backup ended."""

    def note_verified(self, backup: Backup, outcome: Verified) -> None:
        """Write down how a `verify` ended."""
