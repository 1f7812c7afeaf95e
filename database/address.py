"""DATABASE_URL: a server's address in one text, as libpq reads it, without any password."""

from typing import Any

import psycopg
from psycopg import conninfo

from database.errors import UsageError

#: libpq's parameter → the field of `Server` that it sets.
_FIELDS = {
    "host": "host",
    "port": "port",
    "dbname": "database",
    "user": "administrator",
    "sslmode": "sslmode",
    "sslrootcert": "sslrootcert",
}
_EXAMPLE = (
    "It looks like postgresql://postgres@db.example.com:5432/atlastrinity_prod"
    "?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem."
)


def parse_address(url: str) -> dict[str, Any]:
    """The fields of `Server` that the URL gives.

    Raises:
        UsageError: it is no URL of libpq, holds a password, names several servers or none, or
            sets what is not used here. The message never repeats the URL.
    """
    try:
        given = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        # libpq's own message repeats parts of the URL, which may be a password.
        raise UsageError("DATABASE_URL is not an address of PostgreSQL.", _EXAMPLE) from None
    if "password" in given:
        raise UsageError(
            "DATABASE_URL holds a password: addresses end up in logs and process lists.",
            "Take it out, and write each login's password into its file in SECRETS_DIR "
            "(or into ~/.pgpass).",
        )
    unknown = sorted(set(given) - set(_FIELDS))
    if unknown:
        raise UsageError(
            f"DATABASE_URL sets {', '.join(unknown)}, which is not used here.",
            f"It may set {', '.join(_FIELDS)}.",
        )
    host, port = str(given.get("host", "")), str(given.get("port", "5432"))
    if not host or "," in host:
        what = "several servers" if host else "no server"
        raise UsageError(f"DATABASE_URL names {what}; one is needed.", _EXAMPLE)
    if not (port.isdecimal() and 0 < int(port) < 65536):
        raise UsageError("The port in DATABASE_URL is no number from 1 to 65535.", _EXAMPLE)
    return {_FIELDS[name]: value for name, value in given.items() if value}
