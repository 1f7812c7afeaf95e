"""The plan's words: what becomes of every table, column, key and index of the source."""

from pydantic import BaseModel, ConfigDict

from migration.schema import LeftOut, Table

#: Where sql/ puts the platform's tables.
PUBLIC = "public"


class TargetColumn(BaseModel):
    """A column that the target already has."""

    model_config = ConfigDict(frozen=True)

    name: str
    pg_type: str
    not_null: bool
    has_default: bool
    generated: bool


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


class ForeignKeyPlan(BaseModel):
    """A foreign key of a table that is created, in the target's names."""

    model_config = ConfigDict(frozen=True)

    columns: tuple[str, ...]
    parent: str
    references: tuple[str, ...]
    on_update: str
    on_delete: str


class IndexPlan(BaseModel):
    """An index or unique constraint of a table that is created, in the target's names."""

    model_config = ConfigDict(frozen=True)

    name: str
    columns: tuple[str, ...]
    unique: bool


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
