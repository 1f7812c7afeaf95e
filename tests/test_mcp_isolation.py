"""Isolation under load: three agents of three sessions, one server process, shared connections.

Hundreds of calls at once over real HTTP: reads and writes, errors, calls over budget, calls that
are given up and connections that are torn down. With the gate, and with only the database standing.
"""

import asyncio
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from database.apply import run_psql
from database.settings import Server
from tests.http_requests import bearer, call, tool_call
from tests.mcp_clients import http_server
from tests.programs import query, run_module
from tests.test_mcp_limits import ENDLESS, until

pytestmark = pytest.mark.anyio

SESSIONS = Path(__file__).parent / "fixtures" / "two_sessions.sql"
LETTERS = {"atlas": "a", "tetyana": "b", "grisha": "c"}
IDS = {
    agent: f"{letter * 8}-0000-4000-8000-00000000000{number}"
    for number, (agent, letter) in enumerate(LETTERS.items(), 1)
}
CALLS = 240

# Whatever a session can leave behind, and what shows that somebody did.
LEFT = """
    select
        current_user::text as login, session_user::text as session_login,
        current_setting('search_path') as path, current_setting('app.mine', true) as mine,
        current_setting('work_mem') as work_mem,
        (select count(*) from pg_prepared_statements where name like 'mine%') as prepared,
        (select count(*) from pg_cursors where name like 'mine%') as cursors,
        (select count(*) from pg_listening_channels()) as channels,
        (
            select count(*) from pg_locks
            where locktype = 'advisory' and pid = pg_backend_pid()
        ) as locks,
        (select count(*) from pg_class where relname like 'mine%') as tables
"""
CLEAN = {
    "path": "public, pg_temp",
    "prepared": 0,
    "cursors": 0,
    "channels": 0,
    "locks": 0,
    "tables": 0,
}

#: Reads that must show rows of the caller's session, and of no other.
SEEING = {
    "select goal as letter from tasks": ("letter",),
    "select distinct session_id as id from logs": ("id",),
    "select id::text as id from sessions": ("id",),
    "select session_id::text as id from tasks t join task_steps s on s.task_id = t.id": ("id",),
    "select agent, session as id from app.context()": ("agent", "id"),
    "select action as letter from task_steps": ("letter",),
    "select content as letter from chat_history where content in ('a', 'b', 'c')": ("letter",),
}
LEAVING = (
    "set role atlas_owner",
    "set session role mcp_read",
    "set search_path = pg_catalog",
    "set app.mine = 'x'",
    "set work_mem = '1MB'",
    "set session characteristics as transaction read write",
    "select set_config('app.mine', 'x', false)",
    "prepare mine as select 1",
    "declare mine cursor with hold for select 1",
    "listen mine",
    "select pg_advisory_lock(1)",
    "create temporary table mine (a int)",
    "begin",
    "commit",
    "reset all",
    "discard plans",
    "lock table tasks in access share mode",
)


@dataclass
class Stage:
    """A server process and who may come to it."""

    server: Server
    url: str
    tokens: dict[str, str]
    gated: bool
    failures: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)


