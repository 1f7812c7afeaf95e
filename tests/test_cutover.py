"""The cutover: what is in SQLite at that moment is in PostgreSQL, or everything is as before."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from database.errors import BundleError, LockedTooLongError
from database.settings import Server
from migration.capture.block import find_block
from migration.capture.install import find, open_for_writing
from migration.cutover import cutover as module
from migration.cutover.cutover import Options, Outcome, cutover
from migration.cutover.lock import WriteLock
from migration.cutover.settle import Side, settle
from migration.follow.follow import Follower
from migration.identities import reset_identities
from migration.progress import Steps
from migration.statements import Connection
from tests import following
from tests.following import follow, run
from tests.migrations import make
from tests.programs import CHECKOUT, environment, query, run_module
from tests.test_capture import schema_of

SCHEMA = """
pragma journal_mode = {mode};
create table sessions (id char(32) primary key, started_at datetime);
create table items (id integer primary key autoincrement, session char(32) references sessions (id),
    label text);
create table notes (id integer primary key, body text unique);
insert into notes values (1, 'one'), (2, 'two');
insert into sessions values ('s1', '2024-01-01 00:00:00'), ('s2', '2024-01-02 00:00:00');
insert into items (session, label) values ('s1', 'a'), ('s2', 'b');
"""


@pytest.fixture(params=["wal", "delete"])
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return make(tmp_path / "source.db", SCHEMA.replace("{mode}", request.param))


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    return make(tmp_path / "source.db", SCHEMA.replace("{mode}", "wal"))


def command(server: Server, source: Path, *options: object) -> subprocess.CompletedProcess[str]:
    work = source.parent / "work"
    patiently = ("--max-lock", "30", *options)
    return run_module("migration", "cutover", source, *patiently, server=server, MIGRATION_DIR=work)


def move(server: Server, source: Path, **options: object) -> Outcome:
    # A busy machine may be slow; what is tested of the bound names its own.
    chosen = Options(source, source.parent / "work", **{"max_lock": 30.0, **options})  # type: ignore[arg-type]
    return cutover(server, chosen, Steps(Console(quiet=True)))


def started(server: Server, source: Path) -> None:
    result = follow(server, source, "--once")
    assert result.returncode == 0, result.stdout + result.stderr


@contextmanager
def as_before(server: Server, source: Path) -> Iterator[None]:
    """Nothing changed for the platform: the same schema, writable, and still followed."""
    schema, count = schema_of(source), query(server, "select count(*) from migration.cutover")
    yield
    assert schema_of(source) == schema
    assert query(server, "select count(*) from migration.cutover") == count
    run(source, "insert into notes (body) values ('after')")
    following.follower(server, source).step()
    assert query(server, "select body from notes where body = 'after'") == [("after",)]


def test_all_is_there_and_sqlite_is_closed(database: Server, source: Path) -> None:
    started(database, source)
    # The last number is given no more, though its row is gone.
    run(source, "insert into items (id, label) values (40, 'x')", "delete from items where id = 40")
    result = command(database, source)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "writers waited for" in result.stdout
    assert query(database, "select state from migration.cutover") == [("done",)]
    inserted = "insert into items (session, label) values ('s1', 'new') returning id"
    assert query(database, inserted, role="atlas") == [(41,)]
    with pytest.raises(sqlite3.IntegrityError, match="moved to PostgreSQL"):
        run(source, "insert into notes (body) values ('late')")
    status = command(database, source, "--status")
    assert "data are in PostgreSQL since" in status.stdout
    again = command(database, source)
    assert again.returncode == 0
    assert "data are in PostgreSQL since" in again.stdout
    assert follow(database, source, "--once").returncode == 3


def test_writes_of_the_last_moment_arrive(database: Server, source: Path) -> None:
    """Several writers write until they are refused; every one that was not is there."""
    started(database, source)
    acknowledged: list[str] = []
    refused = threading.Event()

    def write(name: str) -> None:
        with closing(sqlite3.connect(source, isolation_level=None, timeout=60)) as connection:
            for number in range(100_000):
                try:
                    connection.execute("insert into notes (body) values (?)", [f"{name}{number}"])
                except sqlite3.IntegrityError:
                    refused.set()
                    return
                acknowledged.append(f"{name}{number}")
                time.sleep(0.002)

    writers = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    outcome = move(database, source, max_lock=30.0)
    for writer in writers:
        writer.join()
    assert refused.is_set()
    assert outcome.done
    found = {str(body) for (body,) in query(database, "select body from notes")}
    assert found == {*acknowledged, "one", "two"}


def test_a_dry_run_changes_nothing(database: Server, source: Path) -> None:
    started(database, source)
    with as_before(database, source):
        result = command(database, source, "--dry-run")
        assert result.returncode == 0, result.stdout + result.stderr
        assert "Nothing was changed (--dry-run)" in result.stdout


def test_only_what_is_followed(database: Server, wal: Path) -> None:
    result = command(database, wal)
    assert result.returncode == 3
    assert "migration follow" in result.stderr
    assert "not followed" in command(database, wal, "--status").stdout


def test_a_difference_stops_it(database: Server, wal: Path) -> None:
    started(database, wal)
    query(database, "update notes set body = 'other' where id = 1")
    before = schema_of(wal)
    result = command(database, wal)
    assert result.returncode == 6
    assert "notes" in result.stderr
    assert schema_of(wal) == before


def test_quarantine_has_to_be_accepted(database: Server, wal: Path) -> None:
    started(database, wal)
    run(wal, "insert into notes (body) values (cast(x'00' as text))")
    with as_before(database, wal):
        result = command(database, wal)
        assert result.returncode == 5
        assert "--quarantine" in result.stderr
    assert command(database, wal, "--quarantine").returncode == 0


ORPHANED = [
    # The child comes, the parent goes, the parent is renamed.
    "insert into items (session, label) values ('none', 'c')",
    "delete from sessions where id = 's1'",
    "update sessions set id = 's9' where id = 's1'",
]


def test_orphans_have_to_be_decided(database: Server, wal: Path) -> None:
    started(database, wal)
    run(wal, ORPHANED[0])
    with as_before(database, wal):
        result = command(database, wal)
        assert result.returncode == 5
        assert "1 rows of items (session) without sessions" in result.stderr
    assert command(database, wal, "--orphans", "keep").returncode == 0
    with pytest.raises(Exception, match="foreign key"):
        query(database, "insert into items (session) values ('nowhere')", role="atlas")


@pytest.mark.parametrize("statement", ORPHANED)
def test_orphans_of_the_last_moment_stop_it(
    database: Server, wal: Path, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(database, wal)
    acquire = WriteLock.acquire

    def late(lock: WriteLock, target: object) -> None:
        run(wal, statement)
        acquire(lock, target)  # type: ignore[arg-type]

    monkeypatch.setattr(WriteLock, "acquire", late)
    with as_before(database, wal), pytest.raises(BundleError, match="without sessions"):
        move(database, wal)


def test_a_lock_longer_than_its_bound_is_given_up(
    database: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(database, source)

    def slow(connection: Connection, *rest: object) -> object:
        connection.execute("select count(*) from generate_series(1, 10000000000)")
        return reset_identities(connection, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "reset_identities", slow)
    with as_before(database, source), pytest.raises(LockedTooLongError):
        move(database, source, max_lock=0.3, attempts=2)


def test_a_server_that_hangs_is_hung_up_on(
    database: Server, wal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even statement_timeout ends it: as where the network is gone."""
    started(database, wal)

    def hanging(connection: Connection, *_: object) -> None:
        connection.execute("set local statement_timeout = 0")
        connection.execute("select count(*) from generate_series(1, 10000000000)")

    monkeypatch.setattr(module, "reset_identities", hanging)
    with as_before(database, wal):
        with pytest.raises(BundleError):
            move(database, wal, max_lock=0.3)
        monkeypatch.undo()


