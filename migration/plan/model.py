"""The plan's words: what becomes of every table, column, key and index of the source."""

from pydantic import BaseModel, ConfigDict

from migration.policies import ColumnPolicy, Orphans
from migration.schema import LeftOut, Table

#: Where sql/ puts the platform's tables.
PUBLIC = "public"
#: PostgreSQL's limit for the columns of a table (MaxHeapAttributeNumber).
MOST_COLUMNS = 1600


class ColumnPlan(BaseModel):
    """Where a column's values go."""

    model_config = ConfigDict(frozen=True)

    source: str
    target: str
    declared: str
    pg_type: str
    not_null: bool
    why: str
    #: The target lacks this column: it is added.
    added: bool
    policy: ColumnPolicy = ColumnPolicy()
    #: The n of varchar(n), where there is one.
    length: int | None = None
    #: DEFAULT, and the expression of a generated column, as PostgreSQL's SQL.
    default: str | None = None
    generated: str | None = None


class ForeignKeyPlan(BaseModel):
    """A foreign key of a table that is created, in the target's names."""

    model_config = ConfigDict(frozen=True)

    columns: tuple[str, ...]
    parent: str
    references: tuple[str, ...]
    on_update: str
    on_delete: str
    #: Checked at the end of the transaction.
    deferred: bool = False


class CheckPlan(BaseModel):
    """A CHECK of a table that is created: as written in SQLite, and as PostgreSQL's SQL."""

    model_config = ConfigDict(frozen=True)

    name: str
    source: str
    expression: str


class IndexPlan(BaseModel):
    """An index or unique constraint of a table that is created."""

    model_config = ConfigDict(frozen=True)

    name: str
    #: What is indexed, as PostgreSQL's SQL: quoted columns and expressions, without directions.
    keys: tuple[str, ...]
    #: Where the order of a key is DESC.
    descending: tuple[bool, ...]
    unique: bool
    #: The condition of a partial index, as PostgreSQL's SQL.
    where: str | None = None


class ViewPlan(BaseModel):
    """A view that is created: its name, its columns and its SELECT in the target."""

    model_config = ConfigDict(frozen=True)

    source: str
    target: str
    columns: tuple[str, ...]
    select: str


class Expectation(BaseModel):
    """Rows that the profile says will be quarantined, or values that a policy will change."""

    model_config = ConfigDict(frozen=True)

    table: str
    column: str | None
    rows: int
    what: str


class Estimate(BaseModel):
    """What a run is expected to take; `work_bytes` is for the snapshot."""

    model_config = ConfigDict(frozen=True)

    #: copy or pgloader.
    engine: str
    seconds: float
    target_bytes: int
    work_bytes: int

    def __str__(self) -> str:
        target, work = _size(self.target_bytes), _size(self.work_bytes)
        return (
            f"about {self.seconds:.1f} s with the {self.engine} engine, {target} in PostgreSQL and "
            f"{work} for the snapshot"
        )


def _size(count: int) -> str:
    amount, units = float(count), ["bytes", "kB", "MB", "GB"]
    while amount >= 1000 and len(units) > 1:
        amount /= 1000
        units.pop(0)
    return f"{amount:.3g} {units[0]}"


class TablePlan(BaseModel):
    """Where a table's rows go. Keys and indexes are given for tables that are created alone."""

    model_config = ConfigDict(frozen=True)

    table: Table
    target: str
    #: The schema of the target that it lies in.
    schema_name: str = PUBLIC
    known: bool
    rows: int
    columns: tuple[ColumnPlan, ...]
    primary_key: tuple[str, ...] = ()
    foreign_keys: tuple[ForeignKeyPlan, ...] = ()
    indexes: tuple[IndexPlan, ...] = ()
    checks: tuple[CheckPlan, ...] = ()
    #: What becomes of rows without a parent.
    orphans: Orphans = Orphans.QUARANTINE
    #: Columns that the source lacks and sql/ has a value for.
    backfilled: tuple[str, ...] = ()
    #: Why PostgreSQL cannot have this table at all; then every row of it is refused.
    impossible: str | None = None


class Plan(BaseModel):
    """The whole migration: every table in name order, and what does not arrive."""

    model_config = ConfigDict(frozen=True)

    tables: tuple[TablePlan, ...]
    not_carried: tuple[LeftOut, ...]
    #: Why the plan cannot run; empty when it can.
    problems: tuple[str, ...]
    views: tuple[ViewPlan, ...] = ()
    #: What the profile foresees; only known where everything was profiled.
    expected: tuple[Expectation, ...] = ()
    estimate: Estimate | None = None
    #: The schema of the target that everything goes into.
    schema_name: str = PUBLIC

    @property
    def loadable(self) -> tuple[TablePlan, ...]:
        """The tables that the target has, or will have."""
        return tuple(table for table in self.tables if table.impossible is None)

    @property
    def rows(self) -> int:
        """Rows of the source."""
        return sum(table.rows for table in self.tables)
