"""What a run will take, from a short probe: some rows of each large table go all the way.

The probe works in a transaction that is rolled back: rows are copied, indexed and hashed on both
sides, and what that took is scaled to all rows.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import psycopg
from psycopg import sql

from migration.constraints.planned import planned_rules
from migration.creation import create_missing
from migration.digest import source_digest, target_digest
from migration.load.copy_text import copy_blocks
from migration.load.refusal import is_refusal
from migration.plan import Estimate, Plan, TablePlan
from migration.rows import RowConverter
from migration.statements import Connection, fetch, fetch_number, is_impossible, trusted
from migration.target import identifier, make_schema

#: The largest tables are probed: so many, each for so long.
_TABLES = 5
_SECONDS = 0.5
_NAME = "probe_of_a_migration_that_is_rolled_back"
#: Python's start, the plan and the report.
_FIXED_SECONDS = 1.0
#: What each further process of PostgreSQL adds to the first one when a table is digested.
_GAIN = 0.5


@dataclass
class _Sample:
    """What some rows took, scaled to all rows: seconds by the step, and bytes."""

    rows: int = 0
    copy: float = 0.0
    rules: float = 0.0
    source_digest: float = 0.0
    target_digest: float = 0.0
    bytes: float = 0.0

    def add(self, other: "_Sample") -> None:
        for field in fields(self):
            name = field.name
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def times(self, factor: float) -> "_Sample":
        return _Sample(**{f.name: getattr(self, f.name) * factor for f in fields(self)})


def estimate(
    connection: Connection, snapshot: Path, plan: Plan, *, jobs: int, before: float
) -> Estimate | None:
    """Seconds and bytes, for the copy engine; None where there are no rows to go by.

    Args:
        connection: the target; nothing is changed in it.
        snapshot: the source.
        plan: what would be done.
        jobs: how many processes would work at the same time, on each side.
        before: seconds of what comes before the load, as they were measured.
    """
    probed = _Sample()
    with connection.transaction(force_rollback=True):
        make_schema(connection, plan.schema_name)
        for table in sorted(plan.loadable, key=lambda table: -table.rows)[:_TABLES]:
            sample = _probe(connection, snapshot, plan, table)
            if sample is not None:
                probed.add(sample.times(table.rows / sample.rows))
    if not probed.rows:
        return None
    whole = probed.times(plan.rows / probed.rows)
    return Estimate(
        seconds=round(_FIXED_SECONDS + before + _seconds(whole, jobs), 1),
        target_bytes=int(whole.bytes),
        work_bytes=snapshot.stat().st_size,
    )


def _seconds(whole: _Sample, jobs: int) -> float:
    """From the load to the end, where the source is digested beside the load and the rules."""
    cores = os.cpu_count() or 1
    alone = whole.copy + whole.rules
    # COPY keeps two processes busy: the one that sends, and PostgreSQL's.
    work = 2 * whole.copy + whole.rules + whole.source_digest
    beside = max(alone, work / cores, whole.source_digest / max(jobs - 1, 1))
    return beside + whole.target_digest / (1 + _GAIN * (min(jobs, cores) - 1))


def _probe(connection: Connection, snapshot: Path, plan: Plan, table: TablePlan) -> _Sample | None:
    """Load, index and digest some rows; None where there is none that PostgreSQL takes."""
    probe = table.model_copy(update={"target": _NAME})
    sample = _Sample()
    try:
        with connection.transaction(force_rollback=True):
            _make_table(connection, plan, table, probe)
            with _timed(sample, "copy"):
                sample.rows = _copy(connection, snapshot, probe)
            if not sample.rows:
                return None
            with _timed(sample, "rules"):
                _make_indexes(connection, table, probe)
            with _timed(sample, "target_digest"):
                target_digest(connection, probe)
            sample.bytes = fetch_number(
                connection,
                sql.SQL("select pg_total_relation_size(%s::regclass)"),
                identifier(probe).as_string(connection),
            )
    except psycopg.Error as error:
        if not (is_refusal(error) or is_impossible(error)):
            raise
        # The run will name the row that is refused, or the rule that cannot be had.
        return None
    with _timed(sample, "source_digest"):
        source_digest(snapshot, probe, 0, sample.rows)
    return sample


@contextmanager
def _timed(sample: _Sample, name: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    setattr(sample, name, time.monotonic() - started)


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
    """Send the first rows, and hash them, for a while."""
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
