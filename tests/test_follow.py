"""Following: after every step the target is what the source was at one moment."""

import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from database.embedded.temporary import temporary_server
from database.errors import SourceError, TargetError
from database.settings import Server
from migration.capture.changes import first_change, prune
from migration.capture.install import last_change, open_for_writing
from migration.follow import moment
from tests import following
from tests.following import follow, follower, run
from tests.migrations import make
from tests.platform_writer import make_platform
from tests.programs import query, run_module
from tests.test_capture import KINDS, STATEMENTS, schema_of


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source.db", "pragma journal_mode = wal;" + KINDS)


def verify(server: Server, source: Path) -> None:
    """Every value of every row, by the migration's own comparison."""
    result = follow(server, source, "--once")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("at_once", [False, True])
def test_every_kind_of_statement_arrives(database: Server, source: Path, at_once: bool) -> None:
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("pragma foreign_keys = on")
        # Once before, so that the types of the target suit what comes.
        for text in each_statement():
            connection.executescript(text)
        verify(database, source)
        steps = follower(database, source)
        for text in each_statement():
            with suppress(sqlite3.IntegrityError):
                connection.executescript(text)
            if connection.in_transaction:
                connection.execute("rollback")
            if not at_once:
                steps.step()
    steps.step()
    assert steps.lag().entries == 0
    assert query(database, "select * from migration.quarantine") == []
    compare(database, source)
    verify(database, source)


def each_statement() -> Iterator[str]:
    for text in STATEMENTS:
        for table in ["numbered", "counted", "keyless"] if "{t}" in text else [""]:
            yield text.replace("{t}", table)


def compare(server: Server, source: Path) -> None:
    """Without any code of the migration: as texts, side by side."""
    with closing(sqlite3.connect(source)) as connection:
        names = [
            name
            for (name,) in connection.execute("select name from sqlite_master where type = 'table'")
            # The keys of "packed" are of several classes here, and text there.
            if not name.startswith(("sqlite_", "_migration_", "packed"))
        ]
        for name in names:
            quoted = '"' + name.replace('"', '""') + '"'
            ours = Counter(connection.execute(f"select * from {quoted}").fetchall())
            theirs = Counter(query(server, f"select * from {quoted}"))
            assert Counter(map(texts, ours.elements())) == Counter(map(texts, theirs.elements()))


def texts(row: tuple[object, ...]) -> tuple[str, ...]:
    return tuple(f"{value:.6f}" if isinstance(value, int | float) else repr(value) for value in row)


def test_status_and_stop(database: Server, source: Path) -> None:
    before = schema_of(source)
    assert "is not followed" in follow(database, source, "--status").stdout
    verify(database, source)
    assert "caught up" in follow(database, source, "--status").stdout
    run(source, "insert into numbered (name) values ('a'), ('b')")
    assert "2 changes and" in follow(database, source, "--status").stdout
    # Other verbs work beside it, and a snapshot of a followed file has no trace of that.
    assert run_module("migration", "status", server=database).returncode == 0
    assert "_migration_" not in run_module("migration", "profile", source).stdout
    assert follow(database, source, "--stop").returncode == 0
    assert schema_of(source) == before
    assert "was not followed" in follow(database, source, "--stop").stdout


def test_a_row_that_is_refused_waits_in_quarantine_until_it_is_corrected(
    database: Server, source: Path
) -> None:
    run(source, "insert into numbered values (1, 'one'), (2, 'two')")
    verify(database, source)
    steps = follower(database, source)
    run(source, "update numbered set name = cast(x'610062' as text) where id = 1")
    steps.step()
    assert query(database, "select id, name from numbered") == [(2, "two")]
    refused = "select table_name, source_key, sqlstate from migration.quarantine"
    assert query(database, refused) == [("numbered", {"id": 1}, "22021")]
    again = follow(database, source, "--once")
    assert again.returncode == 5
    assert "1 rows of the source are in migration.quarantine" in again.stderr
    run(source, "update numbered set name = cast(x'0000' as text) where id = 2")
    run(source, "update numbered set name = 'a' where id = 1", "delete from numbered where id = 2")
    steps.step()
    assert query(database, "select id, name from numbered") == [(1, "a")]
    assert query(database, refused) == []
    verify(database, source)


