"""Connections as a named login, with errors that say which of the usual causes it was."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from database.errors import TargetError, UnreachableError
from database.settings import Server

_STARTING = "57P03"
#: SQLSTATE → what a person must do. Class 08 and messages without a SQLSTATE are "unreachable".
_CAUSES = {
    "28P01": "Check the password file {secret}, or set {variable}.",
    "28000": "Check pg_hba.conf: it does not let {role} in from here.",
    "3D000": "Create the database with 'python -m database apply', or correct POSTGRES_DB.",
    "53300": "All connections are taken: stop idle clients or raise max_connections.",
    _STARTING: "PostgreSQL is starting or stopping: try again in a moment.",
}


def connect(
    server: Server, role: str, *, autocommit: bool = False, application_name: str = "atlas-postgres"
) -> psycopg.Connection[tuple[object, ...]]:
    """A connection as `role`.

    Raises:
        UnreachableError: it does not answer, or not yet.
        TargetError: wrong password, no such database, …; with what to do.
    """
    try:
        return psycopg.connect(
            host=server.host,
            port=server.port,
            dbname=server.database,
            user=role,
            password=server.password(role),
            sslmode=server.sslmode,
            sslrootcert=str(server.sslrootcert) if server.sslrootcert else None,
            application_name=application_name,
            connect_timeout=10,
            # Whatever PGCLIENTENCODING says: digests are of the bytes that are sent.
            client_encoding="UTF8",
            autocommit=autocommit,
        )
    except psycopg.OperationalError as error:
        raise _target_error(server, role, error) from error


@contextmanager
def passfile(server: Server, role: str) -> Iterator[Path]:
    """A libpq password file for programs that are started (psql, pgloader), deleted afterwards.

    A password in their environment or arguments could be read by others; mode 0600 is kept
    by libpq itself, which ignores a file with wider permissions.
    """
    password = server.password(role)
    descriptor, name = tempfile.mkstemp(prefix="pgpass-")
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if password is not None:
                escaped = password.replace("\\", "\\\\").replace(":", "\\:")
                file.write(f"*:*:*:{role}:{escaped}\n")
        yield path
    finally:
        path.unlink(missing_ok=True)


def _target_error(server: Server, role: str, error: psycopg.OperationalError) -> TargetError:
    text = str(error).strip().splitlines()[-1]
    # libpq reports a refused login as text only: the SQLSTATE is lost before a connection exists.
    sqlstate = error.sqlstate or _sqlstate_of(text)
    advice = _CAUSES.get(sqlstate or "")
    if advice is None:
        text = next((line for line in str(error).splitlines() if _certificate_advice(line)), text)
        certificate = _certificate_advice(text)
        return (TargetError if certificate else UnreachableError)(
            f"Cannot reach PostgreSQL at {server}: {text.strip()}",
            certificate
            or "Check that it is running and that POSTGRES_HOST and POSTGRES_PORT "
            "(or DATABASE_URL) are right.",
        )
    kind = UnreachableError if sqlstate == _STARTING else TargetError
    return kind(
        f"PostgreSQL at {server} refuses {role}: {text}",
        advice.format(
            role=role,
            secret=server.secrets_dir / f"{role}_password",
            variable=f"{role.upper()}_PASSWORD_FILE",
        ),
    )


#: What libpq says of TLS → what a person must do.
_CERTIFICATES = {
    "certificate verify failed": "POSTGRES_SSLROOTCERT (sslrootcert in DATABASE_URL) must name the "
    "certificate of the authority that signed the server's.",
    "does not match host name": "Connect by a host name that the server's certificate holds, or "
    "have one issued for this name.",
    "root certificate file": "Name the authority's certificate by POSTGRES_SSLROOTCERT "
    "(sslrootcert in DATABASE_URL).",
    "server does not support SSL": "Switch TLS on at the server (ssl = on): the sslmode needs it.",
    "invalid sslmode value": "POSTGRES_SSLMODE (sslmode in DATABASE_URL) is one of disable, allow, "
    "prefer, require, verify-ca and verify-full.",
}


def _certificate_advice(text: str) -> str | None:
    return next((advice for part, advice in _CERTIFICATES.items() if part in text), None)


def _sqlstate_of(text: str) -> str | None:
    for fragment, sqlstate in (
        ("password authentication failed", "28P01"),
        ("no password supplied", "28P01"),
        ("no pg_hba.conf entry", "28000"),
        ("too many", "53300"),
        ("starting up", _STARTING),
        ("shutting down", _STARTING),
    ):
        if fragment in text:
            return sqlstate
    if "database" in text and "does not exist" in text:
        return "3D000"
    return None
