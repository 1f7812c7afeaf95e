"""Bring a database to the state that sql/ describes, with psql alone; then set the secrets.

Secrets are the one thing that is not in sql/: each login gets a SCRAM verifier computed
here, so that no password is ever part of an SQL text, a log or a process argument; the key of
agents' contexts goes its own way (context_key.py).
"""

import base64
import hashlib
import hmac
import os
import subprocess
from pathlib import Path

import psycopg
from psycopg import sql

from database.binaries import client_program
from database.connect import connect, passfile
from database.context_key import set_context_key
from database.errors import TargetError
from database.secrets import LOGIN_ROLES
from database.settings import Server

#: In a checkout sql/ is the package's neighbour; in an installed wheel it lies inside it.
_PACKAGE = Path(__file__).parent
SQL_DIRECTORY = _PACKAGE / "sql" if (_PACKAGE / "sql").is_dir() else _PACKAGE.parent / "sql"

ADMIN = "postgres"


def apply_schema(server: Server, *, admin: str = ADMIN) -> None:
    """Apply `sql/load.sql` and the secrets; both change nothing where nothing is to change.

    Creates the database first where it is missing.

    Raises:
        TargetError: PostgreSQL is unreachable or refuses a statement; nothing is applied then.
    """
    ensure_database(server, admin=admin)
    run_psql(server, SQL_DIRECTORY / "load.sql", admin=admin)
    set_passwords(server, admin=admin)
    set_context_key(server, admin=admin)


def run_psql(server: Server, file: Path, *, admin: str = ADMIN) -> str:
    """Run an SQL file by psql as `admin`, stopping at the first error; return its output.

    Raises:
        TargetError: psql failed; the message is PostgreSQL's.
    """
    with passfile(server, admin) as password_file:
        result = subprocess.run(
            [
                client_program("psql"),
                *("--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1"),
                *("--username", admin, "--file", file),
            ],
            env=psql_environment(server, password_file),
            capture_output=True,
            text=True,
            check=False,
        )
    if result.returncode != 0:
        raise TargetError(
            f"{file.name} could not be applied to {server}:\n{result.stderr.strip()}",
            "Nothing was changed. Correct the cause and run the command again.",
        )
    return result.stdout + result.stderr


def psql_environment(server: Server, password_file: Path) -> dict[str, str]:
    """The environment that points libpq programs at `server`."""
    environment = {
        **os.environ,
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGDATABASE": server.database,
        "PGSSLMODE": server.sslmode,
        "PGPASSFILE": str(password_file),
    }
    if server.sslrootcert:
        environment["PGSSLROOTCERT"] = str(server.sslrootcert)
    return environment


def ensure_database(server: Server, *, admin: str = ADMIN) -> None:
    """Create the server's database where it does not exist yet."""
    with connect(server.with_database("postgres"), admin, autocommit=True) as connection:
        exists = connection.execute(
            "select from pg_database where datname = %s", [server.database]
        ).fetchone()
        if exists is None:
            connection.execute(
                sql.SQL("create database {}").format(sql.Identifier(server.database))
            )


def set_passwords(
    server: Server, *, admin: str = ADMIN, including_admin: bool = False
) -> list[str]:
    """Give every login the password of its secret file; return the logins that changed.

    A login whose stored verifier already fits is left alone, so that a second run changes
    nothing. Logins without a secret file are left alone too.
    """
    changed = []
    with connect(server, admin, autocommit=True) as connection:
        for role in LOGIN_ROLES:
            password = server.password(role)
            if password is None or (role == admin and not including_admin):
                continue
            row = connection.execute(
                "select rolpassword from pg_authid where rolname = %s", [role]
            ).fetchone()
            if row is None or (row[0] is not None and verifier_fits(str(row[0]), password)):
                continue
            _alter_password(connection, role, password)
            changed.append(role)
    return changed


def verifier_fits(verifier: str, password: str) -> bool:
    """Whether a stored `SCRAM-SHA-256$iterations:salt$stored:server` belongs to `password`.

    Source: RFC 5802, section 3. The passwords generated here are ASCII, which SASLprep keeps
    as it is; for any other a mismatch only means that the verifier is written once more.
    """
    try:
        scheme, parameters, keys = verifier.split("$")
        iterations, salt = parameters.split(":")
        stored_key = base64.b64decode(keys.split(":")[0])
    except ValueError:
        return False
    if scheme != "SCRAM-SHA-256":
        return False
    salted = hashlib.pbkdf2_hmac(
        "sha256", password.encode(), base64.b64decode(salt), int(iterations)
    )
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), stored_key)


def _alter_password(
    connection: psycopg.Connection[tuple[object, ...]], role: str, password: str
) -> None:
    verifier = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(
        sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(verifier))
    )
