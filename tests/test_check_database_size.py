"""The check before a migration: it changes nothing, disturbs nobody, and says what it knows."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from database.errors import SourceError
from scripts.database_size import tables as tables_module
from scripts.database_size.activity import Activity, Growth, seconds_of
from scripts.database_size.check import check_database
from scripts.database_size.evidence import Evidence
from scripts.database_size.locks import LockProbe, probe_write_lock
from scripts.database_size.triggers import (
    Facts,
    Stated,
    Trigger,
    projection_days,
    verdict,
    weigh,
)
from scripts.make_demo_database import make_demo_database
from tests.programs import CHECKOUT, run_module

MODULE = "scripts.check_database_size"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "atlastrinity.db"
    make_demo_database(path, target_bytes=1_000_000)
    return path


@pytest.fixture
def database_file(original: Path, tmp_path: Path) -> Path:
    """A made-up platform database in rollback-journal mode."""
    path = tmp_path / "data" / "atlastrinity.db"
    path.parent.mkdir()
    shutil.copyfile(original, path)
    return path


def run_check(*arguments: object) -> dict[str, Any]:
    result = run_module(MODULE, "--json", *arguments)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def trigger(found: dict[str, Any], start: str) -> dict[str, Any]:
    (entry,) = [entry for entry in found["triggers"] if entry["name"].startswith(start)]
    return dict(entry)


def state(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file's content and modification time. The -shm holds locks: its content may change."""
    return {
        entry.name: (
            "" if entry.name.endswith("-shm") else hashlib.sha256(entry.read_bytes()).hexdigest(),
            0 if entry.name.endswith("-shm") else entry.stat().st_mtime_ns,
        )
        for entry in folder.iterdir()
    }


