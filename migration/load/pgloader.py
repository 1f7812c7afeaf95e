"""The pgloader engine: an all-text rendering, pgloader into staging, casts in PostgreSQL.

pgloader is only a carrier of text here, and an untrusted one: what arrived is counted table by
table, its log is read, a standstill is ended, and the verification still compares every value.
"""

import secrets
import shutil
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg

from database.connect import passfile
from database.errors import BundleError, TargetError
from database.settings import Server
from migration.load import pgloader_command, pgloader_process, staging
from migration.load.copy import CopyEngine
from migration.load.engine import EngineName, LoadedTable, Progress
from migration.load.refusal import refused_rows
from migration.load.rendering import (
    RenderedTable,
    Rendering,
    folder_of,
    is_staged,
    remove_renderings,
    render,
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
        """Render the snapshot and let pgloader stage it; then count.

        Raises:
            UsageError: pgloader is missing, or cannot be used with this target.
            TargetError: not every row was staged; says what pgloader said.
        """
        program = pgloader_command.find_program()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700, parents=True)
        with staging.open_staging(self._server) as connection:
            token = secrets.token_hex(4)
            path = self._folder / f"rendering-{token}.db"
            stages = self._stages = _Stages(progress)
            rendering = self._rendering = render(snapshot, plan, path, token, stages)
            for table in rendering.tables.values():
                stages.advance(table.plan, len(table.refused))
            text = pgloader_command.command_text(self._server, rendering)
            (self._folder / pgloader_process.COMMAND).write_text(text)
            staging.create_tables(connection, rendering)
            if rendering.rows:
                code = self._run(program, connection, rendering, stages)
                self._check(connection, rendering, code)
                staging.join_pieces(connection, rendering)
        path.unlink()

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

    def _run(
        self, program: Path, connection: Connection, rendering: Rendering, stages: "_Stages"
    ) -> int:
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

        with ExitStack() as stack:
            password_file = None
            if self._server.password(LOGIN) is not None:
                password_file = stack.enter_context(passfile(self._server, LOGIN))
            environment = pgloader_command.environment(self._server, password_file)
            return pgloader_process.run(
                program, self._folder, environment, growth=growth, patience=patience
            )

    def _check(self, connection: Connection, rendering: Rendering, code: int) -> None:
        """Every rendered row is staged, and pgloader has no complaint."""
        complaints = pgloader_process.complaints(self._folder)
        expected, found = rendering.counts(), staging.count_rows(connection, rendering)
        names = {table.name: table.plan.target for table in rendering.tables.values()}
        short = [
            f"{names.get(name, 'pieces of long values')} ({found[name]} of {rows} rows)"
            for name, rows in expected.items()
            if found[name] != rows
        ]
        if short or complaints or code:
            what = f"did not stage {', '.join(short)}" if short else f"ended with exit code {code}"
            raise TargetError(
                f"pgloader {what}. {pgloader_process.said(complaints)}",
                f"Nothing was changed. Its log is {self._folder / pgloader_process.LOG}; "
                "the other engine is --engine copy.",
            )


class _Stages:
    """Progress in rows of the source, of which each passes three stages."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done: dict[str, int] = {}
        self._staged: dict[str, int] = {}

    def advance(self, table: TablePlan, rows: int) -> None:
        """`rows` more rows passed one stage."""
        done = self._done.get(table.target, 0)
        # The counts of the running server are estimates: never more than all rows.
        after = min(done + rows, _STAGES * table.rows)
        self._done[table.target] = after
        self._progress.advance(table, after // _STAGES - done // _STAGES)

    def staged(self, table: RenderedTable, rows: int) -> None:
        """`rows` rows of the table are staged by now."""
        before = self._staged.get(table.name, 0)
        self._staged[table.name] = max(rows, before)
        self.advance(table.plan, max(rows - before, 0))

    def complete(self, table: TablePlan) -> None:
        """All rows passed all stages."""
        self.advance(table, _STAGES * table.rows)
