"""Target lost, disk full, stopped by a signal: the run says so, and the next one ends verified."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from database.apply import apply_schema
from database.connect import connect
from database.embedded.server import EmbeddedServer
from database.settings import Server
from tests.engines import ENGINES
from tests.migrations import LOGS, make, migrate, wait_for_no_migration
from tests.programs import CHECKOUT, environment, query

MANY = 60_000


@pytest.fixture
def many(tmp_path: Path) -> Path:
    return make(
        tmp_path / "source.db",
        LOGS
        + f"""with recursive n(i) as (select 1 union all select i + 1 from n where i < {MANY})
             insert into logs select i, null, '2026-02-01 10:00:00', 'INFO', 's', 'm', null
                 from n;""",
    )


def run_until(
    server: Server, source: Path, step: str, act: Callable[[subprocess.Popen[str]], object]
) -> tuple[int, str]:
    """A run that something happens to after a step: its exit code and its stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "migration", "run", source],
        cwd=CHECKOUT,
        env=environment(server, MIGRATION_DIR=source.parent / "work"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if f"✓ {step}" in line:
            break
    else:
        raise AssertionError(f"the run ended before {step}: {seen}")
    act(process)
    errors = seen + process.stderr.read()
    code = process.wait(120)
    assert "Traceback" not in errors, errors
    return code, errors


def terminate_backends(server: Server) -> None:
    query(
        server,
        """select pg_terminate_backend(pid) from pg_stat_activity
           where application_name = 'migration' and datname = current_database()""",
    )


@pytest.mark.parametrize("step", ["plan", "load"])
def test_session_that_the_server_ends_is_said_and_the_next_run_ends_verified(
    database: Server, many: Path, step: str
) -> None:
    code, errors = run_until(database, many, step, lambda _: terminate_backends(database))
    assert code == 4
    assert "terminating connection" in errors or "connection" in errors
    wait_for_no_migration(database)
    assert query(database, "select count(*) from logs") == [(0,)]
    assert migrate(database, many).returncode == 0
    assert query(database, "select count(*) from logs") == [(MANY,)]


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("server")
    for parent in (folder, *folder.parents[:3]):
        with contextlib.suppress(PermissionError):
            parent.chmod(0o755)
    instance = EmbeddedServer(folder / "instance")
    apply_schema(instance.start())
    yield instance
    instance.remove()


def test_server_that_stops_is_said_and_the_next_run_ends_verified(
    own_server: EmbeddedServer, many: Path
) -> None:
    server = Server.from_instance(own_server.directory)
    with contextlib.closing(connect(server, "postgres")) as other:
        # Holds the run back, so that the server stops in the middle of it.
        other.execute("lock table logs in row exclusive mode")
        code, errors = run_until(server, many, "plan", lambda _: own_server.stop())
    assert code == 4
    assert "→" in errors
    own_server.start()
    server = Server.from_instance(own_server.directory)
    assert migrate(server, many).returncode == 0
    assert query(server, "select count(*) from logs") == [(MANY,)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_the_run_with_its_own_code(
    database: Server, many: Path, number: signal.Signals
) -> None:
    code, errors = run_until(database, many, "plan", lambda process: process.send_signal(number))
    assert code == 7
    assert "Interrupted" in errors
    wait_for_no_migration(database)
    assert query(database, "select count(*) from logs") == [(0,)]
    assert migrate(database, many).returncode == 0


def test_of_two_runs_at_once_one_is_refused(database: Server, many: Path) -> None:
    second: list[subprocess.CompletedProcess[str]] = []

    with connect(database, "postgres") as other:
        # Holds the first run back, so that the second one meets it.
        other.execute("lock table logs in row exclusive mode")

        def start_another(_: subprocess.Popen[str]) -> None:
            second.append(migrate(database, many))
            other.rollback()

        code, _ = run_until(database, many, "plan", start_another)
    assert code == 0
    assert second[0].returncode == 4
    assert "Another migration" in second[0].stderr
    assert query(database, "select count(*) from logs") == [(MANY,)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting needs root with CAP_SYS_ADMIN")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("engine", ENGINES)
def test_full_disk_of_the_job_is_named(
    database: Server, many: Path, small_disk: Path, engine: str
) -> None:
    result = migrate(database, many, "--engine", engine, MIGRATION_DIR=small_disk)
    assert result.returncode == 2, result.stderr
    assert "MIGRATION_DIR" in result.stderr
    assert "Traceback" not in result.stderr
    assert query(database, "select count(*) from logs") == [(0,)]
    assert migrate(database, many, "--engine", engine).returncode == 0


def test_full_disk_of_the_target_is_named(database: Server, many: Path, small_disk: Path) -> None:
    data = small_disk / "data"
    data.mkdir()
    owner = query(database, "select current_setting('data_directory')")[0][0]
    subprocess.run(["chown", "--reference", str(owner), data], check=True)
    for parent in (small_disk.parent, *small_disk.parent.parents[:2]):
        parent.chmod(parent.stat().st_mode | 0o055)
    name = f"small_{database.database}"
    query(database, f"create tablespace {name} location '{data}'")
    try:
        query(database, f"alter table logs set tablespace {name}")
        result = migrate(database, many)
        assert result.returncode == 4, result.stderr
        assert "The target's disk is full" in result.stderr
        assert query(database, "select count(*) from logs") == [(0,)]
        query(database, "alter table logs set tablespace pg_default")
        assert migrate(database, many).returncode == 0
    finally:
        query(database, "alter table logs set tablespace pg_default")
        query(database, f"drop tablespace {name}")
