"""The file itself: its journal, its pages, its encoding, and who else has it open."""

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hazards.hazard import Hazard, Stop
from tests.hazards.known import LOGS, log
from tests.programs import CHECKOUT

ONE = "select id from logs"


def _write(path: Path, script: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def _many(count: int) -> str:
    return (
        f"with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})"
        " insert into logs select i, null, '2026-02-01 10:00:00', 'I', 's',"
        " printf('%0200d', i), null from n;"
    )


@contextlib.contextmanager
def wal_that_is_not_checkpointed(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path)) as writer:
        writer.executescript("pragma journal_mode = wal; pragma wal_autocheckpoint = 0;" + LOGS)
        writer.executescript(log(1))
        assert path.with_name(path.name + "-wal").stat().st_size > 0
        yield


@contextlib.contextmanager
def hot_journal(path: Path) -> Iterator[None]:
    """A writer was killed in the middle of a transaction that had reached the file."""
    _write(path, LOGS + log(1))
    script = (
        "import sqlite3, os, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('pragma cache_size = 1'); c.execute('begin'); c.execute('delete from logs');"
        f'c.execute("{_many(5000)}"); os.kill(os.getpid(), 9)'
    )
    subprocess.run([sys.executable, "-c", script, path], check=False)
    assert path.with_name(path.name + "-journal").stat().st_size > 0
    yield


@contextlib.contextmanager
def read_only_folder(path: Path) -> Iterator[None]:
    """The folder of the source is mounted read-only, over itself."""
    folder = path.parent
    hidden = folder.with_name(folder.name + "-data")
    hidden.mkdir()
    _write(hidden / path.name, "pragma journal_mode = wal;" + LOGS + log(1))
    folder.mkdir(exist_ok=True)
    command = ["mount", "--bind", "-o", "ro", str(hidden), str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting needs Linux, and root with CAP_SYS_ADMIN")
    try:
        yield
    finally:
        left = subprocess.run(["umount", folder], check=False)
        # Whoever still holds a file of it must not leave a mount behind.
        subprocess.run(["umount", "--lazy", folder], check=False, stderr=subprocess.DEVNULL)
    assert left.returncode == 0, "a file of the source is still open"


@contextlib.contextmanager
def encrypted(path: Path) -> Iterator[None]:
    """As SQLCipher leaves it: no page of it is readable, the first one neither."""
    _write(path, LOGS + log(1))
    path.write_bytes(bytes(byte ^ (0x5A + n % 97) for n, byte in enumerate(path.read_bytes())))
    yield


@contextlib.contextmanager
def no_database(path: Path) -> Iterator[None]:
    path.write_text("id,message\n1,hello\n" * 100)
    yield


@contextlib.contextmanager
def truncated(path: Path) -> Iterator[None]:
    _write(path, LOGS + _many(2000))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    yield


@contextlib.contextmanager
def corrupt_page(path: Path) -> Iterator[None]:
    _write(path, LOGS + _many(2000))
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 4096 // 2 * 4096)
        file.write(b"\xa5" * 4096)
    yield


@contextlib.contextmanager
def held_by_a_writer(path: Path) -> Iterator[None]:
    """Another connection is in the middle of a write that nobody shall see."""
    _write(path, LOGS + log(1))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("begin immediate")
        writer.execute(log(2).strip().rstrip(";"))
        yield
        writer.execute("rollback")


@contextlib.contextmanager
def written_all_the_time(path: Path) -> Iterator[None]:
    """Another process commits a row every few milliseconds, during the whole run."""
    _write(path, "pragma journal_mode = wal;" + LOGS + _many(3000))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.sqlite_writer", path, "1", "3", "5"],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with contextlib.closing(sqlite3.connect(path)) as reader:
            # It holds its first row; that one is committed a moment later.
            while not reader.execute("select count(*) from written").fetchone()[0]:
                time.sleep(0.01)
        yield
        wrote = int(writer.communicate("", timeout=60)[0].split()[0])
        assert wrote > 1, "it did change meanwhile"


def _paged(name: str, size: int) -> Hazard:
    script = f"pragma page_size = {size};" + LOGS + log(1, message="printf('%090000d', 7)")
    return Hazard(name, script, {"select id, length(message) from logs": [(1, 90_000)]})


FILES_OF_SOURCES = (
    Hazard("WAL with rows that are not checkpointed", wal_that_is_not_checkpointed, {ONE: [(1,)]}),
    Hazard("a hot journal", hot_journal, {ONE: [(1,)]}),
    Hazard("a read-only folder", read_only_folder, {ONE: [(1,)]}),
    Hazard("an encrypted file", encrypted, stops=Stop(3, "not a SQLite database")),
    Hazard("a file that is no database", no_database, stops=Stop(3, "not a SQLite database")),
    Hazard("a truncated file", truncated, stops=Stop(3, "malformed|damaged|cannot be read")),
    Hazard("a corrupt page", corrupt_page, stops=Stop(3, "malformed|damaged|cannot be read")),
    Hazard("a writer that holds the file", held_by_a_writer, {ONE: [(1,)]}),
    Hazard(
        "UTF-16 encoding",
        "pragma encoding = 'UTF-16be';" + LOGS + log(1, message="'Привіт 🧪'"),
        {"select message from logs": [("Привіт 🧪",)]},
    ),
    _paged("pages of 1 KB", 1024),
    _paged("pages of 64 KB", 65536),
    Hazard(
        "changes while it is being read",
        written_all_the_time,
        {
            "select count(*) from logs": [(3000,)],
            # Whatever had been committed is there, without a gap.
            "select count(*) >= 1 and count(*) = max(id) from written": [(True,)],
        },
        changing=True,
    ),
)
