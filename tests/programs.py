"""Running the bundle's programs as a user does: another process, settings by environment."""

import os
import subprocess
import sys
from pathlib import Path

from database.apply import psql_environment
from database.binaries import client_program
from database.connect import connect, passfile
from database.settings import Server

CHECKOUT = Path(__file__).resolve().parents[1]


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
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)],
        cwd=CHECKOUT,
        env=environment(server, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


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
