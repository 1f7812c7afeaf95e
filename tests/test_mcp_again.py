"""What was in somebody's way, or lost its connection, is run again where that is safe; else not."""

import threading
from typing import Any

import anyio
import pytest

from database.connect import connect
from database.settings import Server
from tests import schema_tools as tools
from tests.mcp_clients import agent

pytestmark = pytest.mark.anyio

_FILES = (
    "insert into files (path, name, size, mtime, is_dir, last_scanned)"
    " select 'p' || n, 'old', 1, 0, false, now() from generate_series(1, 2) as n"
)
_LONG = "select count(*) from generate_series(1, {rows}) as a"
_DEADLOCKS = "select deadlocks from pg_stat_database where datname = current_database()"
_OF_AGENTS = (
    "select pid from pg_stat_activity where datname = current_database()"
    " and usename like 'mcp_%' and {}"
)


async def backend(server: Server, state: str) -> int:
    """The agent's backend, once it is in that state."""
    while True:
        found = tools.query(server, _OF_AGENTS.format(state))
        if found:
            return int(str(found[0][0]))
        await anyio.sleep(0.01)


async def test_a_write_that_lost_a_deadlock_is_made_after_all_and_once(database: Server) -> None:
    # The agent's patience ends first, and long after the other is in its way.
    name = database.database
    tools.execute(database, _FILES, f"alter database \"{name}\" set deadlock_timeout = '3s'")
    answers: list[dict[str, Any]] = []
    other = connect(database, "postgres")
    other.execute("set deadlock_timeout = '1min'")
    other.execute("update files set name = 'other' where path = 'p2'")
    update = threading.Thread(
        target=other.execute, args=("update files set name = 'other' where path = 'p1'",)
    )

    async def write() -> None:
        async with agent(database, lock_timeout_ms=30_000, statement_timeout_ms=30_000) as door:
            answers.append(
                await door.execute("update files set size = size + 1 where path in ('p1', 'p2')")
            )

    async with anyio.create_task_group() as both:
        both.start_soon(write)
        await backend(database, "wait_event_type = 'Lock'")
        update.start()
        await anyio.to_thread.run_sync(update.join)
        other.commit()
    other.close()
    (answer,) = answers
    assert answer["success"], answer
    assert answer["affected"] == 2
    assert tools.query(database, "select name, size from files order by path") == [("other", 2)] * 2
    # It was the agent's, and it was one; PostgreSQL counts it a moment later.
    while (counted := tools.query(database, _DEADLOCKS)) == [(0,)]:  # noqa: ASYNC110
        await anyio.sleep(0.1)
    assert counted == [(1,)]


async def run_and_lose(
    server: Server, tool: str, times: int, rows: int, **arguments: Any
) -> dict[str, Any]:
    """Answer of a call whose backend is ended as often as said while it works."""
    answers: list[dict[str, Any]] = []

    async def run() -> None:
        async with agent(server, statement_timeout_ms=60_000) as door:
            answers.append(await door.call(tool, **arguments))

    async with anyio.create_task_group() as both:
        both.start_soon(run)
        for _ in range(times):
            # Found by a number that only this call has.
            pid = await backend(server, f"state = 'active' and query ~ '\\m{rows}\\M'")
            tools.execute(server, f"select pg_terminate_backend({pid}, 10000)")
    return answers[0]


async def test_a_query_whose_connection_is_lost_is_sent_once_more(database: Server) -> None:
    rows = 3_000_017
    query = _LONG.format(rows=rows)
    answer = await run_and_lose(database, "postgres_query", 1, rows, query=query)
    assert answer["success"], answer
    assert answer["rows"] == [{"count": rows}]


async def test_and_not_a_third_time(database: Server) -> None:
    rows = 3_000_029
    query = _LONG.format(rows=rows)
    answer = await run_and_lose(database, "postgres_query", 2, rows, query=query)
    assert (answer["success"], answer["sqlstate"]) == (False, "08006")


@pytest.mark.parametrize("key", [None, "the-key-of-this-write"])
async def test_a_write_is_sent_once_more_only_with_its_key(
    database: Server, key: str | None
) -> None:
    tools.execute(database, _FILES)
    rows = 3_000_047
    query = f"update files set size = ({_LONG.format(rows=rows)}) where path = 'p1'"
    given = {"query": query} | ({"idempotency_key": key} if key else {})
    answer = await run_and_lose(database, "postgres_execute", 1, rows, **given)
    size = tools.query(database, "select size from files where path = 'p1'")
    if key:
        assert answer["success"], answer
        assert (answer["affected"], size) == (1, [(rows,)])
    else:
        assert (answer["sqlstate"], answer["outcome"]) == ("08006", "nothing_changed")
        assert size == [(1,)]
