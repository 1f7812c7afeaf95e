"""Backups by pgBackRest, beside PostgreSQL in containers.

Archiving is begun by the first backup: it sets PostgreSQL's archive_command, which stays in the
cluster until `archive --end`. So a repository that is lost is a failure that is seen, never log
that goes nowhere.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import Any

from backup.content import content_at_point
from backup.health import Health, backup_problems, lag_problems, newest_of
from backup.pgbackrest.program import run
from backup.pgbackrest.source import PgBackRestSource, annotate_backup
from backup.programs import client_environment
from backup.repository import Backup, BackupKind
from backup.settings import BackupSettings
from backup.statements import Connection, fetch_one, statement
from backup.take import check_name, suitable
from backup.wal import SEGMENT_BYTES
from database.connect import connect
from database.embedded.server import EmbeddedServer
from database.embedded.volume import VolumeServer
from database.errors import BackupError, TargetError, UnreachableError, UsageError
from database.settings import Server

Say = Callable[[str], None]

#: Longer than pgBackRest's own archive-timeout, and than PostgreSQL's pause after a failure.
_ARCHIVE_SECONDS = 120.0
_POLL_SECONDS = 0.2
#: After a restore the first backup of its timeline may take so long.
_NEW_TIMELINE_SECONDS = 600


class PgBackRest:
    """The engine of the services `backup` and `restore`."""

    after_restore = (
        "start it with 'docker compose --profile backup up --wait', which takes a backup of the "
        "new timeline"
    )

    def __init__(self, settings: BackupSettings) -> None:
        self._settings = settings
        self.source = PgBackRestSource(settings)

    def instance(self, directory: Path | None) -> EmbeddedServer:
        """The volume of the database; or a folder in which somebody wants to look at the past."""
        return (
            EmbeddedServer(directory) if directory else VolumeServer(self._settings.backup_volume)
        )

    def take(self, kind: BackupKind | None, say: Say) -> Backup:
        """Take a backup; one that has nothing to build on becomes a full one.

        Raises:
            BackupError: it could not be taken, its log not archived, or another one is at work.
            TargetError: the server cannot be reached, or cannot be backed up.
        """
        server = Server.discover()
        with _connected(server) as connection:
            facts = suitable(fetch_one(connection, "server_facts"))
            begin_archiving(server, connection, say)
            with client_environment(server) as environment:
                run(
                    "backup",
                    f"--type={kind or BackupKind.FULL}",
                    f"--repo1-retention-full={self._settings.backup_keep}",
                    environment=environment,
                )
            finished = fetch_one(connection, "snapshot")
            backup = self.source.find(None).model_copy(
                update={
                    "server": str(server),
                    "database": server.database,
                    "version": facts["version"],
                    "finished_at": finished["now"].astimezone(UTC),
                    "snapshot": finished["snapshot"],
                }
            )
            say(f"backup {backup.id}: {backup.bytes} bytes")
            annotate_backup(backup)
            moment = content_at_point(
                server,
                facts["databases"],
                f"backup-{backup.id}",
                self._settings.backup_lock_seconds,
            )
            if moment is not None:
                backup = backup.model_copy(update={"point": moment.point, "tables": moment.tables})
                annotate_backup(backup)
            say(f"log archived up to {_archive_now(connection)}")
        return backup

    def check(self) -> Health:
        """Look at the backups, the archive and the server.

        Raises:
            BackupError: there is no repository, or it cannot be read.
        """
        newest = newest_of(self.source)
        problems = [
            *backup_problems(self.source, newest, self._settings),
            *self._gap_problems(newest),
        ]
        try:
            with _connected(Server.discover()) as connection:
                archiver = fetch_one(connection, "archiver")
                problems += _archive_problems(archiver)
                problems += _timeline_problems(connection, newest)
        except UnreachableError as error:
            return Health(tuple(problems), newest, None, unreachable=error.message)
        except TargetError as error:
            return Health((*problems, error.message), newest, None)
        behind = int(archiver["waiting"]) * SEGMENT_BYTES
        return Health((*problems, *lag_problems(behind, self._settings)), newest, behind)

    def mark(self, name: str) -> str:  # noqa: D102 (as Engine says)
        check_name(name)
        with _connected(Server.discover()) as connection:
            _check_archiving(connection)
            position = str(fetch_one(connection, "restore_point", name=name)["lsn"])
            _archive_now(connection)
        return position

    def archive(self) -> str:  # noqa: D102 (as Engine says)
        with _connected(Server.discover()) as connection:
            _check_archiving(connection)
            return _archive_now(connection)

    def follow_archive(self, _say: Say, /) -> None:
        """PostgreSQL does that by itself here.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            "PostgreSQL archives its log by itself here.", "'check' says how far it is."
        )

    def end_archive(self) -> bool:  # noqa: D102 (as Engine says)
        with _connected(Server.discover()) as connection:
            begun = bool(fetch_one(connection, "archiver")["begun"])
            for name in ("archive_command_reset", "archive_timeout_reset", "reload"):
                connection.execute(statement(name))
            return begun

    def _gap_problems(self, newest: Backup | None) -> Iterator[str]:
        to = self.source.restorable_to(newest) if newest else None
        if newest and (to is None or to.startswith("before")):
            yield f"the archive leads {to or 'nowhere'}"

    def timeline(self) -> int:
        """The timeline that the server writes.

        Raises:
            TargetError: it cannot be reached.
        """
        with _connected(Server.discover()) as connection:
            return int(fetch_one(connection, "timeline")["timeline"])