class Killed(BaseException):
    """Stands for SIGKILL: nothing that cleans up has its say."""


@pytest.mark.parametrize("before", [True, False])
def test_killed_between_the_commits(database: Server, source: Path, before: bool) -> None:
    started(database, source)
    run(source, "insert into notes (body) values ('late')")
    script = f"""
import os
from pathlib import Path
from migration.cutover.lock import WriteLock
commit = WriteLock.commit
def dying(lock):
    if not {before}:
        commit(lock)
    os._exit(9)
WriteLock.commit = dying
from migration.__main__ import main
import sys
sys.argv = ["migration", "cutover", {str(source)!r}]
main()
"""
    killed = subprocess.run(
        [sys.executable, "-c", script],
        cwd=CHECKOUT,
        env=environment(database, MIGRATION_DIR=source.parent / "work"),
        check=False,
    )
    assert killed.returncode == 9
    assert query(database, "select state from migration.cutover") == [("prepared",)]
    if before:
        # The file has no block: it is the truth, and is written to.
        run(source, "insert into notes (body) values ('later')")
        assert "was undone" in command(database, source, "--status").stdout
        assert query(database, "select * from migration.cutover") == []
        started(database, source)
        result = command(database, source)
        assert result.returncode == 0, result.stdout + result.stderr
    else:
        with pytest.raises(sqlite3.IntegrityError, match="moved to PostgreSQL"):
            run(source, "insert into notes (body) values ('later')")
        assert "was completed" in command(database, source, "--status").stdout
    assert settle(database, source).truth is Side.POSTGRESQL
    assert query(database, "select state from migration.cutover") == [("done",)]
    bodies = {body for (body,) in query(database, "select body from notes")}
    assert bodies == {"one", "two", "late"} | ({"later"} if before else set())


