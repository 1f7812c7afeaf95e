"""What pgloader alone loses without a word, side by side with what arrives through our engine.

Each trap is sprung first: pgloader's own migration ends with exit code 0 and with less, or other,
than the source holds. Where a later pgloader does better, the test says so by failing there.
"""

import contextlib
import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from database.errors import SourceError
from database.settings import Server
from migration.load import EngineName
from migration.progress import Steps
from migration.run import Options, migrate
from tests.conftest import fresh_database
from tests.engines import needs_pgloader
from tests.hazards.hazard import Hazard, Refused, Rows
from tests.hazards.test_hazards import assert_arrived, run
from tests.programs import query

pytestmark = needs_pgloader


def pgloader_alone(
    server: Server, folder: Path, *clauses: str, password: str | None = None
) -> subprocess.CompletedProcess[str]:
    """pgloader's own migration of `folder/source.db`, as the administrator of the target."""
    where = f"{server.host}:{server.port}/{server.database}"
    login = f"postgres:{password}" if password else "postgres"
    command = folder / "alone.load"
    command.write_text(
        f"LOAD DATABASE FROM sqlite://{folder / 'source.db'} INTO postgresql://{login}@{where}"
        f" {' '.join(clauses)};"
    )
    secret = {} if password else {"PGPASSWORD": server.password("postgres") or ""}
    return subprocess.run(
        ["pgloader", "--root-dir", folder, "--summary", folder / "summary.json", command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **secret},
        timeout=120,
    )


@dataclass(frozen=True)
class Trap:
    """A source; what pgloader alone leaves of it, with exit code 0; and what we do."""

    source: str
    query: str
    alone: Rows
    ours: Rows
    refused: tuple[Refused, ...] = ()
    clauses: tuple[str, ...] = ()


ALL = "select id, v::text from t order by id"

