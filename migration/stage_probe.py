"""How long pgloader will take for its part: it stages a sample of the source, for real.

The sample has the same share of each table, so that one rate serves for all of them. It is staged
twice, once with few rows, which tells the rate from pgloader's start.
"""

import math
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from database.settings import Server
from migration.load import EngineName, make_engine
from migration.plan import Plan, TablePlan
from migration.quoting import quote_name
from migration.source import explained

#: Rows of the sample ...
_ROWS = 30_000
#: ... and the share of them that is staged first.
_FEW = 0.2


class _Nobody:
    def advance(self, table: TablePlan, rows: int) -> None:
        """Nobody watches a sample."""

    def again(self, why: str) -> None:
        """Nobody is told."""


def stage_seconds(server: Server, snapshot: Path, plan: Plan) -> float:
    """Seconds that the rendering and pgloader will take for all rows of a plan.

    Nothing but staging is written to, and it is empty afterwards.

    Args:
        server: the target, on which the caller holds the migration's lock.
        snapshot: the source; files are written beside it for a moment.
        plan: what would be done.

    Raises:
        UsageError: pgloader is missing, or cannot be used with this target.
        TargetError: pgloader fails at the sample, as it would at the whole.
    """
    share = min(1.0, _ROWS / max(plan.rows, 1))
    whole = _staged(server, snapshot, plan, share)
    if share == 1.0:
        return whole
    few = _staged(server, snapshot, plan, share * _FEW)
    rate = max(0.0, whole - few) / (share * (1 - _FEW))
    return few + rate * (1 - share * _FEW)


def _staged(server: Server, snapshot: Path, plan: Plan, share: float) -> float:
    """Seconds for a share of the rows of each table."""
    folder = snapshot.parent / "probe"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        sample = folder / "sample.db"
        part = _write_sample(snapshot, sample, plan, share)
        engine = make_engine(EngineName.PGLOADER, server, folder)
        started = time.monotonic()
        try:
            engine.prepare(sample, part, _Nobody())
            return time.monotonic() - started
        finally:
            engine.clean()
    finally:
        shutil.rmtree(folder)


def _write_sample(snapshot: Path, sample: Path, plan: Plan, share: float) -> Plan:
    """The first rows of each table; the plan for them."""
    tables = [
        table.model_copy(update={"rows": math.ceil(table.rows * share)}) for table in plan.loadable
    ]
    with (
        explained(snapshot),
        closing(sqlite3.connect(sample, isolation_level=None)) as connection,
    ):
        connection.execute("pragma journal_mode = off")
        connection.execute("pragma synchronous = off")
        connection.execute("attach ? as source", (str(snapshot),))
        for table in tables:
            name = quote_name(table.table.name)
            connection.execute(
                f"create table main.{name} as select * from source.{name} limit {table.rows}"  # noqa: S608
            )
    return plan.model_copy(update={"tables": tuple(tables)})