def test_a_follower_beside_it_waits_and_learns(database: Server, wal: Path) -> None:
    started(database, wal)
    steps: Follower = following.follower(database, wal)
    steps.step()
    assert command(database, wal).returncode == 0
    with pytest.raises(BundleError, match="not followed"):
        steps.step()
    with open_for_writing(wal) as connection:
        assert find(connection) is None
        assert find_block(connection) is not None


def test_another_servers_block_is_said(database: Server, wal: Path, cluster: Server) -> None:
    started(database, wal)
    assert command(database, wal).returncode == 0
    query(database, "delete from migration.cutover")
    result = command(database, wal, "--status")
    assert result.returncode == 4
    assert "Is it the right server?" in result.stderr
    assert cluster.host == database.host


def test_the_platform_is_attached(database: Server, wal: Path, tmp_path: Path) -> None:
    started(database, wal)
    config = tmp_path / "config"
    config.mkdir()
    (config / "config.yaml").write_text("database:\n  url: sqlite+aiosqlite:///x.db\n")
    options = f"--config-dir {config} --no-mcp"
    broken = command(database, wal, "--attach", "--no-such-option")
    assert broken.returncode == 2
    assert settle(database, wal).truth is Side.SQLITE
    result = command(database, wal, "--attach", options)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "postgresql" in (config / "config.yaml").read_text()


def test_the_guide_does_all_of_it_and_goes_on_where_it_was(database: Server, wal: Path) -> None:
    before = schema_of(wal)
    assert command(database, wal, "--guide").returncode != 0, "nobody answers"
    assert schema_of(wal) == before
    assert settle(database, wal).truth is Side.UNKNOWN
    result = command(database, wal, "--guide", "--yes")
    assert result.returncode == 0, result.stdout + result.stderr
    for text in ["1/4 Profile", "2/4 Follow", "3/4 Wait", "4/4 Cut over", "risk:", "undo:"]:
        assert text in result.stdout
    assert settle(database, wal).truth is Side.POSTGRESQL
    again = command(database, wal, "--guide", "--yes")
    assert again.returncode == 0
    assert "data are in PostgreSQL" in again.stdout
