"""The way back: what was written to PostgreSQL after a cutover is in the SQLite file, and the rest
of it is as it was."""

import sqlite3
import subprocess
from collections import Counter
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from rich.console import Console

from database.connect import connect
from database.errors import BundleError, LockedTooLongError, SourceError, VerificationError
from database.settings import Server
from migration.capture.block import unblock
from migration.capture.install import open_for_writing
from migration.cutover.settle import Side, settle
from migration.progress import Steps
from migration.reverse import install
from migration.reverse import rollback as module
from migration.reverse.rollback import Options, Outcome, rollback
from tests.following import follow, rows, run
from tests.migrations import make
from tests.programs import query, run_module
from tests.test_capture import schema_of
from tests.test_cutover import move, started

SCHEMA = """
pragma journal_mode = {mode};
create table teams (id char(32) primary key, started_at datetime);
create table items (id integer primary key autoincrement, session char(32) references teams (id)
    on delete cascade on update cascade, label text, done boolean default 0, price float,
    data blob, facts json, made datetime);
create table named (name text primary key, rank integer unique) without rowid;
create table pairs (a integer, b text, note text, primary key (a, b));
create table keyless (name text, value integer);
create trigger own after insert on named begin insert into keyless values ('trigger', 1); end;
insert into teams values ('s1', '2024-01-01 00:00:00'), ('s2', '2024-01-02 00:00:00.5');
insert into items (session, label, done, price, data, facts, made) values
    ('s1', 'a', 1, 0.1, x'00ff', '{"b":  1, "a": [1.50, "ї"]}', '2024-01-01 10:00:00.000001'),
    ('s2', 'b', 0, 1e300, null, '[]', null), ('s2', 'c', null, -0.0, x'', 'null', null);
insert into named values ('one', 1), ('two', 2), ('three', 3);
insert into pairs values (1, 'x', 'n'), (1, 'y', null);
insert into keyless values ('k', 1), ('k', 1), (null, 2);
"""
TABLES = ("teams", "items", "named", "pairs", "keyless")

#: As the platform writes, by its own role; each in a transaction of its own.
WRITES = (
    "insert into items (session, label, done, price, data, facts, made) values"
    " ('s1', 'новий', true, 2.5, '\\x01', '{\"x\": 1}', '2026-05-01 12:00:00')",
    "update items set label = label || '!' where id = 2",
    "update named set rank = 10 where rank = 1",
    "update named set rank = 1 where rank = 2",
    "update named set rank = 2 where rank = 10",
    "update named set name = 'drei' where name = 'three'",
    "update teams set id = 's9' where id = 's1'",
    "insert into named values ('four', 4), ('five', 5)",
    "delete from named where name = 'four'",
    "insert into pairs values (2, 'z', 'new')",
    "update pairs set note = 'changed' where b = 'y'",
    "delete from pairs where b = 'x'",
    "insert into keyless values ('new', 7), (null, null)",
    "insert into items (id, label) values (50, 'gone')",
    "delete from items where id = 50",
)


@pytest.fixture(params=["wal", "delete"])
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return make(tmp_path / "source.db", SCHEMA.replace("{mode}", request.param))


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    return make(tmp_path / "source.db", SCHEMA.replace("{mode}", "wal"))


def moved(server: Server, source: Path) -> None:
    started(server, source)
    move(server, source)


def back(server: Server, source: Path, **options: object) -> Outcome:
    # A busy machine may be slow; what is tested of the bound names its own.
    chosen = Options(source, source.parent / "work", **{"max_lock": 30.0, **options})  # type: ignore[arg-type]
    return rollback(server, chosen, Steps(Console(quiet=True)))


def command(server: Server, source: Path, *options: object) -> subprocess.CompletedProcess[str]:
    work = source.parent / "work"
    patiently = ("--max-lock", "30", *options)
    return run_module(
        "migration", "rollback", source, *patiently, server=server, MIGRATION_DIR=work
    )


def contents(source: Path) -> dict[str, Counter[tuple[object, ...]]]:
    return {
        table: rows(source, f"select *, {', '.join(f'typeof({c})' for c in columns)} from {table}")
        for table in TABLES
        for columns in [
            [row[0] for row in rows(source, f"select name from pragma_table_info('{table}')")]
        ]
    }


