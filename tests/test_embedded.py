"""The embedded server: own folder, own port, SCRAM, unprivileged, survives stop and start."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from database.connect import connect
from database.embedded.server import EmbeddedServer
from database.errors import TargetError, UsageError
from tests.programs import CHECKOUT, query


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="atlas-embedded-"))
    path.chmod(0o755)
    yield path
    EmbeddedServer(path).remove()


def test_starts_stops_and_keeps_its_data(directory: Path) -> None:
    instance = EmbeddedServer(directory)
    admin = instance.start().with_database("postgres")
    query(admin, "create table kept (v int)")
    assert instance.start() == instance.start(), "a running server is left alone"
    assert instance.stop()
    assert not instance.running()
    assert not instance.stop(), "stopping twice is no error"
    again = instance.start().with_database("postgres")
    assert again == admin, "clients find it where it was"
    assert query(again, "select count(*) from kept") == [(0,)]


def test_two_run_side_by_side(directory: Path) -> None:
    first = EmbeddedServer(directory / "a")
    second = EmbeddedServer(directory / "b")
    try:
        assert first.start().port != second.start().port
    finally:
        first.stop()
        second.stop()


def test_runs_as_nobody_of_importance_and_asks_for_a_password(directory: Path) -> None:
    instance = EmbeddedServer(directory)
    server = instance.start().with_database("postgres")
    pid = int((directory / "data" / "postmaster.pid").read_text().splitlines()[0])
    assert Path(f"/proc/{pid}").stat().st_uid != 0
    (directory / "secrets" / "postgres_password").write_text("wrong\n")
    with pytest.raises(TargetError, match="password authentication failed"):
        connect(server, "postgres")


def test_secrets_are_readable_by_their_owner_alone(directory: Path) -> None:
    EmbeddedServer(directory).start()
    for secret in (directory / "secrets").iterdir():
        assert secret.stat().st_mode & 0o077 == 0


def test_killed_server_starts_again(directory: Path) -> None:
    instance = EmbeddedServer(directory)
    server = instance.start().with_database("postgres")
    query(server, "create table kept (v int)")
    pid = int((directory / "data" / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)
    again = instance.start().with_database("postgres")
    assert query(again, "select count(*) from kept") == [(0,)]


def test_taken_port_is_passed_over(directory: Path) -> None:
    first, second = EmbeddedServer(directory / "a"), EmbeddedServer(directory / "b")
    try:
        port = first.start().port
        (directory / "b").mkdir()
        (directory / "b" / "port").write_text(f"{port}\n")
        assert second.start().port != port
    finally:
        first.stop()
        second.stop()


def test_failed_start_says_why_and_leaves_nothing_running(directory: Path) -> None:
    instance = EmbeddedServer(directory, options={"shared_buffers": "nonsense"})
    with pytest.raises(TargetError, match="shared_buffers"):
        instance.start()
    assert not instance.running()
    assert EmbeddedServer(directory).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the server as another user")
def test_folder_that_the_server_cannot_enter_is_refused(directory: Path) -> None:
    closed = directory / "home"
    closed.mkdir(mode=0o700)
    with pytest.raises(UsageError, match="cannot enter"):
        EmbeddedServer(closed / "instance").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the server as another user")
def test_installation_that_the_server_cannot_enter_is_copied(directory: Path) -> None:
    """A clone with its venv in a home of mode 700: the binaries are out of the user's reach."""
    from database.binaries import server_binaries

    home = directory / "closed"
    home.mkdir(mode=0o700)
    shutil.copytree(server_binaries().parent, home / "postgresql", symlinks=True)
    result = subprocess.run(
        [sys.executable, "-m", "database", "start", "--directory", directory / "instance"],
        cwd=CHECKOUT,
        env={**os.environ, "POSTGRES_BIN": str(home / "postgresql" / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        assert result.returncode == 0, result.stderr
    finally:
        EmbeddedServer(directory / "instance").stop()


def test_status_says_what_runs(directory: Path) -> None:
    def status() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "database", "status", "--directory", directory],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=False,
        )

    assert status().returncode == 4
    server = EmbeddedServer(directory).start()
    result = status()
    assert result.returncode == 0
    assert f"127.0.0.1:{server.port}" in result.stdout
    assert "PostgreSQL 17." in result.stdout
