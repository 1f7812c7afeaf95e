"""Several processes at work: the same proof; and what a run says while it works."""

import contextlib
import io
import json
import re
import sqlite3
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from database.settings import Server
from migration import progress
from migration.digest import source_digest
from migration.hashing import hashing
from migration.plan import Plan, make_plan
from migration.profile import profile_source
from migration.progress import Steps
from tests.engines import needs_pgloader
from tests.migrations import migrate
from tests.programs import dump, query, run_module

ROWS = 250_000
#: More than one part for each of two processes, and values that only the slow way takes.
SCRIPT = f"""
    create table t (id integer primary key, at datetime, text text);
    with recursive n (i) as (select 1 union all select i + 1 from n where i < {ROWS})
    insert into t select i, datetime(1770000000 + i, 'unixepoch'), 'row ' || i from n;
    update t set text = cast(x'7a' as blob) where id % 50000 = 0;
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("jobs") / "source.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCRIPT)
    return path


@pytest.fixture(scope="module")
def plan(source: Path) -> Plan:
    return make_plan(profile_source(source), {})


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_parts_come_to_the_digest_of_the_whole(source: Path, plan: Plan, jobs: int) -> None:
    (table,) = plan.tables
    with hashing(source, plan, jobs) as digests:
        found = digests()["t"]
    assert found.rows == ROWS
    assert found.equals(source_digest(source, table))


def test_jobs_is_an_option_and_a_setting(database: Server, source: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    result = migrate(database, source, "--jobs", "3", MIGRATION_DIR=work)
    assert result.returncode == 0, result.stderr
    assert query(database, "select count(*) from t") == [(ROWS,)]
    again = run_module("migration", "verify", server=database, MIGRATION_DIR=work, MIGRATION_JOBS=4)
    assert again.returncode == 0, again.stderr
    refused = migrate(database, source, "--jobs", "0", MIGRATION_DIR=work)
    assert refused.returncode == 2


def test_a_log_says_how_far_it_is(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container nobody watches a terminal."""
    monkeypatch.setattr(progress, "_LOG_SECONDS", 0.0)
    said = io.StringIO()
    with Steps(Console(file=said, width=120)).rows(plan, ROWS * 100) as rows:
        rows.advance(plan.tables[0], 1000)
        rows.advance(plan.tables[0], 1000)
        rows.begin("verify")
        rows.advance(plan.tables[0], ROWS)
    lines = [line.strip() for line in said.getvalue().splitlines() if " of " in line]
    assert re.fullmatch(
        r"load: 2,000 of 250,000 rows, [\d,]+ rows/s, \d+ MB/s, about \d+ \w+ left", lines[1]
    )
    assert re.fullmatch(r"verify: 250,000 of 250,000 rows, [\d,]+ rows/s, \d+ MB/s", lines[2])


@pytest.mark.parametrize(
    ("elapsed", "left"),
    [(1, "2 min"), (0.5, "50 s"), (30, "50 min"), (60, "1 h 39 min"), (600, "16 h 30 min")],
)
def test_the_time_that_is_left_is_by_the_rate_of_the_whole_step(elapsed: float, left: str) -> None:
    """A stall of a moment, or a table of long rows, does not make hours of it."""
    now = 0.0
    bar = Progress(console=Console(quiet=True), get_time=lambda: now)
    bar.add_task("load", total=100)
    (task,) = bar.tasks
    now = elapsed
    bar.advance(task.id, 1)
    assert progress._rate(task, 1e6).endswith(f"about {left} left")


def test_the_estimate_is_of_all_rows(database: Server, source: Path, tmp_path: Path) -> None:
    settings = {"MIGRATION_DIR": tmp_path / "work"}
    result = run_module("migration", "plan", source, "--json", server=database, **settings)
    assert result.returncode == 0, result.stderr
    estimate = json.loads(result.stdout)["estimate"]
    assert estimate["seconds"] > 0
    assert estimate["work_bytes"] == source.stat().st_size
    assert migrate(database, source, **settings).returncode == 0
    (size,) = query(database, "select pg_total_relation_size('t')")[0]
    assert isinstance(size, int)
    assert size / 2 < estimate["target_bytes"] < size * 2


@needs_pgloader
def test_the_estimate_of_the_other_engine_stages_a_sample_and_leaves_nothing(
    database: Server, source: Path, tmp_path: Path
) -> None:
    settings = {"MIGRATION_DIR": tmp_path / "work"}
    before = dump(database)
    estimates = {}
    for engine in ("copy", "pgloader"):
        result = run_module(
            "migration", "plan", source, "--engine", engine, "--json", server=database, **settings
        )
        assert result.returncode == 0, result.stderr
        estimates[engine] = json.loads(result.stdout)["estimate"]
        assert estimates[engine]["engine"] == engine
    assert estimates["pgloader"]["seconds"] > estimates["copy"]["seconds"]
    assert dump(database) == before
    assert list((tmp_path / "work").rglob("probe")) == []


def test_a_plan_for_an_engine_that_is_missing_says_so(
    database: Server, source: Path, tmp_path: Path
) -> None:
    settings = {"MIGRATION_DIR": tmp_path / "work", "PATH": tmp_path}
    result = run_module(
        "migration", "plan", source, "--engine", "pgloader", server=database, **settings
    )
    assert result.returncode == 2
    assert "pgloader is not installed" in result.stderr
