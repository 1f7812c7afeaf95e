"""postgres_undo puts all rows of a call back, or none and says why."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from database.settings import Server
from tests import schema_tools as tools
from tests.mcp_clients import OPEN_GATE, Agent, agent
from tests.programs import query

pytestmark = pytest.mark.anyio

A = "aaaaaaaa-0000-4000-8000-000000000001"
B = "bbbbbbbb-0000-4000-8000-000000000002"
TASK = "a0000000-0000-4000-8000-00000000000{}"


@pytest.fixture
def filled(database: Server) -> Server:
    """Two sessions with a task each and its step, files, and tables with cascades."""
    tools.execute(
        database,
        *(f"insert into sessions values ('{s}', now(), null, '{{}}')" for s in (A, B)),
        *(
            f"insert into tasks values ('{TASK.format(n)}', '{s}', 'goal', 'PENDING', false,"
            " '2026-01-31 12:00:00.123456', null, '{\"n\": [1, 2.50, null]}')"
            for n, s in ((1, A), (2, B))
        ),
        "insert into files (path, name, size, mtime, is_dir, last_scanned)"
        " select 'f' || n, 'n', n, 0.1, false, now() from generate_series(1, 20) as n",
        "create table parents (id integer primary key, body text)",
        "create table children (id bigint generated always as identity primary key,"
        " parent_id integer references parents on delete cascade on update cascade,"
        " doubled integer generated always as (parent_id * 2) stored)",
        "create table notes (id integer primary key, parent_id integer references parents"
        " on delete set null)",
        "insert into parents select n, repeat('x', n) from generate_series(1, 6) as n",
        # Nothing of notes refers to parent 6: its ON UPDATE is NO ACTION.
        "insert into children (parent_id) select n % 6 + 1 from generate_series(1, 24) as n",
        "insert into notes select n, n from generate_series(1, 5) as n",
    )
    tools.load(database)
    return database


@pytest.fixture
async def a(filled: Server) -> AsyncIterator[Agent]:
    async with agent(filled) as an_agent:
        yield an_agent


def everything(server: Server) -> list[tuple[object, ...]]:
    return [
        row
        for table in ("sessions", "tasks", "files", "parents", "children", "notes")
        for row in query(server, f"select t::text from {table} as t order by 1")
    ]


async def undo(a: Agent, call: dict[str, Any]) -> dict[str, Any]:
    assert call["success"], call
    return await a.call("postgres_undo", call_id=call["call_id"])


WRITES = [
    "insert into files (path, name, size, mtime, is_dir, last_scanned)"
    " select 'g' || n, 'n', n, 0.1, false, now() from generate_series(1, 20) as n",
    "update files set size = size + 1, mtime = mtime / 3 where id > 5",
    "update files set id = id + 100 where id > 15",
    "delete from files where size < 10",
    "delete from parents where id < 3",
    "update parents set id = 10, body = '' where id = 6",
    "insert into children (parent_id) values (1), (2), (null)",
    "delete from children where parent_id = 3",
    "update tasks set goal = goal || '!', completed_at = 'infinity', golden_path = true"
    " where id is not null and status = 'PENDING'",
    "delete from tasks where goal = 'goal'",
    "merge into parents using (values (1, 'a'), (9, 'b')) as v (id, body) on parents.id = v.id"
    " when matched and v.id = 1 then update set body = v.body"
    " when not matched then insert values (v.id, v.body)",
]


@pytest.mark.parametrize("write", WRITES)
async def test_a_write_is_undone_and_done_again(filled: Server, a: Agent, write: str) -> None:
    before = everything(filled)
    written = await a.execute(write)
    after = everything(filled)
    assert after != before
    undone = await undo(a, written)
    assert undone["success"], undone
    assert undone["undone"] == written["call_id"]
    assert everything(filled) == before
    redone = await undo(a, undone)
    assert redone["success"], redone
    assert everything(filled) == after
    assert (await undo(a, redone))["success"]
    assert everything(filled) == before


async def test_cascades_are_counted_and_undone(filled: Server, a: Agent) -> None:
    before = everything(filled)
    written = await a.execute("delete from parents where id in (1, 2)")
    assert written["affected"] == 2
    undone = await undo(a, written)
    assert undone["affected"] == 2 + 8 + 2
    assert everything(filled) == before


async def test_a_row_that_was_written_twice_by_one_call(filled: Server, a: Agent) -> None:
    # The second one by the cascade of the first.
    tools.execute(
        filled,
        "create table chain (id integer primary key, next integer references chain"
        " on update cascade on delete set null)",
        "insert into chain values (1, null), (2, 1), (3, 2)",
        "grant all on chain to mcp_write",
    )
    tools.load(filled)
    async with agent(filled) as b:
        for write in (
            "update chain set id = id + 10, next = null where id > 0",
            "update chain set id = 9 where id = 1",
            "delete from chain where id = 2",
            "delete from chain where id < 3",
        ):
            before = query(filled, "select * from chain order by id")
            written = await b.execute(write)
            assert (await undo(b, written))["success"]
            assert query(filled, "select * from chain order by id") == before


CONFLICTS = [
    ("update files set size = 0 where id < 4", "update files set size = 7 where id = 2", "changed"),
    ("update files set size = 0 where id < 4", "delete from files where id = 2", "gone"),
    ("delete from files where id < 4", "insert into files values (2, 'z', 'n', 1, 1, false, null,"
     " now())", "taken"),
    ("delete from files where id < 4", "insert into files values (99, 'f2', 'n', 1, 1, false,"
     " null, now())", "taken"),
    ("insert into files values (31, 'x', 'n', 1, 1, false, null, now()), (2222, 'y', 'n', 1, 1,"
     " false, null, now())", "update files set name = 'm' where id = 2222", "changed"),
]  # fmt: skip


@pytest.mark.parametrize(("write", "later", "reason"), CONFLICTS)
async def test_later_changes_are_not_overwritten(
    filled: Server, a: Agent, write: str, later: str, reason: str
) -> None:
    written = await a.execute(write)
    tools.execute(filled, later, role="atlas")
    before = everything(filled)
    refused = await undo(a, written)
    assert (refused["success"], refused["sqlstate"]) == (False, "40001")
    assert refused["outcome"] == "nothing_changed"
    (conflict,) = refused["conflicts"]
    assert conflict["table"] == "public.files"
    assert str(conflict["key"]["id"]).startswith("2")
    assert reason in conflict["reason"]
    assert everything(filled) == before


async def test_a_reference_to_what_would_go_keeps_everything(filled: Server, a: Agent) -> None:
    written = await a.execute("insert into parents values (50, 'a'), (51, 'b')")
    tools.execute(filled, "insert into notes values (60, 50)", role="atlas")
    before = everything(filled)
    refused = await undo(a, written)
    # The database's own answer; nothing cascades by an undo unless the table says so.
    assert refused["success"] or refused["sqlstate"] == "23503"
    if not refused["success"]:
        assert everything(filled) == before
    else:
        assert query(filled, "select parent_id from notes where id = 60") == [(None,)]


async def test_undone_twice_is_refused(filled: Server, a: Agent) -> None:
    written = await a.execute("delete from files where id = 3")
    assert (await undo(a, written))["success"]
    assert (await undo(a, written))["sqlstate"] == "40001"


async def test_undoing_in_reverse_order_leads_back(filled: Server, a: Agent) -> None:
    before = everything(filled)
    calls = [await a.execute(write) for write in WRITES]
    done = [call for call in calls if call["success"] and call["affected"]]
    assert len(done) >= 9
    for call in reversed(done):
        undone = await undo(a, call)
        assert undone["success"], undone
    assert everything(filled) == before


async def test_a_column_that_came_since_is_no_conflict(filled: Server, a: Agent) -> None:
    calls = [
        await a.execute("update files set size = 0 where id = 1"),
        await a.execute("delete from files where id = 2"),
        await a.execute("insert into files (path, name, size, mtime, is_dir, last_scanned)"
                        " values ('g', 'n', 1, 1, false, now())"),
    ]  # fmt: skip
    assert (await a.alter("alter table files add column note text default 'new'"))["success"]
    for call in calls:
        assert (await undo(a, call))["success"]
    assert query(filled, "select id, size, note from files where id < 3 order by id") == [
        (1, 1, "new"),
        (2, 2, "new"),
    ]
    tools.execute(filled, "update files set size = 5", "alter table files drop column mtime")
    lost = await undo(a, calls[0])
    assert (lost["sqlstate"], lost["success"]) == ("55000", False)
    assert "mtime" in lost["error"]


@pytest.mark.parametrize(
    ("table", "write", "part"),
    [
        ("no_key (v integer)", "insert into {} values (1)", "no primary key"),
        ("big (id integer primary key, t text)",
         "insert into {} values (1, repeat('x', 1100000))", "larger than 1 MiB"),
        ("lossy (id integer primary key, j json)",
         "merge into {0} using (select 1) on true when matched then delete", "without loss"),
    ],
)  # fmt: skip
async def test_what_cannot_be_put_back_is_refused_with_the_reason(
    filled: Server, table: str, write: str, part: str
) -> None:
    name = table.split(maxsplit=1)[0]
    tools.execute(filled, f"create table {table}", f"insert into {name} values (7)")
    if name == "lossy":
        tools.execute(filled, f"update {name} set j = '{{\"a\":  1}}'")
    tools.load(filled)
    async with agent(filled, gate=OPEN_GATE) as a:
        written = await a.execute(write.format(name))
        refused = await undo(a, written)
    assert (refused["success"], refused["outcome"]) == (False, "nothing_changed")
    assert part in refused["error"]


async def test_there_must_be_something_to_undo(filled: Server, a: Agent) -> None:
    read = await a.call("postgres_undo", call_id="00000000-0000-4000-8000-000000000000")
    assert read["sqlstate"] == "55000"
    changed = await a.alter("alter table files add column note text")
    assert "changed no rows" in (await undo(a, changed))["error"]
    nothing = await a.execute("delete from files where id = 0")
    assert "changed no rows" in (await undo(a, nothing))["error"]
    tried = await a.execute("delete from files where id = 1", dry_run=True)
    assert "Nothing was written" in (await undo(a, tried))["error"]
    failed = await a.execute("insert into files (id) values (1)")
    answer = await a.call("postgres_undo", call_id=failed["call_id"])
    assert "Nothing was written" in answer["error"]
    gone = await a.alter("create table mine (id integer primary key)")
    assert gone["success"]
    written = await a.execute("insert into mine values (1)")
    assert (await a.alter("drop table mine", confirm=True))["success"]
    assert "does not exist any more" in (await undo(a, written))["error"]


async def test_who_sees_the_rows_may_undo_another_s_call(filled: Server) -> None:
    async with agent(filled, agent="tetyana") as tetyana:
        mine = await tetyana.execute("delete from files where id = 1")
        goals = await tetyana.execute("update tasks set goal = 'x' where goal = 'goal'")
        of_b = await tetyana.execute(f"delete from tasks where session_id = '{B}'")
    before = everything(filled)
    async with agent(filled, agent="atlas", session_id=A) as bound:
        for call in (goals, of_b):
            refused = await undo(bound, call)
            assert refused["success"] is False
            # Nothing of the row of session b is told.
            assert TASK.format(2) not in str(refused)
            assert B not in str(refused)
            assert everything(filled) == before
        assert (await undo(bound, mine))["success"]
    async with agent(filled, agent="atlas") as every:
        assert (await undo(every, of_b))["success"]
        assert (await undo(every, goals))["success"]
    assert {row[0] for row in query(filled, "select goal from tasks")} == {"goal"}


async def test_the_undo_is_a_call_on_record(filled: Server, a: Agent) -> None:
    written = await a.execute("delete from files where id = 1")
    undone = await undo(a, written)
    assert query(
        filled,
        "select tool, outcome, affected, reverts::text from audit.call"
        f" where call_id = '{undone['call_id']}' and event = 'end'",
    ) == [("postgres_undo", "done", 1, written["call_id"])]


async def test_thousands_of_rows_are_undone_as_one(filled: Server, a: Agent) -> None:
    before = everything(filled)
    written = await a.execute(
        "insert into files (path, name, size, mtime, is_dir, last_scanned)"
        " select 'many' || n, 'n', n, 0.1, false, now() from generate_series(1, 9999) as n"
    )
    assert (await undo(a, written))["affected"] == 9_999
    assert everything(filled) == before
