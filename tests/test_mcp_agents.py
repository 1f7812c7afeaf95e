"""Agents: what each may do and see is said in a file, and who calls is said by the transport."""

import uuid
from pathlib import Path

import pytest

from database.connect import connect
from database.errors import UsageError
from database.settings import Server
from mcp_server.agents import load_agents
from mcp_server.audit import Call
from mcp_server.failure import Failure
from mcp_server.gate import Statement
from mcp_server.pools import Capability
from mcp_server.server import answer_call, open_access
from mcp_server.settings import Settings
from mcp_server.tools import TOOLS
from tests import schema_tools as tools
from tests.mcp_clients import OPEN_GATE, agent, stdio_agent
from tests.programs import query, run_module

pytestmark = pytest.mark.anyio

READ, WRITE, HEAL = Capability.READ, Capability.WRITE, Capability.HEAL
A, B = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
ADD_FILE = (
    "insert into files (path, name, size, mtime, is_dir, last_scanned)"
    " values ('p', 'n', 1, 1, false, now())"
)
SEEN = "select string_agg(id::text, ' ' order by id) as ids from sessions"


def written(folder: Path, text: str) -> Path:
    path = folder / "agents.toml"
    path.write_text(text)
    return path


def one_agent(folder: Path, **values: str) -> Path:
    """A file with the agent `one`; `values` are TOML."""
    lines = {"capabilities": '["read", "write", "heal"]', "sessions": '"every"', **values}
    text = "\n".join(f"{key} = {value}" for key, value in lines.items())
    return written(folder, f"[agents.one]\n{text}\n")


@pytest.fixture
def two_sessions(database: Server) -> Server:
    tools.execute(
        database,
        f"insert into sessions (id, started_at, metadata_blob) values ('{A}', now(), '{{}}')",
        f"insert into sessions (id, started_at, metadata_blob) values ('{B}', now(), '{{}}')",
    )
    return database


def test_the_file_that_comes_with_the_server_names_the_agents() -> None:
    agents = load_agents(Settings())
    assert {name: agents.caller(name).capabilities for name in agents.entries} == {
        "atlas": {READ, WRITE, HEAL},
        "tetyana": {READ, WRITE},
        "grisha": {READ},
        "shared": {READ, WRITE, HEAL},
        "healer": {READ, HEAL},
    }
    bound = {name for name in agents.entries if agents.caller(name).sessions == "bound"}
    assert bound == {"healer"}


def test_a_budget_is_the_settings_where_the_file_says_nothing(tmp_path: Path) -> None:
    path = one_agent(tmp_path, budget="{ rows = 7, concurrency = 2, temp_mb = 3 }")
    budget = (
        load_agents(Settings(agents_file=path, max_rows=50, max_bytes=9_000)).caller("one").budget
    )
    assert (budget.rows, budget.bytes, budget.concurrency) == (7, 9_000, 2)
    assert budget.affected_rows == 10_000
    assert budget.temporary_kb(READ) == budget.temporary_kb(WRITE) == 3 * 1024
    assert budget.temporary_kb(HEAL) == 4 * 1024**2


WRONG = {
    "no TOML": ("[agents", "wrong"),
    "twice": ("[agents.a]\n[agents.a]", "twice"),
    "nobody": ("", "agents: Field required"),
    "unknown section": ("[agent.a]", "agent: there is no such key"),
    "unknown key": ("[agents.a]\ncolour = 1", "agents.a.colour: there is no such key"),
    "unknown budget": (
        '[agents.a]\ncapabilities = []\nsessions = "every"\nbudget = { row = 1 }',
        "agents.a.budget.row: there is no such key",
    ),
    "unknown capability": (
        '[agents.a]\ncapabilities = ["reed"]\nsessions = "every"',
        "agents.a.capabilities.0: Input should be 'read', 'write' or 'heal'",
    ),
    "no sessions": ("[agents.a]\ncapabilities = []", "agents.a.sessions: Field required"),
    "empty session": ('[agents.a]\ncapabilities = []\nsessions = ""', "agents.a.sessions"),
    "negative": (
        '[agents.a]\ncapabilities = []\nsessions = "every"\nbudget = { rows = -1 }',
        "agents.a.budget.rows: Input should be greater than or equal to 1",
    ),
    "no number": (
        '[agents.a]\ncapabilities = []\nsessions = "every"\nbudget = { rows = "9" }',
        "agents.a.budget.rows: Input should be a valid integer",
    ),
    "true is no number": (
        '[agents.a]\ncapabilities = []\nsessions = "every"\nbudget = { rows = true }',
        "agents.a.budget.rows",
    ),
    "a name in capitals": ('[agents.Atlas]\ncapabilities = []\nsessions = "every"', "Atlas"),
}


