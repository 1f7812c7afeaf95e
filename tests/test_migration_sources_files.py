"""Whatever kind of file the source is, and wherever: it is read, or what it is is said."""

import bz2
import contextlib
import gzip
import os
import random
import sqlite3
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from database.errors import SourceError
from database.settings import Server
from migration import source as source_module
from migration.snapshot import take_snapshot
from tests.migrations import make, migrate, report
from tests.programs import query, run_module

SCRIPT = "create table t (a int, b text); insert into t values (1, 'Привіт'), (2, null);"
ROWS = [(1, "Привіт"), (2, None)]
Patch = Callable[[bytearray], None]


@pytest.mark.parametrize(
    "name",
    [
        "two words.db",
        "what? why#1 100%25 &mode=rwc.db",
        'it\'s "quoted".db',
        "Київ 🧪.db",
        "-leading.db",
        "без розширення",
        os.fsdecode(b"not-utf8-\xff.db"),
    ],
    ids=ascii,
)
def test_any_path_is_found(database: Server, tmp_path: Path, name: str) -> None:
    source = make(tmp_path / name, SCRIPT)
    code, _ = report(database, source)
    assert code == 0
    assert query(database, "select a, b from t order by a") == ROWS


def test_link_brings_the_rows_beside_the_file_it_names(database: Server, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "far/real.db")
    with contextlib.closing(sqlite3.connect(tmp_path / "far/real.db")) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.executescript(SCRIPT)
        code, _ = report(database, link)
    assert code == 0
    assert query(database, "select count(*) from t") == [(2,)]


def patched(offset: int, content: bytes) -> Patch:
    def patch(data: bytearray) -> None:
        data[offset : offset + len(content)] = content

    return patch


def untouched(_data: bytearray) -> None:
    """Leave the file as SQLite made it."""


#: name → (statements before the table is made, what is changed in the finished file)
FORMATS: dict[str, tuple[str, Patch]] = {
    "UTF-16 little-endian": ("pragma encoding = 'UTF-16le';", untouched),
    "UTF-16 big-endian": ("pragma encoding = 'UTF-16be';", untouched),
    **{
        f"pages of {2**power}": (f"pragma page_size = {2**power};", untouched)
        for power in range(9, 17)
    },
    "full auto_vacuum": ("pragma auto_vacuum = full;", untouched),
    "incremental auto_vacuum": ("pragma auto_vacuum = incremental;", untouched),
    "an application's id and version": (
        "pragma application_id = 252006673; pragma user_version = -7;",
        untouched,
    ),
    "the oldest schema format": ("", patched(44, b"\0\0\0\1")),
    "the header of write-ahead mode without a log": ("", patched(18, b"\2\2")),
    "an odd length in the header": ("", patched(28, b"\0\0\0\0")),
}


@pytest.mark.parametrize("name", FORMATS)
def test_any_format_is_read(tmp_path: Path, name: str) -> None:
    before, patch = FORMATS[name]
    source = make(tmp_path / "source.db", before + SCRIPT)
    data = bytearray(source.read_bytes())
    patch(data)
    source.write_bytes(data)
    snapshot = take_snapshot(source, tmp_path / "work")
    assert read(snapshot.path, "select a, b from t order by a") == ROWS
    assert source.read_bytes() == data, "the source was changed"


def test_reserved_bytes_on_every_page_are_kept(database: Server, tmp_path: Path) -> None:
    source = make(tmp_path / "source.db", "create table x (a); drop table x; vacuum;")
    data = bytearray(source.read_bytes()[:4096])
    data[20] = 32
    data[28:32] = (1).to_bytes(4, "big")
    data[100:4096] = b"\x0d\0\0\0\0" + (4096 - 32).to_bytes(2, "big") + bytes(4096 - 107)
    source.write_bytes(data)
    rows = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 999)"
    make(source, f"{SCRIPT} {rows} insert into t select i + 2, hex(randomblob(i)) from n;")
    assert source.read_bytes()[20] == 32
    code, _ = report(database, source)
    assert code == 0
    assert query(database, "select count(*) from t") == [(1001,)]


def sql_text(path: Path) -> None:
    path.write_text("-- made by hand\nPRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\n")


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.db", b"SQLite format 3\0")


#: name → (what makes the file, words of the message, words of the hint)
NO_DATABASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "gzip": (lambda path: path.write_bytes(gzip.compress(b"x")), "a gzip file", "gunzip"),
    "bzip2": (lambda path: path.write_bytes(bz2.compress(b"x")), "a bzip2 file", "Unpack"),
    "zip": (zipped, "a zip file", "Unpack"),
    "SQL text": (sql_text, "SQL text", "sqlite3 NEW.db < FILE"),
    "other text": (lambda path: path.write_text("Київ\n" * 9), "a text file", "Name the database"),
    "zeros": (lambda path: path.write_bytes(bytes(8192)), "a file of zeros", "backup"),
    "empty": (lambda path: path.touch(), "is empty", "that the platform writes"),
    "encrypted": (
        lambda path: path.write_bytes(random.Random(1).randbytes(8192)),
        "not a SQLite database (or it is encrypted)",
        "decrypt",
    ),
    "write-ahead log": (
        lambda path: path.write_bytes(b"\x37\x7f\x06\x82" + bytes(28)),
        "the write-ahead log of a SQLite database",
        "beside it",
    ),
    "SQLite 2": (
        lambda path: path.write_bytes(b"** This file contains an SQLite 2.1 database **\0"),
        "a database of SQLite 2",
        ".dump",
    ),
    "pipe": (os.mkfifo, "is no file", "pipe"),
}