def test_a_key_that_is_anothers_in_the_target_arrives_when_that_one_is_gone(
    database: Server, tmp_path: Path
) -> None:
    # Two rows to SQLite, one UUID to PostgreSQL.
    lower, upper = "0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a11", "0B0E7A52-6F0E-4A6E-9D39-2F6A3A3F0A11"
    source = make_platform(tmp_path / "platform.db")
    insert = "insert into sessions values ('{}', '2026-02-0{} 10:00:00', null, '{{}}')"
    run(source, insert.format(lower, 1))
    verify(database, source)
    steps = follower(database, source)
    days = "select extract(day from started_at)::int from sessions"
    refused = "select count(*) from migration.quarantine"
    run(source, insert.format(upper, 2))
    steps.step()
    assert (query(database, days), query(database, refused)) == ([(1,)], [(1,)])
    run(source, f"update sessions set started_at = '2026-02-03 10:00:00' where id = '{upper}'")
    steps.step()
    assert (query(database, days), query(database, refused)) == ([(1,)], [(1,)])
    run(source, f"update sessions set started_at = '2026-02-04 10:00:00' where id = '{lower}'")
    steps.step()
    assert query(database, refused) == [(1,)]
    run(source, f"delete from sessions where id = '{lower}'")
    steps.step()
    assert (query(database, days), query(database, refused)) == ([(3,)], [(0,)])
    run(source, f"delete from sessions where id = '{upper}'")
    steps.step()
    assert (query(database, days), query(database, refused)) == ([], [(0,)])
    verify(database, source)


def test_orphans_wait_for_the_cutover(database: Server, tmp_path: Path) -> None:
    source = make_platform(tmp_path / "platform.db")
    verify(database, source)
    child = (
        "insert into tasks (id, session_id, goal, status, golden_path, created_at, metadata_blob) "
        "values ('0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a11', '0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a12', "
        "'g', 's', 0, '2026-02-01 10:00:00', '{}')"
    )
    run(source, child)
    steps = follower(database, source)
    steps.step()
    run(
        source,
        "insert into sessions values ('0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a12', "
        "'2026-02-01 10:00:00', null, '{}')",
    )
    steps.step()
    assert query(database, "select count(*) from tasks join sessions s on session_id = s.id") == [
        (1,)
    ]
    verify(database, source)


def test_a_changed_schema_ends_it_and_it_starts_over_when_asked(
    database: Server, tmp_path: Path
) -> None:
    source = make_platform(tmp_path / "platform.db")
    verify(database, source)
    steps = follower(database, source)
    run(source, "create table dataset_new (row_id integer primary key, a text)")
    run(source, "insert into dataset_new (a) values ('x')")
    with pytest.raises(SourceError, match="The schema of the source changed"):
        steps.step()
    refused = follow(database, source, "--once")
    assert refused.returncode == 3
    assert "--replace" in refused.stderr
    again = follow(database, source, "--replace", "--once")
    assert again.returncode == 0, again.stderr
    assert query(database, "select a from dataset_new") == [("x",)]