@pytest.mark.parametrize(("text", "part"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_explained(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(UsageError) as error:
        load_agents(Settings(agents_file=written(tmp_path, text)))
    assert part in error.value.message


def test_the_program_ends_with_the_code_of_a_wrong_setting(tmp_path: Path) -> None:
    wrong = written(tmp_path, "[agents.a]\ncolour = 1")
    for arguments, settings, part in (
        ((), {"MCP_AGENTS_FILE": wrong}, "no such key"),
        ((), {"MCP_AGENTS_FILE": tmp_path / "none"}, "Cannot read the agents file"),
        ((), {"MCP_AGENT": "somebody"}, "There is no agent 'somebody'"),
        (("--agent", "somebody"), {}, "There is no agent 'somebody'"),
        (("--http", "--agent", "somebody"), {}, "There is no agent 'somebody'"),
    ):
        result = run_module("mcp_server", *arguments, **settings)
        assert result.returncode == 2
        assert part in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr


async def test_an_agent_has_the_tools_of_its_capabilities(database: Server) -> None:
    for name, capabilities in (("atlas", {READ, WRITE, HEAL}), ("tetyana", {READ, WRITE})):
        async with agent(database, agent=name) as a:
            listed = {tool.name for tool in (await a.client.list_tools()).tools}
            assert listed == {tool.name for tool in TOOLS if tool.capability in capabilities}
    # By launch argument, which goes before the environment.
    async with stdio_agent(database, "--agent", "grisha", MCP_AGENT="atlas") as a:
        listed = {tool.name for tool in (await a.client.list_tools()).tools}
        assert listed == {tool.name for tool in TOOLS if tool.read_only}
        assert (await a.query("select 1 as n"))["success"]
        for answer in (
            await a.execute(ADD_FILE),
            await a.call("execute", query=ADD_FILE),
            await a.alter("alter table files add column note text"),
            await a.call("schema_alter", ddl="alter table files add column note text"),
        ):
            assert (answer["sqlstate"], answer["refused_by"]) == ("42501", "gate")
            assert "grisha may not" in answer["error"]
            assert "its capabilities: read" in answer["error"]
    assert query(database, "select count(*) from files") == [(0,)]


async def test_a_tool_that_forgot_to_ask_gets_no_connection(database: Server) -> None:
    access = open_access(Settings(agent="grisha"), gate=OPEN_GATE, discover=lambda: database)
    call = Call(access.caller, "postgres_execute", {})
    try:
        with pytest.raises(Failure) as refusal:
            await access.sessions.write(call, Statement(ADD_FILE, "INSERT"))
        assert refusal.value.sqlstate == "42501"
        with pytest.raises(Failure) as refusal:
            await access.sessions.change_schema(
                call,
                Statement("create index concurrently i on files (size)", "", in_transaction=False),
            )
        assert refusal.value.sqlstate == "42501"
    finally:
        await access.pools.close()
    assert query(database, "select count(*) from files") == [(0,)]


@pytest.mark.parametrize("name", ["agent", "_agent", "caller", "session_id", "_meta"])
async def test_no_argument_says_who_calls(database: Server, name: str) -> None:
    access = open_access(Settings(agent="grisha"), discover=lambda: database)
    answer = await answer_call(access, "postgres_query", {"query": "select 1", name: "atlas"})
    await access.pools.close()
    assert answer["isError"]
    assert "Wrong arguments" in answer["structuredContent"]["error"]


@pytest.mark.parametrize(
    ("sessions", "session_id", "seen"),
    [
        ("every", "", f"{A} {B}"),
        ("every", B, B),
        ("bound", "", None),
        ("bound", B, B),
        (A, "", A),
        (A, B, A),
        ("current_session", "", None),
    ],
)
async def test_what_an_agent_sees_is_said_in_the_file(
    two_sessions: Server, tmp_path: Path, sessions: str, session_id: str, seen: str | None
) -> None:
    path = one_agent(tmp_path, sessions=f'"{sessions}"')
    settings = {"agents_file": path, "agent": "one", "session_id": session_id}
    async with agent(two_sessions, gate=OPEN_GATE, **settings) as a:
        assert await a.rows(SEEN) == [{"ids": seen}]


async def test_the_database_can_narrow_what_the_file_says_and_not_widen_it(
    two_sessions: Server, tmp_path: Path
) -> None:
    tools.execute(
        two_sessions,
        "insert into app.agent values ('atlas', 'bound'), ('one', 'every')",
    )
    async with agent(two_sessions, agent="atlas") as a:
        assert await a.rows(SEEN) == [{"ids": None}]
    path = one_agent(tmp_path, sessions='"bound"')
    async with agent(two_sessions, agents_file=path, agent="one") as a:
        assert await a.rows(SEEN) == [{"ids": None}]


def test_what_is_sealed_of_sessions_cannot_be_changed(two_sessions: Server) -> None:
    with connect(two_sessions, "mcp_read") as connection:
        sealed = tools.bind(two_sessions, connection, sessions="bound")
        assert connection.execute(SEEN.encode()).fetchone() == (None,)
        for text in (
            sealed.replace('"bound"', '"every"'),
            sealed.replace(', "sessions": "bound"', ""),
            sealed[:-1] + ', "sessions": "every"}',
        ):
            assert connection.execute("select app.set_context(%s)", [text]).fetchone() == (False,)
            assert connection.execute(SEEN.encode()).fetchone() == (None,)
