"""Rows without a parent: moved to quarantine and back, byte for byte, or given one; or left."""

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from database.connect import connect
from database.settings import Server
from mcp_server.healing.client import PostgreSQLSelfHealing, Sdk
from tests import schema_tools as tools
from tests.mcp_clients import Agent, agent, stdio_agent
from tests.programs import run_module
from tests.test_drift import digests, printed
from tests.test_heal_findings import found, heal
from tests.test_healing import attempts, platform, wrong

__all__ = ["platform"]
pytestmark = pytest.mark.anyio

KEY = {"check": "orphans", "about": "public.task_steps_task_id_fkey"}
#: A task that nobody has, with what is hard to write as text and read again.
LOST = "00000000-0000-4000-8000-00000000dead"
_TASK = f"""insert into tasks
    select '{LOST}', session_id, 'back', 'DONE', true, created_at, null, '{{}}', null
    from tasks limit 1"""
_LOSE = (
    "alter table task_steps drop constraint task_steps_task_id_fkey",
    f"""insert into task_steps select md5('o' || n)::uuid, '{LOST}', n::text,
       e'tab\\there, "quotes", \\\\x00, \\u0416\\U0001F600, ' || repeat('long', n * 20000),
       'tool', 'OK', nullif('', ''), n, timestamp '2026-01-01 00:00:00.000001'
       from generate_series(1, 3) as n""",
)


@pytest.fixture
def orphaned(platform: Server) -> Server:
    """Three steps of a task that is not there, one with a value that quarantine keeps in pieces."""
    tools.execute(platform, *_LOSE)
    return platform


def quarantine(server: Server, *arguments: str) -> dict[str, Any]:
    done = run_module("migration", "quarantine", *arguments, "--json", server=server)
    assert done.returncode in (0, 5), done
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@contextlib.asynccontextmanager
async def one_agent(server: Server, folder: Path, capabilities: str) -> AsyncIterator[Agent]:
    """An agent with these capabilities."""
    file = folder / "agents.toml"
    file.write_text(f'[agents.one]\ncapabilities = {capabilities}\nsessions = "every"\n')
    async with agent(server, agent="one", agents_file=file) as door:
        yield door


async def take(door: Agent, server: Server) -> dict[str, Any]:
    """The orphans go into quarantine."""
    answer = await heal(door, KEY, orphans="quarantine")
    assert (answer["outcome"], answer["healed"]) == ("healed", True), json.dumps(answer, indent=1)
    assert wrong(server) == answer["left"] == []
    return answer


async def test_unless_told_it_moves_nothing_and_says_what_could_be_done(orphaned: Server) -> None:
    before = printed(orphaned), digests(orphaned)
    async with agent(orphaned) as door:
        (finding,) = await found(door, "orphans")
        assert finding["about"] == KEY["about"]
        assert finding["evidence"]["rows"] == 3
        assert finding["evidence"]["references"] == "tasks"
        assert (finding["alone"], finding["fix"]) == (False, None)
        assert (await heal(door, finding))["outcome"] == "left_to_a_person"
        answer = await door.call("postgres_heal")
    assert answer["outcome"] == "left_to_a_person"
    assert "orphans=quarantine" in answer["rounds"][0]["remedies"]
    assert (printed(orphaned), digests(orphaned)) == before