TRAPS = {
    "a value that it cannot transform takes its batch along": Trap(
        "create table t (id integer, v integer); insert into t values (1, 1), (2, 3.5), (3, 3);",
        ALL,
        [(1, "1")],
        [(1, "1"), (2, "3.5"), (3, "3")],
    ),
    "text in an INTEGER column is stripped to a number": Trap(
        "create table t (id integer, v integer); insert into t values (1, 'a5b');",
        ALL,
        [(1, "5")],
        [(1, "a5b")],
    ),
    "an integer of 63 bits ends the table": Trap(
        "create table t (id integer, v integer);"
        " insert into t values (1, 9223372036854775807), (2, 5);",
        "select count(*) from t",
        [(0,)],
        [(2,)],
    ),
    "TEXT in a BLOB column is decoded as base64": Trap(
        "create table t (id integer, v blob); insert into t values (1, 'YWJj'), (2, x'00');",
        "select id, encode(v, 'escape') from t order by id",
        [(1, "abc"), (2, "\\000")],
        [(1, "YWJj"), (2, "\\000")],
    ),
    "REAL in an untyped column is written as Lisp reads it": Trap(
        "create table t (id integer, v); insert into t values (1, 1.5);",
        ALL,
        [(1, "1.5d0")],
        [(1, "1.5")],
    ),
    "Infinity ends the table": Trap(
        "create table t (id integer, v real); insert into t values (1, 9e999), (2, 2.5);",
        "select count(*) from t",
        [(0,)],
        [(2,)],
    ),
    "REAL loses half of its digits": Trap(
        "create table t (id integer, v real); insert into t values (1, 16777217.25);",
        ALL,
        [(1, "1.6777218e+07")],
        [(1, "16777217.25")],
    ),
    "epoch numbers in DATETIME become other times": Trap(
        "create table t (id integer, v datetime); insert into t values (1, 0), (2, 2020);",
        "select id, v::text from t order by id",
        [(1, None), (2, "2020-01-01 00:00:00+00")],
        [(1, "0"), (2, "2020")],
    ),
    "DATETIME is read in the session's time zone": Trap(
        "create table t (id integer, v datetime); insert into t values (1, '2026-07-01 10:00:00');",
        ALL,
        [(1, "2026-07-01 07:00:00+00")],
        [(1, "2026-07-01 10:00:00")],
        clauses=("SET timezone to 'Europe/Kyiv'",),
    ),
    "a julian day in DATETIME ends the table": Trap(
        "create table t (id integer, v datetime); insert into t values"
        " (1, '2026-02-01 10:00:00'), (2, 2461072.9), (3, '2026-02-01 10:00:00');",
        "select id from t order by id",
        [(1,)],
        [(1,), (2,), (3,)],
    ),
    "a BLOB that is no UTF-8 in a TEXT column ends the table": Trap(
        "create table t (id integer, v text);"
        " insert into t values (1, 'a'), (2, x'00ff'), (3, 'c'), (4, 'd');",
        "select id from t order by id",
        [(1,)],
        [(1,), (2,), (3,), (4,)],
    ),
    "NUL inside text cuts the value": Trap(
        "create table t (id integer, v text);"
        " insert into t values (1, cast(x'610062' as text)), (2, 'b');",
        ALL,
        [(1, "a"), (2, "b")],
        [(2, "b")],
        (Refused("t", "v", "22021", "a\0b", "NUL"),),
    ),
    "a foreign key that does not hold is left away, with its orphans": Trap(
        "create table p (id integer primary key); create table c (id integer primary key,"
        " p integer references p(id)); insert into p values (1); insert into c values (1, 1),"
        " (2, 9);",
        "select count(*), (select count(*) from pg_constraint where contype = 'f'"
        " and conrelid = 'c'::regclass) from c",
        [(2, 0)],
        [(1, 1)],
        (Refused("c", "p", "23503", 9, "no row in p"),),
    ),
    "AUTOINCREMENT's high-water mark is forgotten": Trap(
        "create table t (id integer primary key autoincrement, v text);"
        " insert into t values (7, 'a'), (41, 'b'); delete from t where id = 41;",
        "insert into t (v) values ('c') returning id",
        [(8,)],
        [(42,)],
    ),
    "identities of tables that are there are not reset": Trap(
        "create table logs (id integer primary key, timestamp datetime, level text, source text,"
        " message text); insert into logs values (7, '2026-02-01 10:00:00', 'I', 's', 'm');",
        "insert into logs (timestamp, level, source, message) values (now(), 'I', 's', 'm')"
        " returning id",
        [(1,)],
        [(8,)],
        clauses=("WITH data only, reset sequences",),
    ),
    "a table that the target lacks is skipped": Trap(
        "create table only_here (v text); insert into only_here values ('x');"
        "create table logs (id integer primary key, timestamp datetime, level text, source text,"
        " message text);",
        "select to_regclass('public.only_here')::text",
        [(None,)],
        [("only_here",)],
        clauses=("WITH data only",),
    ),
    "names are folded": Trap(
        'create table "MyT" ("Abc" text); insert into "MyT" values (\'x\');',
        "select to_regclass('public.\"MyT\"')::text",
        [(None,)],
        [('"MyT"',)],
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_trap(cluster: Server, database: Server, tmp_path: Path, name: str) -> None:
    trap = TRAPS[name]
    with contextlib.closing(sqlite3.connect(tmp_path / "source.db")) as connection:
        connection.executescript(trap.source)
    with fresh_database(cluster) as other:
        alone = pgloader_alone(other, tmp_path, *trap.clauses)
        assert alone.returncode == 0, alone.stdout
        assert query(other, trap.query) == trap.alone
    options = Options(tmp_path / "source.db", tmp_path / "work", EngineName.PGLOADER, True)
    hazard = Hazard(name, arrives={trap.query: trap.ours}, refused=trap.refused)
    assert_arrived(database, options, hazard, run(database, options))


def test_name_patterns_take_other_tables_along(
    cluster: Server, database: Server, tmp_path: Path
) -> None:
    """`_` stands for any character in its LIKE: our engine asks for everything, by other names."""
    script = """create table user_x (v text); create table "userAx" (v text);
                insert into user_x values ('a'); insert into "userAx" values ('b');"""
    with contextlib.closing(sqlite3.connect(tmp_path / "source.db")) as connection:
        connection.executescript(script)
    with fresh_database(cluster) as other:
        pgloader_alone(other, tmp_path, "INCLUDING ONLY TABLE NAMES LIKE 'user_x'")
        assert query(other, "select v from userax") == [("b",)]
    options = Options(tmp_path / "source.db", tmp_path / "work", EngineName.PGLOADER, True)
    hazard = Hazard(
        "", arrives={"select v from user_x": [("a",)], 'select * from "userAx"': [("b",)]}
    )
    assert_arrived(database, options, hazard, run(database, options))


def test_a_password_in_its_address_is_not_decoded(cluster: Server, tmp_path: Path) -> None:
    """So ours never stands in an address: a password file carries it."""
    with contextlib.closing(sqlite3.connect(tmp_path / "source.db")) as connection:
        connection.executescript("create table t (v); insert into t values (1);")
    with fresh_database(cluster) as other:
        query(other, "create role trapped login superuser password 'p@ss'")
        try:
            result = pgloader_alone(other, tmp_path, password="p%40ss")
            assert query(other, "select to_regclass('public.t')") == [(None,)], result.stdout
        finally:
            query(other, "drop role trapped")


def test_its_summary_is_no_json_where_names_are_quoted(cluster: Server, tmp_path: Path) -> None:
    """So the engine counts the rows itself."""
    with contextlib.closing(sqlite3.connect(tmp_path / "source.db")) as connection:
        connection.executescript('create table "Mixed" (v); insert into "Mixed" values (1);')
    with fresh_database(cluster) as other:
        pgloader_alone(other, tmp_path, "WITH quote identifiers, reset no sequences")
        assert query(other, 'select count(*) from "Mixed"') == [(1,)]
    with pytest.raises(json.JSONDecodeError):
        json.loads((tmp_path / "summary.json").read_text())


def test_resuming_after_an_error_loses_the_rows_that_are_sound(
    cluster: Server, database: Server, tmp_path: Path
) -> None:
    """The error of a trigger names no line of its batch, and the whole batch is gone."""
    refuse = """
        create function refuse() returns trigger language plpgsql as
            $$ begin if new.message = 'bad' then raise 'no'; end if; return new; end $$;
        create trigger refuse before insert on logs for each row execute function refuse();"""
    with contextlib.closing(sqlite3.connect(tmp_path / "source.db")) as connection:
        connection.executescript(
            """create table logs (id integer primary key, timestamp datetime, level text,
                   source text, message text);
               with recursive n(i) as (select 1 union all select i + 1 from n where i < 100)
               insert into logs select i, '2026-02-01 10:00:00', 'I', 's',
                   case i when 50 then 'bad' else 'm' end from n;"""
        )
    with fresh_database(cluster) as other:
        query(other, refuse)
        clauses = "WITH data only, on error resume next, no foreign keys"
        assert pgloader_alone(other, tmp_path, clauses).returncode == 0
        assert query(other, "select count(*) < 99 from logs") == [(True,)]
    query(database, refuse)
    options = Options(tmp_path / "source.db", tmp_path / "work", EngineName.PGLOADER, True)
    hazard = Hazard(
        "",
        arrives={"select count(*) from logs": [(99,)]},
        refused=(Refused("logs", None, "P0001", "bad", "no", "message"),),
    )
    assert_arrived(database, options, hazard, run(database, options))


def test_sequences_of_mixed_names_break_it(
    cluster: Server, database: Server, tmp_path: Path
) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "source.db")) as connection:
        connection.executescript(
            """create table "Mixed" ("Id" integer primary key autoincrement, v text);
               insert into "Mixed" values (7, 'a');"""
        )
    following = """insert into "Mixed" (v) values ('b') returning "Id" """
    with fresh_database(cluster) as other:
        pgloader_alone(other, tmp_path, "WITH quote identifiers, reset sequences")
        assert query(other, following) == [(1,)]
    options = Options(tmp_path / "source.db", tmp_path / "work", EngineName.PGLOADER, True)
    assert_arrived(
        database, options, Hazard("", arrives={following: [(8,)]}), run(database, options)
    )


