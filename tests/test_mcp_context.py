"""The server binds every call to its agent and session, or says why it cannot."""

import re
from pathlib import Path

import pytest

from database.settings import Server
from tests.mcp_clients import OPEN_GATE, agent
from tests.programs import query

pytestmark = pytest.mark.anyio

ADD_FILE = (
    "insert into files (path, name, size, mtime, is_dir, last_scanned)"
    " values ('p', 'n', 1, 1, false, now())"
)
WHO = "select agent, session, every_session from app.context()"


def with_key(server: Server, folder: Path, key: str | None) -> Server:
    """The same server, with another context key or none."""
    for secret in server.secrets_dir.iterdir():
        (folder / secret.name).write_text(secret.read_text())
    (folder / "mcp_context_key").unlink()
    if key is not None:
        (folder / "mcp_context_key").write_text(key)
    return server.model_copy(update={"secrets_dir": folder})


async def test_each_capability_acts_for_the_server_s_agent(database: Server) -> None:
    async with agent(database, gate=OPEN_GATE, agent="atlas", session_id="current_session") as a:
        assert await a.rows(WHO) == [
            {"agent": "atlas", "session": "current_session", "every_session": False}
        ]
        assert (await a.execute(ADD_FILE))["affected"] == 1
        assert (await a.alter("alter table files add column note text"))["success"]
    async with agent(database, gate=OPEN_GATE) as a:
        assert await a.rows(WHO) == [{"agent": "shared", "session": None, "every_session": True}]


@pytest.mark.parametrize(
    ("key", "part"), [(None, "no key"), ("another key", "does not accept the agent's context")]
)
async def test_without_the_right_key_nothing_is_run_and_a_person_is_told_what_to_do(
    database: Server, tmp_path: Path, key: str | None, part: str
) -> None:
    async with agent(with_key(database, tmp_path, key), gate=OPEN_GATE) as a:
        for answer in (
            await a.query("select 1"),
            await a.execute(ADD_FILE),
            await a.alter("drop table files"),
        ):
            assert (answer["sqlstate"], answer["refused_by"]) == ("28000", "server")
            assert part in answer["error"]
            assert "python -m database apply" in answer["hint"]
    assert query(database, "select count(*) from files") == [(0,)]


async def test_no_two_calls_have_the_same_context(database: Server) -> None:
    async with agent(database, read_connections=1) as a:
        contexts = [
            (await a.rows("select current_setting('app.context') as c"))[0]["c"] for _ in range(20)
        ]
    assert len(set(contexts)) == 20
    assert all(re.fullmatch(r"[0-9a-f]{64}\{.*\}", context) for context in contexts)


async def test_a_context_of_an_earlier_call_is_worth_nothing(database: Server) -> None:
    async with agent(database, gate=OPEN_GATE, read_connections=1) as every:
        ((context,),) = [row.values() for row in await every.rows("show app.context")]
    async with agent(
        database, gate=OPEN_GATE, read_connections=1, session_id="current_session"
    ) as bound:
        taken = f"select app.set_context('{context}')::text as v"
        assert await bound.rows(taken) == [{"v": "false"}]
