"""`--schema NAME`: a migration beside the platform's tables, in a schema of its own."""

from pathlib import Path

import pytest

from database.settings import Server
from tests.engines import ENGINES
from tests.migrations import LOGS, log_row, make, migrate
from tests.programs import query, run_module

FAMILY = """
    create table parent (id integer primary key, name text unique);
    create table child (id integer primary key, parent_id integer references parent(id));
    insert into parent values (1, 'a'), (2, 'b'); insert into child values (1, 1), (2, 9);
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_everything_goes_into_the_schema(database: Server, tmp_path: Path, engine: str) -> None:
    source = make(tmp_path / "source.db", FAMILY + LOGS + log_row(7))
    options = ("--schema", 'Other "one"', "--quarantine", "--engine", engine)
    result = migrate(database, source, *options)
    assert result.returncode == 5, result.stderr
    assert query(
        database,
        """select table_name from information_schema.tables
           where table_schema = 'Other "one"' order by 1""",
    ) == [("child",), ("logs",), ("parent",)]
    assert query(database, "select count(*) from public.logs") == [(0,)]
    assert query(database, 'select id from "Other ""one""".child') == [(1,)]
    work = tmp_path / "work"
    verified = run_module("migration", "verify", server=database, MIGRATION_DIR=work)
    assert verified.returncode == 0, verified.stdout
    query(database, 'update "Other ""one""".parent set name = $$x$$ where id = 1')
    verified = run_module("migration", "verify", server=database, MIGRATION_DIR=work)
    assert verified.returncode == 6
    assert "parent [1] name: source a, target x" in verified.stdout


def test_tables_are_owned_and_granted_as_in_public(database: Server, tmp_path: Path) -> None:
    source = make(tmp_path / "source.db", FAMILY.replace(", (2, 9)", ""))
    assert migrate(database, source, "--schema", "beside").returncode == 0
    rights = """
        select c.relname, c.relkind::text, c.relowner::regrole::text, entry.grantee::regrole::text,
            entry.privilege_type
        from pg_class as c cross join aclexplode(c.relacl) as entry
        where c.relnamespace = '{}'::regnamespace and c.relname in ('{}', '{}')
        order by 2, 4, 5
    """
    ours = query(database, rights.format("beside", "parent", "parent_id_seq"))
    public = query(database, rights.format("public", "files", "files_id_seq"))
    assert [row[1:] for row in ours] == [row[1:] for row in public]
    assert query(database, "select count(*) from beside.parent", role="mcp_read") == [(2,)]
    assert query(
        database, "insert into beside.parent (name) values ('c') returning id", role="atlas"
    ) == [(3,)]


def test_two_schemas_have_their_own_runs(database: Server, tmp_path: Path) -> None:
    source = make(tmp_path / "source.db", LOGS + log_row(1))
    assert migrate(database, source, "--schema", "one").returncode == 0
    assert "Already" not in migrate(database, source).stdout
    assert "Already" in migrate(database, source, "--schema", "one").stdout
    assert query(database, "select count(*) from one.logs") == [(1,)]
    status = run_module("migration", "status", "--schema", "one", server=database)
    assert "schema one" in status.stdout
    status = run_module("migration", "status", "--schema", "two", server=database)
    assert "nothing was migrated" in status.stdout


def test_rows_in_the_schema_are_in_the_way_and_those_of_public_are_not(
    database: Server, tmp_path: Path
) -> None:
    query(database, "create schema busy authorization atlas_owner; create table busy.t (v text)")
    query(database, "alter table busy.t owner to atlas_owner; insert into busy.t values ('x')")
    source = make(tmp_path / "source.db", "create table t (v text); insert into t values ('y')")
    result = migrate(database, source, "--schema", "busy")
    assert result.returncode == 4
    assert "already holds data: t (1 rows)" in result.stderr
    assert migrate(database, source).returncode == 0


@pytest.mark.parametrize("name", ["", "x" * 64, "pg_mine", "migration", "information_schema"])
def test_schema_that_is_not_for_migrations_is_refused(
    database: Server, tmp_path: Path, name: str
) -> None:
    source = make(tmp_path / "source.db", FAMILY)
    result = migrate(database, source, "--schema", name)
    assert result.returncode == 2
    assert "--schema" in result.stderr
    assert not (tmp_path / "work").exists()


def test_schema_of_somebody_else_is_refused_with_what_to_do(
    database: Server, tmp_path: Path
) -> None:
    query(database, "create schema theirs")
    result = migrate(database, make(tmp_path / "source.db", FAMILY), "--schema", "theirs")
    assert result.returncode == 4
    assert "The schema theirs is somebody else's" in result.stderr
    assert 'grant usage, create on schema "theirs" to atlas_owner' in result.stderr
