"""The pgloader engine: an all-text rendering, pgloader into staging, casts in PostgreSQL.

pgloader is only a carrier of text here, and an untrusted one: what arrived is counted table by
table, its log is read, a standstill is ended, and the verification still compares every value.
"""

import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from threading import Lock

import psycopg

from database.connect import passfile
from database.errors import BundleError, TargetError
from database.settings import Server
from migration.load import pgloader_command, pgloader_process, staging
from migration.load.copy import CopyEngine
from migration.load.engine import EngineName, LoadedTable, Progress
from migration.load.one_ahead import one_ahead
from migration.load.refusal import refused_rows
from migration.load.rendering import (
    Part,
    RenderedTable,
    Rendering,
    folder_of,
    is_staged,
    remove_renderings,
    render,
    rendering_of,
)
from migration.plan import Plan, TablePlan
from migration.statements import Connection, fetch
from migration.target import LOGIN, STAGING

#: A row counts once when it is rendered, once when it is staged and once when it is cast.
_STAGES = 3


class PgloaderEngine:
    """Loads by pgloader 3.

    Args:
        server: the target.
        work: a folder to work in; pgloader's log stays there, in `pgloader/`.
        patience: seconds without any progress after which pgloader is stopped.
        lost_patience: the same where it has no session in PostgreSQL: it has lost them, which it
            does not always notice.
    """

    name = EngineName.PGLOADER
    stages = True

    def __init__(
        self,
        server: Server,
        work: Path,
        *,
        patience: float = 180.0,
        lost_patience: float = 30.0,
    ) -> None:
        self._server = server
        self._work = work
        self._folder = folder_of(work)
        self._patience = patience
        self._lost_patience = lost_patience
        self._rendering: Rendering | None = None
        self._stages: _Stages | None = None

    def prepare(self, snapshot: Path, plan: Plan, progress: Progress) -> None:
        """Let pgloader stage the snapshot, part by part as it is rendered; then count.

        Raises:
            UsageError: pgloader is missing, or cannot be used with this target.
            TargetError: not every row was staged; says what pgloader said.
        """
        program = pgloader_command.find_program()
        self._stages = _Stages(progress)
        try:
            self._stage_all(program, snapshot, plan, self._stages)
        except pgloader_process.StandstillError as error:
            # Now and then its threads wait for each other, whatever it loads.
            self._stages.again(f"{error.message} It is started once more.")
            self._stage_all(program, snapshot, plan, self._stages)

    def _stage_all(self, program: Path, snapshot: Path, plan: Plan, stages: "_Stages") -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True)
        rendering = self._rendering = rendering_of(plan, secrets.token_hex(4))
        with staging.open_staging(self._server) as connection:
            staging.create_tables(connection, rendering)
            with closing(one_ahead(render(snapshot, rendering, self._folder, stages))) as parts:
                expected, code = self._stage(program, connection, rendering, parts)
            self._check(connection, rendering, expected, code)
            staging.join_pieces(connection, rendering)
        for table in rendering.tables.values():
            stages.advance(table.plan, len(table.refused))

    def load(
        self,
        connection: Connection,
        snapshot: Path,
        table: TablePlan,
        progress: Progress,
    ) -> LoadedTable:
        """Cast the staged rows of one table into the target; copy those of too wide a table."""
        if not is_staged(table):
            return CopyEngine().load(connection, snapshot, table, progress)
        assert self._rendering is not None
        assert self._stages is not None
        started = time.monotonic()
        rendered = self._rendering.tables[table.target]
        rows, refusals = staging.insert_cast(connection, rendered)
        refused = rendered.refused + refused_rows(snapshot, table, refusals)
        if rows + len(refused) != table.rows:
            raise TargetError(
                f"{table.target}: the source has {table.rows} rows, but {rows} left staging "
                f"and {len(refused)} were refused.",
                "Nothing was changed. Please report this with the plan of the run.",
            )
        self._stages.complete(table)
        seconds = time.monotonic() - started
        return LoadedTable(table, rows=rows, refused=refused, seconds=seconds)

    def clean(self) -> None:
        """Drop the staging tables and the rendering. pgloader's log and command file stay."""
        # An unreachable server keeps them until the next run, which begins by dropping them.
        with suppress(psycopg.Error, BundleError):
            staging.open_staging(self._server).close()
        remove_renderings(self._work)

    def _stage(
        self, program: Path, connection: Connection, rendering: Rendering, parts: Iterable[Part]
    ) -> tuple[Counter[str], int]:
        """Let pgloader load part after part, until it complains.

        Returns:
            By table name, the rows that should be staged; pgloader's last exit code.
        """
        expected: Counter[str] = Counter()
        code = 0
        with ExitStack() as stack:
            password_file = None
            if self._server.password(LOGIN) is not None:
                password_file = stack.enter_context(passfile(self._server, LOGIN))
            environment = pgloader_command.environment(self._server, password_file)
            for part in parts:
                expected += part.rows
                text = pgloader_command.command_text(self._server, part)
                (self._folder / pgloader_process.COMMAND).write_text(text)
                code = self._run(program, environment, connection, rendering)
                if code or pgloader_process.complaints(self._folder):
                    break
                part.path.unlink()
        return expected, code

    def _run(
        self,
        program: Path,
        environment: dict[str, str],
        connection: Connection,
        rendering: Rendering,
    ) -> int:
        assert self._stages is not None
        stages = self._stages
        staged = {table.name: table for table in rendering.tables.values()}

        def growth() -> object:
            found = fetch(connection, "staging_growth", schema=STAGING)
            for row in found:
                if row["relname"] in staged:
                    stages.staged(staged[row["relname"]], row["rows"])
            return found

        def patience() -> float:
            alive = staging.has_sessions(connection)
            return self._patience if alive else self._lost_patience

        return pgloader_process.run(
            program, self._folder, environment, growth=growth, patience=patience
        )

    def _check(
        self, connection: Connection, rendering: Rendering, expected: Counter[str], code: int
    ) -> None:
        """Every rendered row is staged, and pgloader has no complaint."""
        complaints = pgloader_process.complaints(self._folder)
        found = staging.count_rows(connection, rendering)
        names = {table.name: table.plan.target for table in rendering.tables.values()}
        short = [
            f"{names.get(name, 'pieces of long values')} ({rows} of {expected[name]} rows)"
            for name, rows in found.items()
            if rows != expected[name]
        ]
        if short or complaints or code:
            what = f"did not stage {', '.join(short)}" if short else f"ended with exit code {code}"
            raise TargetError(
                f"pgloader {what}. {pgloader_process.said(complaints)}",
                f"Nothing was changed. Its log is {self._folder / pgloader_process.LOG}; "
                "the other engine is --engine copy.",
            )


class _Stages:
    """Progress in rows of the source, of which each passes three stages.

    The rendering and pgloader are at work at the same time, each in a thread.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = Lock()
        self._done: dict[str, int] = {}
        self._staged: dict[str, int] = {}

    def advance(self, table: TablePlan, rows: int) -> None:
        """`rows` more rows passed one stage."""
        with self._lock:
            done = self._done.get(table.target, 0)
            # The counts of the running server are estimates: never more than all rows.
            after = min(done + rows, _STAGES * table.rows)
            self._done[table.target] = after
            self._progress.advance(table, after // _STAGES - done // _STAGES)

    def again(self, why: str) -> None:
        """No row has passed any stage."""
        with self._lock:
            self._done.clear()
            self._staged.clear()
            self._progress.again(why)

    def staged(self, table: RenderedTable, rows: int) -> None:
        """`rows` rows of the table are staged by now."""
        before = self._staged.get(table.name, 0)
        self._staged[table.name] = max(rows, before)
        self.advance(table.plan, max(rows - before, 0))

    def complete(self, table: TablePlan) -> None:
        """All rows passed all stages."""
        self.advance(table, _STAGES * table.rows)
