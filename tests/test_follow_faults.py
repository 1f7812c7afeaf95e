"""Following while everything around it is killed: lost 0, unexpected 0, at any moment."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from database.apply import apply_schema
from database.embedded.server import EmbeddedServer
from database.settings import Server
from tests import following
from tests.platform_writer import make_platform
from tests.programs import CHECKOUT, query

#: Together 140 transactions each second: ten times the platform's peak.
WRITERS = 2
SECONDS_BETWEEN = 1 / 70


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    directory = Path(tempfile.mkdtemp(prefix="atlas-postgres-"))
    directory.chmod(0o755)
    server = EmbeddedServer(directory, options={"fsync": "off"})
    try:
        apply_schema(server.start())
        yield server
    finally:
        server.remove()


class Platform:
    """Writers that are killed and start again; what they were told is kept."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.acknowledged = source.parent / "acknowledged"
        self._started = 0
        self._writers: list[subprocess.Popen[str]] = []
        for _ in range(WRITERS):
            self.start_one()

    def start_one(self) -> None:
        self._started += 1
        arguments = [str(self.source), f"w{self._started}", str(SECONDS_BETWEEN)]
        self._writers.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.platform_writer", *arguments, str(self.acknowledged)],
                cwd=CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )

    def kill_one(self) -> None:
        writer = self._writers.pop(0)
        writer.kill()
        writer.communicate()
        self.start_one()

    def stop(self, *, moved: bool = False) -> None:
        """Let every writer end; `moved` tells that the file has to refuse them by now."""
        for writer in self._writers:
            said, _ = writer.communicate()
            assert writer.returncode == 0
            assert "longest" in said
            # One that was started a moment ago may have written nothing yet.
            idle = said == "longest 0.000\n"
            assert idle or said.startswith("moved\n") == moved, said
            assert said.removeprefix("moved\n").count("\n") == 1, f"the platform got errors: {said}"
        self._writers = []


def kill_server(own: EmbeddedServer) -> None:
    """kill -9 of the postmaster, and a start."""
    pid = int((own.data / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    time.sleep(0.2)
    own.start()


@pytest.mark.parametrize(
    ("seed", "rounds"),
    [(1, 8), (2, 8), *(pytest.param(seed, 30, marks=pytest.mark.deep) for seed in range(3, 8))],
)
def test_killed_at_random_and_nothing_is_lost(
    own_server: EmbeddedServer, tmp_path: Path, seed: int, rounds: int
) -> None:
    server = Server.from_instance(own_server.directory)
    source = make_platform(tmp_path / "platform.db")
    platform = Platform(source)
    random = Random(seed)
    job = following.start(server, source)
    try:
        for _ in range(rounds):
            time.sleep(random.uniform(0.2, 2.5))
            what: Callable[[], object] = random.choice(
                [job.kill, job.kill, platform.kill_one, lambda: kill_server(own_server)]
            )
            what()
            if job.poll() is not None or what == job.kill:
                said = job.communicate()[0]
                assert "Traceback" not in said, said
                # PostgreSQL was down at the start, or went then: it says so, and changes nothing.
                known = ("Cannot reach PostgreSQL", "Nothing was changed")
                assert "error" not in said or any(words in said for words in known), said
                job = following.start(server, source)
    finally:
        job.kill()
        job.wait()
        platform.stop()
    result = following.follow(server, source, "--once")
    assert result.returncode == 0, result.stdout + result.stderr
    check_acknowledged(server, platform.acknowledged, rounds)


def check_acknowledged(server: Server, acknowledged: Path, rounds: int) -> None:
    """Every write that was acknowledged is there once, and no other but those cut off."""
    told = acknowledged.read_text().split()
    assert len(told) > 100
    found = [str(row[0]) for row in query(server, "select message from logs")]
    assert len(found) == len(set(found))
    lost = set(told) - set(found)
    assert lost == set()
    # A killed writer may have been cut off between COMMIT and saying so: one each at most.
    unexpected = set(found) - set(told)
    assert len(unexpected) <= rounds
    assert len({name.partition("-")[0] for name in unexpected}) == len(unexpected)
