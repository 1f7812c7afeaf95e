"""Tables wider than PostgreSQL's, or than a page: their rows are kept, all others arrive."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from rich.console import Console

from database.errors import QuarantineError
from database.settings import Server
from migration.load import EngineName
from migration.progress import Steps
from migration.reverify import verify_last_run
from tests.engines import ENGINES
from tests.programs import query
from tests.test_refused_rows import run


def columns(count: int, declared: str = "integer") -> str:
    return ", ".join(f"c{number} {declared}" for number in range(count))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """SQLite's widest tables, with a rowid and with a key of their own, beside possible ones."""
    path = tmp_path / "s.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"""
            create table keyed (id integer primary key, {columns(1999)});
            create table rowids ({columns(2000)});
            create table too_wide (id text primary key, {columns(1600)}) without rowid;
            create table widest ({columns(1600)});
            create table wide ({columns(900)});
            create table child (id integer primary key, parent integer references keyed (id));
            insert into keyed (id, c1998) values (7, 1), (8, 2), (-9, 3);
            insert into rowids (rowid, c1999) values (5, 1), (3, 2);
            insert into too_wide (id, c1599) values ('b', 1), ('a', 2);
            insert into widest (c0, c1599) values (1, 2), (3, 4);
            insert into child values (1, 7), (2, null);
        """)
        # 7,200 bytes as numbers; as text, with 19 digits each, they would not fit a page.
        row = tuple(2**62 + number for number in range(900))
        connection.execute(f"insert into wide values ({', '.join('?' * 900)})", row)
        connection.commit()
    return path


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_of_impossible_tables_are_quarantined_and_all_others_arrive(
    database: Server, source: Path, engine: EngineName
) -> None:
    outcome = run(database, source, engine)
    assert isinstance(outcome.error, QuarantineError)
    assert query(
        database,
        "select table_name, source_position, column_name, sqlstate from migration.quarantine"
        " order by 1, 2",
    ) == [
        *(("keyed", number, None, "54011") for number in range(3)),
        *(("rowids", number, None, "54011") for number in range(2)),
        *(("too_wide", number, None, "54011") for number in range(2)),
    ]
    kept = "select source_key ->> 'id' from migration.quarantine where table_name = 'keyed'"
    assert query(database, f"{kept} order by id") == [("-9",), ("7",), ("8",)]
    assert query(database, "select c0, c1599 from widest order by 1") == [(1, 2), (3, 4)]
    assert query(database, "select c0, c899 from wide") == [(2**62, 2**62 + 899)]
    assert query(database, "select * from child order by 1") == [(1, 7), (2, None)]
    assert query(database, "select to_regclass('keyed'), to_regclass('rowids')") == [(None, None)]
    not_carried = {(entry["kind"], entry["name"]) for entry in outcome.report.data["not_carried"]}
    assert not_carried >= {
        ("table", "keyed"),
        ("table", "rowids"),
        ("table", "too_wide"),
        ("foreign key", "child(parent)"),
    }
    tables = verify_last_run(database, source.parent / "work", Steps(Console(quiet=True)))
    assert all(entry.verified for entry in tables)
