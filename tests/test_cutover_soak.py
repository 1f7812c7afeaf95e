"""Follow, cut over, work on PostgreSQL, roll back, work on SQLite, while all of it is killed:
lost 0, unexpected 0."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import psycopg
import pytest

from database.connect import connect
from database.embedded.server import EmbeddedServer
from database.errors import BundleError
from database.settings import Server
from migration.cutover.settle import Side, settle
from tests import following
from tests.following import run
from tests.platform_writer import make_platform, now
from tests.programs import CHECKOUT, environment, query
from tests.test_follow_faults import Platform, kill_server, own_server

__all__ = ["own_server"]
#: A fact of these writers: logs of a session that no table has.
ACCEPTED = ("--quarantine", "--orphans", "keep", "--max-lock", "5")
MOST_ATTEMPTS = 20


@pytest.mark.parametrize(
    "seed",
    [
        1,
        *(
            pytest.param(seed, marks=[pytest.mark.deep, pytest.mark.timeout(900)])
            # Each of them kills about ten times.
            for seed in range(2, 2 + max(1, int(os.environ.get("DEEP_ROUNDS", "90")) // 3))
        ),
    ],
)
def test_every_acknowledged_write_is_on_the_right_side(
    own_server: EmbeddedServer, tmp_path: Path, seed: int
) -> None:
    server = Server.from_instance(own_server.directory)
    source = make_platform(tmp_path / "platform.db")
    random = Random(seed)
    platform = Platform(source)
    kills = 0
    job = following.start(server, source)
    try:
        for _ in range(4):
            time.sleep(random.uniform(0.3, 2.0))
            what: Callable[[], object] = random.choice(
                [job.kill, platform.kill_one, lambda: kill_server(own_server)]
            )
            what()
            kills += 1
            if job.poll() is not None or what == job.kill:
                job.communicate()
                job = following.start(server, source)
        following_killed(job, random)
        kills += cut_over(own_server, server, source, platform, random)
    finally:
        job.kill()
        job.wait()
        platform.stop(moved=settle(server, source).truth is Side.POSTGRESQL)
    assert settle(server, source).truth is Side.POSTGRESQL
    told = platform.acknowledged.read_text().split()
    assert len(told) > 50
    check(told, logs_of(source), kills)
    check(told, logs_in(server), kills)
    assert logs_of(source) == logs_in(server)
    told += work_on_postgresql(own_server, server, random)
    check(told, logs_in(server), kills + 1)
    told += go_back(own_server, server, source, random)
    assert settle(server, source).truth is Side.UNKNOWN
    assert logs_of(source) == logs_in(server)
    check(told, logs_of(source), kills + 1 + MOST_ATTEMPTS)
    run(source, "insert into logs (timestamp, level, source, message) "
        "values ('2026-01-01', 'INFO', 'writer', 'home')")  # fmt: skip
    check([*told, "home"], logs_of(source), kills + 1 + MOST_ATTEMPTS)


def following_killed(job: subprocess.Popen[str], random: Random) -> None:
    """Now and then the follower goes on beside the cutover."""
    if random.random() < 0.5:
        job.kill()
        job.communicate()


def cut_over(
    own: EmbeddedServer, server: Server, source: Path, platform: Platform, random: Random
) -> int:
    """Until it is done; the first attempts are killed, or lose their PostgreSQL or a writer."""

    def own_killed() -> None:
        kill_server(own)

    for attempt in range(MOST_ATTEMPTS):
        moving = subprocess.Popen(
            [sys.executable, "-m", "migration", "cutover", str(source), *ACCEPTED],
            cwd=CHECKOUT,
            env=environment(server, MIGRATION_DIR=source.parent / "work"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if attempt < 3:
            time.sleep(random.uniform(0.8, 5.0))
            random.choice([moving.kill, platform.kill_one, own_killed])()
        said = moving.communicate()[0]
        assert "Traceback" not in said, said
        if moving.returncode == 0:
            return attempt + 1
        # The load may not have been finished when the follower was killed.
        if "not followed" in said:
            following.follow(server, source, "--once", "--quarantine")
    raise AssertionError(said)


def work_on_postgresql(own: EmbeddedServer, server: Server, random: Random) -> list[str]:
    """Write as the platform does from now on, and lose the server once; what was acknowledged."""
    told: list[str] = []
    killed_at = random.randrange(20, 80)
    number = 0
    while number < 100:
        with (
            suppress(BundleError, psycopg.OperationalError),
            connect(server, "atlas", autocommit=True) as connection,
        ):
            while number < 100:
                number += 1
                connection.execute(
                    "insert into logs (session_id, timestamp, level, source, message) "
                    "values (null, %s, 'INFO', 'writer', %s)",
                    [now(), f"pg-{number}"],
                )
                told.append(f"pg-{number}")
                if number == killed_at:
                    kill_server(own)
    assert len(told) > 90
    return told


def go_back(own: EmbeddedServer, server: Server, source: Path, random: Random) -> list[str]:
    """Roll back while the platform writes to PostgreSQL; the first attempts are killed."""
    told: list[str] = []
    ended = threading.Event()
    writer = threading.Thread(target=write_until, args=(server, told, ended))
    writer.start()
    try:
        for attempt in range(MOST_ATTEMPTS):
            returning = subprocess.Popen(
                [sys.executable, "-m", "migration", "rollback", str(source), "--max-lock", "5"],
                cwd=CHECKOUT,
                env=environment(server, MIGRATION_DIR=source.parent / "work"),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            if attempt < 3:
                time.sleep(random.uniform(0.8, 4.0))
                deadly: list[Callable[[], object]] = [returning.kill, lambda: kill_server(own)]
                random.choice(deadly)()
            said = returning.communicate()[0]
            assert "Traceback" not in said, said
            # Killed after the file's commit, it has been done.
            if returning.returncode == 0 or settle(server, source).truth is Side.UNKNOWN:
                return told
        raise AssertionError(said)
    finally:
        ended.set()
        writer.join()


def write_until(server: Server, told: list[str], ended: threading.Event) -> None:
    """Write to PostgreSQL; while it is away, or refuses because somebody goes back, try again."""
    number = 0
    while not ended.is_set():
        with (
            suppress(BundleError, psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction),
            connect(server, "atlas", autocommit=True) as connection,
        ):
            while not ended.is_set():
                number += 1
                with connection.transaction():
                    connection.execute(
                        "insert into logs (session_id, timestamp, level, source, message) "
                        "values (null, %s, 'INFO', 'writer', %s)",
                        [now(), f"back-{number}"],
                    )
                    connection.execute("delete from dataset_lines where value = 1")
                    connection.execute("insert into dataset_lines values ('y', %s)", [number % 3])
                    connection.execute("update files set size = size + 1")
                told.append(f"back-{number}")
                time.sleep(0.01)
        time.sleep(0.05)


def logs_of(source: Path) -> list[str]:
    with closing(sqlite3.connect(source)) as connection:
        return sorted(text for (text,) in connection.execute("select message from logs"))


def logs_in(server: Server) -> list[str]:
    return sorted(str(text) for (text,) in query(server, "select message from logs"))


def check(told: list[str], found: list[str], kills: int) -> None:
    """Each acknowledged write once, and no other but those that were cut off: one a kill."""
    assert len(found) == len(set(found))
    assert set(told) - set(found) == set()
    assert len(set(found) - set(told)) <= kills
