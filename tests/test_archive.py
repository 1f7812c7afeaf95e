"""The way back is closed: the SQLite file is a proven archive, and PostgreSQL logs nothing more."""

import gzip
import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from database.errors import SourceError, VerificationError
from database.settings import Server
from migration.reverse import archive as module
from migration.reverse.archive import archive
from tests.migrations import make
from tests.programs import query, run_module
from tests.test_capture import schema_of
from tests.test_cutover import move, started

SCHEMA = """
pragma journal_mode = wal;
create table named (name text primary key, rank integer);
create table "with "" quotes" (a);
insert into named values ('one', 1), ('two', 2);
insert into "with "" quotes" values (x'00');
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source.db", SCHEMA)


@pytest.fixture
def schema(source: Path) -> object:
    return schema_of(source)


@pytest.fixture
def moved(database: Server, source: Path, schema: object) -> Server:
    started(database, source)
    move(database, source)
    return database


def command(server: Server, source: Path, *options: object) -> subprocess.CompletedProcess[str]:
    work = source.parent / "work"
    return run_module("migration", "archive", source, *options, server=server, MIGRATION_DIR=work)


def test_the_file_becomes_an_archive(
    moved: Server, source: Path, schema: object, tmp_path: Path
) -> None:
    folder = tmp_path / "archives"
    result = command(moved, source, "--to", folder)
    assert result.returncode == 0, result.stderr
    (packed,) = folder.glob("source-*.db.gz")
    said = json.loads(packed.with_name(packed.name + ".json").read_text())
    assert said["tables"] == {"named": 2, 'with " quotes': 1}
    assert sorted(path.name for path in tmp_path.glob("source*")) == []
    # As it was before it was followed.
    unpacked = tmp_path / "again.db"
    unpacked.write_bytes(gzip.decompress(packed.read_bytes()))
    assert schema_of(unpacked) == schema
    with closing(sqlite3.connect(unpacked)) as connection:
        connection.execute("insert into named values ('three', 3)")
    query(moved, "insert into named values ('later', 9)", role="atlas")
    assert query(moved, "select count(*) from migration.reverse_change") == [(0,)]
    assert query(moved, "select state from migration.cutover") == [("archived",)]
    assert command(moved, source).returncode == 3


def test_a_rehearsal_and_a_kept_file(moved: Server, source: Path) -> None:
    rehearsed = command(moved, source, "--dry-run")
    assert rehearsed.returncode == 0, rehearsed.stderr
    assert list(source.parent.glob("*.gz*")) == []
    assert query(moved, "select state from migration.cutover") == [("done",)]
    kept = command(moved, source, "--keep")
    assert "stays, and refuses writes" in kept.stdout
    with (
        closing(sqlite3.connect(source)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="moved to PostgreSQL"),
    ):
        connection.execute("insert into named values ('three', 3)")
    # Cut off before the file was removed, the next run finishes.
    assert command(moved, source).returncode == 0
    assert not source.exists()
    assert len(list(source.parent.glob("*.gz"))) == 2


def test_an_archive_that_is_damaged_is_noticed_and_nothing_else_happens(
    moved: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(copy: Path, draft: Path) -> None:
        with gzip.open(draft, "wb") as other:
            other.write(copy.read_bytes()[:-1] + b"x")

    monkeypatch.setattr(module, "_pack", damaged)
    with pytest.raises(VerificationError, match="does not unpack to what was packed"):
        archive(moved, source, source.parent, source.parent / "work", keep=False, dry_run=False)
    assert list(source.parent.glob("*.gz*")) == []
    assert list(source.parent.glob(".*")) == []
    assert query(moved, "select state from migration.cutover") == [("done",)]


def test_a_folder_that_cannot_be_written_is_said(moved: Server, source: Path) -> None:
    in_the_way = source.parent / "file"
    in_the_way.write_text("")
    result = command(moved, source, "--to", in_the_way)
    assert result.returncode == 2
    assert "--to" in result.stderr
    assert source.exists()


def test_what_is_the_platforms_database_is_no_archive(database: Server, source: Path) -> None:
    with pytest.raises(SourceError, match="is the platform's database"):
        archive(database, source, source.parent, source.parent / "work", keep=True, dry_run=False)