def write(server: Server) -> None:
    for text in WRITES:
        query(server, text, role="atlas")


def test_all_that_was_written_since_is_in_the_file(database: Server, source: Path) -> None:
    schema, before = schema_of(source), contents(source)
    moved(database, source)
    write(database)
    result = command(database, source)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "writers waited for" in result.stdout
    assert schema_of(source) == schema
    after = contents(source)
    assert rows(source, "select name, rank from named") == Counter(
        {("one", 2): 1, ("two", 1): 1, ("drei", 3): 1, ("five", 5): 1}
    )
    assert rows(source, "select a, b, note from pairs") == Counter(
        {(1, "y", "changed"): 1, (2, "z", "new"): 1}
    )
    assert rows(source, "select * from keyless") == Counter(
        {("trigger", 1): 3, ("k", 1): 2, (None, 2): 1, ("new", 7): 1, (None, None): 1}
    )
    assert rows(source, "select id, session from items") == Counter(
        {(1, "s9"): 1, (2, "s2"): 1, (3, "s2"): 1, (4, "s9"): 1}
    )
    new = rows(source, "select label, done, price, data, facts, made from items where id = 4")
    assert new == Counter({("новий", 1, 2.5, b"\x01", '{"x": 1}', "2026-05-01 12:00:00.000000"): 1})
    # What nobody touched is byte for byte what it was: blanks in JSON, the form of a time.
    assert {row for row in before["items"] if row[0] == 3} <= set(after["items"])
    assert {row for row in before["teams"] if row[0] == "s2"} <= set(after["teams"])
    # Writable, with its own trigger, and no number is given twice.
    run(source, "insert into items (label) values ('later')", "insert into named values ('six', 6)")
    assert rows(source, "select id from items where label = 'later'") == Counter({(51,): 1})
    assert rows(source, "select value from keyless where name = 'trigger'") == Counter({(1,): 4})
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction, match="went back"):
        query(database, "insert into named values ('late', 9)", role="atlas")
    assert query(database, "select state from migration.cutover") == [("returned",)]
    assert query(database, "select count(*) from migration.reverse_change") == [(0,)]
    assert settle(database, source).truth is Side.UNKNOWN
    again = command(database, source)
    assert again.returncode == 3
    assert "is the platform's database" in again.stderr


def test_and_there_again(database: Server, wal: Path) -> None:
    """After a rollback, following starts over, and the next cutover and rollback work as well."""
    moved(database, wal)
    write(database)
    back(database, wal)
    run(wal, "insert into named values ('seven', 7)")
    result = follow(database, wal, "--replace", "--once")
    assert result.returncode == 0, result.stdout + result.stderr
    move(database, wal)
    query(database, "update named set rank = 70 where name = 'seven'", role="atlas")
    back(database, wal)
    assert rows(wal, "select rank from named where name = 'seven'") == Counter({(70,): 1})


def test_a_truncated_table_is_empty(database: Server, wal: Path) -> None:
    moved(database, wal)
    query(database, "truncate named; insert into named values ('only', 1)")
    back(database, wal)
    assert rows(wal, "select * from named") == Counter({("only", 1): 1})