def set_wal(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")


class Writer:
    """A writing process; after `stop`, how often it wrote and was refused."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def stop(self) -> tuple[int, int]:
        output, _ = self.process.communicate(timeout=30)
        wrote, refused = map(int, output.split())
        return wrote, refused


@contextmanager
def writing(
    path: Path, *, hold_ms: float, pause_ms: float, timeout: float = 5.0, begin: str = ""
) -> Iterator[Writer]:
    arguments = [str(path), str(hold_ms), str(pause_ms), str(timeout), *([begin] if begin else [])]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sqlite_writer", *arguments],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Writer(process)
    finally:
        process.kill()
        process.wait()


# Nothing is changed ------------------------------------------------------------------------


def test_a_database_in_rollback_mode_is_left_as_it_was(database_file: Path) -> None:
    before = state(database_file.parent)
    found = run_check(database_file, "--probe-seconds", "0.2")
    assert state(database_file.parent) == before
    assert found["journal_mode"] == "rollback"


def test_a_closed_wal_database_is_left_as_it_was(database_file: Path) -> None:
    set_wal(database_file)
    before = state(database_file.parent)
    found = run_check(database_file, "--probe-seconds", "0.2")
    assert state(database_file.parent) == before, "a plain reader would leave -wal and -shm behind"
    assert found["journal_mode"] == "wal"
    assert "nobody" in found["note"]


def test_a_wal_database_in_use_is_read_with_its_wal(database_file: Path) -> None:
    set_wal(database_file)
    with closing(sqlite3.connect(database_file)) as application:
        application.execute("pragma wal_autocheckpoint = 0")
        application.execute("create table in_the_wal (x)")
        application.executemany("insert into in_the_wal values (?)", [(n,) for n in range(77)])
        application.commit()
        before = state(database_file.parent)
        found = run_check(database_file, "--probe-seconds", "0.2")
        assert state(database_file.parent) == before
    (table,) = [entry for entry in found["tables"] if entry["name"] == "in_the_wal"]
    assert table["rows"] == 77
    assert {entry["kind"] for entry in found["neighbours"]} == {"journal"}
    assert found["size_bytes"] > database_file.stat().st_size


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_what_a_crash_left_is_read_from_a_copy(
    database_file: Path, tmp_path: Path, mode: str
) -> None:
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    with closing(sqlite3.connect(database_file, isolation_level=None)) as application:
        application.execute(f"pragma journal_mode = {mode}")
        application.execute("pragma cache_size = 5")
        application.execute("create table lost (x)")
        application.execute("begin")
        application.execute("insert into lost select message from logs")
        if mode == "wal":
            application.execute("commit")
        for suffix in ("", "-wal", "-journal"):
            source = Path(f"{database_file}{suffix}")
            if source.exists():
                shutil.copyfile(source, crashed / source.name)
    assert len(list(crashed.iterdir())) == 2
    before = state(crashed)
    found = run_check(crashed / database_file.name, "--probe-seconds", "0.2")
    assert state(crashed) == before
    assert "copy" in found["note"]
    (table,) = [entry for entry in found["tables"] if entry["name"] == "lost"]
    assert (table["rows"] > 0) == (mode == "wal"), "what was not committed is not there"


# The write lock ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["wal", "rollback"])
def test_lock_contention_is_measured(database_file: Path, mode: str) -> None:
    if mode == "wal":
        set_wal(database_file)
    with writing(database_file, hold_ms=30, pause_ms=30):
        found = run_check(database_file, "--probe-seconds", "1.5")
    probe = found["lock_probe"]
    assert 0.2 < probe["held_share"] < 0.9
    assert probe["holders"] == 1
    assert 15 < probe["longest_hold_ms"] < 1000
    assert trigger(found, "lock contention")["status"] == "met"
    assert trigger(found, "lock contention")["basis"] == "measured"
    assert found["verdict"] == "migrate"


@pytest.mark.parametrize("mode", ["wal", "rollback"])
def test_probing_never_makes_a_writer_wait(database_file: Path, mode: str) -> None:
    if mode == "wal":
        set_wal(database_file)
    # Without any patience: one conflict with the probe would be an error.
    with writing(database_file, hold_ms=0, pause_ms=0, timeout=0) as writer:
        probe = probe_write_lock(database_file, "wal" if mode == "wal" else "rollback", 1.0)
        assert probe is not None
        assert probe.holders == 1
        wrote, refused = writer.stop()
    assert wrote > 20
    assert refused == 0


@pytest.mark.parametrize("mode", ["wal", "rollback"])
def test_the_whole_check_gives_a_writer_no_error(database_file: Path, mode: str) -> None:
    if mode == "wal":
        set_wal(database_file)
    with writing(database_file, hold_ms=1, pause_ms=5) as writer:
        run_check(database_file, "--probe-seconds", "0.3")
        wrote, refused = writer.stop()
    assert wrote > 10
    assert refused == 0


def test_two_writers_are_told_apart(database_file: Path) -> None:
    set_wal(database_file)
    slow = {"hold_ms": 5.0, "pause_ms": 5.0, "timeout": 30.0}
    with writing(database_file, **slow), writing(database_file, **slow):  # type: ignore[arg-type]
        probe = probe_write_lock(database_file, "wal", 2.0)
    assert probe is not None
    assert probe.holders == 2


def test_a_quiet_database_says_that_nothing_was_seen(database_file: Path) -> None:
    found = run_check(database_file, "--probe-seconds", "0.2")
    assert found["lock_probe"]["held_share"] == 0
    assert trigger(found, "lock contention")["status"] == "unknown"
    assert run_check(database_file, "--no-probe")["lock_probe"] is None


def test_recorded_lock_errors_count(database_file: Path) -> None:
    with closing(sqlite3.connect(database_file)) as connection:
        connection.execute(
            "update logs set message = '(sqlite3.OperationalError) database is locked' where id = 9"
        )
        connection.commit()
    found = trigger(run_check(database_file, "--no-probe"), "lock contention")
    assert (found["status"], found["basis"]) == ("met", "recorded")
    assert "logs" in found["evidence"]


# What it says ------------------------------------------------------------------------------


def test_rows_and_bytes_are_those_of_the_database(database_file: Path) -> None:
    found = run_check(database_file, "--no-probe")
    with closing(sqlite3.connect(database_file)) as connection:
        for entry in found["tables"]:
            (rows,) = connection.execute(f'select count(*) from "{entry["name"]}"').fetchone()
            assert (entry["rows"], entry["rows_exact"]) == (rows, True)
    assert len(found["tables"]) == 16
    assert found["size_bytes"] == database_file.stat().st_size
    total = sum(entry["bytes"] for entry in found["tables"])
    assert 0.95 < total / found["size_bytes"] <= 1


def test_bytes_are_called_estimated_where_sqlite_cannot_measure(
    database_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = check_database(database_file, probe_seconds=None, stated=Stated())
    monkeypatch.setattr(tables_module, "_has_dbstat", lambda _reader: False)
    guessed = check_database(database_file, probe_seconds=None, stated=Stated())
    assert all(entry.bytes_exact for entry in exact.tables)
    assert not any(entry.bytes_exact for entry in guessed.tables)
    sizes = {entry.name: entry.bytes or 0 for entry in guessed.tables}
    for entry in exact.tables[:3]:
        assert sizes[entry.name] == pytest.approx(entry.bytes, rel=0.5)


def test_growth_is_that_of_the_timestamps(tmp_path: Path) -> None:
    path = tmp_path / "growing.db"
    now = datetime.now(UTC).replace(tzinfo=None)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table logs (id integer primary key, timestamp datetime, t text)")
        for day in range(60, 0, -1):
            moment = now - timedelta(days=day - 1)
            rows = [(moment.isoformat(" "), "x" * 1000)] * (100 if day > 7 else 200)
            connection.executemany("insert into logs (timestamp, t) values (?, ?)", rows)
        connection.commit()
    found = run_check(path, "--no-probe")
    week, month = found["activity"]["growth"]
    assert week["rows_per_day"] == pytest.approx(200, rel=0.01)
    assert month["rows_per_day"] == pytest.approx((23 * 100 + 7 * 200) / 30, rel=0.05)
    assert month["bytes_per_day"] == pytest.approx(month["rows_per_day"] * 1365, rel=0.05)
    assert found["limit_reached_on"] is not None
    assert trigger(found, "larger")["status"] == "near"


def test_more_than_five_agents_at_once_are_found(tmp_path: Path) -> None:
    path = tmp_path / "busy.db"
    agents = ["atlas", "Tetyana", "grisha", "olena", "ivan", "petro", "system"]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table logs (timestamp datetime, source varchar(50))")
        rows = [(f"2026-10-01 10:00:{n:02}.000000", agents[n % 7]) for n in range(30)]
        connection.executemany("insert into logs values (?, ?)", rows)
        connection.commit()
    entry = trigger(run_check(path, "--no-probe"), "more than 5")
    assert entry["status"] == "met"
    assert "tetyana" in entry["evidence"]
    assert "system" not in entry["evidence"], "a part of the platform is no agent"


def test_what_the_user_says_counts(database_file: Path) -> None:
    said = run_check(database_file, "--no-probe", "--agents", "9", "--analytics", "--high-load")
    for start in ("more than 5", "window", "high-load"):
        assert trigger(said, start)["status"] == "met"
        assert trigger(said, start)["basis"] == "stated"
    assert said["verdict"] == "migrate"


def test_the_real_databases_are_understood(shared: Path) -> None:
    for name, tables in (("atlastrinity_small.db", 15), ("atlastrinity_2026-01_empty.db", 12)):
        found = run_check(shared / "fixtures" / name, "--no-probe")
        assert len(found["tables"]) == tables
    assert found["activity"]["newest"] is None
    music = run_check(shared / "fixtures/chinook.sqlite", "--no-probe")
    assert music["activity"]["newest"] is None, "the date of an invoice is no time of writing"
    assert trigger(music, "more than 5")["status"] == "unknown"


def test_neighbours_are_told_by_kind(database_file: Path) -> None:
    folder = database_file.parent
    for name in ("monitoring.db", "atlastrinity_backup_2026-01-02.db", "atlastrinity.db.bak"):
        shutil.copyfile(database_file, folder / name)
    (folder / "notes.txt").write_text("no database")
    (folder / "fake.db").write_text("no database either")
    (folder / "backups").mkdir()
    (folder / "backups" / "old.db.gz").write_bytes(b"x")
    kinds = {entry["name"]: entry["kind"] for entry in run_check(folder)["neighbours"]}
    assert kinds == {
        "monitoring.db": "database",
        "atlastrinity_backup_2026-01-02.db": "backup",
        "atlastrinity.db.bak": "backup",
        "backups/old.db.gz": "backup",
    }


def test_tables_of_unknown_modules_and_no_tables_at_all(tmp_path: Path) -> None:
    path = tmp_path / "odd.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute('create table "a""b [юнікод]" (k text primary key) without rowid')
        connection.execute("create table late (_rowid_ text, created_at text)")
        connection.execute("pragma writable_schema = 1")
        connection.execute(
            "insert into sqlite_master values "
            "('table', 'search', 'search', 0, 'create virtual table search using missing(x)')"
        )
        connection.commit()
    tables = {entry["name"]: entry for entry in run_check(path, "--no-probe")["tables"]}
    assert tables["search"]["rows"] is None
    assert "missing" in tables["search"]["note"]
    assert tables['a"b [юнікод]']["rows"] == 0
    empty = tmp_path / "empty.db"
    with closing(sqlite3.connect(empty)) as connection:
        connection.execute("pragma user_version = 1")
    assert run_check(empty, "--no-probe")["tables"] == []


def test_people_get_a_page_and_the_exit_code_is_zero(database_file: Path) -> None:
    script = CHECKOUT / "scripts" / "check_database_size.py"
    environment = {**os.environ, "SQLITE_PATH": str(database_file), "COLUMNS": "120"}
    result = subprocess.run(
        [sys.executable, script, "--probe-seconds", "0.2"],
        env=environment,
        cwd=database_file.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    for expected in ("Triggers of the plan", "tool_executions", "Stay with SQLite", "pgloader"):
        assert expected in result.stdout


# What goes wrong ---------------------------------------------------------------------------


def refused(*arguments: object, code: int = 3) -> str:
    result = run_module(MODULE, *arguments)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert "error" in result.stderr.lower()
    return result.stderr


def test_files_that_are_no_database_are_refused(database_file: Path, tmp_path: Path) -> None:
    assert "no file" in refused(tmp_path / "missing.db")
    (tmp_path / "empty.db").write_bytes(b"")
    assert "is empty" in refused(tmp_path / "empty.db")
    (tmp_path / "text.db").write_text("hello " * 1000)
    assert "is a text file" in refused(tmp_path / "text.db")
    (tmp_path / "cipher.db").write_bytes(os.urandom(8192))
    assert "encrypted" in refused(tmp_path / "cipher.db")
    (tmp_path / "folder").mkdir()
    assert "no SQLite database" in refused(tmp_path / "folder")
    database_file.chmod(0)
    if os.geteuid() != 0:
        assert "ermission" in refused(database_file)


def test_a_truncated_file_is_refused(database_file: Path) -> None:
    with database_file.open("r+b") as file:
        file.truncate(database_file.stat().st_size // 2)
    assert "damaged" in refused(database_file, "--no-probe")


def test_a_corrupt_page_is_refused(database_file: Path) -> None:
    with database_file.open("r+b") as file:
        for page in range(8, 200):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    assert "damaged" in refused(database_file, "--no-probe")


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "head.db").write_bytes(b"SQLite format 3\x00" + b"\xff" * 84)
    refused(tmp_path / "head.db")


def test_a_database_locked_for_long_is_refused(database_file: Path) -> None:
    with writing(database_file, hold_ms=60_000, pause_ms=0, begin="begin exclusive"):
        assert "locked" in refused(database_file, "--probe-seconds", "0.2")


@pytest.mark.parametrize("arguments", [("--probe-seconds", "0"), ("--agents", "x"), ("--what",)])
def test_bad_options_are_refused(database_file: Path, arguments: tuple[str, ...]) -> None:
    refused(database_file, *arguments, code=2)


# The rules, without a database -------------------------------------------------------------


def facts(**changes: Any) -> Facts:
    chosen: dict[str, Any] = {
        "size_bytes": 1_000_000,
        "activity": Activity(newest="2026-10-01 10:00", busiest_minute_rate=1.0),
        "evidence": Evidence(),
        "probe": LockProbe(3.0, 3000, 0.01, 5.0, 1, 0.0),
        "probed": True,
        "stated": Stated(agents=3, analytics=False),
    }
    return Facts(**{**chosen, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "stay"),
        ({"size_bytes": 10_000_001}, "migrate"),
        ({"size_bytes": 10_000_000}, "plan"),
        ({"size_bytes": 5_000_000}, "stay"),
        ({"stated": Stated(agents=6, analytics=False)}, "migrate"),
        ({"stated": Stated(agents=5, analytics=False)}, "plan"),
        ({"evidence": Evidence(analytic_queries=1, queries=2), "stated": Stated()}, "plan"),
        ({"probe": LockProbe(3.0, 3000, 0.05, 50.0, 2, 0.0)}, "plan"),
        ({"probe": LockProbe(3.0, 3000, 0.01, 1500.0, 1, 0.0)}, "migrate"),
        ({"activity": Activity(newest="2026-10-01 10:00", busiest_minute_rate=10)}, "migrate"),
        ({"activity": Activity(newest="2026-10-01 10:00", busiest_minute_rate=5)}, "plan"),
        ({"probe": None, "stated": Stated(), "activity": Activity()}, "stay"),
    ],
)
def test_one_trigger_met_means_migrate_one_near_means_plan(
    changes: dict[str, Any], expected: str
) -> None:
    assert verdict(weigh(facts(**changes))) == expected


def test_every_trigger_of_the_plan_is_weighed() -> None:
    assert [entry.name for entry in weigh(facts())] == [
        "larger than 10 MB",
        "more than 5 agents at once",
        "window functions, CTEs or JSON queries needed",
        "lock contention seen",
        "high-load deployment",
    ]
    assert all(isinstance(entry, Trigger) and entry.evidence for entry in weigh(facts()))


def test_the_projection_needs_a_day_of_history() -> None:
    assert projection_days(11_000_000, []) == 0
    assert projection_days(9_000_000, []) is None
    assert projection_days(9_000_000, [Growth(7, 0.5, 10, 1000)]) is None
    assert projection_days(9_000_000, [Growth(7, 7, 9, 0), Growth(30, 9, 10, 100_000)]) == 10


def test_times_are_read_in_every_form_that_platforms_store() -> None:
    expected = datetime(2026, 1, 12, 8, 0, 26, tzinfo=UTC).timestamp()
    for value in ("2026-01-12 08:00:26.082033", "2026-01-12T08:00:26Z", expected, expected * 1e3):
        assert seconds_of(value) == expected
    for unusable in (None, "", "0000-00-00", "soon", b"x", -1, 2461000.5):
        assert seconds_of(unusable) is None


def test_a_missing_file_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        check_database(tmp_path / "missing.db", probe_seconds=None, stated=Stated())


def test_every_field_of_the_json_is_documented(database_file: Path) -> None:
    page = (CHECKOUT / "docs/reference/scripts.md").read_text()
    found = run_check(database_file, "--probe-seconds", "0.1")
    for name, value in found.items():
        assert f"`{name}" in page, name
        first = value[0] if isinstance(value, list) and value else value
        for inner in first if isinstance(first, dict) else {}:
            assert f"`{inner}" in page, f"{name}.{inner}"