async def test_orphans_go_and_come_back_once_their_parent_is_there(orphaned: Server) -> None:
    rows = digests(orphaned)
    async with agent(orphaned) as door:
        dry = await heal(door, KEY, orphans="quarantine", dry_run=True)
        assert (dry["outcome"], dry["healed"]) == ("healed", False)
        assert digests(orphaned) == rows
        answer = await take(door, orphaned)
        (report,) = answer["rounds"]
        assert (report["proved"], report["applied"]) == (True, True)
        assert report["quarantine"][0]["rows"] == 3
        assert "replay" in report["undo"]
        assert await found(door, "orphans") == []
        (finding,) = await found(door, "quarantined_rows")
        assert finding["about"] == "task_steps task_id 23503"
        assert (finding["evidence"]["rows"], finding["alone"]) == (3, True)
        # The person's program sees the same.
        listed = quarantine(orphaned, "list")
        ids = [row["id"] for row in listed["rows"]]
        assert ids == report["quarantine"][0]["quarantine_ids"]
        assert {row["key"]["id"] for row in listed["rows"]} == {
            row["id"]
            for row in await door.rows(
                "select md5('o' || n)::uuid as id from generate_series(1, 3) as n"
            )
        }
        answer = await heal(door, finding)
        assert answer["outcome"] == "left_to_a_person"
        assert answer["rounds"][0]["refused"] == {"23503": 3}
        tools.execute(orphaned, _TASK)
        answer = await heal(door, finding)
        assert (answer["outcome"], answer["rounds"][0]["replayed"]) == ("healed", ids), answer
        assert await found(door, "quarantined_rows") == []
    assert [row for row in digests(orphaned) if row[0] != "tasks"] == [
        row for row in rows if row[0] != "tasks"
    ]
    assert quarantine(orphaned, "list")["total"] == 0
    assert all(row["replayed_at"] for row in quarantine(orphaned, "list", "--all")["rows"])
    assert [one[:2] for one in attempts(orphaned)] == [
        ("healed", "data"), ("healed", "data"), ("left_to_a_person", "data"), ("healed", "data"),
    ]  # fmt: skip
    chain = run_module("mcp_server", "audit", "verify", server=orphaned)
    assert chain.returncode == 0, chain


async def test_the_plan_s_class_moves_them_too(orphaned: Server) -> None:
    async with stdio_agent(orphaned) as door:
        answer = await PostgreSQLSelfHealing(Sdk(door.client)).heal_orphans("quarantine")
    assert (answer["outcome"], answer["healed"], answer["left"]) == ("healed", True, []), answer
    assert wrong(orphaned) == []
    assert quarantine(orphaned, "list")["total"] == 3


async def test_a_person_replays_what_healing_took_out(orphaned: Server) -> None:
    rows = digests(orphaned)
    async with agent(orphaned) as door:
        await take(door, orphaned)
        ids = [row["id"] for row in quarantine(orphaned, "list")["rows"]]
    shown = run_module("migration", "quarantine", "show", ids[0], server=orphaned)
    assert "taken out by healing" in shown.stdout
    refused = quarantine(orphaned, "replay", "--all")
    assert {one["sqlstate"] for one in refused["failed"]} == {"23503"}
    tools.execute(orphaned, _TASK)
    assert quarantine(orphaned, "replay", "--all", "--dry-run")["replayed"] == ids
    assert quarantine(orphaned, "replay", "--all")["replayed"] == ids
    assert [row for row in digests(orphaned) if row[0] != "tasks"] == [
        row for row in rows if row[0] != "tasks"
    ]
    async with agent(orphaned) as door:
        assert await found(door, "quarantined_rows") == []


async def test_a_person_gives_them_another_parent(orphaned: Server, tmp_path: Path) -> None:
    async with agent(orphaned) as door:
        await take(door, orphaned)
        one, two, three = (str(row["id"]) for row in quarantine(orphaned, "list")["rows"])
    parent = str(tools.query(orphaned, "select id from tasks limit 1")[0][0])
    assert quarantine(orphaned, "replay", one, "--set", f"task_id={parent}")["replayed"] == [
        int(one)
    ]
    shown = run_module("migration", "quarantine", "show", two, "--json", server=orphaned)
    (document,) = json.loads(shown.stdout)
    document["values"]["task_id"]["value"] = parent
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([document]))
    assert quarantine(orphaned, "replay", "--from", str(file))["replayed"] == [int(two)]
    moved = tools.query(
        orphaned, f"select sequence_number from task_steps where task_id = '{parent}' and"
        " action like 'tab%' order by 1"
    )  # fmt: skip
    assert moved == [("1",), ("2",)]
    wrongly = run_module(
        "migration", "quarantine", "replay", three, "--set", "nothing=1", server=orphaned
    )
    assert (wrongly.returncode, "has no column nothing" in wrongly.stderr) == (2, True), wrongly