def test_a_rehearsal_changes_nothing_but_catches_up(database: Server, wal: Path) -> None:
    moved(database, wal)
    write(database)
    result = command(database, wal, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "goes on with PostgreSQL" in result.stdout
    query(database, "insert into named values ('still', 8)", role="atlas")
    with pytest.raises(sqlite3.IntegrityError, match="moved to PostgreSQL"):
        run(wal, "insert into named values ('late', 9)")
    back(database, wal)
    assert rows(wal, "select rank from named where name = 'still'") == Counter({(8,): 1})


def test_what_sqlite_has_no_place_for_is_refused_and_said(database: Server, wal: Path) -> None:
    moved(database, wal)
    query(database, "create table public.added (id int); insert into added values (1)")
    query(database, "alter table named add column more text, add column unused text")
    query(database, "update named set more = 'x' where name = 'two'")
    with pytest.raises(VerificationError, match=r"named\.more|added") as refused:
        back(database, wal)
    assert "added" in refused.value.message
    assert "named.more" in refused.value.message
    query(database, "update named set more = 'x', rank = 10 where name = 'one'")
    assert back(database, wal, leave_behind=True).left_behind == ["added", "named.more"]
    assert rows(wal, "select * from named where name = 'one'") == Counter({("one", 10): 1})


def test_writers_that_do_not_end_make_it_give_up(database: Server, wal: Path) -> None:
    moved(database, wal)
    with connect(database, "atlas") as connection:
        connection.execute("update named set rank = 11 where name = 'one'")
        with pytest.raises(LockedTooLongError, match=r"more than 0\.2 s"):
            back(database, wal, max_lock=0.2, attempts=2)
        connection.commit()
    query(database, "update named set rank = 12 where name = 'two'", role="atlas")
    back(database, wal)
    assert rows(wal, "select name from named where rank in (11, 12)") == Counter(
        {("one",): 1, ("two",): 1}
    )


class CutError(BundleError):
    """Stands for a process that ends where it is."""


def cut(*_: object, **__: object) -> None:
    raise CutError("cut", "")


@pytest.mark.parametrize("where", ["unblock", "finish", "refuse_writes"])
def test_cut_off_it_is_completed_or_undone(
    database: Server, wal: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved(database, wal)
    write(database)
    # The last moment is what is at stake: it is written after the comparison.
    late = "insert into named values ('last', 99)"
    compare = module._Rollback._compare

    def and_then(self: module._Rollback) -> None:
        compare(self)
        query(database, late, role="atlas")

    monkeypatch.setattr(module._Rollback, "_compare", and_then)
    monkeypatch.setattr(module._Rollback, "_settle", lambda _: None)
    if where == "refuse_writes":
        monkeypatch.setattr(install, where, cut)
    elif where == "unblock":

        def only_of_the_copy(connection: sqlite3.Connection) -> bool:
            (name,) = [row[2] for row in connection.execute("pragma database_list")]
            return cut() or False if Path(name) == wal else unblock(connection)  # type: ignore[func-returns-value]

        monkeypatch.setattr(module, where, only_of_the_copy)
    else:
        monkeypatch.setattr(module, where, cut)
    with pytest.raises(CutError):
        back(database, wal)
    monkeypatch.undo()
    if where == "unblock":
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            query(database, "insert into named values ('nowhere', 98)", role="atlas")
    settled = settle(database, wal)
    if where == "finish":
        assert "completed" in settled.done
        assert rows(wal, "select name from named where rank = 99") == Counter({("last",): 1})
        return
    assert settled.truth is Side.POSTGRESQL
    query(database, "insert into named values ('after', 97)", role="atlas")
    back(database, wal)
    assert rows(wal, "select name from named where rank in (97, 99)") == Counter(
        {("last",): 1, ("after",): 1}
    )


def test_rows_in_quarantine_stay_in_the_file(database: Server, tmp_path: Path) -> None:
    source = make(
        tmp_path / "source.db",
        "create table logs (id integer primary key, timestamp datetime, level varchar(20),"
        " source varchar(50), message text, metadata_blob json);"
        "insert into logs values (1, '2026-01-01 00:00:00', 'INFO', 's', 'm', null),"
        " (2, 'yesterday', 'INFO', 's', 'odd', null);",
    )
    assert follow(database, source, "--once", "--quarantine").returncode == 5
    move(database, source, quarantine=True)
    query(database, "update logs set message = 'new' where id = 1", role="atlas")
    back(database, source)
    assert rows(source, "select id, timestamp, message from logs where id = 2") == Counter(
        {(2, "yesterday", "odd"): 1}
    )
    assert rows(source, "select message from logs where id = 1") == Counter({("new",): 1})


def test_another_program_that_wrote_to_the_file_is_noticed(database: Server, wal: Path) -> None:
    moved(database, wal)
    with open_for_writing(wal) as connection:
        for (name,) in connection.execute(
            "select name from sqlite_master where type = 'trigger' and tbl_name = 'named'"
            " and name <> 'own'"
        ).fetchall():
            connection.execute(f'drop trigger "{name}"')
    run(wal, "update named set rank = 1000 where name = 'one'")
    with pytest.raises(VerificationError, match="differ in named"):
        back(database, wal)


def test_a_file_that_never_moved_has_no_way_back(database: Server, wal: Path) -> None:
    with pytest.raises(SourceError, match="is the platform's database"):
        back(database, wal)
    with closing(sqlite3.connect(wal)) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
