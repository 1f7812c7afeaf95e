"""Fills a SQLite database of any schema with plausible rows, always the same ones.

    build(PATH, SCRIPT)

The script's rows of its own come after the marker: they are the odd ones that count.
"""

import contextlib
import json
import random
import sqlite3
import uuid
from collections.abc import Callable
from pathlib import Path

MARKER = "-- The generator's rows come here."

#: Collations that only the application has which the schema was taken from.
COLLATIONS = ("unicase", "phonebook", "naturalsort", "icu_root")
_WORDS = (
    "Ölçek",
    "naïve",
    "日本語",
    "🧪",
    "O'Brien",
    '"q"',
    "back\\slash",
    "tab\there",
    "\\N",
    "%s",
)
_ROWS = 40
_NULLS = 0.1

Value = int | float | str | bytes | None


def build(path: Path, script: str) -> Path:
    """Make the database: tables, generated rows, then what the script has after the marker."""
    tables, _, rest = script.partition(MARKER)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for name in COLLATIONS:
            connection.create_collation(name, _without_case)
        connection.executescript(tables)
        _fill(connection)
        connection.commit()
        connection.executescript(rest)
    return path


def quoted(name: str) -> str:
    """An identifier for SQLite."""
    return '"' + name.replace('"', '""') + '"'


def tables(connection: sqlite3.Connection) -> list[str]:
    """The names of the tables, virtual ones included, without their internal storage."""
    listed = connection.execute("pragma table_list").fetchall()
    return [
        name
        for schema, name, kind, *_ in listed
        if schema == "main" and kind in ("table", "virtual") and not name.startswith("sqlite_")
    ]


def _fill(connection: sqlite3.Connection) -> None:
    # Parents first, where the schema has an order; virtual tables last, since some are views
    # of others' rows.
    waiting = tables(connection)
    virtual = {row[1] for row in connection.execute("pragma table_list") if row[2] == "virtual"}
    parents = {name: _parents(connection, name) for name in waiting}
    waiting.sort(key=lambda name: (name in virtual, name))
    filled: set[str] = set()
    while waiting:
        ready = (
            name for name in waiting if {p for p, _ in parents[name].values()} <= {*filled, name}
        )
        name = next(ready, waiting[0])
        waiting.remove(name)
        _fill_table(connection, name, parents[name])
        filled.add(name)


def _parents(connection: sqlite3.Connection, table: str) -> dict[str, tuple[str, str]]:
    """Column → its parent table and column; parents that do not exist are left out."""
    there = {name.lower(): name for name in tables(connection)}
    found = {}
    for row in connection.execute("select * from pragma_foreign_key_list(?)", [table]).fetchall():
        parent, column, references = there.get(row[2].lower()), row[3], row[4]
        if parent:
            if references is None:
                key = connection.execute("select * from pragma_table_info(?)", [parent])
                references = next(entry[1] for entry in key if entry[5])
            found[column] = (parent, references)
    return found


def _fill_table(
    connection: sqlite3.Connection, table: str, parents: dict[str, tuple[str, str]]
) -> None:
    columns = [
        (name, declared.upper(), bool(not_null), bool(key))
        for _, name, declared, not_null, _, key, hidden in connection.execute(
            "select * from pragma_table_xinfo(?)", [table]
        )
        if not hidden
    ]
    choices = {}
    for column, (parent, references) in parents.items():
        query = f"select {quoted(references)} from {quoted(parent)}"
        choices[column] = [row[0] for row in connection.execute(query)]
    maker = random.Random(table)
    names = ", ".join(quoted(name) for name, *_ in columns)
    marks = ", ".join("?" * len(columns))
    rows = []
    for number in range(_ROWS):
        row: list[Value] = []
        for name, declared, not_null, key in columns:
            if name in choices:
                # A row of its own table, or of one that is not filled yet, has no parent.
                row.append(maker.choice(choices[name] or [None]))
            elif key and "INT" in declared:
                row.append(number + 1)
            elif not (not_null or key) and maker.random() < _NULLS:
                row.append(None)
            else:
                row.append(_value(maker, declared, number))
        rows.append(row)
    # Rows that break a unique key by chance are left out.
    connection.executemany(
        f"insert or ignore into {quoted(table)} ({names}) values ({marks})",
        rows,
    )


def _value(maker: random.Random, declared: str, number: int) -> Value:
    if not declared:
        return maker.choice((number, number + 0.25, f"t{number}"))
    for word, make in _MAKERS:
        if word in declared:
            return make(maker, number)
    return f"{maker.choice(_WORDS)} {number}"


def _moment(maker: random.Random) -> str:
    day = f"20{maker.randint(10, 26)}-{maker.randint(1, 12):02}-{maker.randint(1, 28):02}"
    return f"{day} {maker.randint(0, 23):02}:{maker.randint(0, 59):02}:{maker.randint(0, 59):02}"


_MAKERS: tuple[tuple[str, Callable[[random.Random, int], Value]], ...] = (
    ("BOOL", lambda maker, _: maker.choice((0, 1))),
    ("BIT", lambda maker, _: maker.choice((0, 1))),
    ("DATETIME", lambda maker, _: _moment(maker) + ".123456"),
    ("TIMESTAMP", lambda maker, _: _moment(maker)),
    ("DATE", lambda maker, _: _moment(maker)[:10]),
    ("TIME", lambda maker, _: f"2000-01-01 {maker.randint(10, 23)}:00:00"),
    (
        "JSON",
        lambda maker, n: json.dumps({"n": n, "list": [1.50, None], "t": maker.choice(_WORDS)}),
    ),
    ("INT", lambda maker, n: maker.choice((n, 1_700_000_000_000 + n, -(2**63) + n))),
    ("FLOA", lambda maker, n: maker.choice((maker.random(), 1e300, -0.0, 0.1 + 0.2, float(n)))),
    ("DOUB", lambda maker, n: maker.choice((maker.random(), 1e-300, float("inf"), float(n)))),
    ("REAL", lambda maker, _: maker.random() * 100),
    ("DECIMAL", lambda _, n: n / 100),
    ("GUID", lambda maker, _: str(uuid.UUID(int=maker.getrandbits(128)))),
    ("BLOB", lambda maker, _: maker.randbytes(maker.randint(0, 40))),
    ("LINESTRING", lambda maker, _: b"GP\0\1" + maker.randbytes(40)),
)


def _without_case(left: str, right: str) -> int:
    return (left.casefold() > right.casefold()) - (left.casefold() < right.casefold())
