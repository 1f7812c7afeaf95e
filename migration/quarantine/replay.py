"""Load quarantined rows after all: converted like a run's, each in a savepoint, and verified.

Rows that healing took out of a table are of no run: sql/84_quarantine.sql puts them back as they
were.

Invariant: a row is marked as replayed exactly when it is in the target, with every value as it
was converted, and `replayed_values` says what that was. All of it is one transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from database.errors import TargetError
from migration.backfill import backfills
from migration.canonical import canonical_value, sql_digest, sql_field
from migration.convert import Converted
from migration.digest import RowDigester
from migration.identities import lift_identities
from migration.plan import PUBLIC, Plan, TablePlan
from migration.quarantine import read
from migration.quarantine.keep import cells, keep_pieces
from migration.quarantine.repair import Repair
from migration.rows import RefusedRow, RowConverter
from migration.source import Row, Value
from migration.statements import Connection, fetch, statement, trusted
from migration.target import identifier

#: What a row can be refused for; any other error ends the replay, and nothing is changed.
_REFUSALS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.RaiseException,
)
_MISSING_PARENT = "23503"
#: What a row that was here before may not find again.
_LOST = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
#: Types whose values psycopg reads as conversions give them; of others they give the text.
_AS_THEY_ARE = (
    "smallint",
    "integer",
    "bigint",
    "double precision",
    "boolean",
    "bytea",
    "timestamp without time zone",
    "timestamp with time zone",
)


@dataclass(frozen=True)
class Failure:
    """A row that is still refused, and why."""

    entry_id: int
    table: str
    column: str | None
    reason: str
    sqlstate: str


@dataclass
class Replay:
    """What became of the chosen rows."""

    replayed: list[int] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    #: Chosen, but replayed before.
    earlier: list[int] = field(default_factory=list)


def replay(
    connection: Connection, entries: Sequence[int], repair: Repair, *, dry_run: bool = False
) -> Replay:
    """Load the rows with these ids, with the repaired values.

    A row whose parent is missing is tried again after others have arrived, until no more do.

    Args:
        connection: as the owner, outside any transaction.
        entries: ids of rows that are still in quarantine.
        repair: what replaces their values.
        dry_run: say what would become of them, and change nothing.

    Raises:
        UsageError: the repair names a column that a table has not.
        TargetError: the run's plan is gone.
    """
    replayer = _Replayer(connection, repair)
    outcome = Replay()
    with connection.transaction() as transaction:
        connection.execute("set constraints all immediate")
        waiting = list(entries)
        while waiting:
            orphans = []
            progress = False
            for entry_id in waiting:
                failure = replayer.load(entry_id)
                if failure is None:
                    outcome.replayed.append(entry_id)
                    progress = True
                elif failure.sqlstate == _MISSING_PARENT:
                    orphans.append(failure)
                else:
                    outcome.failed.append(failure)
            if not progress:
                outcome.failed += orphans
                break
            waiting = [failure.entry_id for failure in orphans]
        if dry_run:
            raise psycopg.Rollback(transaction)
        for schema, table in sorted(replayer.tables):
            lift_identities(connection, schema, table)
    outcome.failed.sort(key=lambda failure: failure.entry_id)
    return outcome


class _RefusedError(Exception):
    """Leaves a row's savepoint."""

    def __init__(self, column: str | None, reason: str, sqlstate: str) -> None:
        super().__init__(reason)
        self.column, self.reason, self.sqlstate = column, reason, sqlstate


