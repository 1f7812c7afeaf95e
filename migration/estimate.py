"""What a run will take, from a short probe: some rows of each large table go all the way.

The probe works in a transaction that is rolled back: rows are copied, indexed and hashed on both
sides, and what that took is scaled to all rows. pgloader stages a sample of its own.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import sql

from database.settings import Server
from migration.constraints.planned import planned_rules
from migration.creation import create_missing
from migration.digest import source_digest, target_digest
from migration.load import EngineName
from migration.load.copy_text import copy_blocks
from migration.load.refusal import is_refusal
from migration.plan import Estimate, Plan, TablePlan
from migration.profile import Profile
from migration.rows import RowConverter
from migration.stage_probe import stage_seconds
from migration.statements import Connection, fetch, fetch_number, is_impossible, trusted
from migration.target import identifier, make_schema

#: The largest tables are probed: so many, each for so long.
_TABLES = 5
_SECONDS = 0.5
_NAME = "probe_of_a_migration_that_is_rolled_back"
#: Python's start, the plan and the report.
_FIXED_SECONDS = 1.0
#: Casting out of staging costs PostgreSQL about as much as COPY does, which is half of a copy.
_CAST = 0.5
#: What each further process of PostgreSQL adds to the first one when a table is digested.
_GAIN = 0.5
#: Of the time of a whole profile: counting the rows, and the facts that decide a type.
_COUNTING = 0.05
_DECIDING = 0.16

T = TypeVar("T")


@dataclass
class _Costs:
    """What rows take: seconds by the step, and bytes."""

    copy: float = 0.0
    rules: float = 0.0
    source_digest: float = 0.0
    target_digest: float = 0.0
    bytes: float = 0.0

    def add(self, other: "_Costs", factor: float) -> None:
        """Put another's in, so many times."""
        self.copy += factor * other.copy
        self.rules += factor * other.rules
        self.source_digest += factor * other.source_digest
        self.target_digest += factor * other.target_digest
        self.bytes += factor * other.bytes


def estimate(
    connection: Connection,
    server: Server,
    snapshot: Path,
    plan: Plan,
    *,
    engine: EngineName,
    jobs: int,
    before: float,
) -> Estimate | None:
    """Seconds and bytes; None where there are no rows to go by.

    Args:
        connection: the target; nothing is changed in it.
        server: the same.
        snapshot: the source.
        plan: what would be done.
        engine: with which engine.
        jobs: how many processes would work at the same time, on each side.
        before: seconds that a run takes before its load (`seconds_before`).

    Raises:
        UsageError, TargetError: the engine cannot be used, and a run could not either.
    """
    stage = 0.0
    if engine is EngineName.PGLOADER:
        stage = stage_seconds(server, snapshot, plan)
    probed, probed_rows = _Costs(), 0
    with connection.transaction(force_rollback=True):
        make_schema(connection, plan.schema_name)
        for table in sorted(plan.loadable, key=lambda table: -table.rows)[:_TABLES]:
            rows, costs = _probe(connection, snapshot, plan, table)
            if rows:
                probed.add(costs, table.rows / rows)
                probed_rows += table.rows
    if not probed_rows:
        return None
    whole = _Costs()
    whole.add(probed, plan.rows / probed_rows)
    return Estimate(
        engine=engine,
        seconds=round(_FIXED_SECONDS + before + _seconds(whole, jobs, stage), 1),
        target_bytes=int(whole.bytes),
        work_bytes=snapshot.stat().st_size,
    )


def seconds_before(snapshot_seconds: float, profile_seconds: float, profile: Profile) -> float:
    """What a run takes for its snapshot and its own profile, by what they took for a plan.

    A run counts the rows of known tables, and of the others the facts that decide.
    """
    rows = sum(entry.rows for entry in profile.tables)
    created = sum(entry.rows for entry in profile.tables if not entry.known)
    share = _COUNTING + _DECIDING * created / max(rows, 1)
    return snapshot_seconds + share * profile_seconds


def _seconds(whole: _Costs, jobs: int, stage: float) -> float:
    """From the staging to the end; the source is digested beside the load and the rules."""
    cores = os.cpu_count() or 1
    # COPY keeps two processes busy, the one that sends and PostgreSQL's; a cast only the second.
    load, streams = (_CAST * whole.copy, 1) if stage else (whole.copy, 2)
    alone = load + whole.rules
    work = streams * load + whole.rules + whole.source_digest
    beside = max(alone, work / cores, whole.source_digest / max(jobs - 1, 1))
    return stage + beside + whole.target_digest / (1 + _GAIN * (min(jobs, cores) - 1))


def _probe(
    connection: Connection, snapshot: Path, plan: Plan, table: TablePlan
) -> tuple[int, _Costs]:
    """Load, index and digest some rows: how many, and what they took; none where none is taken."""
    probe = table.model_copy(update={"target": _NAME})
    costs = _Costs()
    try:
        with connection.transaction(force_rollback=True):
            _make_table(connection, plan, table, probe)
            rows, costs.copy = _timed(lambda: _copy(connection, snapshot, probe))
            _, costs.rules = _timed(lambda: _make_indexes(connection, table, probe))
            _, costs.target_digest = _timed(lambda: target_digest(connection, probe))
            costs.bytes = fetch_number(
                connection,
                sql.SQL("select pg_total_relation_size(%s::regclass)"),
                identifier(probe).as_string(connection),
            )
    except psycopg.Error as error:
        if not (is_refusal(error) or is_impossible(error)):
            raise
        # The run will name the row that is refused, or the rule that cannot be had.
        return 0, costs
    _, costs.source_digest = _timed(lambda: source_digest(snapshot, probe, 0, rows))
    return rows, costs


def _timed(step: Callable[[], T]) -> tuple[T, float]:
    started = time.monotonic()
    result = step()
    return result, time.monotonic() - started


def _make_table(connection: Connection, plan: Plan, table: TablePlan, probe: TablePlan) -> None:
    if table.known:
        like = sql.SQL("create table {} (like {})").format(identifier(probe), identifier(table))
        connection.execute(like)
    create_missing(connection, plan.model_copy(update={"tables": (probe,)}))


def _make_indexes(connection: Connection, table: TablePlan, probe: TablePlan) -> None:
    """The indexes that the table will have; foreign keys need all tables, and are left out."""
    if not table.known:
        for rule in planned_rules(probe):
            if rule.kind != "f":
                connection.execute(rule.create)
        return
    for row in fetch(connection, "index_tails", schema=table.schema_name, table=table.target):
        kind = sql.SQL("unique " if row["is_unique"] else "")
        create = sql.SQL("create {}index on {} {}")
        connection.execute(create.format(kind, identifier(probe), trusted(row["tail"])))


def _copy(connection: Connection, snapshot: Path, table: TablePlan) -> int:
    """Send the first rows for a while; how many PostgreSQL took."""
    names = sql.SQL(", ").join(sql.Identifier(column.target) for column in table.columns)
    command = sql.SQL("copy {} ({}) from stdin").format(identifier(table), names)
    end = time.monotonic() + _SECONDS
    with connection.cursor() as cursor:
        with cursor.copy(command) as copy:
            for block in copy_blocks(snapshot, RowConverter(table), []):
                copy.write(block.text)
                if time.monotonic() > end:
                    break
        return cursor.rowcount
