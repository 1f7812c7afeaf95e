"""A row that makes the load itself fail is quarantined with its reason; all others arrive."""

import contextlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from database.errors import QuarantineError
from database.settings import Server
from migration.load import EngineName
from migration.load.copy import CopyEngine
from migration.plan import make_plan
from migration.profile import profile_source
from migration.progress import Steps
from migration.run import Options, Outcome, migrate
from migration.target import open_target, read_target
from tests.engines import ENGINES, Quiet
from tests.programs import query

#: More than two batches of the copy engine.
ROWS = 2_500
#: Around the ends of batches and of the table, and two neighbours.
BAD = (0, 999, 1000, 1700, 1701, 2499)


@dataclass(frozen=True)
class Case:
    """A target table t(id, v) that refuses one value of v and takes the other."""

    script: str
    declared: str
    good: object
    bad: object
    column: str | None
    sqlstate: str


# PL/pgSQL is the administrator's alone.
_RAISES = """
    reset role;
    create function refuse() returns trigger language plpgsql as $$
    begin
        if new.v = 'bad' then raise exception 'not this one'{code}; end if;
        return new;
    end $$;
    alter function refuse() owner to atlas_owner;
    set role atlas_owner;
    create table t (id bigint, v text);
    create trigger refuse before insert on t for each row execute function refuse();
"""

CASES = {
    "deeply nested JSON": Case(
        "create table t (id bigint, v jsonb)", "json", "[]", "[" * 20_000 + "]" * 20_000,
        "v", "54001",
    ),
    "a domain's check": Case(
        "create domain short as text check (length(value) < 5);"
        " create table t (id bigint, v short)",
        "text", "good", "too long", "v", "23514",
    ),
    "longer than varchar(n)": Case(
        "create table t (id bigint, v varchar(4))", "text", "good", "too long", "v", "22001"
    ),
    "larger than numeric(4, 2)": Case(
        "create table t (id bigint, v numeric(4, 2))", "numeric", 1.25, 100.5, "v", "22003"
    ),
    "a generated column": Case(
        "create table t (id bigint, v bigint, w bigint generated always as (1 / v) stored)",
        "integer", 1, 0, None, "22012",
    ),
    "a trigger": Case(_RAISES.format(code=""), "text", "good", "bad", None, "P0001"),
    "a trigger with a code of its own": Case(
        _RAISES.format(code=" using errcode = '23514'"), "text", "good", "bad", None, "23514"
    ),
}  # fmt: skip


def make(path: Path, script: str, rows: Sequence[tuple[object, ...]]) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(script)
        marks = ", ".join("?" * len(rows[0]))
        connection.executemany(f"insert into t values ({marks})", rows)
        connection.commit()
    return path


def run(server: Server, source: Path, engine: EngineName) -> Outcome:
    options = Options(source, source.parent / "work", engine, quarantine=True)
    return migrate(server, options, Steps(Console(quiet=True)))


def refused(server: Server) -> list[tuple[object, ...]]:
    return query(
        server,
        "select source_position, column_name, sqlstate from migration.quarantine order by 1",
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_a_row_that_the_load_fails_of_is_quarantined(
    database: Server, tmp_path: Path, engine: EngineName, name: str
) -> None:
    case = CASES[name]
    query(database, f"set role atlas_owner; {case.script}")
    rows = [(number, case.bad if number in BAD else case.good) for number in range(ROWS)]
    source = make(tmp_path / "s.db", f"create table t (id integer, v {case.declared})", rows)
    outcome = run(database, source, engine)
    assert isinstance(outcome.error, QuarantineError)
    assert outcome.report.data["verdict"] == "quarantined"
    assert refused(database) == [(number, case.column, case.sqlstate) for number in BAD]
    assert query(database, "select id from t order by id") == [
        (number,) for number in range(ROWS) if number not in BAD
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_row_too_long_for_a_page_is_quarantined(
    database: Server, tmp_path: Path, engine: EngineName
) -> None:
    """Numbers cannot be moved out of a row: 1,100 of them take more than the 8,160 bytes."""
    columns = ", ".join(f"c{number} integer" for number in range(1_100))
    empty, full = (None,) * 1_099, (7,) * 1_099
    rows = [(number, *(full if number in (3, 9) else empty)) for number in range(20)]
    source = make(tmp_path / "s.db", f"create table t ({columns})", rows)
    outcome = run(database, source, engine)
    assert isinstance(outcome.error, QuarantineError)
    assert refused(database) == [(3, None, "54000"), (9, None, "54000")]
    assert query(database, "select count(*) from t") == [(18,)]


def test_skipped_rows_are_found_where_the_server_names_none(
    database: Server, tmp_path: Path
) -> None:
    """A server of another language says it in words that are not understood: here in none."""
    query(database, "set role atlas_owner; create table t (id bigint, v uuid)")
    good = "9f3bb5a0-7d43-4a7b-8f35-7a3b1a3f0c11"
    rows = [(number, "none" if number in BAD else good) for number in range(ROWS)]
    source = make(tmp_path / "s.db", "create table t (id integer, v text)", rows)
    progress = Quiet()
    with open_target(database) as connection, connection.transaction():
        target = read_target(connection)
        plan = make_plan(profile_source(source, target), target)
        connection.execute("set local client_min_messages = error")
        loaded = CopyEngine().load(connection, source, plan.tables[0], progress)
        assert connection.execute("select count(*) from public.t").fetchone() == (loaded.rows,)
    assert [entry.row.position for entry in loaded.refused] == list(BAD)
    assert {(entry.column, entry.sqlstate) for entry in loaded.refused} == {("v", "22P02")}
    assert loaded.rows == ROWS - len(BAD)
    assert progress.rows == ROWS