async def test_a_row_that_others_refer_to_is_left_to_a_person(orphaned: Server) -> None:
    tools.execute(
        orphaned,
        "insert into tool_executions (id, step_id, server_name, tool_name, arguments, status,"
        " created_at) values (gen_random_uuid(), md5('o1')::uuid, 's', 't', '{}', 'OK', now())",
    )
    before = printed(orphaned), digests(orphaned)
    async with agent(orphaned) as door:
        answer = await heal(door, KEY, orphans="quarantine")
        # Even where the key by which it is referred to is missing as well.
        tools.execute(
            orphaned, "alter table tool_executions drop constraint tool_executions_step_id_fkey"
        )
        again = await heal(door, KEY, orphans="quarantine")
    for one in (answer, again):
        assert one["outcome"] == "left_to_a_person", one
        error = one["rounds"][0]["error"]
        assert (
            "1 rows of public.tool_executions refer, by tool_executions_step_id_fkey"
            in error["error"]
        )
        assert "public.tasks" in error["hint"]
    assert digests(orphaned) == before[1]
    assert quarantine(orphaned, "list")["total"] == 0


async def test_orphans_of_each_other_go_together(platform: Server) -> None:
    tools.execute(
        platform,
        "alter table tasks drop constraint tasks_session_id_fkey",
        "alter table task_steps drop constraint task_steps_task_id_fkey",
        f"""insert into tasks
            select md5('p' || n)::uuid, '{LOST}', 'g', 'P', false, now(), null, '{{}}',
            case when n = 2 then md5('p1')::uuid end from generate_series(1, 2) as n""",
        f"""insert into task_steps
            select md5('o' || n)::uuid, '{LOST}', '1', 'a', 't', 's', null, 1, now()
            from generate_series(1, 2) as n""",
    )
    async with agent(platform) as door:
        answer = await door.call("postgres_heal", orphans="quarantine")
        assert answer["outcome"] == "healed", answer
        assert wrong(platform) == []
        counts = {one["key"]: one["rows"] for one in answer["rounds"][0]["quarantine"]}
        assert counts == {"task_steps_task_id_fkey": 2, "tasks_session_id_fkey": 2}
        # A row of quarantine may be the parent of another: in whatever order they come back.
        tools.execute(platform, f"insert into sessions values ('{LOST}', now(), null, '{{}}')")
        (finding,) = [
            one for one in await found(door, "quarantined_rows") if one["about"].startswith("tasks")
        ]
        assert len((await heal(door, finding))["rounds"][0]["replayed"]) == 2


async def test_parents_are_made_where_nothing_is_made_up(platform: Server) -> None:
    tools.execute(
        platform,
        "alter table agent_messages drop constraint agent_messages_session_id_fkey",
        f"""insert into agent_messages (id, session_id, from_agent, to_agent, message_type, payload,
            created_at) select md5(n::text)::uuid, '{LOST}', 'a', 'b', 't', '{{}}', now()
            from generate_series(1, 2) as n""",
    )
    rows = [row for row in digests(platform) if row[0] != "sessions"]
    async with agent(platform) as door:
        answer = await door.call("postgres_heal", orphans="parents")
    assert answer["outcome"] == "healed", answer
    assert [one["rows"] for one in answer["rounds"][0]["parents"]] == [1]
    assert wrong(platform) == []
    made = tools.query(
        platform, f"select ended_at, metadata_blob from sessions where id = '{LOST}'"
    )
    assert made == [(None, {})]
    assert [row for row in digests(platform) if row[0] != "sessions"] == rows


