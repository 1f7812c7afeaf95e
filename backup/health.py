"""Whether one could restore today: what `check` says, for people and for a monitor."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backup.basebackup import BaseBackups
from backup.repository import Backup
from backup.settings import BackupSettings
from backup.source import Source
from backup.statements import fetch
from database.connect import connect
from database.errors import TargetError, UnreachableError
from database.settings import Server

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Health:
    """What is wrong, and the figures it was told by."""

    problems: tuple[str, ...]
    newest: Backup | None
    #: Bytes of log that are not archived yet; None where that is not known.
    behind_bytes: int | None
    #: Why the server does not answer. One can restore without it; its side is not known then.
    unreachable: str | None = None


def check_health(server: Server, repository: BaseBackups, settings: BackupSettings) -> Health:
    """Look at the backups, the archive and the server.

    Raises:
        BackupError: there is no repository, or a record in it is damaged.
    """
    identity = repository.identity()
    newest = newest_of(repository)
    problems = [
        *backup_problems(repository, newest, settings),
        *_room_problems(repository, newest),
        *_archive_problems(repository),
    ]
    try:
        with connect(server, server.administrator, autocommit=True) as connection:
            slots = fetch(connection, "slot", slot=identity.slot)
    except UnreachableError as error:
        return Health(tuple(problems), newest, None, unreachable=error.message)
    except TargetError as error:
        return Health((*problems, error.message), newest, None)
    behind, found = _slot_problems(slots, identity.slot, settings)
    return Health((*problems, *found), newest, behind)


def newest_of(source: Source) -> Backup | None:
    """The newest backup."""
    return next(reversed(source.taken()), None)


def backup_problems(
    source: Source, newest: Backup | None, settings: BackupSettings
) -> Iterator[str]:
    """What is wrong with the newest backup, whichever engine took it."""
    if newest is None:
        yield "there is no backup"
        return
    if newest.age_hours > settings.backup_max_age_hours:
        yield f"the newest backup is {newest.age_hours:.0f} hours old"
    if newest.point is None:
        yield f"backup {newest.id} does not know what the tables held"
    verified = source.verified(newest)
    if verified is not None and verified.problems:
        yield f"backup {newest.id} failed its verification: {verified.problems[0]}"


def lag_problems(behind_bytes: int, settings: BackupSettings) -> Iterator[str]:
    """Whether too much of the server's log is not archived."""
    if behind_bytes > settings.backup_max_behind_mb * _MEGABYTE:
        yield f"{behind_bytes // _MEGABYTE} MB of the server's log are not archived"


def _room_problems(repository: BaseBackups, newest: Backup | None) -> Iterator[str]:
    if newest is None:
        return
    free = shutil.disk_usage(repository.directory).free
    if free < newest.bytes:
        yield f"the next backup needs {newest.bytes} bytes, and {free} are free"
    missing = repository.gap_after(newest)
    if missing is not None:
        yield f"the archive lacks {missing.name}"


def _archive_problems(repository: BaseBackups) -> list[str]:
    state = repository.archive_state()
    if not state.error:
        return []
    since = f"{state.failing_since:%Y-%m-%d %H:%M:%S} UTC" if state.failing_since else "now"
    return [f"archiving has been failing since {since}: {state.error}"]


def _slot_problems(
    slots: list[dict[str, Any]], slot: str, settings: BackupSettings
) -> tuple[int | None, list[str]]:
    """Bytes that are not archived yet, and what is wrong with the slot that keeps them."""
    if not slots:
        return None, [f"the server has no slot {slot}: take a backup"]
    if slots[0]["wal_status"] == "lost":
        return None, ["the server has removed log that was not archived: take a backup"]
    behind = int(slots[0]["behind"])
    return behind, list(lag_problems(behind, settings))
