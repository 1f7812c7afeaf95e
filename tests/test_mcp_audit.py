"""Every call is on record, in a chain that shows who meddles with it."""

import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from database.settings import Server
from tests import schema_tools as tools
from tests.mcp_clients import OPEN_GATE, Agent, agent
from tests.programs import query, run_module

pytestmark = pytest.mark.anyio

ADD_FILE = (
    "insert into files (path, name, size, mtime, is_dir, last_scanned)"
    " values ('p', 'secret-value', 1, 1, false, now())"
)


@pytest.fixture
async def a(database: Server) -> AsyncIterator[Agent]:
    async with agent(database, agent="tetyana", session_id="s-1") as an_agent:
        yield an_agent


def audit(server: Server, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_module("mcp_server", "audit", *arguments, server=server)


def verified(server: Server, *arguments: object) -> str:
    """The anchor of a chain that is whole."""
    result = audit(server, "verify", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout.split("anchor ")[1].strip()


def broken(server: Server, *arguments: object) -> str:
    """What is said of a chain that is not."""
    result = audit(server, "verify", *arguments)
    assert result.returncode == 6, result.stdout + result.stderr
    return result.stdout + result.stderr


def meddle(server: Server, *statements: str) -> None:
    """As an administrator who knows how."""
    for table in ("call", "written", "row_image"):
        query(server, f"alter table audit.{table} disable trigger no_change")
    tools.execute(server, *statements)
    for table in ("call", "written", "row_image"):
        query(server, f"alter table audit.{table} enable trigger no_change")


def records(server: Server, columns: str) -> list[tuple[object, ...]]:
    return query(server, f"select {columns} from audit.call order by position")


async def some_calls(server: Server) -> list[str]:
    async with agent(server, agent="tetyana") as a:
        await a.query("select 1")
        written = await a.execute(ADD_FILE)
        deleted = await a.execute("delete from files where path = 'p'")
        await a.query("select broken")
    return [written["call_id"], deleted["call_id"]]


async def test_every_call_is_on_record_with_its_outcome(database: Server) -> None:
    async with agent(database, agent="atlas", session_id="s-1") as a:
        await a.query("select 1 union select 2")
        await a.execute(ADD_FILE)
        await a.execute("select 1")
        await a.execute("insert into nothing values (1)")
        await a.call("postgres_health_check")
        await a.query("drop table files")
        await a.alter("alter table files add column note text")
        await a.query("syntax error here")
        await a.call("postgres_query", nonsense=1)
    ends = "tool, outcome, sqlstate, affected, returned, agent, session"
    rows = query(database, f"select {ends} from audit.call where event = 'end' order by position")
    who = ("atlas", "s-1")
    assert rows == [
        ("postgres_query", "done", None, None, 2, *who),
        ("postgres_execute", "done", None, 1, None, *who),
        ("postgres_execute", "refused", "0A000", None, None, *who),
        ("postgres_execute", "failed", "42P01", None, None, *who),
        ("postgres_health_check", "done", None, None, None, *who),
        ("postgres_query", "refused", "25006", None, None, *who),
        ("postgres_schema_alter", "done", None, 0, None, *who),
        ("postgres_query", "refused", "42601", None, None, *who),
        ("postgres_query", "refused", None, None, None, *who),
    ]
    begins = query(database, "select count(*) from audit.call where event = 'begin'")
    assert begins == [(len(rows),)]
    assert all(row[0] for row in query(database, "select duration_us > 0 from audit.call"
                                       " where event = 'end'"))  # fmt: skip
    verified(database)


async def test_statements_are_recorded_without_their_values(database: Server) -> None:
    async with agent(database) as a:
        await a.execute(ADD_FILE)
        await a.query("select * from files where name = 'secret-value' -- and a comment")
        await a.query("SELECT  * FROM files WHERE name = $$other$$")
    everything = str(query(database, "select * from audit.call"))
    assert "secret-value" not in everything
    assert "comment" not in everything
    (first, statement), (second, _) = query(
        database,
        "select fingerprint, statement from audit.call where tool = 'postgres_query'"
        " and event = 'begin' order by position",
    )
    assert first == second
    assert statement == "select * from files where name = ?"
    assert query(database, "select count(*) from audit.call where arguments is null") == [(6,)]


async def test_arguments_are_stored_where_it_is_set(database: Server) -> None:
    async with agent(database, audit_arguments="store") as a:
        await a.query("select 'жук' as \"a\\u0000b\" where $$\\$$ <> ''", limit=3)
    ((arguments,),) = query(database, "select arguments from audit.call where event = 'begin'")
    assert json.loads(str(arguments)) == {
        "query": "select 'жук' as \"a\\u0000b\" where $$\\$$ <> ''",
        "limit": 3,
    }


@pytest.mark.parametrize(
    "text", ["a\0b", "\ud800", "'" * 5_000, "(" * 20_000, "select " + "1+" * 9_000 + "1"]
)
async def test_whatever_is_sent_is_on_record(database: Server, text: str) -> None:
    from mcp_server.server import answer_call, open_access
    from mcp_server.settings import Settings

    access = open_access(Settings(audit_arguments="store"), discover=lambda: database)
    await answer_call(access, "postgres_query", {"query": text, "idempotency_key": text})
    await access.recorder.close()
    await access.pools.close()
    assert [row[0] for row in records(database, "event")] == ["begin", "end"]


async def test_a_write_that_is_rolled_back_stays_on_record(database: Server, a: Agent) -> None:
    await a.execute(ADD_FILE)
    failed = await a.execute(ADD_FILE.replace("'p'", "null"))
    status = await a.call("postgres_call_status", call_id=failed["call_id"])
    assert (status["state"], status["outcome"], status["sqlstate"]) == (
        *("not_committed", "failed", "23502"),
    )
    assert query(database, "select count(*) from audit.written") == [(1,)]


async def test_a_call_that_cannot_be_recorded_is_not_made(database: Server, tmp_path: Path) -> None:
    for secret in database.secrets_dir.iterdir():
        (tmp_path / secret.name).write_text(secret.read_text())
    (tmp_path / "mcp_audit_password").write_text("wrong")
    async with agent(database.model_copy(update={"secrets_dir": tmp_path})) as a:
        write, read = await a.execute(ADD_FILE), await a.query("select 'data' as d")
    assert (write["sqlstate"], write["outcome"]) == ("28P01", "nothing_changed")
    assert read["sqlstate"] == "28P01"
    assert "rows" not in read
    assert query(database, "select count(*) from files") == [(0,)]


async def test_an_agent_learns_of_its_own_calls_alone(database: Server) -> None:
    async with agent(database, agent="tetyana", session_id="a") as a:
        mine = (await a.execute(ADD_FILE))["call_id"]
        assert (await a.call("postgres_call_status", call_id=mine))["state"] == "committed"
    for name, session in (("grisha", ""), ("tetyana", "b")):
        async with agent(database, agent=name, session_id=session) as other:
            answer = await other.call("postgres_call_status", call_id=mine)
            assert answer["sqlstate"] == "02000"
            assert "tetyana" not in json.dumps(answer)


async def test_the_chain_is_whole_and_its_anchor_holds(database: Server) -> None:
    await some_calls(database)
    anchor = verified(database)
    assert verified(database, "--anchor", anchor) == anchor
    await some_calls(database)
    assert verified(database, "--anchor", anchor) != anchor


TAMPERING = [
    ("update audit.call set agent = 'grisha' where position = 3", "record 3 is not what it was"),
    ("update audit.call set outcome = 'done' where position = 8", "record 8 is not what it was"),
    ("update audit.call set at = at + interval '1 microsecond' where position = 2", "record 2"),
    ("delete from audit.call where position = 4", "record 4 is missing"),
    ("delete from audit.call where position < 3", "the records up to 2 are missing"),
    (
        "delete from audit.call where position = 4;"
        " update audit.call set position = position - 1 where position > 4",
        "record 4 does not follow",
    ),
    (
        "insert into audit.call select (jsonb_populate_record(call, '{\"position\": 99}')).*"
        " from audit.call where position = 1 on conflict do nothing;"
        " update audit.call set hash = previous where position = 5",
        "record 5 is not what it was",
    ),
    ("update audit.row_image set before = '{}' where operation = 'DELETE'", "its images are not"),
    ("update audit.row_image set after = after || '{\"size\": 2}'", "its images are not"),
    ("delete from audit.row_image where operation = 'DELETE'", "its images are not"),
    ("delete from audit.written", "its record is not of what it committed"),
    ("update audit.written set affected = 2, images_sha256 = 'x'", "its images are not"),
]


@pytest.mark.parametrize(("statements", "said"), TAMPERING)
async def test_an_administrator_who_meddles_is_found(
    database: Server, statements: str, said: str
) -> None:
    await some_calls(database)
    verified(database)
    meddle(database, *statements.split(";"))
    assert said in broken(database)


async def test_hashes_that_were_computed_anew_are_found_by_the_anchor(database: Server) -> None:
    await some_calls(database)
    anchor = verified(database)
    meddle(
        database,
        "create table kept as select * from audit.call order by position",
        "delete from audit.call",
        # As the same function would have written them, had the agent been another.
        'select audit.append(jsonb_agg(to_jsonb(kept) || \'{"agent": "grisha"}\''
        " order by position)) from kept",
        "drop table kept",
    )
    verified(database)
    assert "not the one of the anchor" in broken(database, "--anchor", anchor)


async def test_a_tail_that_was_cut_off_is_found_by_the_anchor(database: Server) -> None:
    await some_calls(database)
    anchor = verified(database)
    meddle(database, "delete from audit.call where position > 6")
    verified(database)
    assert "the chain ends at 6" in broken(database, "--anchor", anchor)


async def test_a_write_without_any_record_is_found(database: Server) -> None:
    await some_calls(database)
    meddle(database, "update audit.written set call_id = gen_random_uuid()")
    assert "it was committed, and is not on record" in broken(database)


async def test_calls_are_shown(database: Server) -> None:
    await some_calls(database)
    async with agent(database, agent="atlas") as a:
        write = await a.execute(ADD_FILE)
    lines = [json.loads(line) for line in audit(database, "show").stdout.splitlines()]
    assert [line["agent"] for line in lines] == ["atlas", *["tetyana"] * 4]
    assert (lines[0]["outcome"], lines[0]["affected"], lines[0]["committed"]) == ("done", 1, True)
    assert lines[0]["statement"].startswith("insert into files ( path")
    only = audit(database, "show", "--agent", "atlas").stdout.splitlines()
    assert [json.loads(line)["call_id"] for line in only] == [write["call_id"]]
    assert audit(database, "show", "--since", "2999-01-01").stdout == ""
    whole: dict[str, Any] = json.loads(audit(database, "show", write["call_id"]).stdout)
    assert whole["images"][0]["after"]["path"] == "p"
    assert whole["begin"]["agent"] == "atlas"
    for wrong in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        assert audit(database, "show", wrong).returncode == 2


async def test_old_calls_are_archived_and_the_chain_stays_whole(
    database: Server, tmp_path: Path
) -> None:
    await some_calls(database)
    async with agent(database) as a:
        once = {"sql": ADD_FILE.replace("'p'", "'once'"), "idempotency_key": "once"}
        assert (await a.execute(**once))["success"]
    anchor = verified(database)
    query(database, "select pg_sleep(0.01)")
    ((cut,),) = query(database, "select clock_timestamp()")
    await some_calls(database)
    file = tmp_path / "archive.jsonl"
    assert audit(database, "archive", "--before", "2001-01-01", "--to", file).returncode == 0
    assert not file.exists()
    stamp = f"{cut:%Y-%m-%dT%H:%M:%S.%f}"
    result = audit(database, "archive", "--before", stamp, "--to", file)
    assert result.stdout.startswith("10 records written"), result.stderr
    again = audit(database, "archive", "--before", stamp, "--to", file)
    assert again.returncode == 0
    assert again.stdout.startswith("no record")
    verified(database)
    assert verified(database, "--archive", file, "--anchor", anchor) == anchor
    assert query(database, "select count(*), min(position) from audit.call") == [(9, 11)]
    assert query(database, "select count(*) from audit.row_image") == [(2,)]
    # A key that was used is used for ever.
    async with agent(database) as a:
        assert (await a.execute(**once))["replayed"]
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:3], lines[3].replace("tetyana", "grisha"), *lines[4:]]))
    assert "record 4 is not what it was" in broken(database, "--archive", file)
    # Whoever removes more than the checkpoint says, is found.
    meddle(database, "delete from audit.call where position = 11")
    assert "the records up to 11 are missing" in broken(database)


async def test_many_calls_at_once_make_one_chain(database: Server) -> None:
    import asyncio

    async with agent(database) as one, agent(database, agent="grisha") as two:
        await asyncio.gather(
            *(a.query(f"select {n}") for n in range(40) for a in (one, two)),
            *(
                a.execute(f"delete from files where id = {n}")
                for n in range(10)
                for a in (one, two)
            ),
        )
    assert query(database, "select count(*), max(position) from audit.call") == [(200, 200)]
    verified(database)


async def test_without_a_gate_a_read_sees_nothing_of_the_audit(database: Server) -> None:
    async with agent(database, gate=OPEN_GATE) as a:
        for table in ("call", "written", "row_image"):
            assert (await a.query(f"select * from audit.{table}"))["sqlstate"] == "42501"
            assert (await a.execute(f"delete from audit.{table}"))["sqlstate"] == "42501"
        forged = await a.execute("select audit.end_write('{}')")
        assert (forged["success"], forged["sqlstate"]) == (False, "42501")
