"""kill -9 while a finding is healed: of the server at each message, of PostgreSQL within a build.

No transaction holds these fixes. So what may be left is what was, what shall be, or between the two
an index that is not valid or not there yet; the next heal makes that good. Rows and locks never.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from database.apply import apply_schema
from database.connect import connect
from database.embedded.server import EmbeddedServer
from database.settings import Server
from tests import schema_tools as tools
from tests.mcp_clients import Agent, agent
from tests.programs import recovered
from tests.test_drift import _ROWS, printed
from tests.test_heal_findings import break_index, found, heal, indexes, much
from tests.test_healing import attempts, wrong
from tests.test_healing_killed import Killer, heal_and_die
from tests.test_health import administer

__all__ = ["much"]
pytestmark = pytest.mark.anyio

_ROWS_OF_MUCH = "select count(*), sum(n), sum(a) from much"
_RECORD = b"ops.end_attempt"

#: check → what it finds, and what brings it about.
_FAULTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "stale_statistics": ("public.much", ()),
    "dead_rows": ("public.much", ("analyze much", "update much set t = 'y'")),
    "missing_fk_index": ("public.much_a_fkey", ("analyze much",)),
    "duplicate_index": (
        "public.second",
        ("analyze much", "create index first on much (n)", "create index second on much (n)"),
    ),
    "invalid_index": ("public.broken", ("analyze much",)),
}
# As they are sent, and not as the queries of the checks have them.
_VACUUM = b"vacuum (analyze) public.much"
_BUILD = b"create index concurrently ix_much_a on public.much"
_DROP = b"drop index concurrently public.second"
_DROP_BROKEN = b"drop index concurrently if exists public.broken"
_BUILD_BROKEN = b"INDEX CONCURRENTLY broken"


_STEPS = {
    "stale_statistics": [b"analyze public.much"],
    "dead_rows": [_VACUUM],
    "missing_fk_index": [_BUILD],
    "duplicate_index": [_DROP],
    "invalid_index": [_DROP_BROKEN, _BUILD_BROKEN],
}
#: Each time; the rest are deep.
_ALWAYS = [
    ("dead_rows", _VACUUM, 2),
    ("missing_fk_index", _BUILD, 2),
    ("invalid_index", _BUILD_BROKEN, 0),
    ("duplicate_index", _RECORD, 0),
]


def _steps() -> list[Any]:
    """A step's text, and how many messages are delivered from it on."""
    steps = []
    for check, texts in _STEPS.items():
        every = [(text, deliver) for text in texts for deliver in range(4)]
        for text, deliver in (*every, (_RECORD, 0)):
            marks = [] if (check, text, deliver) in _ALWAYS else [pytest.mark.deep]
            name = f"{check}, {deliver} messages from {text.decode()[:16]} on"
            steps.append(pytest.param(check, text, deliver, marks=marks, id=name))
    return steps


async def injected(server: Server, check: str) -> dict[str, Any]:
    """Bring the finding about, and find it."""
    about, statements = _FAULTS[check]
    if check == "invalid_index":
        break_index(server, "create index concurrently broken on much ((1 / n))")
        administer(server, "delete from much where n = 0", "vacuum much")
    administer(server, *statements)
    async with agent(server) as door:
        (finding,) = await found(door, check)
    assert (finding["about"], finding["alone"]) == (about, True), finding
    return finding


async def all_healed(door: Agent, check: str) -> None:
    """Heal what the health check finds of it, or of what it has left."""
    for one in ("invalid_index", check):
        for finding in await found(door, one):
            answer = await heal(door, finding)
            assert answer["outcome"] in ("healed", "not_needed"), answer
        assert await found(door, one) == []


def is_as_before_or_as_after(server: Server, before: str) -> None:
    """Nothing of the definitions has changed but whole indexes, which are what the fix is about."""

    def without_indexes(text: str) -> str:
        return re.sub(r"--\n-- Name: [^\n]+; Type: INDEX; [^\n]*\n--\n\n[^\n]*;\n+", "", text)

    assert without_indexes(printed(server)) == without_indexes(before)
    assert wrong(server) == []
    # Nobody holds the lock of healing, or any other.
    with connect(server, "mcp_heal") as other:
        assert other.execute("select ops.lock_healing()").fetchone() == (True,)
    assert tools.query(
        server, "select count(*) from pg_locks where pid <> pg_backend_pid() and database ="
        " (select oid from pg_database where datname = current_database())"
        " and pid in (select pid from pg_stat_activity where usename like 'mcp%')",
    ) == [(0,)]  # fmt: skip


async def interrupted_on_record(server: Server, check: str) -> None:
    """The first attempt was begun, is not ended, and the next one after half an hour says so."""
    assert attempts(server)[0][:2] == ("running", "performance")
    administer(server, "update ops.healing_attempt set started_at = now() - interval '1 hour'")
    async with agent(server) as door:
        await all_healed(door, check)
        # One more, where nothing is left: each attempt looks for such as were killed.
        await door.call("postgres_heal")
    assert attempts(server)[0][:2] == ("interrupted", "performance")


def asking_for(finding: dict[str, Any]) -> str:
    """Without its SQL, which is the step that the killer waits for."""
    return json.dumps({"finding": {name: finding[name] for name in ("check", "about")}})


