"""`migration cutover`: compare everything, stop the writers for a moment, and let PostgreSQL be it.

The order is the flow. One transaction of PostgreSQL spans everything from the comparison on, so
that nobody else writes there meanwhile, and any failure undoes all of it. Only what changed since
the comparison is left for the moment in which writers wait: it does not grow with the database.
"""

import math
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from database.errors import (
    LockedTooLongError,
    QuarantineError,
    SourceError,
    TargetError,
    VerificationError,
)
from database.settings import Server
from migration.capture.block import block
from migration.capture.changes import TableChanges, touched_tables
from migration.capture.install import find
from migration.cutover.lock import WriteLock, too_long
from migration.cutover.references import Orphans, References
from migration.cutover.settle import Side, finish, resolve, settle
from migration.follow.follow import Follower
from migration.follow.followed import Followed
from migration.follow.moment import TooMuchError, open_live, read_live
from migration.follow.refused import RefusedRows
from migration.follow.step import apply, retried_keys
from migration.follow.sweep import apply_copy, copied, sweep
from migration.identities import reset_identities
from migration.plan import Plan
from migration.progress import Steps
from migration.reverse import install as way_back
from migration.schema import LeftOut
from migration.statements import Connection, statement
from migration.target import identifier, open_target, target_drift, use_workers
from migration.verify import VerifiedTable

#: Steps are made until one takes this part of the bound at most, or no longer gets much shorter:
#: under load there is always something to do, and what the lock begins with is what came meanwhile.
_SHORT, _SHORTER, _ROUNDS = 0.2, 0.8, 20
#: Seconds between two attempts, for those who waited.
_BREATH = 0.5


@dataclass(frozen=True)
class Options:
    """What a cutover was asked for."""

    source: Path
    work: Path
    jobs: int = 2
    #: Seconds that writers may be held up.
    max_lock: float = 1.0
    #: How often the lock is tried.
    attempts: int = 5
    #: Rows in quarantine, and orphans, are known and accepted.
    quarantine: bool = False
    keep_orphans: bool = False
    #: Everything but the lock, and then nothing of it.
    dry_run: bool = False


@dataclass
class Outcome:
    """What a cutover found and did."""

    tables: list[VerifiedTable] = field(default_factory=list)
    refused: int = 0
    orphans: list[Orphans] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    #: Keys that were applied while the writers waited, and how long they did.
    drained: int = 0
    held: float = 0.0
    attempts: int = 0
    #: Seconds that a rehearsed drain took, where nothing was changed.
    rehearsed: float = 0.0
    done: bool = False


def cutover(server: Server, options: Options, steps: Steps) -> Outcome:
    """Move the platform to PostgreSQL. Whatever is raised, it goes on with SQLite.

    Raises:
        SourceError: not followed, moved already, or its schema changed.
        TargetError: PostgreSQL is not as it has to be, or went away.
        QuarantineError: rows are in quarantine, or orphans, and nobody accepted them.
        VerificationError: the sides differ.
        LockedTooLongError: the writers would have waited too long.
    """
    # What a cutover that was killed left is decided first.
    found = settle(server, options.source)
    if found.truth is Side.POSTGRESQL:
        raise SourceError(
            f"{options.source} moved to PostgreSQL at {found.moved_at} UTC.",
            "'python -m migration rollback' goes back.",
        )
    with steps.step("catch up"):
        follower = Follower(server, options.source, options.work, jobs=options.jobs)
        _until_short(follower.step, options.max_lock)
    with open_live(options.source) as reading, open_target(server) as target:
        use_workers(target, options.jobs)
        moving = _Cutover(server, target, reading, options, steps)
        moving.run()
        return moving.outcome


def _until_short(step: Callable[[], object], bound: float) -> None:
    """Step until what is left is little."""
    last = math.inf
    for _ in range(_ROUNDS):
        started = time.monotonic()
        step()
        taken = time.monotonic() - started
        if taken < _SHORT * bound or taken > _SHORTER * last:
            return
        last = taken


