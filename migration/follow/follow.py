"""`migration follow`: capture, snapshot, bulk load, and catching up until somebody says stop.

Every step opens the target anew. So a PostgreSQL that is restarted, or killed, costs some steps
that fail, and a migration that somebody runs beside it waits for a step at most. What was applied
is known to the target alone: whoever is killed, the next step goes on from there.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from database.errors import BundleError, SourceError, TargetError
from database.settings import Server
from migration.capture.changes import Lag, first_change, lag, prune, touched_tables
from migration.capture.install import (
    Capture,
    find,
    install,
    last_change,
    open_for_writing,
    remove,
    writing,
)
from migration.follow.followed import Followed
from migration.follow.moment import TooMuchError, open_live, read_live
from migration.follow.step import Stepped, apply, retried_keys
from migration.follow.sweep import Swept, apply_copy, copied, sweep
from migration.policies import Policies
from migration.present import Existing
from migration.progress import Steps
from migration.quoting import fold, printable
from migration.run import Options, Outcome, migrate
from migration.snapshot import Snapshot
from migration.source import is_busy
from migration.statements import Connection, fetch, statement
from migration.target import open_target

#: Applied entries that stay in the changelog before it is cut.
_PRUNE_AT = 10_000
#: Seconds to wait for the file's write lock for that.
_PRUNE_WAIT = 0.2
#: Seconds between two looks at a source in which nothing happens.
POLL_SECONDS = 0.5
#: After a failure of the target, the next attempt waits this long, then longer.
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 15.0


@dataclass(frozen=True)
class Progress:
    """How far a follower is."""

    lag: Lag
    #: Keys that were applied, and rows that went to quarantine, since it was started.
    applied: int = 0
    refused: int = 0
    #: Why the target cannot be reached at present.
    away: str = ""


def begin(server: Server, options: Options, steps: Steps) -> tuple[Capture, Outcome | None]:
    """Put the capture into the source and load what is there, unless that was done before.

    Returns:
        The capture, and the outcome of the load, if one was needed.

    Raises:
        SourceError: the source cannot be followed.
        QuarantineError, VerificationError, TargetError: as of a run; the capture is taken out.
    """
    if options.existing is Existing.REPLACE:
        stop(options.source)
    with open_target(server):
        pass  # Unreachable or without sql/: said before anything is put into the source.
    with steps.step("capture"):
        capture = install(options.source, _skipped(options.policies))
    recorded = _recording(options, capture)

    def load() -> Outcome | None:
        # Asked each time: a connection may be lost while it commits.
        if _is_loaded(server, capture):
            return None
        return migrate(server, replace(options, recorded=recorded), steps)

    try:
        outcome = _patiently(load, steps)
        if outcome is not None and outcome.error is not None and not _is_loaded(server, capture):
            raise outcome.error
    except BundleError:
        _give_up(server, options.source, capture)
        raise
    return capture, outcome


def stop(source: Path) -> bool:
    """Take the capture out of the source; whether there was one."""
    with open_for_writing(source) as connection, writing(connection):
        return remove(connection)


def _skipped(policies: Policies) -> frozenset[str]:
    return frozenset(fold(name) for name, rules in policies.tables.items() if rules.skip)


def _is_loaded(server: Server, capture: Capture) -> bool:
    with open_target(server) as connection:
        return Followed.find(connection, capture) is not None


def _patiently(act: Callable[[], Outcome | None], steps: Steps) -> Outcome | None:
    """Act, and once more where PostgreSQL went away meanwhile."""
    for wait in _waits():
        try:
            return act()
        except TargetError as error:
            if not is_away(error):
                raise
            steps.console.print(f"  {error.message} The load begins again in {wait:.1f} s.")
            time.sleep(wait)
    raise AssertionError


def _give_up(server: Server, source: Path, capture: Capture) -> None:
    """Take a capture out that nobody would ever read, unless it is not known to be one."""
    with suppress(TargetError):
        if not _is_loaded(server, capture):
            stop(source)


def _recording(options: Options, capture: Capture) -> Callable[[Connection, int, Snapshot], None]:
    """What notes in the run's own transaction from where on its source is followed."""
    with open_live(options.source) as connection:
        # From before the snapshot: a VACUUM after it must not be missed.
        schema_version = int(connection.execute("pragma schema_version").fetchone()[0])

    def record(connection: Connection, run_id: int, snapshot: Snapshot) -> None:
        if snapshot.watermark is None:
            raise SourceError("The capture was taken out of the source.", "Start once more.")
        values = {
            "run_id": run_id,
            "token": capture.token,
            "source_name": printable(options.source),
            "applied": snapshot.watermark,
            "schema_version": schema_version,
        }
        connection.execute(statement("follow_begin"), values)

    return record


