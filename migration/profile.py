"""What the values really are, per column: counted by SQLite itself, in one pass over each table."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from migration.quoting import quote_name
from migration.schema import LeftOut, Table, read_schema
from migration.source import open_source

# SQLite allows 2000 columns in a result; a wide table is profiled in several passes.
_COLUMNS_PER_PASS = 100

# The exact forms that PostgreSQL reads as SQLite's users mean them.
_DATE = "[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]"
_TIME = "[0-2][0-9]:[0-5][0-9]:[0-5][0-9]"


class ColumnProfile(BaseModel):
    """Facts about a column's values; every count is a number of rows."""

    model_config = ConfigDict(frozen=True)

    nulls: int
    integers: int
    reals: int
    texts: int
    blobs: int
    smallest: int | None
    largest: int | None
    #: Bytes of the longest text or blob.
    longest: int
    with_nul: int
    dates: int
    timestamps: int
    json_documents: int

    @property
    def values(self) -> int:
        """Rows that are not NULL."""
        return self.integers + self.reals + self.texts + self.blobs


class TableProfile(BaseModel):
    """A table's row count and its columns' facts, in the order of the columns."""

    model_config = ConfigDict(frozen=True)

    table: Table
    rows: int
    columns: tuple[ColumnProfile, ...]


class Profile(BaseModel):
    """The whole source."""

    model_config = ConfigDict(frozen=True)

    tables: tuple[TableProfile, ...]
    left_out: tuple[LeftOut, ...]


def profile_source(path: Path, left_out: Iterable[LeftOut] = ()) -> Profile:
    """Profile a snapshot.

    Args:
        path: the snapshot.
        left_out: what did not even arrive in it.

    Raises:
        SourceError: it cannot be opened.
    """
    with closing(open_source(path, immutable=True)) as connection:
        tables, others = read_schema(connection)
        profiles, unreadable = _profile_virtual(connection, tables)
        if unreadable:
            tables, others = read_schema(connection, unreadable)
        ordinary = (_profile_table(connection, table) for table in tables if not table.virtual)
        profiles = sorted([*profiles, *ordinary], key=lambda entry: entry.table.name)
        return Profile(tables=tuple(profiles), left_out=(*left_out, *others))


def _profile_virtual(
    connection: sqlite3.Connection, tables: list[Table]
) -> tuple[list[TableProfile], dict[str, str]]:
    """The virtual tables, and why some cannot be read to their end: their storage is read then."""
    profiles, unreadable = [], {}
    for table in tables:
        if table.virtual:
            try:
                profiles.append(_profile_table(connection, table))
            except sqlite3.DatabaseError as error:
                unreadable[table.name] = str(error)
    return profiles, unreadable


def _profile_table(connection: sqlite3.Connection, table: Table) -> TableProfile:
    name = quote_name(table.name) + ("" if table.virtual else " not indexed")
    rows: int = connection.execute(f"select count(*) from {name}").fetchone()[0]  # noqa: S608
    facts: list[ColumnProfile] = []
    for start in range(0, len(table.columns), _COLUMNS_PER_PASS):
        columns = table.columns[start : start + _COLUMNS_PER_PASS]
        expressions = [_expressions(quote_name(column.name)) for column in columns]
        text = ", ".join(part for parts in expressions for part in parts.values())
        values = connection.execute(f"select {text} from {name}").fetchone()  # noqa: S608
        width = len(expressions[0])
        for position, parts in enumerate(expressions):
            found = values[position * width : (position + 1) * width]
            facts.append(
                ColumnProfile(
                    **{
                        key: value if key in ("smallest", "largest") else value or 0
                        for key, value in zip(parts, found, strict=True)
                    }
                )
            )
    return TableProfile(table=table, rows=rows, columns=tuple(facts))


def _expressions(column: str) -> dict[str, str]:
    """SQLite's aggregate for each field of ColumnProfile."""
    kind = f"typeof({column})"
    text = f"{kind} = 'text'"
    return {
        "nulls": f"sum({column} is null)",
        "integers": f"sum({kind} = 'integer')",
        "reals": f"sum({kind} = 'real')",
        "texts": f"sum({text})",
        "blobs": f"sum({kind} = 'blob')",
        "smallest": f"min(case {kind} when 'integer' then {column} end)",
        "largest": f"max(case {kind} when 'integer' then {column} end)",
        "longest": f"max(case when {kind} in ('text', 'blob') then octet_length({column}) end)"
        if sqlite3.sqlite_version_info >= (3, 43)
        else f"max(case when {kind} in ('text', 'blob') then length(cast({column} as blob)) end)",
        "with_nul": f"sum({text} and instr({column}, char(0)) > 0)",
        "dates": f"sum({text} and {column} glob '{_DATE}' and date({column}, '+0 days') = {column}"
        f" and {column} >= '0001')",
        "timestamps": f"sum({text} and length({column}) in (19, 23, 26)"
        f" and ({column} glob '{_DATE} {_TIME}' or {column} glob '{_DATE} {_TIME}.[0-9]*')"
        # A day that does not exist is moved by SQLite, and so is not equal to itself.
        f" and datetime({column}, '+0 days') = substr({column}, 1, 19) and {column} >= '0001')",
        "json_documents": f"sum({text} and substr({column}, 1, 1) in ('{{', '[')"
        f" and json_valid({column}))",
    }
