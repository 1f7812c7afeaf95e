"""Whether one could restore today: what `check` says, for people and for a monitor."""

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backup.basebackup import BaseBackups
from backup.repository import Backup
from backup.settings import BackupSettings
from backup.statements import fetch
from database.connect import connect
from database.errors import TargetError
from database.settings import Server

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Health:
    """What is wrong, and the figures it was told by."""

    problems: tuple[str, ...]
    newest: Backup | None
    age_hours: float | None
    #: Bytes of log that are not archived yet; None where that is not known.
    behind_bytes: int | None
    #: Why the server could not be asked. One can restore without it; its side is not known then.
    unreachable: str | None = None


def check_health(server: Server, repository: BaseBackups, settings: BackupSettings) -> Health:
    """Look at the backups, the archive and the server.

    Raises:
        BackupError: there is no repository, or a record in it is damaged.
    """
    identity = repository.identity()
    backups = repository.taken()
    newest = backups[-1] if backups else None
    age = (datetime.now(UTC) - newest.finished_at).total_seconds() / 3600 if newest else None
    problems = [
        *_backup_problems(repository, newest, age, settings),
        *_archive_problems(repository),
    ]
    try:
        with connect(server, server.administrator, autocommit=True) as connection:
            slots = fetch(connection, "slot", slot=identity.slot)
    except TargetError as error:
        return Health(tuple(problems), newest, age, None, unreachable=error.message)
    behind, found = _slot_problems(slots, identity.slot, settings)
    return Health((*problems, *found), newest, age, behind)


def _backup_problems(
    repository: BaseBackups, newest: Backup | None, age: float | None, settings: BackupSettings
) -> list[str]:
    if newest is None or age is None:
        return ["there is no backup"]
    found = []
    if age > settings.backup_max_age_hours:
        found.append(f"the newest backup is {age:.0f} hours old")
    if newest.point is None:
        found.append(f"backup {newest.id} does not know what the tables held")
    verified = repository.verified(newest)
    if verified is not None and verified.problems:
        found.append(f"backup {newest.id} failed its verification: {verified.problems[0]}")
    free = shutil.disk_usage(repository.directory).free
    if free < newest.bytes:
        found.append(f"the next backup needs {newest.bytes} bytes, and {free} are free")
    missing = repository.gap_after(newest)
    if missing is not None:
        found.append(f"the archive lacks {missing.name}")
    return found


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
    if behind > settings.backup_max_behind_mb * _MEGABYTE:
        return behind, [f"{behind // _MEGABYTE} MB of the server's log are not archived"]
    return behind, []