@pytest.mark.parametrize(("check", "step", "deliver"), _steps())
async def test_the_server_killed_at_each_step(
    much: Server, check: str, step: bytes, deliver: int
) -> None:
    finding = await injected(much, check)
    before, rows = printed(much), tools.query(much, _ROWS_OF_MUCH)
    names = indexes(much)
    await heal_and_die(much, Killer(step, 1, deliver), asking_for(finding))
    is_as_before_or_as_after(much, before)
    if deliver == 0 and step not in (_RECORD, _BUILD_BROKEN):
        assert indexes(much) == names
    await interrupted_on_record(much, check)
    async with agent(much) as door:
        assert await found(door, check) == []
    assert tools.query(much, _ROWS_OF_MUCH) == rows
    is_as_before_or_as_after(much, before)


async def test_the_server_killed_while_its_build_waits(much: Server) -> None:
    """PostgreSQL gives up on the lock later; what it leaves then, the next heal removes."""
    finding = await injected(much, "missing_fk_index")
    before, rows = printed(much), tools.query(much, _ROWS_OF_MUCH)
    with connect(much, "atlas") as busy:
        busy.execute("update much set t = 'z' where n = 1")
        killer = Killer(_BUILD, 1, 2)
        await heal_and_die(much, killer, asking_for(finding), MCP_LOCK_TIMEOUT_MS=500)
        busy.rollback()
    assert indexes(much) == ["ix_much_a invalid"]
    is_as_before_or_as_after(much, before)
    await interrupted_on_record(much, "missing_fk_index")
    assert indexes(much) == ["ix_much_a"]
    assert tools.query(much, _ROWS_OF_MUCH) == rows


# ---- PostgreSQL itself --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def instance() -> Iterator[EmbeddedServer]:
    """A server of its own, whose processes may be killed."""
    directory = Path(tempfile.mkdtemp(prefix="atlas-postgres-"))
    directory.chmod(0o755)
    own = EmbeddedServer(directory, options={"fsync": "off"})
    try:
        server = own.start()
        apply_schema(server)
        tools.execute(server, *_ROWS)
        tools.execute(
            server,
            "create table public.parents (a int primary key)",
            "create table public.much (n int, a int references parents (a), t text)"
            " with (autovacuum_enabled = off)",
            "insert into public.parents select generate_series(0, 99)",
            "insert into public.much select n, n % 100, 'x' from generate_series(0, 19999) as n",
        )
        tools.load(server)
        yield own
    finally:
        own.remove()


_BUILDING = (
    "select pid from pg_stat_activity where usename = 'mcp_heal' and wait_event_type = 'Lock'"
    " and query ilike 'create index concurrently%'"
)


async def killed_within_a_build(instance: EmbeddedServer, table: str, whom: str) -> None:
    """Somebody writes to the table, so that the build waits half-way; then PostgreSQL is killed."""
    server = instance.start()
    column = "t" if table == "much" else "source"
    with contextlib.suppress(psycopg.OperationalError), connect(server, "atlas") as busy:
        busy.execute(f"update {table} set {column} = 'z'".encode())
        pid = await builder(server)
        if whom == "postmaster":
            pid = int((instance.data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        # Everybody's connection ends with it.
        while True:
            busy.execute("select pg_sleep(0.05)")
    instance.start()
    recovered(server)


async def builder(server: Server) -> int:
    """The process that builds the index, when it waits for somebody."""
    while True:
        for (pid,) in tools.query(server, _BUILDING):
            return int(str(pid))
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("whom", "what"),
    [
        ("backend", "finding"),
        ("postmaster", "drift"),
        pytest.param("postmaster", "finding", marks=pytest.mark.deep),
        pytest.param("backend", "drift", marks=pytest.mark.deep),
    ],
)
async def test_postgresql_killed_within_a_build(
    instance: EmbeddedServer, whom: str, what: str
) -> None:
    server = instance.start()
    tools.execute(
        server, "drop index if exists ix_much_a", "analyze", "delete from ops.healing_attempt"
    )
    whole, rows = printed(server), tools.query(server, _ROWS_OF_MUCH)
    if what == "finding":
        table, given = "much", {"finding": await injected(server, "missing_fk_index")}
    else:
        table, given = "logs", {}
        tools.execute(server, "drop index ix_logs_timestamp")

    async def healed() -> dict[str, Any]:
        async with agent(server, lock_timeout_ms=60_000) as door:
            return await door.call("postgres_heal", **given)

    first = asyncio.create_task(healed())
    await killed_within_a_build(instance, table, whom)
    answer = await first
    assert not answer.get("healed"), answer
    # It is on record as failed, where PostgreSQL was up again in time, and else as begun.
    assert attempts(server)[0][0] in ("failed", "running")
    found_there = indexes(server, table)
    assert len([name for name in found_there if "invalid" in str(name)]) <= 1, found_there
    async with agent(server) as door:
        if what == "finding":
            await all_healed(door, "missing_fk_index")
            assert indexes(server) == ["ix_much_a"]
        else:
            assert (await door.call("postgres_heal"))["outcome"] == "healed"
            assert printed(server) == whole
    assert wrong(server) == []
    assert tools.query(server, _ROWS_OF_MUCH) == rows
    tools.execute(server, "select ops.lock_healing()", role="mcp_heal")