class _Cutover:
    """One cutover, in its transaction."""

    def __init__(
        self,
        server: Server,
        target: Connection,
        reading: sqlite3.Connection,
        options: Options,
        steps: Steps,
    ) -> None:
        self._server = server
        self._target = target
        self._reading = reading
        self._options = options
        self._steps = steps
        self._followed = _followed(reading, target, options.source)
        #: What was applied since every foreign key was looked at.
        self._since: list[dict[int, TableChanges]] = []
        self.outcome = Outcome()

    def run(self) -> None:
        """All of it."""
        # A session that was hung up on ends at once, and with it what it locks.
        self._target.execute("set client_connection_check_interval = '250ms'")
        drift = target_drift(self._target, self._followed.plan)
        if drift:
            raise TargetError(
                "The target is not as sql/ describes it: " + "; ".join(map(str, drift)) + ".",
                "'python -m database apply' brings it to that state. Nothing was changed.",
            )
        with WriteLock(self._options.source, self._options.max_lock) as lock:
            try:
                self._move(lock)
            except BaseException:
                lock.release()
                self._settle(lock)
                raise
            self.outcome.held = lock.held
        if self.outcome.done:
            # Where this is not reached, settling does it.
            finish(self._target, self._followed.capture.token)

    def _move(self, lock: WriteLock) -> None:
        """The two commits, PostgreSQL's first: the file's is the one that decides."""
        with self._target.transaction(force_rollback=self._options.dry_run):
            references = self._prepare()
            if self._options.dry_run:
                self._rehearse(references)
            else:
                self._hold(lock, references)
        if not self._options.dry_run:
            lock.left()
            lock.commit()
            self.outcome.done = True

    def _settle(self, lock: WriteLock) -> None:
        """PostgreSQL may have committed already, and the file too: it is asked."""
        # Where one of them cannot be reached now, the next command settles it.
        with suppress(TargetError, SourceError, psycopg.Error, sqlite3.Error):
            if self._target.broken or self._target.closed:
                settle(self._server, self._options.source)
            else:
                resolve(lock.connection, self._target, self._server)

    def _prepare(self) -> References:
        """All that may take long: nobody waits for it."""
        with self._steps.step("compare"):
            self._lock_tables()
            with copied(self._options.source, self._options.work) as copy:
                swept = sweep(self._target, self._followed, copy, jobs=self._options.jobs)
            self._followed = swept.followed
            self.outcome.tables = swept.tables
        self._refuse_differing()
        self._refuse_quarantined()
        with self._steps.step("references"):
            references = References(self._target, self._followed)
            self.outcome.orphans = references.check_all(keep=self._options.keep_orphans)
        with self._steps.step("way back"):
            way_back.prepare(self._target, self._followed)
        with self._steps.step("drain"):
            self._drain()
        return references

    def _lock_tables(self) -> None:
        """Nobody else writes to these tables until all is decided; reading goes on."""
        for table in self._followed.plan.tables:
            self._target.execute(
                sql.SQL("lock table {} in share row exclusive mode").format(identifier(table))
            )

    def _refuse_differing(self) -> None:
        differing = [entry.table.target for entry in self.outcome.tables if not entry.verified]
        if differing:
            raise VerificationError(
                f"Source and target differ in {', '.join(differing)}. Nothing was changed.",
                "Look for another program that writes to the target; "
                "'python -m migration follow --replace' starts over.",
            )

    def _refuse_quarantined(self) -> None:
        targets = [table.target for table in self._followed.plan.tables]
        self.outcome.refused = len(RefusedRows(self._target, self._followed.run_id, targets))
        if self.outcome.refused and not self._options.quarantine:
            raise QuarantineError(
                f"{self.outcome.refused:,} rows of the source are in migration.quarantine. "
                "Nothing was changed.",
                "Correct them in SQLite: the correction arrives by itself. Or go on without them "
                "with --quarantine; they can be replayed later.",
            )

    def _drain(self) -> None:
        """Apply what came meanwhile, until little is left."""
        _until_short(self._step, self._options.max_lock)

    def _step(self) -> None:
        with self._target.transaction():
            self._apply()

    def _apply(self) -> int:
        """One step; how many keys it had."""
        touched = touched_tables(self._reading, self._followed.applied)
        retried = dict(retried_keys(self._target, self._followed, touched))
        try:
            moment = read_live(self._reading, self._followed, retried)
            stepped = apply(self._target, self._followed, moment)
        except TooMuchError:
            with copied(self._options.source, self._options.work) as copy:
                stepped = apply_copy(self._target, self._followed, copy)
        self._since.append(stepped.changes)
        self._followed = stepped.followed
        return stepped.keys

    def _hold(self, lock: WriteLock, references: References) -> None:
        """Hold the writers up, and have all of it; several attempts."""
        for attempt in range(1, self._options.attempts + 1):
            self.outcome.attempts = attempt
            followed, since = self._followed, list(self._since)
            try:
                lock.acquire(self._target)
                with self._target.transaction():
                    self._while_locked(lock, references)
            except (LockedTooLongError, psycopg.errors.QueryCanceled) as error:
                lock.release()
                self._followed, self._since = followed, since
                if attempt == self._options.attempts:
                    raise too_long(self._options.max_lock) from error
            else:
                return
            time.sleep(_BREATH)
            self._drain()

    def _while_locked(self, lock: WriteLock, references: References) -> None:
        self._limit(lock)
        self.outcome.drained = self._apply()
        self._refuse_quarantined()
        self._limit(lock)
        references.check_changed(self._since)
        self.outcome.left_out = reset_identities(self._target, self._marked())
        self._target.execute(
            statement("cutover_prepare"),
            {"run_id": self._followed.run_id, "token": self._followed.capture.token},
        )
        block(lock.connection)
        self._limit(lock)

    def _rehearse(self, references: References) -> None:
        """What the lock would be held for, without it; the caller undoes it."""
        started = time.monotonic()
        self.outcome.drained = self._apply()
        references.check_changed(self._since)
        self.outcome.left_out = reset_identities(self._target, self._marked())
        self.outcome.rehearsed = time.monotonic() - started

    def _limit(self, lock: WriteLock) -> None:
        """No statement may take longer than the lock may be held."""
        milliseconds = max(1, int(lock.left() * 1000))
        limit = sql.SQL("set local statement_timeout = {}").format(sql.Literal(milliseconds))
        self._target.execute(limit)

    def _marked(self) -> Plan:
        """The plan with the last numbers that SQLite gave, also to rows that are deleted by now."""
        marks: dict[str, int] = {}
        if self._reading.execute(
            "select 1 from sqlite_master where name = 'sqlite_sequence'"
        ).fetchone():
            marks = dict(self._reading.execute("select name, seq from sqlite_sequence"))
        tables = [
            table.model_copy(
                update={
                    "table": table.table.model_copy(
                        update={"high_water_mark": _whole(marks.get(table.table.name))}
                    )
                }
            )
            for table in self._followed.plan.tables
        ]
        return self._followed.plan.model_copy(update={"tables": tuple(tables)})


def _whole(mark: object) -> int | None:
    # Anybody may write anything into sqlite_sequence.
    return mark if isinstance(mark, int) else None


def _followed(reading: sqlite3.Connection, target: Connection, source: Path) -> Followed:
    capture = find(reading)
    followed = Followed.find(target, capture) if capture else None
    if followed is None:
        raise SourceError(
            f"{source} is not followed into this server, so there is nothing to cut over.",
            "Start with 'python -m migration follow'; after a cutover, 'cutover --status' says "
            "where the data are.",
        )
    return followed
