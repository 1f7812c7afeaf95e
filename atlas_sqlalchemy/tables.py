"""DDL of a login that may not run any: described to the owner's door, needless, or refused in time.

The platform creates missing tables at its start, compares columns and indexes with its models, and
makes a table dataset_* per data frame. Its tables and indexes are declared in sql/, which another
login applies; so

- CREATE TABLE goes to `public.create_platform_table` as a description (sql/55_platform_tables.sql);
- CREATE INDEX does nothing: a table that goes through the door gets its indexes there, and those of
  the declared tables are declared, under names of their own;
- everything else is refused *before* it is sent: sent, it would fail as well, and take the
  transaction, and with it the platform's start, along.
"""

import json
import logging
import re
from typing import Any

from sqlalchemy import DDL, Column, Connection, Table
from sqlalchemy import types as kinds
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement
from sqlalchemy.sql.elements import TextClause

from atlas_sqlalchemy.dialect import to_postgresql

log = logging.getLogger("atlas_sqlalchemy")

_DDL_TEXT = re.compile(r"\s*(alter|create|drop|truncate|reindex|comment|grant|revoke)\b", re.I)
_MAY_CREATE = "select has_schema_privilege(current_user, current_schema(), 'CREATE')"
#: SQLAlchemy's type, the narrower before the wider → PostgreSQL's. VARCHAR loses its length: SQLite
#: never looked at it, and a length would refuse rows that it took.
_TYPES: tuple[tuple[type[kinds.TypeEngine[Any]], str], ...] = (
    (kinds.Boolean, "boolean"),
    (kinds.DateTime, "timestamp"),
    (kinds.Date, "date"),
    (kinds.Uuid, "uuid"),
    (kinds.JSON, "jsonb"),
    (kinds.BigInteger, "bigint"),
    (kinds.Integer, "integer"),
    (kinds.Float, "double precision"),
    (kinds.Numeric, "numeric"),
    (kinds.LargeBinary, "bytea"),
    (kinds.Text, "text"),
    (kinds.String, "varchar"),
)


class SchemaIsDeclaredError(InvalidRequestError):
    """The statement would change the schema, which this login may not; nothing was sent."""


class SchemaGuard:
    """What becomes of the DDL of one engine."""

    def __init__(self) -> None:
        self._may_create: bool | None = None

    def before_execute(
        self, connection: Connection, statement: Any, many: Any, parameters: Any, _options: Any
    ) -> tuple[Any, Any, Any]:
        """SQLAlchemy's event of this name: the statement to run, with its parameters.

        Raises:
            SchemaIsDeclaredError: it is DDL that this login may not run.
        """
        if _is_ddl(statement):
            if not self._allowed(connection):
                statement = _instead(statement)
        elif isinstance(statement, TextClause):
            statement = _translated(statement)
        return statement, many, parameters

    def _allowed(self, connection: Connection) -> bool:
        if self._may_create is None:
            self._may_create = bool(connection.exec_driver_sql(_MAY_CREATE).scalar())
        return self._may_create


def _translated(statement: TextClause) -> TextClause:
    text = to_postgresql(statement.text)
    if text == statement.text:
        return statement
    # A copy, which keeps the types of the parameters.
    copied: TextClause = statement._clone()
    copied.text = text
    return copied


def _is_ddl(statement: object) -> bool:
    if isinstance(statement, TextClause):
        return _DDL_TEXT.match(statement.text) is not None
    return isinstance(statement, CreateTable | CreateIndex) or (
        isinstance(statement, ExecutableDDLElement) and not isinstance(statement, DDL)
    )


def _instead(statement: Any) -> DDL:
    if isinstance(statement, CreateTable):
        return _literal(_door(statement.element))
    if isinstance(statement, CreateIndex):
        log.info("index %s: indexes are declared in sql/, nothing done", statement.element.name)
        return _literal("select 1")
    raise SchemaIsDeclaredError(
        "This login may not change the schema: it is declared in sql/. Add the column or table "
        "there and run 'python -m database apply'."
    )


def _door(table: Table) -> str:
    described = [_column(table, column) for column in table.columns]
    indexes = [
        {"name": index.name, "columns": [c.name for c in index.columns], "unique": index.unique}
        for index in table.indexes
    ]
    arguments = (str(table.name), json.dumps(described), json.dumps(indexes))
    return f"select public.create_platform_table({', '.join(map(_quoted, arguments))})"


def _column(table: Table, column: Column[Any]) -> dict[str, Any]:
    key = column.primary_key
    numbered = key and column is table.autoincrement_column
    said: dict[str, Any] = {
        "name": column.name,
        "type": _type(table, column, numbered=numbered),
        "nullable": bool(column.nullable),
        "key": key,
        "identity": numbered,
        "unique": bool(column.unique) and not column.index,
    }
    for foreign in column.foreign_keys:
        said["references"] = {"table": foreign.column.table.name, "column": foreign.column.name}
    return said


def _type(table: Table, column: Column[Any], *, numbered: bool) -> str:
    kind: Any = column.type
    if isinstance(kind, kinds.TypeDecorator):
        # The platform's GUID: what it is on PostgreSQL decides.
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        kind = kind.load_dialect_impl(postgresql.dialect())  # type: ignore[no-untyped-call]
    for known, name in _TYPES:
        if isinstance(kind, known):
            # A data frame's integers have 64 bits, as SQLite's had.
            data = name == "integer" and table.name.startswith("dataset_") and not numbered
            return "bigint" if data else name
    raise SchemaIsDeclaredError(
        f"Column {column.name} of the new table {table.name} has the type {column.type!r}, which "
        "the platform may not create. Declare the table in sql/."
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _literal(sql: str) -> DDL:
    # DDL fills in %-marks.
    return DDL(sql.replace("%", "%%"))  # type: ignore[no-untyped-call]
