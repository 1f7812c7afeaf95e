"""What a run will take, from a short probe: some rows of each large table go all the way.

The probe works in a transaction that is rolled back: rows are copied, indexed and hashed on both
sides, and what that took is scaled to all rows.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from migration.constraints.planned import planned_rules
from migration.creation import create_missing
from migration.digest import target_digest
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


@dataclass(frozen=True)
class _Sample:
    """What some rows of a table took."""

    rows: int
    seconds: float
    bytes: int


def estimate(connection: Connection, snapshot: Path, plan: Plan) -> Estimate | None:
    """Seconds and bytes, for the copy engine; None where there are no rows to go by."""
    probed = seconds = size = 0.0
    with connection.transaction(force_rollback=True):
        make_schema(connection, plan.schema_name)
        for table in sorted(plan.loadable, key=lambda table: -table.rows)[:_TABLES]:
            sample = _probe(connection, snapshot, plan, table)
            if sample is not None:
                probed += table.rows
                seconds += table.rows * sample.seconds / sample.rows
                size += table.rows * sample.bytes / sample.rows
    if not probed:
        return None
    share = plan.rows / probed
    return Estimate(
        seconds=round(seconds * share, 1),
        target_bytes=int(size * share),
        work_bytes=snapshot.stat().st_size,
    )


def _probe(connection: Connection, snapshot: Path, plan: Plan, table: TablePlan) -> _Sample | None:
    """Load, index and hash some rows; None where there is none that PostgreSQL takes."""
    probe = table.model_copy(update={"target": _NAME})
    started = time.monotonic()
    try:
        with connection.transaction(force_rollback=True):
            _make_table(connection, plan, table, probe)
            rows = _copy(connection, snapshot, probe)
            if not rows:
                return None
            _make_indexes(connection, table, probe)
            target_digest(connection, probe)
            size = fetch_number(
                connection,
                sql.SQL("select pg_total_relation_size(%s::regclass)"),
                identifier(probe).as_string(connection),
            )
    except psycopg.Error as error:
        if not (is_refusal(error) or is_impossible(error)):
            raise
        # The run will name the row that is refused, or the rule that cannot be had.
        return None
    return _Sample(rows, time.monotonic() - started, size)


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
