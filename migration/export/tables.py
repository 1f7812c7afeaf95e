"""What there is to export: the tables of a schema, as PostgreSQL declares them."""

from dataclasses import dataclass

from migration.plan import TablePlan
from migration.statements import Connection, fetch


@dataclass(frozen=True)
class Column:
    """A column; its type as `format_type` names it."""

    name: str
    pg_type: str
    not_null: bool


@dataclass(frozen=True)
class Key:
    """A unique key, a foreign key (with `parent`), or an index."""

    name: str
    columns: tuple[str, ...]
    parent: str = ""
    references: tuple[str, ...] = ()
    unique: bool = False


@dataclass(frozen=True)
class ExportedTable:
    """A table with everything that SQLite can have of it."""

    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    unique_keys: tuple[Key, ...]
    foreign_keys: tuple[Key, ...]
    indexes: tuple[Key, ...]
    #: How it was declared in the SQLite file that it came from, where it came from one.
    origin: TablePlan | None


def exported_tables(connection: Connection, schema: str) -> list[ExportedTable]:
    """The tables of a schema, in name order.

    Args:
        connection: as the owner of the tables.
        schema: the schema.
    """
    columns: dict[str, list[Column]] = {}
    for row in fetch(connection, "export_columns", schema=schema):
        columns.setdefault(row["table_name"], []).append(
            Column(row["column_name"], row["pg_type"], row["not_null"])
        )
    constraints = fetch(connection, "constraints", schema=schema, tables=list(columns))
    indexes = fetch(connection, "export_indexes", schema=schema)
    origins = _origins(connection, schema)

    def keys(table: str, kind: str) -> tuple[Key, ...]:
        return tuple(
            Key(
                row["name"],
                tuple(row["columns"]),
                row["parent"] or "",
                tuple(row["parent_columns"]),
            )
            for row in constraints
            if (row["schema_name"], row["table_name"], row["kind"]) == (schema, table, kind)
        )

    return [
        ExportedTable(
            name=name,
            columns=tuple(found),
            primary_key=next((key.columns for key in keys(name, "p")), ()),
            unique_keys=keys(name, "u"),
            foreign_keys=tuple(key for key in keys(name, "f") if key.parent in columns),
            indexes=tuple(
                Key(row["name"], tuple(row["columns"]), unique=row["is_unique"])
                for row in indexes
                if row["table_name"] == name
            ),
            origin=origins.get(name),
        )
        for name, found in columns.items()
    ]


def _origins(connection: Connection, schema: str) -> dict[str, TablePlan]:
    """By target table, what the newest run that had it knew of it."""
    found: dict[str, TablePlan] = {}
    for row in fetch(connection, "export_plans", schema=schema):
        plan = TablePlan.model_validate(row["table_plan"])
        found.setdefault(plan.target, plan)
    return found
