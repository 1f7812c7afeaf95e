"""Targets other than PostgreSQL 17: 16 and 18 are as good, an older one is refused."""

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

from database.apply import SQL_DIRECTORY, apply_schema, run_psql
from database.connect import connect
from database.embedded.server import EmbeddedServer
from database.embedded.temporary import temporary_server
from database.errors import TargetError
from database.settings import Server
from migration.load import EngineName
from scripts.make_demo_database import make_demo_database
from tests.conftest import fresh_database
from tests.engines import ENGINES
from tests.postgres_packages import server_programs
from tests.programs import query, run_module
from tests.test_refused_rows import CASES, refused


@pytest.fixture(scope="module", params=[16, 18])
def other_cluster(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A running server of this version with sql/ applied."""
    programs = server_programs(request.param)
    with temporary_server(options={"fsync": "off"}, binaries=programs) as server:
        (version,) = query(server, "show server_version_num")[0]
        assert str(version).startswith(str(request.param))
        yield server


@pytest.fixture
def other(other_cluster: Server) -> Iterator[Server]:
    with fresh_database(other_cluster) as server:
        yield server


def test_sql_changes_nothing_the_second_time(other_cluster: Server) -> None:
    assert run_psql(other_cluster, SQL_DIRECTORY / "load.sql") == ""


def test_privileges_and_policies_are_as_declared(other_cluster: Server) -> None:
    assert run_psql(other_cluster, SQL_DIRECTORY / "checks" / "run.sql") == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_the_demo_database_arrives_verified(
    other: Server, tmp_path: Path, engine: EngineName
) -> None:
    source = tmp_path / "source.db"
    make_demo_database(source, target_bytes=2_000_000)
    work = {"MIGRATION_DIR": tmp_path / "work"}
    result = run_module("migration", "run", source, "--engine", engine, server=other, **work)
    assert result.returncode == 0, result.stderr
    assert "VERIFIED" in result.stdout
    assert run_module("migration", "verify", server=other, **work).returncode == 0
    again = run_module("migration", "run", source, server=other, **work)
    assert "Already migrated" in again.stdout


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_refused_rows_are_quarantined(
    other: Server, tmp_path: Path, engine: EngineName, name: str
) -> None:
    case = CASES[name]
    query(other, f"set role atlas_owner; {case.script}")
    source = tmp_path / "source.db"
    rows = [(number, case.bad if number in (0, 7) else case.good) for number in range(20)]
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.execute(f"create table t (id integer, v {case.declared})")
        connection.executemany("insert into t values (?, ?)", rows)
        connection.commit()
    work = {"MIGRATION_DIR": tmp_path / "work"}
    run = ("migration", "run", source, "--engine", engine, "--quarantine")
    result = run_module(*run, server=other, **work)
    assert result.returncode == 5, result.stderr
    assert refused(other) == [(number, case.column, case.sqlstate) for number in (0, 7)]
    assert query(other, "select count(*) from t") == [(18,)]
    assert run_module("migration", "verify", server=other, **work).returncode == 0


@pytest.fixture(scope="module")
def old() -> Iterator[Server]:
    """PostgreSQL 14 with the migration's login, and nothing else of ours."""
    directory = Path(tempfile.mkdtemp(prefix="atlas-old-"))
    directory.chmod(0o755)
    instance = EmbeddedServer(directory, binaries=server_programs(14))
    try:
        server = instance.start().with_database("postgres")
        with connect(server, "postgres", autocommit=True) as connection:
            password = sql.Literal(server.password("migrator"))
            connection.execute(sql.SQL("create role migrator login password {}").format(password))
        yield server
    finally:
        instance.remove()


def test_sql_refuses_an_older_server(old: Server) -> None:
    with pytest.raises(TargetError, match=r"PostgreSQL 16 or later is needed; this server is 14"):
        apply_schema(old)


def test_a_migration_refuses_an_older_server(old: Server, tmp_path: Path) -> None:
    source = tmp_path / "source.db"
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.execute("create table t (id integer)")
    work = {"MIGRATION_DIR": tmp_path / "work"}
    result = run_module("migration", "run", source, server=old, **work)
    assert result.returncode == 4
    assert "is PostgreSQL 14." in result.stderr
    assert "PostgreSQL 16 or later is needed." in result.stderr
    assert "Traceback" not in result.stderr
