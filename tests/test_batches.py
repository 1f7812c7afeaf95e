"""Rows are the same whichever SQLite reads them, and none is lost where one gives up."""

import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from migration.batches import Pace, read_batches, read_rows
from migration.ranges import Range
from migration.schema import Table, read_schema
from migration.source import Value, open_source

VALUES: tuple[Value, ...] = (
    *(None, 0, -1, 2**63 - 1, -(2**63), 1.5, -0.0, 5e-324, 1e300, math.inf, -math.inf),
    *("", "plain", "a\0b", "їжак 🦔", "\u2028", b"", b"\0\xff", b"text"),
)


def make(path: Path, script: str, rows: Sequence[tuple[Value, ...]] = ()) -> Table:
    """The table `t` of a new database."""
    with closing(sqlite3.connect(path)) as connection:
        connection.create_collation("backwards", lambda one, other: (one < other) - (one > other))
        connection.executescript(script)
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"insert into t values ({marks})", rows)
        connection.commit()
    with closing(open_source(path)) as connection:
        return next(table for table in read_schema(connection).tables if table.name == "t")


def test_every_storage_class_arrives_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "source.db"
    rows = [(number, value, value) for number, value in enumerate(VALUES)]
    table = make(path, "create table t (id integer primary key, a, b blob)", rows)
    found = list(read_rows(path, table))
    assert [row.position for row in found] == list(range(len(VALUES)))
    assert [row.key for row in found] == [(number,) for number in range(len(VALUES))]
    assert list(map(repr, (row.values for row in found))) == list(map(repr, rows))


def test_text_that_is_not_utf8_changes_the_reader_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "source.db"
    bad = "insert into t values (20, cast(x'61ff62' as text)), (21, 'їжак')"
    table = make(
        path,
        "create table t (id integer primary key, v text)",
        [(number, f"row {number}") for number in range(20)],
    )
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(bad)
        connection.commit()
    batches = list(read_batches(path, table, Pace(most=7)))
    assert [row for batch in batches for row in batch.rows] == [
        *((number, f"row {number}") for number in range(20)),
        (20, "a\udcffb"),
        (21, "їжак"),
    ]
    starts = [batch.start for batch in batches]
    assert starts == [sum(len(b.rows) for b in batches[:n]) for n in range(len(batches))]
    assert batches[0].is_unicode
    assert not batches[-1].is_unicode


def test_an_unknown_collation_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "source.db"
    script = "create table t (v int, k text collate backwards primary key) without rowid"
    table = make(path, script, [(number, f"k{number}") for number in range(9)])
    found = list(read_rows(path, table))
    # In the order of the application, which is that of the table's own b-tree.
    assert [row.key for row in found] == [(f"k{number}",) for number in reversed(range(9))]
    assert [row.values for row in found] == [(n, f"k{n}") for n in reversed(range(9))]


def test_keys_of_several_columns_and_of_none(tmp_path: Path) -> None:
    table = make(
        tmp_path / "two.db",
        "create table t (a int, b text, c, primary key (b, a)) without rowid",
        [(2, "x", None), (1, "x", 0.5), (3, "a", b"")],
    )
    found = [(row.key, row.values) for row in read_rows(tmp_path / "two.db", table)]
    assert found == [
        (("a", 3), (3, "a", b"")),
        (("x", 1), (1, "x", 0.5)),
        (("x", 2), (2, "x", None)),
    ]
    table = make(tmp_path / "none.db", "create table t (a, b)", [("x", 1), ("y", 2)])
    (batch,) = list(read_batches(tmp_path / "none.db", table, Pace(), within=Range(2, None)))
    assert batch.columns() == [("y",), (2,)]
    assert batch.row(0).key == (2,)


def test_generated_columns_are_read(tmp_path: Path) -> None:
    path = tmp_path / "source.db"
    table = make(path, "create table t (a int, b as (a * 2), c as (printf('%.3f', a)) stored)")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("insert into t (a) values (1), (2)")
        connection.commit()
    assert [row.values for row in read_rows(path, table)] == [(1, 2, "1.000"), (2, 4, "2.000")]