def is_away(error: TargetError) -> bool:
    """Whether time may heal it: the connection, a restart, a lock, a full disk."""
    return isinstance(error.__cause__, psycopg.OperationalError)


def _waits() -> Iterator[float]:
    wait = _FIRST_WAIT
    while True:
        yield wait
        wait = min(wait * 2, _LONGEST_WAIT)


class Follower:
    """Keeps a loaded target up with its source."""

    def __init__(self, server: Server, source: Path, work: Path, *, jobs: int) -> None:
        self._server = server
        self._source = source
        self._work = work
        self._jobs = jobs
        #: Known to the target; this is what it said last.
        self._applied: int | None = None
        self._schema_version: int | None = None

    def step(self) -> Stepped | None:
        """Apply what is in the changelog by now; None where there was nothing.

        Raises:
            SourceError: the source cannot be followed any further.
            TargetError: `is_away` says whether to try again.
            VerificationError: the target is not what was sent.
        """
        with open_live(self._source) as reading:
            self._captured(reading)
            if self._is_idle(reading):
                return None
            with open_target(self._server) as connection:
                followed = self._find(reading, connection)
                stepped = self._apply(reading, connection, followed)
        self._note(stepped.followed)
        self._prune(stepped.followed.applied)
        return stepped

    def lag(self) -> Lag:
        """How far behind the target is, as far as it said what it has."""
        with open_live(self._source) as reading:
            return lag(reading, self._applied or 0)

    def sweep(self) -> Swept:
        """Bring the target to one moment of the source, and compare everything."""
        with open_live(self._source) as reading, open_target(self._server) as connection:
            followed = self._find(reading, connection)
            with copied(self._source, self._work) as copy:
                swept = sweep(connection, followed, copy, jobs=self._jobs)
        self._note(swept.followed)
        return swept

    def _is_idle(self, reading: sqlite3.Connection) -> bool:
        version = int(reading.execute("pragma schema_version").fetchone()[0])
        return (last_change(reading), version) == (self._applied, self._schema_version)

    def _find(self, reading: sqlite3.Connection, connection: Connection) -> Followed:
        followed = Followed.find(connection, self._captured(reading))
        if followed is None:
            raise self._not_followed()
        if any(
            row["state"] == "prepared"
            for row in fetch(connection, "cutover_find", token=followed.capture.token)
        ):
            raise SourceError(
                "A cutover of the source was cut off.",
                "'python -m migration cutover --status' completes or undoes it.",
            )
        return followed

    def _captured(self, reading: sqlite3.Connection) -> Capture:
        capture = find(reading)
        if capture is None:
            raise self._not_followed()
        return capture

    def _not_followed(self) -> SourceError:
        return SourceError(
            f"{self._source} is not followed into {self._server}.",
            "Start it with 'python -m migration follow'; after a cutover, 'python -m migration "
            "cutover --status' says where the data are.",
        )

    def _apply(
        self, reading: sqlite3.Connection, connection: Connection, followed: Followed
    ) -> Stepped:
        try:
            touched = touched_tables(reading, followed.applied)
            retried = dict(retried_keys(connection, followed, touched))
            moment = read_live(reading, followed, retried)
            with connection.transaction():
                return apply(connection, followed, moment)
        except TooMuchError:
            with copied(self._source, self._work) as copy:
                return apply_copy(connection, followed, copy)

    def _note(self, followed: Followed) -> None:
        self._applied, self._schema_version = followed.applied, followed.schema_version

    def _prune(self, applied: int) -> None:
        with open_live(self._source) as reading:
            if applied - first_change(reading) < _PRUNE_AT:
                return
        with suppress(SourceError), open_for_writing(self._source, timeout=_PRUNE_WAIT) as writer:
            # Where the application holds the lock for long, a later step will do it.
            prune(writer, applied)


def follow(follower: Follower) -> Iterator[Progress]:
    """Catch up for ever; yields after every step and every look.

    Raises:
        SourceError, TargetError, VerificationError: what time does not heal.
    """
    applied = refused = 0
    waits = _waits()
    while True:
        away = ""
        try:
            stepped = follower.step()
            waits = _waits()
            if stepped is not None:
                applied += stepped.keys
                refused += stepped.refused
        except TargetError as error:
            if not is_away(error):
                raise
            away, stepped = error.message, None
        except SourceError as error:
            if not is_busy(error.__cause__):
                raise
            away, stepped = error.message, None
        yield Progress(follower.lag(), applied, refused, away)
        if away:
            time.sleep(next(waits))
        elif stepped is None:
            time.sleep(POLL_SECONDS)
