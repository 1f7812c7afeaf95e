"""Any database at all is verified or explained: on random databases, schema included."""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from psycopg import sql
from rich.console import Console

from database.connect import connect
from database.settings import Server
from migration.load import EngineName
from migration.progress import Steps
from migration.reverify import verify_last_run
from migration.run import Options, migrate
from tests import random_databases
from tests.conftest import fresh_database
from tests.engines import needs_pgloader
from tests.programs import query

DEEP = int(os.environ.get("DEEP_EXAMPLES", "5000"))
#: Other databases each time, unless DEEP_SEED is set.
deep_seed = seed(int(os.environ.get("DEEP_SEED") or time.time_ns()))

#: Relations that a run made in the schema public, and the runs themselves, are removed.
FORGET = """
do $$
declare relation record;
begin
    for relation in
        -- Not as regclass: a view that went with another has no name any more, only a number.
        select format('public.%I', relname) as name, relkind from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')
          and oid::regclass::text <> all (string_to_array('{known}', ','))
        order by relkind desc
    loop
        execute format(
            'drop %s if exists %s cascade',
            case relation.relkind when 'r' then 'table' else 'view' end, relation.name);
    end loop;
    truncate migration.run cascade;
end $$
"""


def examples(count: int, **others: Any) -> settings:
    return settings(
        **others,
        max_examples=count,
        deadline=None,
        suppress_health_check=[*HealthCheck],
        # An example takes a migration: explaining one would take hundreds.
        phases=[phase for phase in Phase if phase is not Phase.explain],
        print_blob=True,
    )


@pytest.fixture(scope="module")
def reused(cluster: Server) -> Iterator[Server]:
    """One database for all examples of this module."""
    with fresh_database(cluster) as server:
        yield server


@pytest.fixture(scope="module")
def known(reused: Server) -> str:
    tables = query(reused, "select tablename from pg_tables where schemaname = 'public'")
    return ",".join(str(name) for (name,) in tables)


@pytest.mark.timeout(600)
@examples(60)
@given(statements=random_databases.database())
def test_random_database_is_verified_or_explained(
    reused: Server, known: str, statements: list[random_databases.Statement]
) -> None:
    check(reused, known, statements, EngineName.COPY)


@needs_pgloader
@pytest.mark.timeout(600)
@examples(8)
@given(statements=random_databases.database())
def test_random_database_is_verified_or_explained_with_pgloader(
    reused: Server, known: str, statements: list[random_databases.Statement]
) -> None:
    check(reused, known, statements, EngineName.PGLOADER)


@pytest.mark.deep
@pytest.mark.timeout(DEEP * 2)
@deep_seed
@examples(DEEP, derandomize=False)
@given(statements=random_databases.database())
def test_thousands_of_databases(
    reused: Server, known: str, statements: list[random_databases.Statement]
) -> None:
    check(reused, known, statements, EngineName.COPY)


@pytest.mark.deep
@needs_pgloader
@pytest.mark.timeout(DEEP * 2)
@deep_seed
@examples(max(DEEP // 20, 1), derandomize=False)
@given(statements=random_databases.database())
def test_hundreds_of_databases_with_pgloader(
    reused: Server, known: str, statements: list[random_databases.Statement]
) -> None:
    check(reused, known, statements, EngineName.PGLOADER)


def check(
    server: Server, known: str, statements: list[random_databases.Statement], engine: EngineName
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.db"
        rows = random_databases.write(source, statements)
        options = Options(source, Path(folder) / "work", engine, quarantine=True)
        try:
            assert_explained(server, options, rows)
        finally:
            query(server, FORGET.replace("{known}", known))


def assert_explained(
    server: Server, options: Options, rows: dict[str, list[tuple[object, ...]]]
) -> None:
    outcome = migrate(server, options, Steps(Console(quiet=True)))
    report = outcome.report.data
    kept_aside = query(server, "select table_name, reason, sqlstate from migration.quarantine")
    assert (outcome.error.exit_code if outcome.error else 0) == (5 if kept_aside else 0)
    assert report["verdict"] == ("quarantined" if kept_aside else "verified")
    assert all(reason and len(str(state)) == 5 for _, reason, state in kept_aside)
    assert {table["source"]: table["rows_source"] for table in report["tables"]} == {
        name: len(found) for name, found in rows.items()
    }
    aside = Counter(str(name) for name, _, _ in kept_aside)
    for table in report["tables"]:
        assert table["verified"]
        assert table["rows_quarantined"] == aside[table["target"]]
        assert table["rows_source"] == table["rows_loaded"] + table["rows_quarantined"]
        if aside[table["target"]] < table["rows_source"]:
            assert_same_values(server, table, rows[table["source"]])
    quiet = Steps(Console(quiet=True))
    assert all(entry.verified for entry in verify_last_run(server, options.work, quiet))
    again = migrate(server, options, quiet)
    assert again.already_done
    assert again.report.data["tables"] == report["tables"]
    assert query(server, "select count(*) from migration.run") == [(1,)]
    assert query(
        server, "select count(*) from pg_tables where schemaname = 'migration_staging'"
    ) == [(0,)]


def assert_same_values(
    server: Server, table: dict[str, Any], rows: list[tuple[object, ...]]
) -> None:
    """Independent of the migration's own comparison: no value is there that the source lacks."""
    with connect(server, "postgres", autocommit=True) as connection:
        names = [sql.Identifier(entry["target"]) for entry in table["columns"]]
        found = connection.execute(
            sql.SQL("select {} from {}").format(
                sql.SQL(", ").join(names), sql.Identifier("public", table["target"])
            )
        ).fetchall()
    assert len(found) == table["rows_loaded"]
    for number, entry in enumerate(table["columns"]):
        plain = _PLAIN.get(entry["pg_type"])
        if plain is None:
            continue
        theirs = Counter(repr(row[number]) for row in found)
        ours = Counter(repr(plain(row[number])) for row in rows)
        assert not theirs - ours, entry


def _as_text(value: object) -> object:
    if isinstance(value, float):
        return {"inf": "Infinity", "-inf": "-Infinity"}.get(repr(value), repr(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if value is None else str(value)


def _as_bytes(value: object) -> object:
    if value is None or isinstance(value, bytes):
        return value
    return str(_as_text(value)).encode("utf-8", "surrogateescape")


_PLAIN: dict[str, Callable[[Any], object]] = {
    "text": _as_text,
    "bytea": _as_bytes,
    "bigint": lambda value: int(value) if isinstance(value, float | str) else value,
    "double precision": lambda value: float(value) if isinstance(value, int) else value,
}
