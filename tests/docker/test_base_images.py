"""postgres:17-trixie, official or stand-in, keeps the part of its contract that we use."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker.project import docker, run

IMAGE = "postgres:17-trixie"
pytestmark = pytest.mark.usefixtures("base_images")


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a container and its volume, removed afterwards."""
    chosen = f"atlas-test-{uuid.uuid4().hex[:8]}"
    yield chosen
    run(["docker", "rm", "--force", "--volumes", chosen], check=False)
    run(["docker", "volume", "rm", "--force", chosen], check=False)


def start(name: str, folder: Path, *options: str, arguments: tuple[str, ...] = ()) -> None:
    """Start the image with a password file, a database `app`, and its volume."""
    password = folder / "password"
    password.write_text("a password with 'quotes' and \\ in it\n")
    password.chmod(0o644)
    mounts = (f"--volume={name}:/var/lib/postgresql/data", f"--volume={password}:/run/pw:ro")
    settings = ("POSTGRES_PASSWORD_FILE=/run/pw", "POSTGRES_USER=boss", "POSTGRES_DB=app")
    environment = [f"--env={setting}" for setting in settings]
    docker("run", "--detach", f"--name={name}", *mounts, *environment, *options, IMAGE, *arguments)


def wait_ready(name: str) -> None:
    """Until TCP answers, as the compose health check asks."""
    for _ in range(120):
        asked = run(["docker", "exec", name, "pg_isready", "-q", "-h", "127.0.0.1"], check=False)
        if asked.returncode == 0:
            return
        time.sleep(0.25)
    pytest.fail(f"not ready: {docker('logs', name)}")


def ask(name: str, statement: str, *options: str) -> str:
    psql = ("psql", "-X", "-U", "boss", "-d", "app", "-Atc", statement)
    return docker("exec", *options, name, *psql).strip()


def test_initialises_once_with_files_arguments_and_options(name: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    # The init-time server listens on its socket only: what is here runs before TCP answers.
    script = tmp_path / "10-check.sh"
    script.write_text("! pg_isready -q -h 127.0.0.1 || exit 1\n")
    (tmp_path / "20-table.sql").write_text("create table made_at_init (n int);")
    for file in (script, tmp_path / "20-table.sql"):
        file.chmod(0o644)
    initdb = "--locale-provider=builtin --builtin-locale=C.UTF-8 --data-checksums"
    options = (
        f"--env=POSTGRES_INITDB_ARGS={initdb} --auth-host=scram-sha-256 --auth-local=trust",
        *(f"--volume={tmp_path}/{f}:/docker-entrypoint-initdb.d/{f}:ro" for f in files(tmp_path)),
    )
    start(name, tmp_path, *options, arguments=("-c", "work_mem=7MB"))
    wait_ready(name)
    assert ask(name, "show data_checksums") == "on"
    assert ask(name, "select datlocprovider, datlocale from pg_database where datname = 'app'") == (
        "b|C.UTF-8"
    )
    assert ask(name, "show work_mem") == "7MB"
    assert ask(name, "select count(*) from made_at_init") == "0"
    assert docker("exec", name, "id", "-u", "postgres").strip() == "999"
    assert docker("exec", name, "stat", "-c", "%u:%g", "/var/lib/postgresql/data").strip() == (
        "999:999"
    )
    ask(name, "insert into made_at_init values (1)")
    docker("restart", name)
    wait_ready(name)
    assert ask(name, "select count(*) from made_at_init") == "1"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix in {".sh", ".sql"})


def test_asks_for_the_password_of_the_file_over_tcp(name: str, tmp_path: Path) -> None:
    start(name, tmp_path, "--user=999:999")
    wait_ready(name)
    address = docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name).strip()
    tcp = ("exec", "--env=PGPASSWORD=wrong", name, "psql", "-h", address, "-U", "boss", "app")
    refused = run(["docker", *tcp, "-c", "select 1"], check=False)
    assert "password authentication failed" in refused.stderr
    right = f"--env=PGPASSWORD={(tmp_path / 'password').read_text().strip()}"
    docker("exec", right, name, "psql", "-h", address, "-U", "boss", "app", "-c", "select 1")


def test_refuses_to_start_without_a_password(name: str) -> None:
    result = run(["docker", "run", f"--name={name}", IMAGE], check=False)
    assert result.returncode != 0
    assert "POSTGRES_PASSWORD" in result.stderr


def test_stops_fast_though_a_client_is_connected(name: str, tmp_path: Path) -> None:
    start(name, tmp_path, "--env=POSTGRES_INITDB_ARGS=--auth-local=trust")
    wait_ready(name)
    docker("exec", "--detach", name, "psql", "-U", "boss", "app", "-c", "select pg_sleep(600)")
    started = time.monotonic()
    docker("stop", "--time=60", name)
    assert time.monotonic() - started < 20
    assert docker("inspect", "-f", "{{.State.ExitCode}}", name).strip() == "0"
