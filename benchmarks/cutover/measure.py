"""Measuring: a database, writers of the platform's shape, a follower, and the cutover."""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median

from benchmarks.cutover.results import Overhead, Pause
from database.connect import connect
from database.embedded.temporary import temporary_server
from database.errors import BundleError, TargetError
from database.settings import Server
from migration.capture.install import install
from tests.platform_writer import FURTHER, Writer
from tests.programs import CHECKOUT, environment

#: Together 140 transactions each second, of several statements each: ten times the measured peak.
_WRITERS, _BETWEEN = 4, 4 / 140
_BEFORE = 5.0
_LONGEST_LOAD = 3600.0


def make_database(path: Path, size: str) -> None:
    """A database of the platform's shape, and of the writers' further tables."""
    command = [sys.executable, "-m", "scripts.make_demo_database", str(path), "--size", size]
    subprocess.run(command, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.executescript(FURTHER)


def measure_overhead(source: Path, transactions: int, rounds: int) -> Overhead:
    """The median time of a transaction without and with capture, in turns."""
    plain, captured = list[float](), list[float]()
    for number in range(rounds):
        for taken, capturing in ((plain, False), (captured, True)):
            copy = source.with_suffix(".copy.db")
            shutil.copy(source, copy)
            if capturing:
                install(copy)
            taken.append(_time(Writer(copy, f"o{number}"), transactions))
            copy.unlink()
    return Overhead(transactions=transactions, plain=plain, captured=captured)


def _time(writer: Writer, transactions: int) -> float:
    """Milliseconds."""
    taken = []
    with closing(writer.connection):
        for number in range(transactions):
            started = time.perf_counter()
            writer.transaction(number)
            taken.append((time.perf_counter() - started) * 1000)
    return median(taken)


def measure_pause(source: Path, size: str) -> Pause:
    """Follow, write, cut over; what the writers felt."""
    with temporary_server() as server, ExitStack() as stack:
        follower = stack.enter_context(_started(server, source, "follow", "--quarantine"))
        stack.callback(follower.kill)
        _wait_until_loaded(server, follower)
        usual = _longest(_write(source, _BEFORE))
        writers = [_writer(source, number) for number in range(_WRITERS)]
        time.sleep(_BEFORE)
        started = time.monotonic()
        ended = subprocess.run(
            _command("cutover", source, "--quarantine", "--orphans", "keep"),
            **_how(server, source),  # type: ignore[call-overload]
            capture_output=True,
            check=False,
        )
        whole = time.monotonic() - started
        said = [writer.communicate()[0] for writer in writers]
    if ended.returncode:
        raise BundleError("The cutover failed.", ended.stderr)
    held = re.search(r"waited for (\d+) ms.*; ([\d,]+) rows were drained", ended.stdout)
    assert held is not None
    if not all("moved" in text for text in said):
        raise BundleError("A writer was not refused in the end.", "\n".join(said))
    return Pause(
        size=size,
        bytes=source.stat().st_size,
        usual=usual,
        longest=_longest(said),
        held=int(held[1]) / 1000,
        drained=int(held[2].replace(",", "")),
        whole=whole,
    )


def _command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "migration", *map(str, arguments)]


def _how(server: Server, source: Path) -> dict[str, object]:
    settings = environment(server, MIGRATION_DIR=source.parent / "work")
    return {"cwd": CHECKOUT, "env": settings, "text": True}


def _started(server: Server, source: Path, verb: str, *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        _command(verb, source, *options), **_how(server, source), stdout=subprocess.DEVNULL
    )


def _wait_until_loaded(server: Server, follower: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + _LONGEST_LOAD
    while time.monotonic() < deadline and follower.poll() is None:
        with connect(server, "postgres", autocommit=True) as connection:
            if connection.execute("select from migration.follow").fetchone() is not None:
                return
        time.sleep(0.5)
    raise TargetError("The source was not loaded.", "Look at what 'follow' said.")


def _writer(source: Path, number: int) -> "subprocess.Popen[str]":
    name = f"w{os.getpid()}-{number}-{time.monotonic_ns()}"
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.platform_writer",
            str(source),
            name,
            str(_BETWEEN),
            os.devnull,
        ],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _write(source: Path, seconds: float) -> list[str]:
    writers = [_writer(source, number) for number in range(_WRITERS)]
    time.sleep(seconds)
    return [writer.communicate()[0] for writer in writers]


def _longest(said: list[str]) -> float:
    """Seconds that the longest transaction took."""
    return max(float(found) for text in said for found in re.findall(r"longest ([\d.]+)", text))
