"""Killed and cut off in the middle of a write: audit, undo and idempotency tell the truth."""

import asyncio
import contextlib
import os
import random
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from mcp import Client, StdioServerParameters

from database.connect import connect
from database.embedded.server import EmbeddedServer
from database.settings import Server
from tests.mcp_clients import Agent, agent
from tests.programs import CHECKOUT, environment, query, recovered, run_module
from tests.test_mcp_limits import until
from tests.test_mcp_pools import cutting, instance

__all__ = ["instance"]
pytestmark = pytest.mark.anyio

COUNT = "select count(*) from logs"


def add(message: str = "m") -> str:
    return (
        "insert into logs (timestamp, level, source, message)"
        f" values (now(), 'INFO', 's', '{message}')"
    )


def verified(server: Server) -> str:
    result = run_module("mcp_server", "audit", "verify", server=server)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


async def truth(server: Server, call_id: str) -> str:
    """What postgres_call_status says of a call, once it is over."""
    async with agent(server) as a:
        while True:
            answer = await a.call("postgres_call_status", call_id=call_id)
            if answer.get("state") != "running":
                return str(answer["state"] if answer["success"] else answer["sqlstate"])
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("delivered", [True, False], ids=["after", "before"])
@pytest.mark.parametrize(
    ("marker", "outcome"),
    [
        (b"transaction_timestamp()", "nothing_changed"),
        (b"audit.begin_write", "nothing_changed"),
        (b"insert into logs (timestamp", "nothing_changed"),
        (b"audit.end_write", "nothing_changed"),
        (b"commit\0", "unknown"),
    ],
)
async def test_the_network_is_cut_in_the_middle_of_a_write(
    database: Server, marker: bytes, outcome: str, delivered: bool
) -> None:
    async with cutting(database, marker, deliver=delivered) as cut, agent(cut) as a:
        answer = await a.execute(add(), idempotency_key="k")
    assert (answer["success"], answer["outcome"]) == (False, outcome)
    committed = outcome == "unknown" and delivered
    assert await truth(database, answer["call_id"]) == (
        "committed" if committed else "not_committed"
    )
    assert query(database, COUNT) == [(int(committed),)]
    assert query(
        database,
        f"select outcome from audit.call where event = 'end' and call_id = '{answer['call_id']}'",
    ) == [("unknown" if outcome == "unknown" else "failed",)]
    async with agent(database) as again:
        undone = await again.call("postgres_undo", call_id=answer["call_id"])
        assert undone["success"] is committed
        assert query(database, COUNT) == [(0,)]
        # The key was used where it was committed, whatever became of the rows since.
        second = await again.execute(add(), idempotency_key="k")
        assert second.get("replayed", False) is committed
        assert (second["call_id"] == answer["call_id"]) is committed
    assert query(database, COUNT) == [(int(not committed),)]
    verified(database)


@pytest.mark.parametrize("delivered", [True, False], ids=["after", "before"])
async def test_the_network_is_cut_in_the_middle_of_the_record_of_the_beginning(
    database: Server, delivered: bool
) -> None:
    async with cutting(database, b'"event":"begin"', deliver=delivered) as cut, agent(cut) as a:
        answer = await a.execute(add())
    assert (answer["success"], answer["outcome"]) == (False, "nothing_changed")
    assert query(database, COUNT) == [(0,)]
    assert await truth(database, answer["call_id"]) == ("not_committed" if delivered else "02000")
    verified(database)


@pytest.mark.parametrize("delivered", [True, False], ids=["after", "before"])
async def test_the_network_is_cut_in_the_middle_of_the_record_of_the_end(
    database: Server, delivered: bool
) -> None:
    async with cutting(database, b'"event":"end"', deliver=delivered) as cut, agent(cut) as a:
        answer = await a.execute(add())
    assert answer["success"]
    assert query(database, COUNT) == [(1,)]
    assert await truth(database, answer["call_id"]) == "committed"
    said = f"call {answer['call_id']} has no end on record: committed"
    assert (said in verified(database)) is not delivered


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.deep) for seed in range(2, 6))]
)
async def test_postgresql_is_killed_in_the_middle_of_writes(
    instance: EmbeddedServer, seed: int
) -> None:
    server = Server.from_instance(instance.directory)
    chance = random.Random(seed)
    answers: dict[str, dict[str, Any]] = {}

    async def write(a: Agent, worker: int) -> None:
        for number in range(200):
            key = f"{worker}/{number}"
            answers[key] = await a.execute(add(key), idempotency_key=key)
            if not answers[key]["success"]:
                return

    async def kill() -> None:
        await until(lambda: any(answer["success"] for answer in answers.values()))
        await asyncio.sleep(chance.random() * 0.4)
        if seed % 2:
            await asyncio.to_thread(kill_one_backend, server)
        else:
            await asyncio.to_thread(instance.stop, mode="immediate")
            await asyncio.to_thread(instance.start)

    async with agent(server) as a:
        await asyncio.gather(*(write(a, worker) for worker in range(3)), kill())
        present = {str(row[0]) for row in query(server, "select message from logs")}
        for key, answer in answers.items():
            if answer["success"]:
                assert key in present
            elif answer["outcome"] == "nothing_changed":
                assert key not in present
            state = await truth(server, answer["call_id"])
            assert (state == "committed") is (key in present)
        # Whatever became of it: sent again, it is there once.
        for key, answer in answers.items():
            again = await a.execute(add(key), idempotency_key=key)
            assert again["success"], again
            assert again.get("replayed", False) is (key in present)
            assert (again["call_id"] == answer["call_id"]) is (key in present)
        twice = "select message from logs group by message having count(*) <> 1"
        assert query(server, twice) == []
        assert query(server, COUNT) == [(len(answers),)]
    verified(server)


