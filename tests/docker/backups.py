"""What the tests of backups in containers share."""

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests.docker.project import Project, docker

#: No backup and no verification but those that a test asks for.
BY_HAND = {"BACKUP_INCR_HOURS": "9999", "BACKUP_VERIFY_HOURS": "9999"}
REPOSITORY = "/var/lib/pgbackrest"

Result = subprocess.CompletedProcess[str]


def backup(
    project: Project, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """`docker compose run --rm backup …`, as the documentation has it."""
    return project.compose("run", "--rm", "-T", "backup", *arguments, check=check)


def restore(
    project: Project, *arguments: str, check: bool = True
) -> subprocess.CompletedProcess[str]:
    return project.compose("run", "--rm", "-T", "restore", *arguments, check=check)


def listed(project: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(backup(project, "list", "--json").stdout)
    return found


def problems(project: Project) -> list[str]:
    """What `check` has to say; its exit code agrees."""
    result = backup(project, "check", "--json", check=False)
    found: list[str] = json.loads(result.stdout)["problems"]
    assert result.returncode == (8 if found else 0), result.stderr
    return found


def up(project: Project, *services: str) -> None:
    """`docker compose --profile backup up --wait`; a failure shows what the service said."""
    command = ("--profile", "backup", "up", "--build", "--detach", "--wait", *services)
    result = project.compose(*command, check=False)
    if result.returncode:
        state = project.containers()["backup"]["State"]
        logs = project.compose("logs", "--no-color", "--timestamps", "--tail=100", "backup")
        pytest.fail(f"{result.stderr}\n{json.dumps(state, indent=1)}\n{logs.stdout}")


def numbers(project: Project) -> list[int]:
    return [int(line) for line in project.psql("select i from n order by i").split()]


def inside(project: Project, service: str, script: str) -> str:
    """A shell script in a new container of a service, with its volumes."""
    command = ("run", "--rm", "-T", "--no-deps", "--entrypoint", "bash", service, "-euc", script)
    return project.compose(*command).stdout


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.2)


def wipe(project: Project) -> None:
    """What a lost disk does: the containers are killed, the data is gone."""
    project.compose("--profile", "*", "kill")
    project.compose("--profile", "*", "rm", "--force")
    docker("volume", "rm", f"{project.name}_postgres_data")


@contextmanager
def writing(project: Project) -> Iterator[list[int]]:
    """Somebody commits 0, 1, 2, …; what PostgreSQL has acknowledged so far."""
    acknowledged: list[int] = []
    stopped = threading.Event()
    password = project.secret("postgres_password")

    def write() -> None:
        with psycopg.connect(
            host="127.0.0.1",
            port=project.postgres_port,
            dbname="atlastrinity_prod",
            user="postgres",
            password=password,
            autocommit=True,
        ) as link:
            while not stopped.is_set():
                link.execute("insert into n values (%s)", [len(acknowledged)])
                acknowledged.append(len(acknowledged))
                time.sleep(0.005)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield acknowledged
    finally:
        stopped.set()
        writer.join()
