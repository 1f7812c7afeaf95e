"""Long runs of the migration's promises; DEEP_ROUNDS sets how long (by hand: hundreds).

Fault tests: whatever dies in the middle, the target holds all or nothing, and in the end
everything, verified.
"""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from database.apply import apply_schema
from database.embedded.server import EmbeddedServer
from database.settings import Server
from scripts.make_demo_database import make_demo_database
from tests.migrations import wait_for_no_migration
from tests.programs import CHECKOUT, environment, query, run_module

pytestmark = pytest.mark.deep

ROUNDS = int(os.environ.get("DEEP_ROUNDS", "50"))
ENGINES = ("copy", "pgloader") if shutil.which("pgloader") else ("copy",)


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A server that may be crashed."""
    # Not in pytest's folder, which its account could not enter.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        instance = EmbeddedServer(Path(folder) / "instance")
        apply_schema(instance.start())
        yield instance
        instance.remove()


def kill_job(_: EmbeddedServer, process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)


def kill_pgloader(_: EmbeddedServer, process: subprocess.Popen[str]) -> None:
    """The child that loads; where there is none at this moment, the job itself."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found = children.read_text().split() if children.exists() else []
    if not found:
        process.send_signal(signal.SIGKILL)
    for child in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGKILL)


def end_sessions(server: EmbeddedServer, process: subprocess.Popen[str]) -> None:
    query(
        Server.from_instance(server.directory),
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name in ('migration', 'pgloader')",
    )


def crash_server(server: EmbeddedServer, _: subprocess.Popen[str]) -> None:
    server.stop(mode="immediate")
    server.start()


Fault = Callable[[EmbeddedServer, subprocess.Popen[str]], None]
#: How often each one is drawn. Crashes of the server take longest.
FAULTS: dict[Fault, int] = {kill_job: 6, kill_pgloader: 2, end_sessions: 2, crash_server: 1}


@pytest.mark.timeout(ROUNDS * 60)
def test_killed_at_random_points_it_still_ends_verified(
    own_server: EmbeddedServer, tmp_path: Path
) -> None:
    source = tmp_path / "source.db"
    make_demo_database(source, target_bytes=2_000_000)
    expected = rows_of(source)
    settings = {"MIGRATION_DIR": tmp_path / "work"}
    server = Server.from_instance(own_server.directory)
    whole = {engine: run_to_the_end(server, source, engine, expected) for engine in ENGINES}
    seed = random.randrange(2**32)
    print(f"seed {seed}, whole runs take {whole}")
    chance = random.Random(seed)
    faults = spread(chance)
    finished = 0
    for number, fault in enumerate(faults):
        engine = ENGINES[number % len(ENGINES)]
        process = subprocess.Popen(
            [sys.executable, "-m", "migration", "run", source, "--engine", engine],
            cwd=CHECKOUT,
            env=environment(server, **settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        # The first part of a run is Python's own start.
        time.sleep(chance.uniform(0.15, 1) * whole[engine])
        fault(own_server, process)
        errors = process.communicate(timeout=120)[1]
        assert "Traceback" not in errors, errors
        assert process.returncode in (0, 4, -signal.SIGKILL), errors
        server = Server.from_instance(own_server.directory)
        wait_for_no_migration(server)
        if committed(server):
            finished += 1
            assert rows_in(server, expected) == expected, fault.__name__
            empty(server, expected)
        else:
            assert rows_in(server, expected) == dict.fromkeys(expected, 0), fault.__name__
    assert finished < len(faults), "no run was hit"
    for engine in ENGINES:
        run_to_the_end(server, source, engine, expected)


def spread(chance: random.Random) -> list[Fault]:
    """ROUNDS faults in their proportions, in random order; each one at least once."""
    faults = list(FAULTS)
    drawn = faults + chance.choices(faults, weights=list(FAULTS.values()), k=ROUNDS)
    drawn = drawn[:ROUNDS]
    chance.shuffle(drawn)
    return drawn


def run_to_the_end(server: Server, source: Path, engine: str, expected: dict[str, int]) -> float:
    """Everything arrives and is verified; then it is removed again. Seconds of the run."""
    settings = {"MIGRATION_DIR": source.parent / "work"}
    started = time.monotonic()
    result = run_module("migration", "run", source, "--engine", engine, server=server, **settings)
    seconds = time.monotonic() - started
    assert result.returncode == 0, result.stderr
    assert rows_in(server, expected) == expected
    verified = run_module("migration", "verify", server=server, **settings)
    assert verified.returncode == 0, verified.stderr
    leftovers = "select tablename from pg_tables where schemaname = 'migration_staging'"
    assert query(server, leftovers) == []
    empty(server, expected)
    return seconds


def rows_of(source: Path) -> dict[str, int]:
    with contextlib.closing(sqlite3.connect(source)) as connection:
        names = connection.execute(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite%'"
        ).fetchall()
        return {
            name: connection.execute(f'select count(*) from "{name}"').fetchone()[0]
            for (name,) in names
        }


def rows_in(server: Server, expected: dict[str, int]) -> dict[str, int]:
    """Rows of the same tables in the target; none where a table is not there."""
    there = {str(name) for (name,) in query(server, "select tablename from pg_tables")}
    return {
        name: int(str(query(server, f'select count(*) from public."{name}"')[0][0]))
        if name in there
        else 0
        for name in expected
    }


def committed(server: Server) -> bool:
    return query(server, "select count(*) from migration.run where status = 'verified'") == [(1,)]


def empty(server: Server, expected: dict[str, int]) -> None:
    """As before the first run."""
    known = {
        str(name)
        for (name,) in query(
            server,
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and relkind = 'r' and obj_description(oid, 'pg_class') is not null",
        )
    }
    tables = ", ".join(f'public."{name}"' for name in expected if name in known)
    query(server, f"truncate migration.run, {tables} cascade")
    for name in expected.keys() - known:
        query(server, f'drop table public."{name}" cascade')