@pytest.fixture(params=["with the gate", "without the gate"])
def stage(database: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:
    _three_sessions(database, tmp_path)
    secrets = tmp_path / "secrets"
    shutil.copytree(database.secrets_dir, secrets)
    server = database.model_copy(update={"secrets_dir": secrets})
    agents = tmp_path / "agents.toml"
    agents.write_text(
        "".join(
            f'[agents.{agent}]\ncapabilities = ["read", "write"]\nsessions = "{IDS[agent]}"\n'
            "budget = { concurrency = 4, rows = 50, statement_ms = 1500, temp_mb = 8 }\n"
            for agent in LETTERS
        )
    )
    settings = {"MCP_AGENTS_FILE": agents, "MCP_AGENT": "atlas"}
    tokens = {}
    for agent in LETTERS:
        issued = run_module("mcp_server", "token", "issue", agent, server=server, **settings)
        tokens[agent] = issued.stdout.strip()
    gated = request.param == "with the gate"
    with http_server(
        server,
        tmp_path / "log",
        module="mcp_server" if gated else "tests.ungated_server",
        **settings,
        MCP_REQUESTS_PER_SECOND=100_000,
        MCP_REQUEST_BURST=100_000,
        MCP_MAX_CONNECTIONS=2_000,
        MCP_ACQUIRE_TIMEOUT_MS=60_000,
    ) as url:
        yield Stage(server, url, tokens, gated)


def _three_sessions(server: Server, folder: Path) -> None:
    text = SESSIONS.read_text().replace("('a', 1), ('b', 2)", "('a', 1), ('b', 2), ('c', 3)")
    assert "'c'" in text
    (folder / "three.sql").write_text(text)
    run_psql(server, folder / "three.sql")


class Player:
    """One agent under load: sends a mix of calls, and looks at every answer."""

    def __init__(self, stage: Stage, agent: str, seed: int) -> None:
        self.stage = stage
        self.agent = agent
        self.own = {"letter": LETTERS[agent], "id": IDS[agent], "agent": agent}
        self.random = random.Random(seed)

    async def play(self, client: httpx2.AsyncClient) -> None:
        """One call of some kind."""
        kind = self.random.choices(
            [self.see, self.write, self.trespass, self.fail, self.exceed, self.leave, self.vanish],
            [40, 15, 10, 10, 5, 15, 5],
        )[0]
        await kind(client)
        self.stage.outcomes[kind.__name__] += 1

    async def answer(
        self, client: httpx2.AsyncClient, tool: str, **arguments: Any
    ) -> dict[str, Any]:
        response = await client.post(
            f"{self.stage.url}/mcp",
            json=tool_call(tool, **arguments),
            headers={
                **bearer(self.stage.tokens[self.agent]),
                "Accept": "application/json, text/event-stream",
            },
        )
        assert response.status_code == 200, response.text
        result: dict[str, Any] = response.json()["result"]["structuredContent"]
        return result

    def expect(self, fact: bool, what: object) -> None:
        if not fact:
            self.stage.failures.append(f"{self.agent}: {what}")

    async def see(self, client: httpx2.AsyncClient) -> None:
        statement = self.random.choice(list(SEEING))
        if self.stage.gated and "app.context" in statement:
            statement = "select goal as letter from tasks"
        answer = await self.answer(client, "query", query=statement)
        self.expect(answer["success"] and answer["count"] >= 1, (statement, answer))
        for row in answer.get("rows", []):
            mine = all(row[column] == self.own[column] for column in row)
            self.expect(mine, (statement, row))

    async def write(self, client: httpx2.AsyncClient) -> None:
        answer = await self.answer(
            client,
            "execute",
            query="update chat_history set created_at = now() where content <> '' "
            "returning content as letter",
        )
        self.expect(answer["success"] and answer["affected"] == 1, answer)
        self.expect(answer.get("rows") == [{"letter": self.own["letter"]}], answer)

    async def trespass(self, client: httpx2.AsyncClient) -> None:
        other = self.random.choice([one for one in IDS if one != self.agent])
        answer = await self.answer(
            client,
            "execute",
            query="insert into chat_history (session_id, role, content, created_at, metadata_blob)"
            f" values ('{IDS[other]}', 'user', 'stolen', now(), '{{}}')",
        )
        self.expect(answer.get("sqlstate") == "42501", answer)
        answer = await self.answer(
            client, "execute", query=f"delete from sessions where id = '{IDS[other]}'"
        )
        self.expect(answer.get("affected") == 0, answer)

    async def fail(self, client: httpx2.AsyncClient) -> None:
        statement, state = self.random.choice(
            [
                ("select 1 / 0 as n", "22012"),
                ("selec 1", "42601"),
                ("select no_such_column from tasks", "42703"),
                ("select 'x'::uuid", "22P02"),
            ]
        )
        answer = await self.answer(client, "query", query=statement)
        self.expect(answer.get("sqlstate") == state, answer)

    async def exceed(self, client: httpx2.AsyncClient) -> None:
        statement, state = self.random.choice(
            [
                (ENDLESS, "57014"),
                ("select repeat('x', 500000) as t", "54000"),
                ("select n from generate_series(1, 400000) n order by -n", "53400"),
                ("select n from generate_series(1, 1000) n", None),
            ]
        )
        answer = await self.answer(client, "query", query=statement)
        self.expect(answer.get("sqlstate") in (state, "57014"), (statement, answer))
        if state is None:
            self.expect((answer["count"], answer["truncated"]) == (50, True), answer["count"])

    async def leave(self, client: httpx2.AsyncClient) -> None:
        tool = self.random.choice(["query", "execute"])
        await self.answer(client, tool, query=self.random.choice(LEAVING))
        left = await self.answer(client, "query", query=LEFT)
        self.look(left)

    def look(self, left: dict[str, Any]) -> None:
        if self.stage.gated and not left["success"]:
            self.expect(left["refused_by"] == "gate", left)
            return
        self.expect(left["success"], left)
        for row in left.get("rows", []):
            self.expect({key: row[key] for key in CLEAN} == CLEAN, row)
            self.expect(row["login"] == row["session_login"] == "mcp_read", row)
            self.expect(row["mine"] in (None, "") and row["work_mem"] != "1MB", row)

    async def vanish(self, client: httpx2.AsyncClient) -> None:
        """Give a call up; its connection is closed under it."""
        tool, statement = self.random.choice(
            [("query", ENDLESS), ("execute", "update tasks set goal = goal where goal <> ''")]
        )
        task = asyncio.create_task(self.answer(client, tool, query=statement))
        await asyncio.sleep(self.random.random() / 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_agents_under_load_see_and_leave_nothing_of_each_other(stage: Stage) -> None:
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(limits=limits, timeout=120) as client:
        players = [Player(stage, agent, seed) for seed, agent in enumerate(LETTERS)]
        await asyncio.gather(*(player.play(client) for player in players for _ in range(CALLS)))
    assert stage.failures == []
    assert len(stage.outcomes) == 7
    _assert_healthy(stage)


def _assert_healthy(stage: Stage) -> None:
    server = stage.server
    for agent, token in stage.tokens.items():
        answer = call(stage.url, token, "query", query="select goal from tasks")
        assert answer["rows"] == [{"goal": LETTERS[agent]}]
    assert query(server, "select count(*) from chat_history where content = 'stolen'") == [(0,)]
    assert query(server, "select count(*) from sessions") == [(3,)]
    connections = query(
        server,
        "select usename::text, state, count(*) from pg_stat_activity"
        " where datname = %s and usename in ('mcp_read', 'mcp_write', 'mcp_heal')"
        " group by 1, 2 order by 1",
        server.database,
    )
    assert {state for _, state, _ in connections} == {"idle"}
    assert all(int(str(count)) <= {"mcp_read": 6, "mcp_write": 3}[str(login)]
               for login, _, count in connections)  # fmt: skip
    # mcp_audit, which runs no agent's SQL, may be sending a record just now.
    locks = (
        "select count(*) from pg_locks join pg_stat_activity using (pid)"
        " where locktype = 'advisory' and usename <> 'mcp_audit'"
    )
    assert query(server, locks) == [(0,)]
    assert query(server, "select count(*) from pg_class where relname like 'mine%'") == [(0,)]
    assert query(server, "select count(*) from pg_prepared_xacts") == [(0,)]


async def test_the_pools_serve_all_at_once_again(stage: Stage) -> None:
    token = stage.tokens["atlas"]
    gone = [asyncio.create_task(asyncio.to_thread(_abandon, stage.url, token)) for _ in range(30)]
    await asyncio.gather(*gone)
    await until(
        lambda: (
            query(
                stage.server,
                "select count(*) from pg_stat_activity where state = 'active'"
                " and usename like 'mcp%%' and datname = %s",
                stage.server.database,
            )
            == [(0,)]
        )
    )
    statement = "select pg_backend_pid() as pid, goal from tasks"
    answers = await asyncio.gather(
        *(
            asyncio.to_thread(call, stage.url, stage.tokens[agent], "query", query=statement)
            for agent in LETTERS
            for _ in range(30)
        )
    )
    goals = [answer["rows"][0]["goal"] for answer in answers]
    assert goals == [letter for letter in LETTERS.values() for _ in range(30)]
    assert len({answer["rows"][0]["pid"] for answer in answers}) <= 6


def _abandon(url: str, token: str) -> None:
    """Send a call that would last, and tear the connection down."""
    from tests.http_requests import connected

    body = json.dumps(tool_call("query", query=ENDLESS)).encode()
    head = (
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Accept: application/json, text/event-stream\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with connected(url) as connection:
        connection.sendall(head.encode() + body)
