"""The gate against PostgreSQL: what it calls a read changes nothing, whoever runs it.

Statements are mutated from the corpus, from the attack list where it is there, and from pieces of
the grammar. Each that postgres_query would take runs in a writable transaction, and at the end
PostgreSQL is asked whether that did anything. MCP_FUZZ_SEED and MCP_FUZZ_STATEMENTS repeat a
run and make it longer.
"""

import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from database.apply import run_psql
from database.settings import Server
from mcp_server.failure import Failure
from mcp_server.gate import Catalogue, Gate, Statement
from mcp_server.gate.parse import MAX_BYTES
from tests import schema_tools as tools
from tests.conftest import SHARED
from tests.corpus import statements
from tests.corpus.mutate import Mutator
from tests.test_mcp_corpus import FIXTURE

pytestmark = pytest.mark.anyio

SEED = int(os.environ.get("MCP_FUZZ_SEED", "20260331"))
STATEMENTS = int(os.environ.get("MCP_FUZZ_STATEMENTS", "11000"))
DEEP_STATEMENTS = int(os.environ.get("DEEP_STATEMENTS", "440000"))
_BATCH = 250
GATE = Gate()

# What a transaction can have done, before it ends: taken a number (every write does), moved a
# sequence, changed a setting, locked more than reading does, opened or prepared what stays. Not
# PL/pgSQL's own settings, which come when a policy first calls a function in it.
_DONE = """
    select concat_ws(
        ' ', pg_current_xact_id_if_assigned(),
        (select md5(string_agg(name || setting, ',' order by name)) from pg_settings
            where name not like 'plpgsql.%'),
        coalesce(current_setting('a.b', true), ''),
        (select string_agg(coalesce(last_value, 0)::text, ',' order by sequencename)
            from pg_sequences),
        (select count(*) from pg_locks where pid = pg_backend_pid() and (locktype = 'advisory'
            or mode not in ('AccessShareLock', 'ExclusiveLock'))),
        (select count(*) from pg_cursors where name <> ''),
        (select count(*) from pg_prepared_statements where from_sql),
        current_user, current_setting('search_path')
    )
"""


class Runner:
    """Runs statements as a login, in transactions that may write."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", login: str) -> None:
        self._connection = connection
        self._login = login
        self._catalogue = Catalogue()

    async def takes(self, text: str) -> Statement | None:
        """The statement, where the gate calls it a read."""
        try:
            statement = GATE.query(text)
            await self._catalogue.check(self._connection, self._login, statement.calls)
        except Failure as refused:
            if not (refused.error and refused.sqlstate):
                pytest.fail(f"no reason for {text!r}")
            return None
        return statement

    async def effect(self, texts: list[str]) -> bool:
        """Whether statements, run one after the other, did anything."""
        run = self._connection.execute
        await run("begin; set transaction read write; set local statement_timeout = '300ms'")
        before = await self._connection.fetchval(_DONE)
        for text in texts:
            await run("savepoint statement")
            try:
                await run(text)
            except asyncpg.PostgresError:
                await run("rollback to statement")
        after = await self._connection.fetchval(_DONE)
        await run("rollback")
        return bool(before != after)


@asynccontextmanager
async def runner(server: Server, login: str) -> AsyncIterator[Runner]:
    tools.load(server)
    run_psql(server, FIXTURE)
    connection = await asyncpg.connect(
        host=server.host,
        port=server.port,
        database=server.database,
        user=login,
        password=server.password(login),
        statement_cache_size=0,
    )
    try:
        yield Runner(connection, login)
    finally:
        await connection.close()


def seeds() -> list[str]:
    """What is mutated. Not what only wants to take long: there is no time for it here."""
    attacks = SHARED / "attacks" / "attacks.jsonl"
    lines = attacks.read_text().splitlines() if attacks.exists() else []
    listed = [json.loads(line) for line in lines]
    return [
        *statements("reads"),
        *statements("writes"),
        *(item["sql"] for item in listed if item["expectation"] in ("reject", "db_error", "allow")),
    ]


async def fuzz(server: Server, login: str, seed: int, count: int) -> int:
    """How many of `count` mutated statements ran; the culprit fails the test."""
    mutator = Mutator(seed, seeds())
    ran = 0
    waiting: list[str] = []
    async with runner(server, login) as r:
        for number in range(count):
            text = mutator.statement()
            if await r.takes(text) is not None:
                waiting.append(text)
            if len(waiting) == _BATCH or number == count - 1:
                if await r.effect(waiting):
                    culprits = [text for text in waiting if await r.effect([text])]
                    pytest.fail(f"seed {seed}: the gate takes for a read {culprits or waiting!r}")
                ran += len(waiting)
                waiting.clear()
    return ran


# mcp_read has few rights; atlas may write, and call what acts: there the gate alone decides.
@pytest.mark.parametrize("login", ["mcp_read", "atlas"])
async def test_what_the_gate_calls_a_read_changes_nothing(database: Server, login: str) -> None:
    print(f"MCP_FUZZ_SEED={SEED}")
    ran = await fuzz(database, login, SEED, STATEMENTS)
    # Else the mutations are too wild to say anything.
    assert ran > STATEMENTS // 10


@pytest.mark.deep
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("login", ["mcp_read", "atlas"])
async def test_long(database: Server, login: str) -> None:
    seed = int(os.environ.get("DEEP_SEED") or time.time())
    print(f"DEEP_SEED={seed}")
    assert await fuzz(database, login, seed, DEEP_STATEMENTS) > 0


@pytest.mark.parametrize(
    "sql",
    [
        "delete from logs",
        "with d as (delete from logs where false returning 1), u as (update tasks set goal = '') "
        "select 1",
        "select set_config('work_mem', '1MB', false)",
        "select pg_advisory_lock(1)",
        "select nextval('logs_id_seq')",
        "select 1 from tasks for update",
        "lock table tasks in share mode",
        "set search_path = pg_temp",
        "declare c cursor for select 1",
        "prepare p as select 1",
        "select txid_current()",
        "select (1::bigint).pg_advisory_lock",
    ],
)
async def test_the_judge_sees_what_statements_do(database: Server, sql: str) -> None:
    async with runner(database, "atlas") as r:
        assert not await r.effect(["select 1"])
        assert await r.effect(["select 1", sql])
        assert await r.takes(sql) is None


async def test_the_same_statement_written_otherwise_is_taken_as_well(database: Server) -> None:
    mutator = Mutator(SEED, seeds())
    async with runner(database, "mcp_read") as r:
        for text in statements("reads"):
            for _ in range(5):
                same = mutator.same(text)
                assert len(same) < MAX_BYTES
                assert await r.takes(same) is not None, same
    for text in statements("writes"):
        for _ in range(5):
            assert GATE.execute(mutator.same(text), False).operation
