"""Budgets of agents, against a real database: what one takes, and what is left for the others."""

import asyncio
from pathlib import Path
from typing import Any

import anyio
import pytest

from database.connect import connect
from database.settings import Server
from mcp_server.agents import load_agents
from mcp_server.gate import Gate
from mcp_server.server import open_access
from mcp_server.settings import Settings
from mcp_server.tools import Access
from mcp_server.tools.query import QueryArguments
from mcp_server.tools.query import run as run_query
from tests import schema_tools as tools
from tests.mcp_clients import OPEN_GATE, Agent, agent, stdio_agent
from tests.test_mcp_agents import one_agent
from tests.test_mcp_limits import ENDLESS, running, until

pytestmark = pytest.mark.anyio

# Some 14 MB of temporary files: sorted, and wider than work_mem.
SORT = (
    "select count(*) from"
    " (select repeat('x', 60) || n t from generate_series(1, 200000) n order by 1) s"
)


async def test_rows_and_bytes_are_the_agent_s(database: Server, tmp_path: Path) -> None:
    path = one_agent(tmp_path, budget="{ rows = 5, bytes = 2000 }")
    async with agent(database, agents_file=path, agent="one") as a:
        answer = await a.query("select n from generate_series(1, 50) n", limit=40)
        assert (answer["count"], answer["truncated"]) == (5, True)
        answer = await a.query("select repeat('x', 900) t from generate_series(1, 5) n")
        assert (answer["count"], answer["truncated"]) == (2, True)


async def test_time_is_the_agent_s(database: Server, tmp_path: Path) -> None:
    path = one_agent(tmp_path, budget="{ statement_ms = 200 }")
    async with agent(database, agents_file=path, agent="one") as a:
        assert (await a.query(ENDLESS))["sqlstate"] == "57014"


async def test_temporary_space_is_the_agent_s(database: Server, tmp_path: Path) -> None:
    path = one_agent(tmp_path, budget="{ temp_mb = 2 }")
    async with agent(database, agents_file=path, agent="one", read_connections=1) as a:
        answer = await a.query(SORT)
        assert (answer["sqlstate"], answer["refused_by"]) == ("53400", "database")
        assert "temporary space" in answer["hint"]
    async with agent(database, read_connections=1) as a:
        assert await a.rows(SORT) == [{"count": 200000}]


async def test_the_limit_of_temporary_space_ends_with_the_call(database: Server) -> None:
    access = open_access(Settings(read_connections=1), discover=lambda: database)
    small = load_agents(Settings(max_temp_mb=2)).caller("shared")
    show = QueryArguments(query="show temp_file_limit")
    seen = []
    for caller in (access.caller, small, access.caller):
        of_call = Access(**{**vars(access), "caller": caller})
        seen.append((await run_query(of_call, show)).fields["rows"][0]["temp_file_limit"])
    await access.pools.close()
    assert seen == ["1GB", "2MB", "1GB"]


@pytest.mark.parametrize("role", ["mcp_read", "mcp_write", "mcp_heal"])
@pytest.mark.parametrize(
    "route",
    [
        "set temp_file_limit = -1",
        "set local temp_file_limit = '1GB'",
        "reset temp_file_limit",
        "select set_config('temp_file_limit', '-1', true)",
        "update pg_settings set setting = '-1' where name = 'temp_file_limit'",
        "alter role {role} set temp_file_limit = -1",
        "do $$ begin perform set_config('temp_file_limit', '-1', true); end $$",
        "reset all",
    ],
)
def test_no_sql_raises_the_limit_of_temporary_space(
    database: Server, role: str, route: str
) -> None:
    with connect(database, role) as connection:
        sealed = tools.bind(database, connection, temporary_kb=2048)
        connection.execute("savepoint before")
        if route == "reset all":
            # Needs no right. It takes the context away too, and the login's own limit stays.
            connection.execute(route.encode())
            assert connection.execute("select agent from app.context()").fetchone() == (None,)
            limit = connection.execute("show temp_file_limit").fetchone()
            assert limit in (("1GB",), ("4GB",))
            # Bound again it is as before.
            connection.execute("select app.set_context(%s)", [sealed])
        else:
            with pytest.raises(Exception, match=r"permission denied|read-only"):
                connection.execute(route.format(role=role).encode())
            connection.execute("rollback to before")
        assert connection.execute("show temp_file_limit").fetchone() == ("2MB",)
        # A context that says more, or nothing, raises nothing either.
        for kilobytes in (1_000_000, 50 * 1024**2):
            tools.bind(database, connection, temporary_kb=kilobytes)
            assert connection.execute("show temp_file_limit").fetchone() == ("2MB",)
        connection.rollback()


