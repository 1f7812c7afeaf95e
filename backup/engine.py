"""What the commands ask for, whichever program makes the backups."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from backup import archive, take
from backup.basebackup import BaseBackups
from backup.health import Health, check_health
from backup.pgbackrest.engine import PgBackRest
from backup.repository import Backup, BackupKind
from backup.settings import BackupSettings, EngineName
from backup.source import Source
from database.connect import connect
from database.embedded.server import EmbeddedServer, default_directory
from database.errors import UsageError
from database.settings import Server

Say = Callable[[str], None]


class Engine(Protocol):
    """Backups of one server. Every method raises BackupError where it does not succeed, and
    TargetError where it needs the server and cannot reach it."""

    #: What to do when a restore has ended.
    after_restore: str

    @property
    def source(self) -> Source:
        """What there is to restore from."""

    def instance(self, directory: Path | None) -> EmbeddedServer:
        """The cluster that a restore replaces.

        Args:
            directory: another one than the usual.
        """

    def take(self, kind: BackupKind | None, say: Say) -> Backup:
        """Take a backup, archive the log up to now, and remove backups that are too many."""

    def check(self) -> Health:
        """Whether one could restore now."""

    def mark(self, name: str) -> str:
        """Give this moment a name; the position of it, up to which the log is archived then."""

    def archive(self) -> str:
        """Archive the log up to now; how far that is."""

    def follow_archive(self, say: Say, /) -> None:
        """Archive the log until stopped."""

    def end_archive(self) -> bool:
        """Give up archiving; False where it was not begun."""


def open_engine(settings: BackupSettings) -> Engine:
    """The engine that the settings name."""
    if settings.backup_engine is EngineName.PGBACKREST:
        return PgBackRest(settings)
    return BaseBackupEngine(settings)


class BaseBackupEngine:
    """pg_basebackup and pg_receivewal: PostgreSQL's own programs, without Docker."""

    after_restore = "start it with 'python -m database start', then take a backup: 'backup.py take'"

    def __init__(self, settings: BackupSettings) -> None:
        self._settings = settings
        self.source = BaseBackups(settings.backup_dir)

    def instance(self, directory: Path | None) -> EmbeddedServer:  # noqa: D102 (as Engine says)
        return EmbeddedServer(directory or default_directory())

    def take(self, kind: BackupKind | None, say: Say) -> Backup:
        """Take a full backup; there are no others.

        Raises:
            UsageError: another kind is asked for.
        """
        if kind not in (None, BackupKind.FULL):
            raise UsageError(
                f"pg_basebackup takes full backups, no {kind}.", "Leave --kind, or say full."
            )
        return take.take_backup(Server.discover(), self.source, self._settings, say)

    def check(self) -> Health:  # noqa: D102 (as Engine says)
        return check_health(Server.discover(), self.source, self._settings)

    def mark(self, name: str) -> str:  # noqa: D102 (as Engine says)
        return take.mark(Server.discover(), self.source, name)

    def archive(self) -> str:  # noqa: D102 (as Engine says)
        return archive.catch_up(Server.discover(), self.source)

    def follow_archive(self, say: Say, /) -> None:  # noqa: D102 (as Engine says)
        archive.follow(Server.discover(), self.source, say)

    def end_archive(self) -> bool:  # noqa: D102 (as Engine says)
        server = Server.discover()
        with connect(server, server.administrator, autocommit=True) as connection:
            return archive.end(connection, self.source.identity())
