"""`make demo`, as a stranger runs it: it ends with 0, twice, and what it says is true."""

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from database.embedded.server import EmbeddedServer
from database.settings import Server
from tests.programs import CHECKOUT, query


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="atlas-demo-"))
    path.chmod(0o755)
    yield path
    EmbeddedServer(path).remove()


def demo(directory: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scripts.demo", *map(str, options)],
        cwd=CHECKOUT,
        env={**os.environ, "EMBEDDED_DIR": str(directory)},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_demo_migrates_answers_and_agrees_with_an_independent_count(
    directory: Path, tmp_path: Path
) -> None:
    source = tmp_path / "shop.db"
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.executescript(
            "create table orders (id integer primary key, note text);"
            "insert into orders values (1, 'Їжак'), (2, null), (3, '🧪');"
        )
    for expected in ("VERIFIED", "Already migrated"):
        result = demo(directory, "--sqlite", source)
        assert result.returncode == 0, result.stderr
        assert expected in result.stdout
        # Every tool answers but the one that was asked to delete through a query.
        assert result.stdout.count("✓ postgres_") == 6
        assert result.stdout.count("refused postgres_") == 1
    found = re.search(r"POSTGRES_DB=(demo_\w+)", result.stdout)
    assert found is not None
    server = Server.from_instance(directory).with_database(found[1])
    assert query(server, "select count(*) from orders", role="mcp_read") == [(3,)]


def test_demo_of_a_file_that_is_no_database_says_so(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    result = demo(directory, "--sqlite", tmp_path / "notes.txt")
    assert result.returncode == 3
    assert "is not a SQLite database" in result.stderr
    assert "Traceback" not in result.stderr
