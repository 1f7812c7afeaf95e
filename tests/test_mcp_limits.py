"""What bounds a call: rows, bytes, time, memory, and the patience of whoever called."""

import asyncio
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from database.settings import Server
from tests.mcp_clients import OPEN_GATE, agent, http_agent, http_server, stdio_agent
from tests.programs import query

pytestmark = pytest.mark.anyio

# Long, but stopped by nothing else than a cancel: small rows, no temporary files.
ENDLESS = "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b"
RUNNING = """
    select count(*)::int from pg_stat_activity
    where usename like 'mcp%%' and state = 'active' and datname = %s
"""


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.05)


def running(server: Server) -> int:
    ((count,),) = query(server, RUNNING, server.database)
    return int(str(count))


async def test_rows_are_capped_at_the_cursor(database: Server) -> None:
    endless = "with recursive t(n) as (select 1 union all select n + 1 from t) select n from t"
    async with agent(database, max_rows=100) as a:
        answer = await a.query(endless)
        assert (answer["count"], answer["truncated"]) == (100, True)
        assert answer["duration_ms"] < 2_000
        answer = await a.query(endless, limit=7)
        assert [row["n"] for row in answer["rows"]] == [1, 2, 3, 4, 5, 6, 7]
        assert answer["truncated"] is True
        # The server's own cap holds whatever is asked for.
        assert (await a.query(endless, limit=5_000))["count"] == 100


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 99, 100])
async def test_a_result_that_just_fits_is_not_truncated(database: Server, count: int) -> None:
    async with agent(database, max_rows=100) as a:
        answer = await a.query(f"select n from generate_series(1, {count}) n")
        assert (answer["count"], answer["truncated"]) == (count, False)


async def test_bytes_are_capped(database: Server) -> None:
    async with agent(database, max_bytes=100_000) as a:
        answer = await a.query("select n, repeat('x', 999) t from generate_series(1, 100000) n")
        assert answer["truncated"] is True
        assert 80 <= answer["count"] <= 100
        one = await a.query("select repeat('ж', 60000) as t")
        assert one["sqlstate"] == "54000"
        assert "left(column" in one["hint"]


async def test_returning_is_capped_and_still_counted(database: Server) -> None:
    async with agent(database, max_rows=10) as a:
        answer = await a.execute(
            "insert into files (path, name, size, mtime, is_dir, last_scanned) "
            "select n::text, 'n', 1, 1, false, now() from generate_series(1, 5000) n returning path"
        )
        assert (answer["affected"], answer["count"], answer["truncated"]) == (5000, 10, True)
    assert query(database, "select count(*) from files") == [(5000,)]


async def test_one_huge_value_costs_no_memory_here(database: Server) -> None:
    async with agent(database) as a:
        await a.rows("select 1")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        answer = await a.query("select lpad('x', 300000000) as t")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert answer["sqlstate"] == "54000"
        assert grown < 150_000, f"{grown} kB"
        assert await a.rows("select 1 as n") == [{"n": 1}]


async def test_a_write_with_a_huge_result_is_rolled_back(database: Server) -> None:
    async with agent(database) as a:
        answer = await a.execute(
            "insert into chat_history (session_id, role, content, created_at, metadata_blob) "
            "values ('s', 'user', 'x', now(), '{}') returning repeat(content, 100000000)"
        )
        assert (answer["sqlstate"], answer["outcome"]) == ("54000", "nothing_changed")
    assert query(database, "select count(*) from chat_history") == [(0,)]


async def test_a_statement_that_takes_too_long_is_cancelled(database: Server) -> None:
    async with agent(database, statement_timeout_ms=300) as a:
        answer = await a.query(ENDLESS)
        assert answer["sqlstate"] == "57014"
    assert running(database) == 0


async def test_rows_that_trickle_are_bounded_as_a_whole(database: Server) -> None:
    # PostgreSQL's timeout counts each fetch anew; the deadline here counts the call. The first
    # chunk costs nothing and nearly fills the bytes; so the next are of a few slow rows each, and
    # there is room for hundreds, however fast the machine is.
    slow = (
        "select repeat('x', case n when 1 then 90000 end), case when n > 16 then"
        " (select count(*) from generate_series(1, 3000000) m where m > n) end"
        " from generate_series(1, 1000) n"
    )
    async with agent(database, gate=OPEN_GATE, statement_timeout_ms=3_500, max_bytes=100_000) as a:
        answer = await a.query(slow)
        assert answer["sqlstate"] == "57014"
    await until(lambda: running(database) == 0)


async def test_a_lock_is_not_waited_for_longer_than_allowed(database: Server) -> None:
    from database.connect import connect

    with connect(database, "postgres") as connection:
        connection.execute("lock table files")
        async with agent(database, lock_timeout_ms=200) as a:
            assert (await a.query("select * from files"))["sqlstate"] == "55P03"
            answer = await a.alter("alter table files add column x int")
            assert (answer["sqlstate"], answer["outcome"]) == ("55P03", "nothing_changed")


async def test_a_cancelled_call_ends_its_statement(database: Server) -> None:
    async with agent(database) as a:
        with anyio.move_on_after(0.5):
            await a.query(ENDLESS)
        await until(lambda: running(database) == 0)
        assert await a.rows("select 1 as n") == [{"n": 1}]


async def test_a_cancelled_call_over_stdio_ends_its_statement(database: Server) -> None:
    async with stdio_agent(database) as a:
        await a.rows("select 1")
        with anyio.move_on_after(1):
            await a.query(ENDLESS)
        await until(lambda: running(database) == 0)
        assert await a.rows("select 1 as n") == [{"n": 1}]


async def test_a_client_that_goes_away_over_http_ends_its_statement(
    database: Server, tmp_path: Path
) -> None:
    token = (database.secrets_dir / "mcp_token").read_text().strip()
    with http_server(database, tmp_path / "log") as url:
        async with http_agent(url, token) as a:
            await a.rows("select 1")
            with anyio.move_on_after(1):
                await a.query(ENDLESS)
        await until(lambda: running(database) == 0)


async def test_thirty_two_callers_at_once_are_all_served(database: Server) -> None:
    async with agent(database) as a:
        answers = await asyncio.gather(
            *(a.query(f"select {n} as n, pg_backend_pid() as pid") for n in range(32)),
            *(a.query("select broken") for _ in range(32)),
        )
    rows = [answer["rows"][0] for answer in answers if answer["success"]]
    assert [row["n"] for row in rows] == list(range(32))
    assert len({row["pid"] for row in rows}) <= 6
    assert sum(answer.get("sqlstate") == "42703" for answer in answers) == 32


async def test_callers_wait_for_a_connection_only_so_long(database: Server) -> None:
    settings: dict[str, Any] = {
        "read_connections": 1,
        "acquire_timeout_ms": 300,
        "statement_timeout_ms": 2_000,
    }
    async with agent(database, **settings) as a:
        slow, fast = await asyncio.gather(a.query(ENDLESS), a.query("select 1"))
    assert {slow["sqlstate"], fast["sqlstate"]} == {"57014", "53300"}
