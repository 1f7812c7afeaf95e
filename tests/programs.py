"""Running the bundle's programs as a user does: another process, settings by environment."""

import contextlib
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import BinaryIO

from database.apply import psql_environment
from database.binaries import client_program
from database.connect import connect, passfile
from database.errors import TargetError
from database.settings import Server
from tests.forks import Fork, Forks

CHECKOUT = Path(__file__).resolve().parents[1]
_TIMEOUT_SECONDS = 240


def environment(server: Server | None, **settings: object) -> dict[str, str]:
    """This process's environment, pointed at `server`."""
    chosen = {**os.environ, **{name: str(value) for name, value in settings.items()}}
    if server is not None:
        chosen |= {
            "POSTGRES_HOST": server.host,
            "POSTGRES_PORT": str(server.port),
            "POSTGRES_DB": server.database,
            "SECRETS_DIR": str(server.secrets_dir),
        }
    return chosen


def run_module(
    *arguments: object, server: Server | None = None, **settings: object
) -> subprocess.CompletedProcess[str]:
    """`python -m …` in the checkout; `settings` become environment variables."""
    return run_python("-m", *arguments, variables=environment(server, **settings))


def run_python(*arguments: object, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`python …` in the checkout, with this environment: a module or a file of the bundle."""
    command = list(map(str, arguments))
    if _can_fork(variables):
        return forks().run(command, variables, _TIMEOUT_SECONDS)
    return subprocess.run(
        [sys.executable, *command],
        cwd=CHECKOUT,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_SECONDS,
    )


def start_python(
    *arguments: object, variables: dict[str, str], errors: BinaryIO
) -> Fork | subprocess.Popen[bytes]:
    """The same, running; what it says of itself goes to the file."""
    command = list(map(str, arguments))
    with Path(os.devnull).open("wb") as nothing:
        if _can_fork(variables):
            return forks().start(command, variables, nothing, errors)
        return subprocess.Popen(
            [sys.executable, *command], cwd=CHECKOUT, env=variables, stdout=nothing, stderr=errors
        )


def _can_fork(variables: dict[str, str]) -> bool:
    return sys.platform == "linux" and forks().can_run(variables)


@cache
def forks() -> Forks:
    """What this process has its programs forked from."""
    return Forks()


def dump(server: Server, *options: str) -> str:
    """`pg_dump` as the administrator; the same database gives the same text."""
    with passfile(server, "postgres") as password_file:
        result = subprocess.run(
            [
                client_program("pg_dump"),
                *("--username", "postgres", "--no-password", "--restrict-key=fixed", *options),
            ],
            env=psql_environment(server, password_file),
            capture_output=True,
            text=True,
            check=True,
        )
    return result.stdout


def query(
    server: Server, text: str, *values: object, role: str = "postgres"
) -> list[tuple[object, ...]]:
    """The rows of one statement, committed."""
    with connect(server, role, autocommit=True) as connection:
        cursor = connection.execute(text.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def recovered(server: Server) -> None:
    """Wait until PostgreSQL, seen to have crashed, takes logins again."""
    while True:
        with contextlib.suppress(TargetError):
            query(server, "select 1")
            return
        time.sleep(0.05)
