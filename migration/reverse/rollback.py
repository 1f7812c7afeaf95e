"""`migration rollback`: bring the SQLite file up to PostgreSQL, and make it the platform's again.

The order is the flow. While the platform goes on, what was changed is applied, and everything is
compared at one moment of PostgreSQL. Then PostgreSQL's writers wait, the rest is applied, and there
are two commits: PostgreSQL's, after which it refuses writes, and the file's, which decides. Killed
between them, nobody writes anywhere until the next command undoes the first.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from database.errors import LockedTooLongError, SourceError, TargetError, VerificationError
from database.settings import Server
from migration.capture.block import find_block, unblock
from migration.capture.install import open_for_writing, writing
from migration.cutover.settle import Side, resolve, settle
from migration.follow.followed import Followed
from migration.follow.refused import RefusedRows
from migration.follow.sweep import copied, counted
from migration.hashing import hashing
from migration.progress import Steps
from migration.reverse import install
from migration.reverse.apply import apply_back, note_applied, read_log
from migration.statements import Connection, statement
from migration.target import identifier, open_target, read_target, target_drift, use_workers
from migration.verify import VerifiedTable, verify_table

#: Entries of the log that are applied at once, and that the lock may begin with.
_AT_ONCE, _SMALL = 20_000, 200
_ROUNDS = 50
#: Seconds between two attempts, for those who waited.
_BREATH = 0.5


@dataclass(frozen=True)
class Options:
    """What a rollback was asked for."""

    source: Path
    work: Path
    jobs: int = 2
    #: Seconds that writers may be held up.
    max_lock: float = 1.0
    #: How often the lock is tried.
    attempts: int = 5
    #: Tables and columns that only PostgreSQL has may stay there.
    leave_behind: bool = False
    #: Everything but the lock, and then nothing of it.
    dry_run: bool = False


@dataclass
class Outcome:
    """What a rollback found and did."""

    tables: list[VerifiedTable] = field(default_factory=list)
    #: What the SQLite file has no place for.
    left_behind: list[str] = field(default_factory=list)
    applied: int = 0
    #: Keys that were applied while the writers waited, and how long they did.
    drained: int = 0
    held: float = 0.0
    attempts: int = 0
    done: bool = False


def rollback(server: Server, options: Options, steps: Steps) -> Outcome:
    """Move the platform back to SQLite. Whatever is raised, it goes on with PostgreSQL.

    Raises:
        SourceError: it is not in PostgreSQL, or SQLite refuses a row.
        TargetError: PostgreSQL is not as it has to be, or went away.
        VerificationError: the sides differ, or SQLite has no place for something.
        LockedTooLongError: the writers would have waited too long.
    """
    found = settle(server, options.source)
    if found.truth is not Side.POSTGRESQL:
        raise SourceError(
            f"{options.source} is the platform's database: its data are in {found.truth}.",
            "There is nothing to go back from; 'cutover --status' says the same.",
        )
    with open_for_writing(options.source) as file, open_target(server) as target:
        use_workers(target, options.jobs)
        going_back = _Rollback(server, target, file, options, steps)
        going_back.run()
        return going_back.outcome


class _Rollback:
    """One rollback."""

    def __init__(
        self,
        server: Server,
        target: Connection,
        file: sqlite3.Connection,
        options: Options,
        steps: Steps,
    ) -> None:
        self._server = server
        self._target = target
        self._file = file
        self._options = options
        self._steps = steps
        self._followed = _followed(target, file, options.source)
        self.outcome = Outcome()

    def run(self) -> None:
        """All of it."""
        # A session that was hung up on ends at once, and with it what it locks.
        self._target.execute("set client_connection_check_interval = '250ms'")
        self._refuse_changed_schema()
        with self._steps.step("catch up"):
            self._catch_up()
        with self._steps.step("compare"):
            self._compare()
        if self._options.dry_run:
            return
        with self._steps.step("hold"):
            self._hold()
        finish(self._target, self._followed)
        self.outcome.done = True

    def _refuse_changed_schema(self) -> None:
        drift = target_drift(self._target, self._followed.plan)
        if drift:
            raise TargetError(
                "The target is not as sql/ describes it: " + "; ".join(map(str, drift)) + ".",
                "'python -m database apply' brings it to that state. Nothing was changed.",
            )
        self.outcome.left_behind = _left_behind(self._target, self._followed)
        if self.outcome.left_behind and not self._options.leave_behind:
            raise VerificationError(
                "The SQLite file has no place for what PostgreSQL has in "
                f"{', '.join(self.outcome.left_behind)}. Nothing was changed.",
                "Go back without it with --leave-behind: it stays in PostgreSQL. Or write all of "
                "it into a new file: 'scripts/backup.py export-sqlite'.",
            )

    def _catch_up(self) -> None:
        for _ in range(_ROUNDS):
            with self._moment(), writing(self._file):
                applied = self._apply()
            if applied < _SMALL:
                return

    @contextmanager
    def _moment(self) -> Iterator[None]:
        """A transaction in which PostgreSQL's rows stand still, though the platform writes."""
        with self._target.transaction():
            self._target.execute("set transaction isolation level repeatable read")
            yield

    def _apply(self) -> int:
        """Some of the log, in the caller's transactions, of which SQLite's ends first."""
        logged = read_log(self._target, self._followed, _AT_ONCE)
        apply_back(self._target, self._file, self._followed, logged)
        note_applied(self._target, self._followed, logged)
        self.outcome.applied += logged.rows
        return len(logged.ids)

    def _compare(self) -> None:
        """Everything at one moment of PostgreSQL, to which the file is brought before."""
        with self._moment():
            with writing(self._file):
                while self._apply():
                    pass
            with copied(self._options.source, self._options.work) as copy:
                with open_for_writing(copy) as opened, writing(opened):
                    unblock(opened)
                self.outcome.tables = self._verified(copy)
        differing = [entry.table.target for entry in self.outcome.tables if not entry.verified]
        if differing:
            raise VerificationError(
                f"The SQLite file and PostgreSQL differ in {', '.join(differing)}. "
                "The platform goes on with PostgreSQL.",
                "Look for another program that wrote to the SQLite file; 'scripts/backup.py "
                "export-sqlite' writes a new one.",
            )

    def _verified(self, copy: Path) -> list[VerifiedTable]:
        plan = counted(self._followed.plan, copy)
        refused = RefusedRows(
            self._target, self._followed.run_id, [table.target for table in plan.tables]
        )
        with hashing(copy, plan, self._options.jobs + 1) as digests:
            found = digests()
            return [
                verify_table(self._target, copy, table, found[table.target], refused.rows(table))
                for table in plan.tables
            ]

    def _hold(self) -> None:
        for attempt in range(1, self._options.attempts + 1):
            self.outcome.attempts = attempt
            try:
                self._return()
            except (
                LockedTooLongError,
                psycopg.errors.QueryCanceled,
                psycopg.errors.LockNotAvailable,
            ) as error:
                if attempt == self._options.attempts:
                    raise _too_long(self._options.max_lock) from error
            else:
                return
            time.sleep(_BREATH)
            self._catch_up()

    def _return(self) -> None:
        """The two commits, PostgreSQL's first: the file's is the one that decides."""
        started = time.monotonic()

        def left() -> float:
            return self._options.max_lock - (time.monotonic() - started)

        try:
            with writing(self._file):
                with self._target.transaction():
                    self._lock_tables(left)
                    logged = read_log(self._target, self._followed, _AT_ONCE)
                    self._limit(left)
                    apply_back(self._target, self._file, self._followed, logged)
                    self._limit(left)
                    # What is applied here stays in the log until the file has it for good.
                    install.refuse_writes(self._target, self._followed)
                    self._target.execute(statement("cutover_returning"), self._token())
                    self._limit(left)
                unblock(self._file)
        except BaseException:
            self._settle()
            raise
        self.outcome.held = time.monotonic() - started
        self.outcome.drained = logged.rows

    def _lock_tables(self, left: Callable[[], float]) -> None:
        """Nobody else writes to these tables any more; reading goes on."""
        for table in install.captured_tables(self._followed):
            self._limit(left)
            self._target.execute(
                sql.SQL("lock table {} in share row exclusive mode").format(identifier(table))
            )

    def _limit(self, left: Callable[[], float]) -> None:
        """No statement may take longer than writers may wait."""
        milliseconds = int(left() * 1000)
        if milliseconds <= 0:
            raise _too_long(self._options.max_lock)
        for setting in ("statement_timeout", "lock_timeout"):
            limit = sql.SQL("set local {} = {}").format(
                sql.Identifier(setting), sql.Literal(milliseconds)
            )
            self._target.execute(limit)

    def _settle(self) -> None:
        """PostgreSQL may have committed already, and the file too: it is asked."""
        # Where one of them cannot be reached now, the next command settles it.
        with suppress(TargetError, SourceError, psycopg.Error, sqlite3.Error):
            if self._target.broken or self._target.closed:
                settle(self._server, self._options.source)
            else:
                resolve(self._file, self._target, self._server)

    def _token(self) -> dict[str, object]:
        return {"token": self._followed.capture.token}


