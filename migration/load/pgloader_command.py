"""What pgloader is asked to do: the program, its environment and its command file.

The password is in none of them: pgloader reads a libpq password file. It becomes the owner by
`SET role`, so that the login needs no rights on staging.
"""

import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from database.errors import UsageError
from database.settings import Server
from migration.load.rendering import Part
from migration.target import LOGIN, OWNER, STAGING

#: By this name its sessions are found again.
APPLICATION = "pgloader"

#: Bytes of rows that pgloader may hold between reading and writing. Its heap has 1 GB, of which
#: the garbage collector needs half, and a character takes four bytes in it.
_QUEUE_BYTES = 32 * 2**20
_BYTES_PER_CHARACTER = 4
_MOST_ROWS_IN_QUEUE = 1000
_FEWEST_ROWS_IN_QUEUE = 4

_ENGINE_HINT = "Use the other engine: MIGRATION_ENGINE=copy or --engine copy."

_COMMAND = """\
LOAD DATABASE
     FROM sqlite://{source}
     INTO postgresql://{host}/{database}?sslmode={sslmode}

 WITH data only, on error stop, no foreign keys, reset no sequences,
      workers = 2, concurrency = 1,
      batch rows = 10000, batch size = 8MB, prefetch rows = {prefetch}

  SET role to '{role}',
      search_path to '{schema}',
      application_name to '{application}',
      statement_timeout to '0';
"""


def find_program() -> Path:
    """pgloader, version 3.

    Raises:
        UsageError: it is not installed, or is version 4, a rewrite that corrupts blobs.
    """
    found = shutil.which("pgloader")
    if found is None:
        raise UsageError(
            "pgloader is not installed here.",
            f"Install the package pgloader (Debian, Ubuntu, Homebrew). {_ENGINE_HINT}",
        )
    answer = _ask_version(found)
    version = re.search(r'version "?v?(\d+)\.', answer)
    if version and version[1] != "3":
        raise UsageError(
            f"{found} is version {version[1]} of pgloader; version 3 is needed.",
            f"Install pgloader 3.6 (Debian 12 and 13 have it). {_ENGINE_HINT}",
        )
    return Path(found)


@cache
def program_version() -> str:
    """The version as pgloader calls itself.

    Raises:
        UsageError: as `find_program`.
    """
    version = re.search(r'version "?v?([^"\s]+)', _ask_version(str(find_program())))
    return version[1] if version else "unknown"


def _ask_version(program: str) -> str:
    try:
        return subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
            stdin=subprocess.DEVNULL,
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"{program} does not run: {error}.", _ENGINE_HINT) from error


def command_text(server: Server, part: Part) -> str:
    """The command file.

    Raises:
        UsageError: pgloader cannot express this server's address or password.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", server.database):
        raise UsageError(
            f"pgloader cannot name the database {server.database}.",
            f"Choose letters, digits, '-' and '_' alone. {_ENGINE_HINT}",
        )
    if not (server.password(LOGIN) or "").isascii():
        raise UsageError(
            f"pgloader cannot send the password of {LOGIN}: it is not ASCII.",
            f"Choose another password. {_ENGINE_HINT}",
        )
    room = _QUEUE_BYTES // (_BYTES_PER_CHARACTER * part.longest_row)
    return _COMMAND.format(
        source=_source(part.path),
        host=_socket(server),
        database=server.database,
        sslmode=_sslmode(server),
        prefetch=max(_FEWEST_ROWS_IN_QUEUE, min(room, _MOST_ROWS_IN_QUEUE)),
        role=OWNER,
        schema=STAGING,
        application=APPLICATION,
    )


def environment(server: Server, password_file: Path | None) -> dict[str, str]:
    """The environment of the process: where PostgreSQL is, and where its password is."""
    # Without a password of ours, it is left to the user's own, as libpq does.
    kept = ("PGPASSFILE", "PGPASSWORD") if password_file is None else ()
    variables = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PG") or name in kept
    }
    variables |= {"PGUSER": LOGIN, "PGPORT": str(server.port)}
    if not server.host.startswith("/"):
        variables["PGHOST"] = server.host
    if password_file is not None:
        variables["PGPASSFILE"] = str(password_file)
    if server.sslrootcert is not None:
        # pgloader has no setting for it; OpenSSL itself has.
        variables["SSL_CERT_FILE"] = str(server.sslrootcert.absolute())
    return variables


def _source(path: Path) -> str:
    """The part's name from its own folder, where pgloader is started.

    The folder's name is unknown to it: brackets, stars and backslashes have a meaning to Lisp.
    """
    here = Path("/proc/self/cwd")
    return str(here / path.name) if here.exists() else path.name


def _socket(server: Server) -> str:
    """The socket's folder for the URL; a host name is told by PGHOST, which takes any."""
    if not server.host.startswith("/"):
        return ""
    if not re.fullmatch(r"[A-Za-z0-9/._-]+", server.host):
        raise UsageError(f"pgloader cannot use the socket folder {server.host}.", _ENGINE_HINT)
    return f"unix:{server.host}:{server.port}"


def _sslmode(server: Server) -> str:
    """pgloader knows four modes; its `require` verifies the certificate, but not the host name."""
    if server.sslmode == "verify-full":
        raise UsageError("pgloader cannot verify the server's host name.", _ENGINE_HINT)
    return "require" if server.sslmode == "verify-ca" else server.sslmode
