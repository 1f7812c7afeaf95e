"""Databases of several shapes and any size; the same size gives the same content.

The platform's shape goes into the tables that `sql/` declares, the others into tables that the
migration creates. Each of those has a parent table, so that it has keys, an index and a foreign
key to rebuild.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import count, islice
from pathlib import Path
from random import Random
from uuid import UUID

from scripts.make_demo_database import make_demo_database

_SEED = 7
_ORIGINS = 200
_ROWS_PER_LOOK = 20
_START = datetime(2026, 2, 2, 8, tzinfo=UTC).replace(tzinfo=None)
_WORDS = (
    *("agent", "answer", "branch", "budget", "cache", "change", "deploy", "error", "graph"),
    *("issue", "log", "merge", "node", "note", "page", "plan", "query", "report", "retry"),
    *("review", "schema", "session", "step", "task", "test", "tool", "trace", "user"),
)
_COLUMNS_OF_A_KIND = 20
_WIDE_KINDS = ("INTEGER", "FLOAT", "BOOLEAN", "DATETIME", "VARCHAR(60)")
_SMALLEST_FILE, _LARGEST_FILE = 200, 120_000


class Shape(StrEnum):
    """What the rows are like."""

    PLATFORM = "platform"
    WIDE = "wide"
    NARROW = "narrow"
    JSON = "json"
    BLOB = "blob"


DESCRIPTIONS = {
    Shape.PLATFORM: "AtlasTrinity's tables: many logs, JSON, some long texts",
    Shape.WIDE: "100 columns of numbers, times and texts",
    Shape.NARROW: "four short columns",
    Shape.JSON: "nested documents of about 1 kB",
    Shape.BLOB: "files of up to 120 kB",
}


def make_database(path: Path, shape: Shape, size: int) -> None:
    """Write a new database of about `size` bytes."""
    if shape is Shape.PLATFORM:
        make_demo_database(path, target_bytes=size, seed=_SEED)
        return
    columns, values = _ENTRIES[shape]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # Nobody can see the file before it is finished, so a crash needs no recovery.
        connection.execute("pragma journal_mode = off")
        connection.execute("pragma synchronous = off")
        connection.execute("begin")
        _create_tables(connection, columns)
        _fill(connection, values, len(columns), size)
        connection.execute("commit")
        connection.execute("pragma journal_mode = delete")


def _create_tables(connection: sqlite3.Connection, columns: tuple[str, ...]) -> None:
    connection.execute("create table origin (id integer primary key, name text not null)")
    connection.execute(
        "create table entry (id integer primary key, "
        f"origin_id integer not null references origin (id), {', '.join(columns)})"
    )
    connection.execute("create index entry_origin_id on entry (origin_id)")
    origins = ((number, f"origin {number}") for number in range(1, _ORIGINS + 1))
    connection.executemany("insert into origin values (?, ?)", origins)


def _fill(
    connection: sqlite3.Connection,
    values: Callable[[Random, int], tuple[object, ...]],
    columns: int,
    size: int,
) -> None:
    rng = Random(_SEED)
    rows: Iterator[tuple[object, ...]] = (
        (number, rng.randint(1, _ORIGINS), *values(rng, number)) for number in count(1)
    )
    insert = f"insert into entry values (?, ?{', ?' * columns})"
    pages = size // int(connection.execute("pragma page_size").fetchone()[0])
    while connection.execute("pragma page_count").fetchone()[0] < pages:
        connection.executemany(insert, islice(rows, _ROWS_PER_LOOK))


def _moment(number: int) -> str:
    return (_START + timedelta(seconds=3.7 * number)).isoformat(" ", "microseconds")


def _words(rng: Random, most: int) -> str:
    return " ".join(rng.choices(_WORDS, k=rng.randint(1, most)))


def _narrow(rng: Random, number: int) -> tuple[object, ...]:
    return _moment(number), rng.uniform(-40, 120)


def _wide(rng: Random, number: int) -> tuple[object, ...]:
    values: list[object] = []
    for place in range(_COLUMNS_OF_A_KIND):
        values += (
            rng.randint(-(10**6), 10**12),
            rng.uniform(-1e6, 1e6),
            rng.randint(0, 1),
            _moment(number + place),
            _words(rng, 8),
        )
    return tuple(value if rng.random() > 0.1 else None for value in values)


def _json(rng: Random, number: int) -> tuple[object, ...]:
    document = {
        "id": str(UUID(int=rng.getrandbits(128), version=4)),
        "at": _moment(number),
        "tags": rng.choices(_WORDS, k=5),
        "score": rng.random(),
        "steps": [
            {"tool": rng.choice(_WORDS), "ok": rng.random() < 0.9, "said": _words(rng, 20)}
            for _ in range(rng.randint(2, 10))
        ],
        "parent": None,
    }
    return (json.dumps(document),)


def _blob(rng: Random, number: int) -> tuple[object, ...]:
    # Small files are far more frequent than large ones.
    size = int(_SMALLEST_FILE * (_LARGEST_FILE / _SMALLEST_FILE) ** rng.random())
    return f"{_words(rng, 4)}-{number}", rng.randbytes(size)


#: The columns of `entry` besides its key and its origin, and what gives a row's values of them.
_ENTRIES: dict[Shape, tuple[tuple[str, ...], Callable[[Random, int], tuple[object, ...]]]] = {
    Shape.NARROW: (("at DATETIME NOT NULL", "reading FLOAT NOT NULL"), _narrow),
    Shape.WIDE: (
        tuple(
            f"c{number}_{kind.lower().split('(')[0]} {kind}"
            for number in range(_COLUMNS_OF_A_KIND)
            for kind in _WIDE_KINDS
        ),
        _wide,
    ),
    Shape.JSON: (("document JSON NOT NULL",), _json),
    Shape.BLOB: (("name TEXT NOT NULL", "content BLOB NOT NULL"), _blob),
}