def test_rows_without_a_key_survive_vacuum(database: Server, source: Path) -> None:
    run(source, "insert into keyless values ('a', 1), ('b', 2), ('c', 3), ('d', 4)")
    verify(database, source)
    steps = follower(database, source)
    run(source, "delete from keyless where name = 'a'", "insert into keyless values ('e', 5)")
    run(source, "vacuum", "insert into keyless values ('f', 6), (cast(x'00' as text), 7)")
    steps.step()
    names = "select name from keyless order by value"
    assert query(database, names) == [("b",), ("c",), ("d",), ("e",), ("f",)]
    run(source, "delete from keyless where name in ('c', 'f')")
    run(source, "vacuum", "update keyless set name = 'z' where value = 7")
    steps.step()
    assert query(database, names) == [("b",), ("d",), ("e",), ("z",)]
    verify(database, source)


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_more_changes_than_are_read_from_a_live_file(
    database: Server, source: Path, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(source, f"pragma journal_mode = {journal}", "insert into numbered values (1, 'one')")
    verify(database, source)
    monkeypatch.setattr(moment, "_MOST_KEYS", 100)
    steps = follower(database, source)
    run(
        source,
        "with recursive n (i) as (select 2 union all select i + 1 from n where i < 12000) "
        "insert into numbered select i, 'row ' || i from n",
        "update numbered set name = upper(name) where id % 7 = 0",
    )
    steps.step()
    assert query(database, "select count(*), max(id) from numbered") == [(12_000, 12_000)]
    # What was applied is cut off, and numbers go on.
    with closing(sqlite3.connect(source)) as connection:
        assert first_change(connection) == last_change(connection) > 12_000
    run(source, "delete from numbered where id > 1")
    steps.step()
    verify(database, source)
    assert list((source.parent / "work").glob(".*")) == []


def test_a_source_that_was_restored_is_noticed(database: Server, source: Path) -> None:
    verify(database, source)
    steps = follower(database, source)
    run(source, "insert into numbered values (1, 'one')", "pragma journal_mode = delete")
    steps.step()
    earlier = source.read_bytes()
    run(source, "insert into numbered values (2, 'two')")
    steps.step()
    source.write_bytes(earlier)
    with pytest.raises(SourceError, match="older than what the target has"):
        steps.step()


def test_a_target_that_was_restored_is_noticed(database: Server, source: Path) -> None:
    verify(database, source)
    steps = follower(database, source)
    for number in range(3):
        run(source, f"insert into numbered values ({number}, 'x')")
        steps.step()
    with open_for_writing(source) as connection:
        prune(connection, last_change(connection))
    query(database, "update migration.follow set applied = 0")
    run(source, "insert into numbered values (9, 'x')")
    with pytest.raises(SourceError, match="has lost what it had"):
        steps.step()


def test_a_difference_that_nobody_logged_is_found(database: Server, source: Path) -> None:
    run(source, "insert into numbered values (1, 'one')")
    verify(database, source)
    query(database, "update numbered set name = 'another' where id = 1")
    found = follow(database, source, "--once")
    assert found.returncode == 6
    assert "numbered" in found.stderr


def test_a_load_that_is_refused_leaves_no_trace(database: Server, source: Path) -> None:
    run(source, "insert into numbered values (1, cast(x'610062' as text))")
    before = schema_of(source)
    refused = follow(database, source, "--once")
    assert refused.returncode == 5
    assert schema_of(source) == before
    kept = follow(database, source, "--quarantine", "--once")
    assert kept.returncode == 5
    assert query(database, "select count(*) from migration.quarantine") == [(1,)]
    run(source, "update numbered set name = 'a'")
    verify(database, source)
    assert query(database, "select name from numbered") == [("a",)]


def test_replayed_rows_would_be_overwritten_and_that_is_said(
    database: Server, source: Path
) -> None:
    run(source, "insert into numbered values (1, cast(x'610062' as text))")
    follow(database, source, "--quarantine", "--once")
    replayed = run_module(
        "migration", "quarantine", "replay", "--all", "--nul", "strip", server=database
    )
    assert replayed.returncode == 0, replayed.stderr
    run(source, "insert into numbered values (2, 'b')")
    with pytest.raises(TargetError, match="were replayed while their source is followed"):
        follower(database, source).step()


def test_the_second_of_two_waits_for_its_turn(database: Server, source: Path) -> None:
    verify(database, source)
    first = following.start(database, source)
    second = following.start(database, source)
    try:
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline(), "it works, and knows what to do with a signal"
        for number in range(30):
            run(source, f"insert into numbered values ({number}, 'x')")
        for _ in range(100):
            if query(database, "select count(*) from numbered") == [(30,)]:
                break
            time.sleep(0.2)
        assert first.poll() is None
        assert second.poll() is None
    finally:
        for process in (first, second):
            process.terminate()
            said, _ = process.communicate()
            assert process.returncode == 7, said
    verify(database, source)


def test_without_the_right_to_keep_triggers_quiet_it_says_what_to_do(
    own_cluster: Server, source: Path
) -> None:
    verify(own_cluster, source)
    query(own_cluster, "revoke set on parameter session_replication_role from migrator")
    run(source, "insert into numbered values (1, 'x')")
    refused = follow(own_cluster, source, "--once")
    assert refused.returncode == 4
    assert "grant set on parameter session_replication_role to migrator" in refused.stderr


@pytest.fixture
def own_cluster() -> Iterator[Server]:
    """The right is the cluster's, and other tests of it need it."""
    with temporary_server(options={"fsync": "off"}) as server:
        yield server