async def test_a_parent_that_says_something_is_not_made_up(orphaned: Server) -> None:
    before = printed(orphaned), digests(orphaned)
    async with agent(orphaned) as door:
        answer = await heal(door, KEY, orphans="parents")
    assert answer["outcome"] == "left_to_a_person"
    assert answer["rounds"][0]["error"]["error"] == (
        "A row of tasks cannot be made up: nobody knows its goal, session_id."
    )
    assert (printed(orphaned), digests(orphaned)) == before


async def test_no_more_than_the_agent_may_write_goes(orphaned: Server) -> None:
    before = digests(orphaned)
    async with agent(orphaned, max_affected=2) as door:
        answer = await heal(door, KEY, orphans="quarantine")
    assert (answer["outcome"], answer["rounds"][0]["error"]["sqlstate"]) == (
        "left_to_a_person", "54000",
    )  # fmt: skip
    assert digests(orphaned) == before


@pytest.mark.parametrize("capabilities", ['["read", "write"]', '["read", "heal"]'])
async def test_who_may_not_heal_or_write_moves_nothing(
    orphaned: Server, tmp_path: Path, capabilities: str
) -> None:
    before = digests(orphaned)
    async with one_agent(orphaned, tmp_path, capabilities) as door:
        for remedy in ("quarantine", "parents"):
            answer = await heal(door, KEY, orphans=remedy)
            assert (answer["success"], answer["sqlstate"]) == (False, "42501")
        finding = {"check": "quarantined_rows", "about": "task_steps task_id 23503"}
        assert (await heal(door, finding))["sqlstate"] == "42501"
    assert digests(orphaned) == before


async def test_an_agent_of_one_session_moves_no_row(orphaned: Server) -> None:
    session = str(tools.query(orphaned, "select id from sessions limit 1")[0][0])
    async with agent(orphaned) as door:
        await take(door, orphaned)
    tools.execute(orphaned, _TASK, *_LOSE[:1], "delete from tasks where goal = 'back'")
    tools.execute(orphaned, _LOSE[1].replace("md5('o'", "md5('p'"))
    before = digests(orphaned)
    async with agent(orphaned, session_id=session) as door:
        assert await found(door, "orphans") == []
        assert await found(door, "quarantined_rows") == []
        for remedy in ("quarantine", "parents"):
            answer = await heal(door, KEY, orphans=remedy)
            assert answer["outcome"] == "left_to_a_person", answer
            assert answer["rounds"][0]["error"]["sqlstate"] == "42501"
    assert digests(orphaned) == before
    assert quarantine(orphaned, "list")["total"] == 3


async def test_a_value_that_text_does_not_give_back_stays(platform: Server) -> None:
    """As of a type whose output is not its input."""
    tools.execute(
        platform,
        "alter table discoveries drop constraint discoveries_task_id_fkey",
        f"""insert into discoveries (task_id, step_id, key, value, category, created_at)
            values ('{LOST}', '1', 'k', 'v', 'c', now())""",
        "create type odd as (n integer)",
        "create function odd_text(odd) returns text language sql as 'select ''(7)'''",
        "create cast (odd as text) with function odd_text(odd)",
        "alter table discoveries add column odd odd",
        "update discoveries set odd = row(8)",
    )
    before = digests(platform)
    async with agent(platform) as door:
        answer = await door.call("postgres_heal", orphans="quarantine")
    assert answer["outcome"] == "failed"
    assert "without loss" in answer["rounds"][0]["error"]["error"]
    assert digests(platform) == before


async def test_what_was_taken_is_of_the_table_as_it_is_now_or_waits(orphaned: Server) -> None:
    async with agent(orphaned) as door:
        await take(door, orphaned)
        tools.execute(orphaned, _TASK, "alter table task_steps alter action type varchar(50)")
        (finding,) = await found(door, "quarantined_rows")
        answer = await heal(door, finding)
        # Nothing is cut to fit.
        assert (answer["outcome"], answer["rounds"][0]["refused"]) == (
            "left_to_a_person", {"22001": 3},
        )  # fmt: skip
        tools.execute(orphaned, "alter table task_steps alter action type varchar")
        assert (await heal(door, finding))["outcome"] == "healed"


