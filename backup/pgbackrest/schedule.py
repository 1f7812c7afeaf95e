"""When a backup is due: the service `backup`.

What is due follows from the repository alone, so a restart, a backup by hand or a second service
changes nothing but what is already done.
"""

import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from backup.pgbackrest.engine import PgBackRest
from backup.repository import Backup, BackupKind, BusyError, Verified
from backup.settings import BackupSettings
from backup.verify import verify_backup
from database.errors import BackupError, BundleError, UnreachableError

Say = Callable[[str], None]

_LOOK_SECONDS = 30.0
#: After a failure it waits for so long, twice as long after the next, and so on.
_FIRST_PAUSE_SECONDS = 30.0
_LONGEST_PAUSE_SECONDS = 3600.0


def due_kind(
    backups: list[Backup], settings: BackupSettings, now: datetime, timeline: int
) -> BackupKind | None:
    """The kind of backup that is due; None: none is.

    Args:
        backups: those there are, oldest first.
        settings: how often each kind is taken.
        now: with a time zone.
        timeline: the server's. After a restore it is a new one, on which the backups from after
            the moment that was restored lead nowhere.
    """
    for kind, hours, counting in (
        (BackupKind.FULL, settings.backup_full_hours, {BackupKind.FULL}),
        (BackupKind.DIFF, settings.backup_diff_hours, {BackupKind.FULL, BackupKind.DIFF}),
        (BackupKind.INCR, settings.backup_incr_hours, set(BackupKind)),
    ):
        ends = [backup.started_at for backup in backups if backup.kind in counting]
        if not ends or now - max(ends) >= timedelta(hours=hours):
            return kind
    return None if backups[-1].timeline == timeline else BackupKind.INCR


def verification_is_due(
    verified: list[Verified | None], settings: BackupSettings, now: datetime
) -> bool:
    """Whether the newest backup should be restored and compared.

    Args:
        verified: how the verification of each backup ended.
        settings: how often it is done.
        now: with a time zone.
    """
    done = [outcome.at for outcome in verified if outcome is not None]
    return not done or now - max(done) >= timedelta(hours=settings.backup_verify_hours)


def run_schedule(engine: PgBackRest, settings: BackupSettings, say: Say) -> None:
    """Take and verify backups when they are due, until SIGTERM or SIGINT; what is at work then is
    brought to its end, or killed by who does not wait for it, which the next start cleans up."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    pause = _FIRST_PAUSE_SECONDS
    while not stopped.is_set():
        try:
            did_something = _turn(engine, settings, say)
        except (BusyError, UnreachableError) as error:
            # Over as soon as the other one is done, or the server there again.
            say(error.message)
            stopped.wait(_LOOK_SECONDS)
        except BundleError as error:
            say(f"failed: {error.message} {error.hint} Next try in {pause:.0f} s.")
            stopped.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            pause = _FIRST_PAUSE_SECONDS
            if not did_something:
                stopped.wait(_LOOK_SECONDS)


def _turn(engine: PgBackRest, settings: BackupSettings, say: Say) -> bool:
    """Do the one thing that is due; False where nothing is."""
    try:
        backups = engine.source.taken()
    except BackupError as error:
        # The first backup makes the repository; whatever else is wrong, it says so itself.
        say(error.message)
        backups = []
    now = datetime.now(UTC)
    kind = due_kind(backups, settings, now, engine.timeline())
    if kind is not None:
        engine.take(kind, say)
        return True
    if verification_is_due([engine.source.verified(b) for b in backups], settings, now):
        outcome = verify_backup(engine.source, None, say)
        say("verified" if not outcome.problems else f"NOT VERIFIED: {outcome.problems}")
        return True
    return False