def test_a_budget_above_the_login_s_own_limit_raises_nothing(database: Server) -> None:
    with connect(database, "mcp_read") as connection:
        tools.bind(database, connection, temporary_kb=50 * 1024**2)
        assert connection.execute("show temp_file_limit").fetchone() == ("1GB",)


def test_without_a_superuser_the_login_s_own_limit_stays(database: Server) -> None:
    tools.execute(database, "revoke set on parameter temp_file_limit from atlas_guard")
    try:
        with connect(database, "mcp_read") as connection:
            tools.bind(database, connection, temporary_kb=2048)
            assert connection.execute("show temp_file_limit").fetchone() == ("1GB",)
    finally:
        tools.execute(database, "grant set on parameter temp_file_limit to atlas_guard")


def callers(server: Server, folder: Path, **settings: Any) -> dict[str, Access]:
    """Three agents of one server process."""
    path = folder / "agents.toml"
    path.write_text(
        "".join(
            f'[agents.{name}]\ncapabilities = ["read", "write"]\nsessions = "every"\n'
            for name in ("one", "two", "three")
        )
    )
    chosen = Settings(agents_file=path, agent="one", **settings)
    access = open_access(chosen, gate=Gate(), discover=lambda: server)
    access.sessions.slots.expect(access.agents.entries)
    return {
        name: Access(**{**vars(access), "caller": access.agents.caller(name)})
        for name in access.agents.entries
    }


async def test_one_agent_s_flood_leaves_connections_to_the_others(
    database: Server, tmp_path: Path
) -> None:
    agents = callers(database, tmp_path, statement_timeout_ms=20_000)
    endless, quick = QueryArguments(query=ENDLESS), QueryArguments(query="select 1 as n")
    flood = [
        asyncio.create_task(run_query(agents[name], endless))
        for name in ("one", "two")
        for _ in range(100)
    ]
    try:
        await until(lambda: running(database) == 5)
        for _ in range(10):
            answer = await asyncio.wait_for(run_query(agents["three"], quick), 5)
            assert answer.fields["rows"] == [{"n": 1}]
        assert running(database) == 5
    finally:
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
    await until(lambda: running(database) == 0)
    assert agents["one"].sessions.slots.running() == 0
    assert (await run_query(agents["one"], quick)).fields["count"] == 1
    await agents["one"].pools.close()


async def test_over_its_concurrency_an_agent_is_told_so(database: Server, tmp_path: Path) -> None:
    path = one_agent(tmp_path, budget="{ concurrency = 2 }")
    settings: dict[str, Any] = {"acquire_timeout_ms": 300, "statement_timeout_ms": 3_000}
    async with agent(database, agents_file=path, agent="one", **settings) as a:
        answers = await asyncio.gather(*(a.query(ENDLESS) for _ in range(4)))
        assert (
            sorted(str(answer["sqlstate"]) for answer in answers) == ["53300"] * 2 + ["57014"] * 2
        )
        refused = [answer for answer in answers if answer["sqlstate"] == "53300"]
        assert all("one has 2 calls under way" in answer["error"] for answer in refused)
        assert all("answers to the calls under way" in answer["hint"] for answer in refused)
        assert (await a.rows("select 1 as n")) == [{"n": 1}]


async def _cancel_and_ask_again(a: Agent, server: Server) -> None:
    for _ in range(3):
        with anyio.move_on_after(0.5):
            await a.query(ENDLESS)
        await until(lambda: running(server) == 0)
    # The one slot there is has been given back each time.
    assert await a.rows("select 1 as n") == [{"n": 1}]


async def test_a_cancelled_call_gives_its_slot_back(database: Server, tmp_path: Path) -> None:
    path = one_agent(tmp_path, budget="{ concurrency = 1 }")
    async with agent(database, gate=OPEN_GATE, agents_file=path, agent="one") as a:
        await _cancel_and_ask_again(a, database)


async def test_a_call_cancelled_over_stdio_gives_its_slot_back(
    database: Server, tmp_path: Path
) -> None:
    path = one_agent(tmp_path, budget="{ concurrency = 1 }")
    async with stdio_agent(database, "--agent", "one", MCP_AGENTS_FILE=path) as a:
        await a.rows("select 1")
        await _cancel_and_ask_again(a, database)


async def test_a_call_that_waits_for_a_slot_can_be_cancelled(
    database: Server, tmp_path: Path
) -> None:
    path = one_agent(tmp_path, budget="{ concurrency = 1, statement_ms = 4000 }")
    async with agent(database, agents_file=path, agent="one") as a:
        first = asyncio.create_task(a.query(ENDLESS))
        await until(lambda: running(database) == 1)
        with anyio.move_on_after(0.3):
            await a.query("select 1 / 0")
        assert (await first)["sqlstate"] == "57014"
        assert await a.rows("select 1 as n") == [{"n": 1}]
