"""PostgreSQL's own programs, started for a server: their messages become our errors."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from database.apply import psql_environment
from database.binaries import client_program
from database.connect import passfile
from database.errors import BackupError
from database.settings import Server

_ADVICE = {
    "No space left on device": "Free some space, or choose another folder with BACKUP_DIR.",
    "no pg_hba.conf entry for replication": "Let the administrator connect for replication: "
    "a line 'host replication …' in pg_hba.conf.",
    "must be superuser or replication role": "DATABASE_URL must name a user with REPLICATION.",
    "permission denied to start WAL sender": "DATABASE_URL must name a user with REPLICATION.",
    "all replication slots are in use": "Raise max_replication_slots, or drop a slot that is idle.",
    "number of requested standby connections exceeds": "Raise max_wal_senders.",
}


def run(name: str, *arguments: object, advice: str = "") -> str:
    """Run a program that needs no server; its output.

    Raises:
        BackupError: it failed; its messages are in it.
    """
    return _checked(name, _run(name, arguments, None), advice)


def run_on(
    server: Server, name: str, *arguments: object, application: str = "", advice: str = ""
) -> str:
    """Run a client program as the server's administrator; its output.

    Args:
        server: where it connects to.
        name: the program.
        arguments: without those of the connection.
        application: the name by which PostgreSQL knows it.
        advice: what to do where it fails for a cause that is not known.

    Raises:
        BackupError: it failed; its messages are in it.
    """
    with client_environment(server, application) as environment:
        return _checked(name, _run(name, arguments, environment), advice)


@contextmanager
def client_environment(server: Server, application: str = "") -> Iterator[dict[str, str]]:
    """The environment in which libpq's programs reach a server as its administrator."""
    with passfile(server, server.administrator) as password_file:
        yield {
            **psql_environment(server, password_file),
            "PGUSER": server.administrator,
            "PGAPPNAME": application or "atlas-backup",
            # The messages that are looked for are English.
            "LC_ALL": "C",
        }


def failure(name: str, messages: str, advice: str = "") -> BackupError:
    """The error that a program's messages make."""
    shown = "\n".join(messages.strip().splitlines()[-8:]) or "it said nothing"
    known = next((text for part, text in _ADVICE.items() if part in messages), advice)
    return BackupError(f"{name} failed: {shown}", known)


def _run(
    name: str, arguments: tuple[object, ...], environment: dict[str, str] | None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [client_program(name), *map(str, arguments)],
        env=environment or {**os.environ, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def _checked(name: str, result: subprocess.CompletedProcess[str], advice: str) -> str:
    if result.returncode != 0:
        # pg_amcheck says what it found on standard output.
        said = result.stderr + result.stdout
        raise failure(name, said or f"exit code {result.returncode}", advice)
    return result.stdout
