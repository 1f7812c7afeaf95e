"""Fixtures: a real PostgreSQL 17 for the session, a fresh database of it for each test."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from database.connect import connect
from database.embedded.temporary import temporary_server
from database.settings import Server

# The same examples each time, so that a change is judged by itself; the deep tests look further.
settings.register_profile("ordinary", derandomize=True)
settings.load_profile("ordinary")

SHARED = Path(__file__).resolve().parents[2] / "shared"

_MEMORY = Path("/dev/shm")
_ENOUGH = 6 << 30  # bytes; each of three workers uses less than a third of it


def pytest_configure() -> None:
    """Keep servers and temporary files in memory where there is room; a TMPDIR that is set stays.

    A copy of the database is 500 new files, and on a disk their making takes most of the suite's
    time. Nothing is proven less: what is cut off here are processes, never the machine's power.
    """
    # Else each of some thousand commands that are started here compiles the project's modules.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if "TMPDIR" in os.environ or not _MEMORY.is_dir():
        return
    # The server's programs are copied there where its user cannot enter the checkout.
    runs_programs = not os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC
    if runs_programs and shutil.disk_usage(_MEMORY).free >= _ENOUGH:
        folder = _MEMORY / f"atlas-tests-{os.getuid()}"
        folder.mkdir(mode=0o755, exist_ok=True)
        os.environ["TMPDIR"] = str(folder)
        tempfile.tempdir = None  # what it found before


@pytest.fixture(scope="session")
def cluster() -> Iterator[Server]:
    """A running PostgreSQL 17 with sql/ applied to its database. Do not write to that one."""
    # fsync is for power cuts; the tests' own crashes are of processes.
    with temporary_server(options={"fsync": "off", "max_connections": "200"}) as server:
        yield server


@pytest.fixture
def database(cluster: Server) -> Iterator[Server]:
    """A fresh copy of the database that sql/ describes, dropped after the test."""
    with fresh_database(cluster) as server:
        yield server


@contextmanager
def fresh_database(cluster: Server) -> Iterator[Server]:
    """A copy of the cluster's database under a name of its own."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = cluster.with_database("postgres")
    with connect(admin, "postgres", autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(cluster.database)
            )
        )
        grant_as_in(connection, cluster.database, name)
    try:
        yield cluster.with_database(name)
    finally:
        with connect(admin, "postgres", autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database {} with (force)").format(sql.Identifier(name))
            )


def grant_as_in(
    connection: psycopg.Connection[tuple[object, ...]], original: str, copy: str
) -> None:
    """Give a copy the privileges on the database itself, which it does not inherit."""
    granted = connection.execute(
        "select privilege_type, grantee::regrole::text from pg_database"
        " cross join aclexplode(datacl) where datname = %s and grantee <> datdba",
        [original],
    ).fetchall()
    database = sql.Identifier(copy)
    connection.execute(sql.SQL("revoke all on database {} from public").format(database))
    for privilege, role in granted:
        connection.execute(
            sql.SQL("grant {} on database {} to {}").format(
                sql.SQL(str(privilege)),
                database,
                sql.SQL("public") if role == "-" else sql.Identifier(str(role)),
            )
        )


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real databases and attack lists beside a development checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder with real databases is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
