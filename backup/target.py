"""What a restore shall lead to, and which backups can lead there. Pure."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from backup.repository import Backup
from backup.wal import Timeline, parse_lsn
from database.errors import BackupError, UsageError


class Kind(StrEnum):
    """The kinds of moments, under PostgreSQL's names for them."""

    LATEST = "latest"
    TIME = "time"
    XID = "xid"
    NAME = "name"
    #: The end of the backup itself.
    IMMEDIATE = "immediate"


@dataclass(frozen=True)
class Target:
    """A moment in the life of a server."""

    kind: Kind = Kind.LATEST
    #: A time as ISO 8601 in UTC, a transaction's number, or a name.
    value: str = ""
    #: Whether the transaction of that time or number is part of it.
    inclusive: bool = True
    #: The timeline that it is on; None means the newest one.
    timeline: int | None = None

    def __str__(self) -> str:
        words = " ".join(filter(None, (self.kind.value, self.value)))
        return words if self.inclusive else f"{words}, exclusive"

    def settings(self, timeline: int) -> dict[str, str]:
        """PostgreSQL's settings of recovery, as name → value.

        Args:
            timeline: the number of the one that is meant.
        """
        found = {
            "recovery_target_timeline": str(timeline),
            "recovery_target_action": "promote",
            "recovery_target_inclusive": "on" if self.inclusive else "off",
        }
        match self.kind:
            case Kind.LATEST:
                pass
            case Kind.IMMEDIATE:
                found["recovery_target"] = "immediate"
            case _:
                found[f"recovery_target_{self.kind}"] = self.value
        return found


def make_target(
    *,
    time: str | None = None,
    xid: str | None = None,
    name: str | None = None,
    immediate: bool = False,
    exclusive: bool = False,
    timeline: int | None = None,
) -> Target:
    """The target that the options of the command line mean.

    Raises:
        UsageError: more than one moment is named, or one that cannot be.
    """
    if sum(option is not None for option in (time, xid, name)) + immediate > 1:
        raise UsageError(
            "--time, --xid, --name and --immediate exclude each other.", "Name one moment."
        )
    if exclusive and time is None and xid is None:
        raise UsageError(
            "--exclusive belongs to --time or --xid.", "Name one of them, or leave it."
        )
    if time is not None:
        return Target(Kind.TIME, _utc(time), not exclusive, timeline)
    if xid is not None:
        if not re.fullmatch(r"[1-9]\d{0,18}", xid):
            raise UsageError(
                f"{xid} is no transaction.", "It is a number, as pg_current_xact_id() says."
            )
        return Target(Kind.XID, xid, not exclusive, timeline)
    if name is not None:
        if not 0 < len(name.encode()) < 64:
            raise UsageError(f"{name!r} is no restore point.", "Its name has 1 to 63 bytes.")
        return Target(Kind.NAME, name, True, timeline)
    return Target(Kind.IMMEDIATE if immediate else Kind.LATEST, "", True, timeline)


def choose_timeline(target: Target, timelines: dict[int, Timeline]) -> Timeline:
    """The timeline that the target is on.

    Raises:
        BackupError: the archive has none of that number.
    """
    if target.timeline is None:
        return timelines[max(timelines)]
    if target.timeline not in timelines:
        known = ", ".join(map(str, sorted(timelines)))
        raise BackupError(
            f"There is no timeline {target.timeline} in the archive.", f"It has {known}."
        )
    return timelines[target.timeline]


def choose_backups(target: Target, timeline: Timeline, backups: list[Backup]) -> list[Backup]:
    """The backups from which the target can be reached, the best one first.

    Args:
        target: where to.
        timeline: the one that the target is on.
        backups: oldest first.

    Raises:
        BackupError: there is none.
    """
    if not backups:
        raise BackupError("There is no backup.", "Take one with 'python scripts/backup.py take'.")
    related = [b for b in backups if timeline.holds(b.timeline, parse_lsn(b.stop_lsn))]
    if not related:
        raise BackupError(
            f"No backup leads to timeline {timeline.number}: each was taken on another one, or "
            "after that one had branched off.",
            "Name another --timeline, or a --backup with --immediate.",
        )
    fitting = [b for b in related if _is_before(b, target)]
    if not fitting:
        oldest = related[0]
        raise BackupError(
            f"No backup is from before the target ({target}).",
            f"The oldest, {oldest.id}, was complete at {oldest.finished_at:%Y-%m-%d %H:%M:%S} UTC.",
        )
    return fitting[::-1]


def _is_before(backup: Backup, target: Target) -> bool:
    if target.kind is Kind.TIME:
        return backup.finished_at <= datetime.fromisoformat(target.value)
    if target.kind is Kind.XID:
        # Unknown where a run was killed just after its backup was complete.
        return bool(backup.snapshot) and not _has_ended(int(target.value), backup.snapshot)
    return True


def _has_ended(xid: int, snapshot: str) -> bool:
    """Whether a transaction was over when a snapshot `xmin:xmax:running,…` was taken."""
    lowest, following, running = snapshot.split(":")
    if xid >= int(following):
        return False
    return xid < int(lowest) or str(xid) not in running.split(",")


def _utc(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text} is no time.",
            "Write it as 2026-03-01T12:34:56+02:00; without a zone it is UTC.",
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
