"""kill -9 at each step of a heal: all of a fix is there, or nothing of it, and the next heals it.

Between the heal and PostgreSQL stands a proxy that knows what is sent. When the step comes, the
process is killed before its message is delivered, after it, or after the one that follows: asyncpg
sends a statement's text first, and has it run with the next message.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from database.settings import Server
from tests import schema_tools as tools
from tests.mcp_clients import agent
from tests.programs import CHECKOUT, environment
from tests.test_drift import digests, printed
from tests.test_healing import attempts, platform, wrong

__all__ = ["platform"]
pytestmark = pytest.mark.anyio

# In quotes: the record of the call, which is JSON, has them with backslashes.
_COLUMN = b'add column "content_hash"'
_KEY = b'add constraint "files_path_key"'
_INDEX = b"CREATE INDEX CONCURRENTLY ix_logs_timestamp"
_COMMIT = b"commit\0"
_RECORD = b"ops.end_attempt"

#: A step's text, which of its occurrences, and how many messages are delivered from it on.
_STEPS = [
    pytest.param(_COLUMN, 1, 0, id="before the proof"),
    pytest.param(_COLUMN, 1, 2, id="in the proof, a column added"),
    pytest.param(_COLUMN, 2, 0, id="after the proof"),
    pytest.param(_COLUMN, 2, 2, id="one of two statements made"),
    pytest.param(_KEY, 2, 2, id="both made, not verified"),
    pytest.param(_COMMIT, 1, 0, id="before the commit"),
    pytest.param(_COMMIT, 1, 1, id="after the commit was sent"),
    pytest.param(_INDEX, 1, 2, id="while the index is built"),
    pytest.param(_RECORD, 1, 0, id="before its end is on record"),
]


@dataclass
class Killer:
    """Kills a process with what it sends.

    Attributes:
        step: part of the message that counts.
        left: how many of those are still let through.
        deliver: messages from that one on which PostgreSQL still gets.
    """

    step: bytes
    left: int
    deliver: int
    process: asyncio.subprocess.Process | None = None
    fired: bool = False
    _counting: bool = field(default=False, init=False)

    def lets_through(self, data: bytes, *, counting: bool) -> tuple[bool, bool]:
        """Whether PostgreSQL gets this, and whether the step has begun on this connection."""
        if not counting and not self._counting and self.step in data:
            self.left -= 1
            counting = self._counting = self.left == 0
        if not counting:
            return not self.fired, False
        self.deliver -= 1
        if self.deliver < 0:
            self.kill()
        return self.deliver >= 0, True

    def kill(self) -> None:
        """Without warning."""
        assert self.process is not None
        if not self.fired:
            self.fired = True
            self.process.kill()


async def read_message(client: asyncio.StreamReader) -> bytes:
    """What is sent until an answer is expected: Parse and what follows it may come in pieces."""
    data = await client.read(65_536)
    while data[:1] in (b"P", b"B") and not data.endswith((b"S\0\0\0\4", b"H\0\0\0\4")):
        if not (more := await client.read(65_536)):
            break
        data += more
    return data


@contextlib.asynccontextmanager
async def watched(server: Server, killer: Killer) -> AsyncIterator[Server]:
    """A way to `server` on which the killer sees every message of the client's."""

    async def forward(client: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection(server.host, server.port)

        async def answers() -> None:
            while data := await reader.read(65_536):
                out.write(data)

        task, counting = asyncio.create_task(answers()), False
        with contextlib.suppress(ConnectionError):
            while data := await read_message(client):
                delivered, counting = killer.lets_through(data, counting=counting)
                if not delivered:
                    break
                writer.write(data)
                await writer.drain()
                if counting and killer.deliver == 0:
                    killer.kill()
        task.cancel()
        writer.close()
        out.close()

    proxy = await asyncio.start_server(forward, "127.0.0.1", 0)
    try:
        yield server.model_copy(update={"port": proxy.sockets[0].getsockname()[1]})
    finally:
        proxy.close()


async def heal_and_die(
    server: Server,
    killer: Killer,
    *arguments: str,
    program: str = "tests.heal_once",
    **settings: object,
) -> None:
    """Heal in a process of its own, until the killer comes."""
    async with watched(server, killer) as way:
        killer.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", program, *arguments,
            cwd=CHECKOUT, env=environment(way, **settings),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, stderr = await killer.process.communicate()
    assert killer.process.returncode == -signal.SIGKILL, stderr.decode()
    # What PostgreSQL was given it may still be working on.
    working = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and usename like 'mcp_%'"
    )
    while tools.query(server, working) != [(0,)]:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(("step", "which", "deliver"), _STEPS)
async def test_killed_at_each_step_nothing_is_half_done(
    platform: Server, step: bytes, which: int, deliver: int
) -> None:
    whole, rows = printed(platform), digests(platform)
    tools.execute(
        platform,
        "alter table files drop column content_hash",
        "alter table files drop constraint files_path_key",
        "drop index ix_logs_timestamp",
    )
    await heal_and_die(platform, Killer(step, which, deliver))
    left = wrong(platform)
    column = "column content_hash of public.files is missing" in left
    key = "constraint files_path_key of public.files is missing" in left
    # One transaction made both of them, or none: those before the commit was sent made none.
    assert column is key, left
    committed = (step, deliver) == (_COMMIT, 1) or step in (_INDEX, _RECORD)
    assert column is not committed, left
    # It had said what it was about to do.
    assert [attempt[0] for attempt in attempts(platform)] == ["running"]
    async with agent(platform) as door:
        answer = await door.call("postgres_heal")
    # An index that PostgreSQL was told to build it may finish.
    expected = {_RECORD: ["not_needed"], _INDEX: ["healed", "not_needed"]}.get(step, ["healed"])
    assert answer["outcome"] in expected, answer
    assert (printed(platform), digests(platform)) == (whole, rows)
