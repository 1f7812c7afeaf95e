"""The made-up database: AtlasTrinity's schema and formats, one content per seed and size."""

import hashlib
import json
import re
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from database.errors import UsageError
from database.settings import Server
from migration.source import open_source
from scripts.demo_data.size import format_size, parse_size
from scripts.make_demo_database import make_demo_database
from tests.programs import run_module

MODULE = "scripts.make_demo_database"
FEBRUARY = {"chat_history", "discoveries", "files"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    make_demo_database(path, target_bytes=5_000_000)
    with closing(open_source(path)) as connection:
        yield connection


def one(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


def tables(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("select name, sql from sqlite_master where type = 'table'"))


def schema(path: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        rows = connection.execute("select name, sql from sqlite_master where sql is not null")
        return set(rows.fetchall())


def content(path: Path) -> str:
    with closing(open_source(path)) as connection:
        return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()


@pytest.mark.parametrize("january", [False, True])
def test_the_schema_is_the_orms_byte_for_byte(shared: Path, tmp_path: Path, january: bool) -> None:
    make_demo_database(tmp_path / "demo.db", target_bytes=500_000, january=january)
    month = "01" if january else "02"
    expected = schema(shared / f"fixtures/atlastrinity_2026-{month}_empty.db")
    made = schema(tmp_path / "demo.db")
    assert expected <= made
    assert {name for name, _ in made - expected} == {"dataset_kyiv_orders"}


def test_same_seed_and_size_give_the_same_content(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        make_demo_database(tmp_path / name, target_bytes=1_000_000, seed=seed)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert content(tmp_path / "a") != content(tmp_path / "c")


@pytest.mark.parametrize("size", [500_000, 1_000_000, 20_000_000])
def test_the_size_is_met_within_a_tenth(tmp_path: Path, size: int) -> None:
    make_demo_database(tmp_path / "demo.db", target_bytes=size)
    assert abs((tmp_path / "demo.db").stat().st_size - size) < size / 10


def test_it_is_sound_and_no_table_is_empty(demo: sqlite3.Connection) -> None:
    assert demo.execute("pragma integrity_check").fetchall() == [("ok",)]
    assert demo.execute("pragma foreign_key_check").fetchall() == []
    assert len(tables(demo)) == 16
    for name in tables(demo):
        assert one(demo, f"select count(*) from {name}") > 0, name


def test_january_lacks_what_february_brought(tmp_path: Path) -> None:
    make_demo_database(tmp_path / "demo.db", target_bytes=1_000_000, january=True)
    with closing(open_source(tmp_path / "demo.db")) as connection:
        assert len(tables(connection)) == 13
        assert not FEBRUARY & tables(connection).keys()
        assert "session_id" not in tables(connection)["logs"]
        assert connection.execute("pragma foreign_key_check").fetchall() == []
        levels = connection.execute("select distinct level from logs").fetchall()
        assert ("INFO",) in levels, "the columns that remain hold their own values"


def test_values_are_stored_as_the_orm_stores_them(demo: sqlite3.Connection) -> None:
    stamp = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")
    for name in tables(demo):
        columns = demo.execute(f"select name, type from pragma_table_info('{name}')").fetchall()
        for column, declared in columns:
            values = demo.execute(
                f'select "{column}" from "{name}" where "{column}" is not null limit 500'
            )
            for (value,) in values:
                match declared:
                    case "CHAR(36)":
                        assert str(uuid.UUID(value)) == value
                        assert uuid.UUID(value).version == 4
                    case "DATETIME":
                        assert stamp.fullmatch(value)
                        assert datetime.fromisoformat(value)
                    case "BOOLEAN":
                        assert value in (0, 1)
                    case "JSON":
                        assert value.isascii()
                        assert json.dumps(json.loads(value)) == value
                    case "FLOAT":
                        assert isinstance(value, float)
                    case "INTEGER":
                        assert isinstance(value, int)
                    case _:
                        assert isinstance(value, str)


def test_it_holds_what_a_migration_stumbles_over(demo: sqlite3.Connection) -> None:
    for condition in (
        "tool_executions where length(cast(result as blob)) > 100000",
        "tool_executions where result is null",
        "tool_executions where result = ''",
        "task_steps where error_message like 'Traceback%'",
        "tasks where parent_task_id is not null",
        "logs where session_id is null",
        "logs where session_id = 'current_session'",
        "logs where length(session_id) = 36",
        "logs where metadata_blob is null",
        "logs where metadata_blob = 'null'",
        "logs where message like '%Пам''ять%'",
        "logs where message like '%🎯%'",
        "logs where instr(message, char(9)) and instr(message, 'Таблиця')",
        "logs where instr(message, '\\N')",
        "tool_executions where json_extract(arguments, '$.args') is not null",
        'dataset_kyiv_orders where "Місто" = \'Київ\' and "ціна_грн" is null',
    ):
        assert one(demo, f"select count(*) from {condition}") > 0, condition


def test_the_ratios_are_those_of_the_real_workload(demo: sqlite3.Connection) -> None:
    steps = one(demo, "select count(*) from task_steps")
    for table, per_step, tolerance in (
        ("logs", 23, 2),
        ("tool_executions", 0.8, 0.1),
        ("recovery_attempts", 0.4, 0.15),
        ("kg_nodes", 1.5, 0.5),
        ("kg_edges", 2.4, 0.3),
    ):
        found = one(demo, f"select count(*) from {table}") / steps
        assert found == pytest.approx(per_step, abs=tolerance), table


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "demo.db"
    path.write_text("mine")
    refused = run_module(MODULE, path, "--size", "500kB")
    assert refused.returncode == 2
    assert "--force" in refused.stderr
    assert path.read_text() == "mine"
    Path(f"{path}-wal").write_text("of the file that goes")
    assert run_module(MODULE, path, "--size", "500kB", "--force").returncode == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["demo.db"]


@pytest.mark.parametrize(
    "arguments", [("--size", "5XB"), ("--size", "1kB"), ("--size", "-1MB"), ("--seed", "x")]
)
def test_bad_options_are_refused_without_a_traceback(
    tmp_path: Path, arguments: tuple[str, str]
) -> None:
    result = run_module(MODULE, tmp_path / "demo.db", *arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "demo.db", tmp_path):
        with pytest.raises(UsageError):
            make_demo_database(path, target_bytes=500_000)


def test_sizes_are_read_as_people_write_them() -> None:
    assert parse_size("5MB") == parse_size(" 5 mb ") == parse_size("5M") == 5_000_000
    assert parse_size("1.5GB") == 1_500_000_000
    assert parse_size("512KiB") == 512 * 1024
    assert parse_size("700") == 700
    assert format_size(999) == "999 B"
    assert format_size(5_000_000) == "5 MB"


@pytest.mark.parametrize("january", [False, True])
def test_every_row_of_it_can_be_migrated(database: Server, tmp_path: Path, january: bool) -> None:
    make_demo_database(tmp_path / "demo.db", target_bytes=2_000_000, january=january)
    result = run_module(
        *("migration", "run", tmp_path / "demo.db"),
        server=database,
        MIGRATION_DIR=tmp_path / "work",
    )
    assert result.returncode == 0, result.stderr