def _archive_problems(archiver: dict[str, Any]) -> Iterator[str]:
    if not archiver["begun"]:
        yield "PostgreSQL does not archive its log: take a backup"
    if archiver["failing"]:
        yield (
            f"archiving has been failing since {archiver['failing_since']:%Y-%m-%d %H:%M:%S} "
            f"UTC, at {archiver['last_failed_wal']}; 'docker compose logs postgres' says why"
        )


def _timeline_problems(connection: Connection, newest: Backup | None) -> Iterator[str]:
    found = fetch_one(connection, "timeline")
    if newest is None or found["timeline"] == newest.timeline:
        return
    # The service takes one at once; until then nothing is wrong.
    if found["seconds_since_start"] > _NEW_TIMELINE_SECONDS:
        yield (
            f"the newest backup is of timeline {newest.timeline}, and the server on "
            f"{found['timeline']} since it was restored: take a backup"
        )


def begin_archiving(server: Server, connection: Connection, say: Say) -> None:
    """See to it that there is a repository, and that PostgreSQL archives into it.

    Raises:
        BackupError: the repository is another server's, or archiving fails.
        TargetError: the server was started without archive_mode.
    """
    archiver = fetch_one(connection, "archiver")
    if archiver["archive_mode"] != "on":
        raise TargetError(
            "This server was started without archive_mode.",
            "Use the image of docker/postgres, whose postgresql.conf switches it on.",
        )
    with client_environment(server) as environment:
        run("stanza-create", environment=environment)
        if not archiver["begun"]:
            for name in ("archive_command_set", "archive_timeout_set", "reload"):
                connection.execute(statement(name))
            say("PostgreSQL archives its log from now on")
        run("check", environment=environment)


@contextmanager
def _connected(server: Server) -> Iterator[Connection]:
    with connect(
        server, server.administrator, autocommit=True, application_name="atlas-backup"
    ) as connection:
        yield connection


def _check_archiving(connection: Connection) -> None:
    if not fetch_one(connection, "archiver")["begun"]:
        raise BackupError("PostgreSQL does not archive its log.", "Take a backup first.")


def _archive_now(connection: Connection) -> str:
    """Archive the log up to now; how far that is.

    Raises:
        BackupError: PostgreSQL does not succeed in it.
    """
    # A switch needs something to have been written since the last one.
    fetch_one(connection, "restore_point", name="atlas-archive")
    switched: dict[str, Any] = fetch_one(connection, "switch_wal")
    deadline = time.monotonic() + _ARCHIVE_SECONDS
    while True:
        archiver = fetch_one(connection, "archiver")
        if (archiver["last_archived_wal"] or "") >= switched["segment"]:
            return str(switched["lsn"])
        if time.monotonic() > deadline:
            raise BackupError(
                f"PostgreSQL has not archived {switched['segment']} for {_ARCHIVE_SECONDS:.0f} s.",
                "'docker compose logs postgres' says why.",
            )
        time.sleep(_POLL_SECONDS)