def kill_one_backend(server: Server) -> None:
    """One of the agents' by SIGKILL: PostgreSQL ends all others for it, and recovers."""
    # A login may still succeed between the kill and PostgreSQL's noticing it; a connection from
    # before the kill ends with it, and from then on logins wait for the recovery.
    with contextlib.suppress(psycopg.OperationalError), connect(server, "postgres") as witness:
        writers = "select pid from pg_stat_activity where usename = 'mcp_write' limit 1"
        while not (found := query(server, writers)):
            pass
        os.kill(int(str(found[0][0])), signal.SIGKILL)
        while True:
            witness.execute("select pg_sleep(0.05)")
    recovered(server)


async def test_the_mcp_server_is_killed_in_the_middle_of_a_write(
    database: Server, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    # The process writes its number down, then is the server.
    script = (
        "import os, pathlib, runpy, sys;"
        " pathlib.Path(sys.argv.pop(1)).write_text(str(os.getpid()));"
        " runpy.run_module('mcp_server', run_name='__main__')"
    )
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-c", script, str(pid_file)],
        env=environment(database),
        cwd=CHECKOUT,
    )
    begun = "select call_id::text from audit.call where event = 'begin'"
    with connect(database, "postgres") as blocker:
        blocker.execute("lock table logs in exclusive mode")
        with contextlib.suppress(Exception, BaseExceptionGroup):
            async with Client(parameters) as client:

                async def write() -> None:
                    with contextlib.suppress(Exception):
                        await Agent(client).execute(add(), idempotency_key="k")

                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(write)
                    await until(lambda: waiting(database))
                    os.kill(int(pid_file.read_text()), signal.SIGKILL)
                    tasks.cancel_scope.cancel()
        ((call_id,),) = query(database, begun)
        async with agent(database) as a:
            status = await a.call("postgres_call_status", call_id=call_id)
            assert status["state"] == "running"
            assert "outcome" not in status
    assert await truth(database, str(call_id)) == "not_committed"
    assert query(database, COUNT) == [(0,)]
    assert f"call {call_id} has no end on record: not_committed" in verified(database)
    async with agent(database) as a:
        assert (await a.execute(add(), idempotency_key="k")).get("replayed") is None
    assert query(database, COUNT) == [(1,)]


def waiting(server: Server) -> bool:
    sql = (
        "select count(*) from pg_locks where locktype = 'relation' and not granted"
        " and relation = 'logs'::regclass"
    )
    return query(server, sql) == [(1,)]


async def test_a_caller_who_leaves_is_on_record(database: Server) -> None:
    async with agent(database) as a:
        for pause in (0.001, 0.002, 0.003, 0.005, 0.008, 0.012, 0.02):
            with anyio.move_on_after(pause):
                await a.execute(add(f"{pause}"), idempotency_key=f"{pause}")
        await a.query("select 1")
    rows = query(
        database,
        "select begun.call_id::text, written.call_id is not null, ended.outcome"
        " from audit.call as begun left join audit.written using (call_id)"
        " left join audit.call as ended on ended.call_id = begun.call_id and ended.event = 'end'"
        " where begun.event = 'begin' and begun.tool = 'postgres_execute'",
    )
    assert rows
    for _, is_committed, outcome in rows:
        assert outcome in ("done", "cancelled")
        if outcome == "done":
            assert is_committed
    assert query(database, COUNT) == [(sum(bool(row[1]) for row in rows),)]
    verified(database)
