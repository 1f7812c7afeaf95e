"""An export that fails leaves no file, says why, and the next one is whole."""

import contextlib
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from database.connect import connect
from database.settings import Server
from tests.exports import export
from tests.programs import CHECKOUT, environment, query


def fill(server: Server, rows: int) -> None:
    query(
        server,
        "insert into logs (timestamp, level, source, message) select '2026-02-01', 'INFO', 's',"
        f" repeat('m', 500) from generate_series(1, {rows})",
    )


def count(path: Path, table: str) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found: int = connection.execute(f"select count(*) from {table}").fetchone()[0]
        return found


def test_file_that_is_there_is_replaced_only_when_asked(database: Server, tmp_path: Path) -> None:
    path = tmp_path / "exported.db"
    path.write_text("mine")
    refused = export(database, path)
    assert refused.returncode == 2
    assert "--replace" in refused.stderr
    assert path.read_text() == "mine"
    assert export(database, path, "--replace").returncode == 0
    assert count(path, "logs") == 0
    assert path.stat().st_mode & 0o077 == 0, "readable by its owner alone"


def test_killed_export_leaves_no_file_and_the_next_is_whole(
    database: Server, tmp_path: Path
) -> None:
    fill(database, 60_000)
    path, draft = tmp_path / "exported.db", tmp_path / ".exported.db.draft"
    process = subprocess.Popen(
        [sys.executable, "scripts/backup.py", "export-sqlite", path],
        cwd=CHECKOUT,
        env=environment(database),
    )
    while process.poll() is None and not (draft.exists() and draft.stat().st_size > 1_000_000):
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert draft.exists()
    assert not path.exists()
    assert export(database, path).returncode == 0
    assert not draft.exists()
    assert count(path, "logs") == 60_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting needs root with CAP_SYS_ADMIN")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_full_disk_is_named_and_leaves_nothing(database: Server, small_disk: Path) -> None:
    fill(database, 20_000)
    result = export(database, small_disk / "exported.db")
    assert result.returncode == 2
    assert "full" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(small_disk.iterdir()) == []


def test_folder_that_is_not_there_is_named(database: Server, tmp_path: Path) -> None:
    result = export(database, tmp_path / "nowhere" / "exported.db")
    assert result.returncode == 2
    assert "No such file or directory" in result.stderr


def test_server_that_goes_away_is_said(database: Server, tmp_path: Path) -> None:
    fill(database, 100_000)
    path = tmp_path / "exported.db"
    process = subprocess.Popen(
        [sys.executable, "scripts/backup.py", "export-sqlite", path],
        cwd=CHECKOUT,
        env=environment(database),
        stderr=subprocess.PIPE,
        text=True,
    )
    ended: list[tuple[object, ...]] = []
    while process.poll() is None and not ended:
        ended = query(
            database,
            "select pg_terminate_backend(pid) from pg_stat_activity where datname ="
            " current_database() and application_name = 'migration' and query like '%public%'",
        )
    errors = process.stderr.read() if process.stderr else ""
    assert process.wait() == 4, errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == []


def test_table_of_somebody_else_is_said(database: Server, tmp_path: Path) -> None:
    query(database, "create table private (v int)")
    query(database, "revoke all on private from public, atlas_owner")
    result = export(database, tmp_path / "exported.db")
    assert result.returncode == 4
    assert "private" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


def test_writes_meanwhile_are_there_with_all_that_belongs_to_them_or_not_at_all(
    database: Server, tmp_path: Path
) -> None:
    """Tables are read one after the other, of one moment."""
    stop = threading.Event()

    def write() -> None:
        with connect(database, "atlas") as connection:
            while not stop.is_set():
                connection.execute(
                    "with s as (insert into sessions values"
                    " (gen_random_uuid(), now(), null, '{}') returning id)"
                    " insert into logs (timestamp, level, source, message, session_id)"
                    " select now(), 'INFO', 's', 'm', id::text from s"
                )
                connection.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            path = tmp_path / f"{number}.db"
            result = export(database, path)
            assert result.returncode == 0, result.stderr
            assert count(path, "sessions") == count(path, "logs")
            assert count(path, "logs where session_id not in (select id from sessions)") == 0
    finally:
        stop.set()
        writer.join()
    assert count(path, "sessions") > 0