@pytest.mark.parametrize("login", ["mcp_read", "mcp_write"])
def test_other_agents_cannot_call_what_moves_rows(orphaned: Server, login: str) -> None:
    for text in (
        "select ops.quarantine_orphans(0, '[]', 1)",
        "select ops.replay(1, '{}')",
        "select * from ops.replay_fitting('task_steps', 'task_id', '23503', 1)",
    ):
        with (
            connect(orphaned, login) as connection,
            pytest.raises(Exception, match="permission denied"),
        ):
            connection.execute(text.encode())


_SOURCE = """
    create table jobs (id integer primary key, name text, due datetime);
    create table notes (id integer primary key, job_id integer references jobs (id), note text,
        at datetime, size real, ok boolean, doc json, raw blob, whole real);
    insert into jobs values (1, 'plan', '2026-02-01 10:00:00');
    insert into jobs values (2, cast(x'6e6f00ff' as text), '2026-02-01 10:00:00');
    insert into notes values (10, 1, 'first', '2026-02-01 10:00:00', 0.1, 1, '{}', x'00', 1.5);
    insert into notes values (11, 2, 'second', '2026-02-01 10:00:00.25', 1e300, 0, '{"a": 1}',
        x'00ff', 7);
    insert into notes values (12, 2, null, '2026-02-01T10:00:00', -0.1, null, null, null, 3.25);
    insert into notes values (13, 2, x'7a', null, 1, 1, null, null, 1);
"""


async def test_rows_of_a_migration_go_back_where_nothing_is_left_to_decide(
    database: Server, tmp_path: Path
) -> None:
    source = tmp_path / "source.db"
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.executescript(_SOURCE)
    settings = {"MIGRATION_DIR": tmp_path / "work"}
    done = run_module("migration", "run", source, "--quarantine", server=database, **settings)
    assert done.returncode == 5, done
    # Hands the tables to their owner, with the rights of agents.
    tools.load(database)
    async with agent(database) as door:
        abouts = {one["about"]: one for one in await found(door, "quarantined_rows")}
        assert set(abouts) == {"jobs name 22021", "notes job_id 23503"}
        # A NUL is a person's: every cure loses it.
        name = abouts["jobs name 22021"]
        assert (name["alone"], (await heal(door, name))["outcome"]) == (False, "left_to_a_person")
        assert "migration quarantine list" in name["meaning"]
        notes = abouts["notes job_id 23503"]
        assert (notes["evidence"]["rows"], notes["alone"]) == (3, True)
        answer = await heal(door, notes)
        assert answer["outcome"] == "left_to_a_person"
        assert answer["rounds"][0]["refused"] == {"0A000": 1, "23503": 2}
        # jobs comes back by a person, who decided about its name.
        (job,) = [row for row in quarantine(database, "list")["rows"] if row["table"] == "jobs"]
        assert quarantine(database, "replay", str(job["id"]), "--set", "name=no")["replayed"]
        answer = await heal(door, notes)
        assert answer["outcome"] == "healed", answer
        # That a blob is a text, the migration decides.
        assert answer["rounds"][0]["refused"] == {"0A000": 1}
        assert len(answer["rounds"][0]["replayed"]) == 2
    (left,) = quarantine(database, "list")["rows"]
    assert left["key"] == {"id": 13}
    # What was loaded by SQL is what the migration would have loaded, value by value.
    verified = run_module("migration", "verify", server=database, **settings)
    assert verified.returncode in (0, 5), verified
    assert quarantine(database, "replay", str(left["id"]))["replayed"] == [left["id"]]
    verified = run_module("migration", "verify", server=database, **settings)
    assert verified.returncode == 0, verified
    added = "insert into notes (job_id, whole) values (1, 1) returning id"
    assert tools.query(database, added) == [(14,)]