def test_it_never_sees_the_source_which_goes_on_changing(database: Server, tmp_path: Path) -> None:
    """It reads table by table, each one as it is by then: so it is given one state to read."""
    path = tmp_path / "source.db"
    writer = sqlite3.connect(path)
    writer.executescript(
        """pragma journal_mode = wal;
           create table one (v int); create table two (v int);
           insert into one values (1); insert into two values (1);"""
    )

    class WritingSteps(Steps):
        """Somebody writes before every step that comes after the snapshot."""

        @contextlib.contextmanager
        def step(self, name: str) -> Iterator[None]:
            if name != "snapshot":
                writer.executescript("insert into one values (2); insert into two values (2);")
            with super().step(name):
                yield

    options = Options(path, tmp_path / "work", EngineName.PGLOADER, quarantine=False)
    with contextlib.closing(writer):
        outcome = migrate(database, options, WritingSteps(Console(quiet=True)))
    assert outcome.report.data["verdict"] == "verified"
    assert query(database, "select * from one, two") == [(1, 1)]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("select count(*) > 1 from one").fetchone() == (1,)


def test_a_damaged_source_is_no_failure_to_it(
    cluster: Server, database: Server, tmp_path: Path
) -> None:
    path = tmp_path / "source.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """create table t (id integer primary key, v text);
               with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
               insert into t select i, printf('%0200d', i) from n;"""
        )
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4096 // 2 * 4096)
        file.write(b"\xa5" * 4096)
    with fresh_database(cluster) as other:
        assert pgloader_alone(other, tmp_path).returncode == 0
        assert query(other, "select count(*) < 5000 from t") == [(True,)]
    options = Options(path, tmp_path / "work", EngineName.PGLOADER, True)
    with pytest.raises(SourceError, match=r"malformed|damaged|cannot be read"):
        run(database, options)