@pytest.mark.parametrize("name", NO_DATABASES)
def test_what_is_no_database_is_named(tmp_path: Path, name: str) -> None:
    make_file, message, hint = NO_DATABASES[name]
    source = tmp_path / "source"
    make_file(source)
    with pytest.raises(SourceError) as caught:
        take_snapshot(source, tmp_path / "work")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_device_is_no_source(database: Server, tmp_path: Path) -> None:
    for verb in ("run", "profile"):
        result = run_module(
            "migration", verb, "/dev/null", server=database, MIGRATION_DIR=tmp_path / "work"
        )
        assert result.returncode == 3
        assert "/dev/null is no file" in result.stderr


#: Moves one unit between two tables in each transaction: their sum never changes.
WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
number = 0
while True:
    number += 1
    connection.execute("begin immediate")
    connection.execute("update a set v = v - ? where id = ?", [number, number % 500])
    connection.execute("update b set v = v + ? where id = ?", [number, number % 500])
    connection.execute("insert into log values (?, zeroblob(3000))", [number])
    connection.execute("commit")
    if number == 20:
        print("ready", flush=True)
    time.sleep(0.001)
"""


@contextlib.contextmanager
def writing(source: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, source], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        try:
            yield
            assert writer.poll() is None, "the writer was stopped by the snapshot"
        finally:
            writer.kill()


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_snapshot_is_one_state_while_a_program_writes(tmp_path: Path, mode: str) -> None:
    source = make(
        tmp_path / "source.db",
        f"pragma journal_mode = {mode}; create table a (id int, v int); create table log (n, x);"
        "with recursive n(i) as (select 0 union all select i + 1 from n where i < 499)"
        "insert into a select i, 0 from n; create table b as select * from a;"
        "create index ai on a (id); create index bi on b (id);"
        "insert into log values (0, zeroblob(20000000));",
    )
    seen = set()
    with writing(source):
        for number in range(4):
            snapshot = take_snapshot(source, tmp_path / f"work{number}")
            ((total, count),) = read(
                snapshot.path,
                "select (select sum(v) from a) + (select sum(v) from b),"
                " (select count(*) from log)",
            )
            assert total == 0
            assert read(snapshot.path, "pragma integrity_check") == [("ok",)]
            seen.add(count)
    assert len(seen) > 1, "the writer wrote nothing between the snapshots"


def read(path: Path, statement: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def test_lock_that_is_released_is_waited_for(tmp_path: Path) -> None:
    source = make(tmp_path / "source.db", SCRIPT)
    holder = sqlite3.connect(source, isolation_level=None, check_same_thread=False)
    holder.execute("begin exclusive")
    holder.execute("insert into t values (3, 'late')")
    release = threading.Timer(2, holder.execute, ["commit"])
    release.start()
    with contextlib.closing(holder):
        snapshot = take_snapshot(source, tmp_path / "work")
        release.join()
    assert read(snapshot.path, "select count(*) from t") == [(3,)]


@pytest.mark.parametrize("salvaging", [False, True])
def test_lock_that_is_never_released_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, salvaging: bool
) -> None:
    monkeypatch.setattr(source_module, "BUSY_SECONDS", 0.5)
    source = make(tmp_path / "source.db", SCRIPT)
    with contextlib.closing(sqlite3.connect(source, isolation_level=None)) as holder:
        holder.execute("begin exclusive")
        with pytest.raises(SourceError) as caught:
            take_snapshot(source, tmp_path / "work", salvaging=salvaging)
    assert "locked" in caught.value.message
    assert "Another program holds it locked" in caught.value.hint
    assert list((tmp_path / "work").iterdir()) == [], "nothing is left behind"


def test_log_without_its_shared_memory_is_read(database: Server, tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "live.db")
    writer.execute("pragma journal_mode = wal")
    writer.executescript(SCRIPT)
    source = tmp_path / "source.db"
    for suffix in ("", "-wal"):
        source.with_name(f"source.db{suffix}").write_bytes(
            (tmp_path / f"live.db{suffix}").read_bytes()
        )
    writer.close()
    code, _ = report(database, source)
    assert code == 0
    assert query(database, "select count(*) from t") == [(2,)]


def test_large_file_is_said_to_be_encrypted_at_once(database: Server, tmp_path: Path) -> None:
    source = tmp_path / "source.db"
    with source.open("wb") as file:
        file.write(random.Random(2).randbytes(4096))
        file.truncate(5 * 2**30)
    result = migrate(database, source)
    assert result.returncode == 3
    assert "(or it is encrypted)" in result.stderr
