"""What tests of following begin with: a followed source, and the target beside it."""

import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

from database.settings import Server
from migration.follow.follow import Follower
from tests.programs import CHECKOUT, environment, run_module


def follow(server: Server, source: Path, *options: object) -> subprocess.CompletedProcess[str]:
    """`migration follow` with an option that lets it end, as `--once`."""
    work = source.parent / "work"
    return run_module("migration", "follow", source, *options, server=server, MIGRATION_DIR=work)


def start(server: Server, source: Path, *options: str) -> subprocess.Popen[str]:
    """`migration follow` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "migration", "follow", str(source), *options],
        cwd=CHECKOUT,
        env=environment(server, MIGRATION_DIR=source.parent / "work"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def follower(server: Server, source: Path) -> Follower:
    """What goes on after `follow --once` loaded the source."""
    return Follower(server, source, source.parent / "work", jobs=2)


def run(source: Path, *statements: str) -> None:
    """Write to the source, each statement in a transaction of its own."""
    with closing(sqlite3.connect(source, isolation_level=None, timeout=60)) as connection:
        for text in statements:
            connection.executescript(text)


def rows(source: Path, text: str) -> Counter[tuple[object, ...]]:
    """The rows that a query of the source gives."""
    with closing(sqlite3.connect(source)) as connection:
        return Counter(connection.execute(text).fetchall())
