"""Which tables of the source are the ones that sql/ describes: by name, shape and keys.

Other projects have tables called `sessions` or `logs` too. Such a table is not poured into ours:
it is created beside it, under a name of its own.
"""

import re
import sqlite3

from pydantic import BaseModel, ConfigDict

from migration.quoting import fold, quote_name
from migration.schema import Table

_UUID = re.compile(r"\{?[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?", re.IGNORECASE | re.ASCII)
#: Rows that are looked at; the key of a table has one form in all of them.
_SAMPLE = 100
_INTEGERS = ("smallint", "integer", "bigint")


class TargetColumn(BaseModel):
    """A column that the target already has."""

    model_config = ConfigDict(frozen=True)

    name: str
    pg_type: str
    not_null: bool
    has_default: bool
    generated: bool
    in_key: bool = False
    #: The n of varchar(n), where there is one.
    length: int | None = None


#: The target's tables by name, with their columns in order.
TargetTables = dict[str, tuple[TargetColumn, ...]]


def known_as(
    connection: sqlite3.Connection, table: Table, target: TargetTables
) -> tuple[TargetColumn, ...] | None:
    """The target's columns for this table, or None where it is another table.

    It is the same one where it has the key's columns, at least half of all columns, and keys
    that the target's types can hold.
    """
    columns = target.get(fold(table.name))
    if columns is None:
        return None
    names = {fold(column.name): column.name for column in table.columns}
    shared = [column for column in columns if column.name in names]
    key = [column for column in columns if column.in_key]
    if 2 * len(shared) < len(columns) or any(column.name not in names for column in key):
        return None
    for column in key:
        if not _fits(connection, table, names[column.name], column.pg_type):
            return None
    return columns


def _fits(connection: sqlite3.Connection, table: Table, name: str, pg_type: str) -> bool:
    quoted = quote_name(name)
    relation = quote_name(table.name) + ("" if table.virtual else " not indexed")
    # As bytes, so that text which is no UTF-8 can be looked at too.
    rows = connection.execute(
        f"select typeof({quoted}), cast({quoted} as blob) from {relation}"  # noqa: S608
        f" where {quoted} is not null limit {_SAMPLE}"
    ).fetchall()
    fitting = sum(_holds(pg_type, kind, raw) for kind, raw in rows)
    return 2 * fitting >= len(rows)


def _holds(pg_type: str, kind: str, raw: bytes) -> bool:
    if pg_type == "uuid":
        return _UUID.fullmatch(raw.decode("utf-8", "replace")) is not None
    if pg_type in _INTEGERS:
        return kind == "integer"
    return True