class _Replayer:
    """One row at a time, by the plan of the run that refused it."""

    def __init__(self, connection: Connection, repair: Repair) -> None:
        self._connection = connection
        self._repair = repair
        self._plans: dict[int, dict[str, TablePlan]] = {}
        #: The tables that rows were loaded into.
        self.tables: set[tuple[str, str]] = set()

    def load(self, entry_id: int) -> Failure | None:
        """Insert one row; None when it arrived."""
        entry = read.row(self._connection, entry_id)
        if entry["run_id"] is None:
            return self._load_taken(entry)
        table = self._plan(entry["run_id"])[entry["table_name"]]
        if table.impossible:
            return Failure(entry_id, table.target, None, table.impossible, entry["sqlstate"] or "")
        stored = read.values_of(self._connection, entry_id, entry["row_values"])
        try:
            with self._connection.transaction():
                self._insert(entry_id, table, stored)
        except _RefusedError as refusal:
            return Failure(entry_id, table.target, refusal.column, refusal.reason, refusal.sqlstate)
        except _REFUSALS as error:
            reason = error.diag.message_primary or str(error)
            column = error.diag.column_name
            return Failure(entry_id, table.target, column, reason, error.sqlstate or "")
        return None

    def _load_taken(self, entry: Mapping[str, Any]) -> Failure | None:
        """Put back one row that healing took out of its table; None when it is there."""
        entry_id, table = entry["id"], entry["table_name"]
        stored = read.values_of(self._connection, entry_id, entry["row_values"])
        changes = Jsonb(self._repair.changes(entry_id, table, stored))
        try:
            with self._connection.transaction():
                fetch(self._connection, "replay_taken", id=entry_id, repaired=changes)
        except (*_REFUSALS, *_LOST) as error:
            reason = error.diag.message_primary or str(error)
            return Failure(entry_id, table, error.diag.column_name, reason, error.sqlstate or "")
        self.tables.add((PUBLIC, table))
        return None

    def _insert(self, entry_id: int, table: TablePlan, stored: dict[str, Converted]) -> None:
        source: dict[str, Value] = {name: _source_value(value) for name, value in stored.items()}
        values = self._repair.apply(entry_id, table, source)
        computed = self._computed(table)
        given = [column for column in table.columns if column.target not in computed]
        insertable = table.model_copy(update={"columns": tuple(given)})
        chosen = tuple(v for v, c in zip(values, table.columns, strict=True) if c in given)
        converted = RowConverter(insertable).convert(Row(0, (), chosen))
        if isinstance(converted, RefusedRow):
            raise _RefusedError(converted.column, converted.reason, converted.sqlstate)
        # Numbered parameters: with named ones a % in a column's name would be one too.
        with psycopg.RawCursor(self._connection) as cursor:
            found = cursor.execute(_insertion(insertable), converted).fetchone()
        assert found is not None
        self._verify(insertable, converted, str(found[0]))
        by_target = {c.target: value for c, value in zip(given, converted, strict=True)}
        if computed:
            by_target |= self._read(table, computed, str(found[0]))
        keep_pieces(self._connection, entry_id, by_target)
        self._connection.execute(
            statement("mark_replayed"), {"id": entry_id, "replayed_values": Jsonb(cells(by_target))}
        )
        self.tables.add((table.schema_name, table.target))

    def _verify(self, table: TablePlan, converted: list[Converted], row_id: str) -> None:
        """Compare what is in the target with what was sent."""
        relation = _one_row(table, row_id)
        expected = RowDigester(table).digest(converted).hex()
        found = self._connection.execute(sql_digest(table.columns, relation)).fetchone()
        if found is not None and found[1] == expected:
            return
        values = sql.SQL(", ").join(map(sql_field, table.columns))
        row = self._connection.execute(
            sql.SQL("select {} from {}").format(values, relation)
        ).fetchone()
        for column, ours, theirs in zip(table.columns, converted, row or (), strict=False):
            if canonical_value(column, ours) != theirs:
                reason = "PostgreSQL stored another value than it was given"
                raise _RefusedError(column.source, reason, "")
        raise _RefusedError(None, "the row is not in the table after it was inserted", "")

    def _computed(self, table: TablePlan) -> frozenset[str]:
        """The columns that PostgreSQL computes, and nobody inserts."""
        if not any(column.generated for column in table.columns):
            return frozenset()
        name = identifier(table).as_string(self._connection)
        found = fetch(self._connection, "generated_columns", table=name)
        return frozenset(row["column_name"] for row in found)

    def _read(self, table: TablePlan, names: frozenset[str], row_id: str) -> dict[str, Converted]:
        """What PostgreSQL computed, in the form of converted values."""
        columns = [column for column in table.columns if column.target in names]
        values = sql.SQL(", ").join(
            sql.SQL("{}" if column.pg_type in _AS_THEY_ARE else "{}::text").format(
                sql.Identifier(column.target)
            )
            for column in columns
        )
        row = self._connection.execute(
            sql.SQL("select {} from {}").format(values, _one_row(table, row_id))
        ).fetchone()
        assert row is not None
        read = cast("tuple[Converted, ...]", row)
        return {column.target: value for column, value in zip(columns, read, strict=True)}

    def _plan(self, run_id: int) -> dict[str, TablePlan]:
        if run_id not in self._plans:
            found = fetch(self._connection, "run_plan", run_id=run_id)[0]["plan"]
            if found is None:
                raise TargetError(
                    f"Run {run_id} has no plan in migration.run.",
                    "Restore it from a backup: it says how values are converted.",
                )
            plan = Plan.model_validate(found)
            self._plans[run_id] = {table.target: self._repair.plan(table) for table in plan.tables}
        return self._plans[run_id]


def _source_value(value: Converted) -> Value:
    # What came from SQLite is of one of its five classes.
    assert value is None or isinstance(value, int | float | str | bytes)
    return value


def _one_row(table: TablePlan, row_id: str) -> sql.Composed:
    return sql.SQL("(select ctid, * from {} where ctid = {}::tid) as r").format(
        identifier(table), sql.Literal(row_id)
    )


def _insertion(table: TablePlan) -> sql.Composed:
    """The statement for one row; columns that the source lacks have sql/'s values."""
    given = [column.target for column in table.columns]
    names = [*given, *table.backfilled]
    values = [
        *(trusted(f"${number}") for number in range(1, len(given) + 1)),
        *(trusted(backfills()[table.target, column]) for column in table.backfilled),
    ]
    return sql.SQL("insert into {} ({}) values ({}) returning ctid::text").format(
        identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.SQL(", ").join(values),
    )
