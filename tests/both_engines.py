"""One table of awkward values in SQLite and in PostgreSQL, to ask both the same question."""

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.types.json import set_json_loads

from database.connect import connect
from database.settings import Server
from migration.translate import Scope, ScopeColumn, expression
from tests.conftest import fresh_database

#: Source name → (SQLite's declaration, target).
COLUMNS = {
    "id": ("INTEGER PRIMARY KEY", ScopeColumn("id", "bigint", "INTEGER")),
    "n": ("INTEGER", ScopeColumn("N", "bigint", "INTEGER")),
    "m": ("INTEGER", ScopeColumn("m", "bigint", "INTEGER")),
    "r": ("REAL", ScopeColumn("r", "double precision", "REAL")),
    "u": ("", ScopeColumn("u", "double precision", "")),
    "price": ("DECIMAL(10,2)", ScopeColumn("price", "numeric", "DECIMAL(10,2)")),
    "flag": ("BOOLEAN", ScopeColumn("flag", "boolean", "BOOLEAN")),
    "s": ("TEXT", ScopeColumn("s", "text", "TEXT")),
    "full name": ("TEXT", ScopeColumn('повне "ім\'я" 🧪', "text", "TEXT")),
    "nc": ("TEXT COLLATE NOCASE", ScopeColumn("nc", "text", "TEXT", "NOCASE")),
    "b": ("BLOB", ScopeColumn("b", "bytea", "BLOB")),
    "at": ("DATETIME", ScopeColumn("at", "timestamp without time zone", "DATETIME")),
    "day": ("DATE", ScopeColumn("day", "date", "DATE")),
    "doc": ("JSON", ScopeColumn("doc", "jsonb", "JSON")),
    "order": ("INTEGER", ScopeColumn("order", "bigint", "INTEGER")),
}
SCOPE = Scope({name: column for name, (_, column) in COLUMNS.items()})

ROWS: list[tuple[Any, ...]] = [
    (None,) * 14,
    (0, 0, 0.0, 0, 0, 0, "", "", "", b"", "2024-01-31 00:00:00", "2024-01-31", "{}", 0),
    (1, -1, -0.5, 1.5, 1, 1, "Ada", "ada", "ADA", b"\x00\xff", "2024-02-29 12:34:56",
     "2024-02-29", '{"a": {"b": "x", "c y": [1, "two", null]}, "n": 5, "t": true}', 1),
    (-7, 2, 2.5, -3, -1.25, 1, "Їжак", "їжак", "їЖАК", b"abc", "1999-12-31 23:59:59",
     "1999-12-31", '[1, 2, {"k": 1}]', None),
    (7, -2, -2.5, 2.25, 19.99, 0, "x%y_z", "X%Y_Z", "x%Y_z", b"ABC", "2038-01-19 03:14:07",
     "2038-01-19", '"x"', 10),
    (2**53 + 1, 3, 1e300, 1e-5, 0.1, None, "  a  ", " a", "a ", b"\xd0\x87", "2024-02-29 00:00:00",
     "2024-03-01", "null", -5),
    (-(2**40), 10, 0.1, 7, 100, 1, "a\\b", "10", "Naïve", b"x" * 300, "0002-03-01 00:00:00",
     "0002-03-01", '{"a": 1.5, "a b": false}', 2**31),
    (5, 5, 5.0, 5, 5, 0, "10", "9", "10", b"10", "2024-01-01 00:00:01", "2024-01-01",
     '{"n": "5", "a": {"b": 7}}', 3),
    (100, 7, 3.4999, 0.5, 2.5, 1, "я" * 400, "a" * 400, "[x]^-]", b"\n", "2024-12-31 23:59:59",
     "2024-12-31", "[]", 63),
    (-1, 1, -1e-9, 3, 3, 0, "line\nbreak", "tab\t'q'\"", "NAÏVE", b"'", "2025-06-15 06:07:08",
     "2025-06-15", '{"t": false, "n": 1}', 64),
]  # fmt: skip


class BothEngines:
    """Asks SQLite and PostgreSQL for the value of one expression for every row."""

    def __init__(self, source: sqlite3.Connection, target: psycopg.Connection[Any]) -> None:
        self.source = source
        self.target = target

    def of_sqlite(self, text: str) -> list[Any]:
        """SQLite's values of the expression, by id."""
        query = f"select ({text}\n) from t order by id"
        return [row[0] for row in self.source.execute(query)]

    def of_postgres(self, sql: str) -> list[Any]:
        """PostgreSQL's values of the expression, by id."""
        with self.target.transaction():
            query = f'select {sql} from public."T" order by id'
            return [row[0] for row in self.target.execute(query.encode())]

    def check(self, text: str) -> None:
        """The translation yields what the original does, for every row."""
        sql = expression(text, SCOPE)
        wanted, found = self.of_sqlite(text), self.of_postgres(sql)
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            assert same(one, other), (text, sql, ROWS[number], one, other)

    def check_condition(self, text: str) -> None:
        """As a CHECK or a WHERE: true, false or NULL for the same rows."""
        sql = expression(text, SCOPE, "boolean")
        wanted = self.of_sqlite(text)
        found = self.of_postgres(sql)
        for one, other in zip(wanted, found, strict=True):
            assert (None if one is None else bool(one)) is other, (text, sql, one, other)


@dataclass(frozen=True)
class Document:
    """A jsonb value, kept apart from texts and numbers."""

    value: Any


def document(text: str | bytes) -> Document:
    """What psycopg is told to make of a jsonb."""
    return Document(json.loads(text))


def same(one: Any, other: Any) -> bool:
    """Whether PostgreSQL's value is what SQLite's is, without regard to the type's dress."""
    if isinstance(other, bool):
        other = int(other)
    if isinstance(other, datetime):
        other = other.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0")
    elif isinstance(other, date | time):
        other = other.isoformat()
    elif isinstance(other, Decimal):
        other = float(other) if other % 1 else int(other)
    if isinstance(other, float) and isinstance(one, int | float):
        return math.isclose(one, other, rel_tol=1e-15) and (one == other or abs(one - other) < 1)
    if isinstance(other, Document):
        return isinstance(one, str) and bool(json.loads(one) == other.value)
    same_class = type(one) is type(other) or {type(one), type(other)} <= {int, float}
    return same_class and bool(one == other)


@contextmanager
def both_engines(cluster: Server) -> Iterator[BothEngines]:
    """The table on both sides; PostgreSQL's in a database of its own."""
    with (
        fresh_database(cluster) as database,
        connect(database, "migrator", autocommit=True) as target,
        contextlib.closing(sqlite3.connect(":memory:")) as source,
    ):
        target.execute("set role atlas_owner")
        set_json_loads(document, target)
        declared = ", ".join(f'"{name}" {kind}' for name, (kind, _) in COLUMNS.items())
        source.execute(f"create table t ({declared})")
        marks = ", ".join("?" * len(COLUMNS))
        source.executemany(
            f"insert into t values ({marks})",
            [(number, *row) for number, row in enumerate(ROWS)],
        )
        quoted = [
            '"' + column.name.replace('"', '""') + '" ' + column.pg_type
            for _, column in COLUMNS.values()
        ]
        target.execute(f'create table public."T" ({", ".join(quoted)})'.encode())
        marks = ", ".join(f"%s::{column.pg_type}" for _, column in COLUMNS.values())
        for number, row in enumerate(ROWS):
            values = [str(one) if isinstance(one, int) else one for one in (number, *row)]
            target.execute(f'insert into public."T" values ({marks})'.encode(), values)
        target.execute("set timezone to 'Asia/Kolkata'")
        yield BothEngines(source, target)