def finish(target: Connection, followed: Followed) -> None:
    """Note that the SQLite file is the truth, and take the capture out."""
    with target.transaction():
        target.execute(statement("cutover_returned"), {"token": followed.capture.token})
        install.undo(target, followed.run_id)


def _followed(target: Connection, file: sqlite3.Connection, source: Path) -> Followed:
    blocked = find_block(file)
    followed = Followed.find(target, blocked.capture) if blocked else None
    if followed is None:
        raise SourceError(
            f"{source} was not moved into this server.",
            "'python -m migration cutover --status' says where the data are.",
        )
    return followed


def _left_behind(target: Connection, followed: Followed) -> list[str]:
    """Columns with values, and tables with rows, that the SQLite file lacks."""
    schema = followed.plan.schema_name
    known = {
        table.target: {column.target for column in table.columns} for table in followed.plan.tables
    }
    backfilled = {
        (table.target, name) for table in followed.plan.tables for name in table.backfilled
    }
    found = []
    for name, columns in read_target(target, schema).items():
        table = sql.Identifier(schema, name)
        if name not in known:
            found += [name] if _has(target, table, sql.SQL("true")) else []
            continue
        more = {column.name for column in columns} - known[name]
        found += [
            f"{name}.{column}"
            for column in sorted(more)
            if (name, column) not in backfilled
            and _has(target, table, sql.SQL("{} is not null").format(sql.Identifier(column)))
        ]
    return found


def _has(target: Connection, table: sql.Identifier, condition: sql.Composable) -> bool:
    """Whether a table has such a row; one that may not be read is taken to."""
    query = sql.SQL("select exists (select from {} where {})").format(table, condition)
    try:
        with target.transaction():
            row = target.execute(query).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return True
    return bool(row and row[0])


def _too_long(bound: float) -> LockedTooLongError:
    return LockedTooLongError(
        f"Going back would have held writers up for more than {bound:g} s. It was undone: "
        "the platform goes on with PostgreSQL.",
        "Try again when less is written, or allow more with --max-lock.",
    )
