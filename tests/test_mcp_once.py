"""Idempotency keys, dry runs, and the budget of rows."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from database.connect import connect
from database.settings import Server
from tests.mcp_clients import OPEN_GATE, Agent, agent
from tests.programs import query
from tests.test_mcp_limits import until

pytestmark = pytest.mark.anyio

ADD_LOG = (
    "insert into logs (timestamp, level, source, message)"
    " values (now(), 'INFO', 's', 'm') returning id, message"
)
WAITING = """
    select count(*) from pg_locks
    where locktype = 'relation' and not granted and relation = 'logs'::regclass
"""
COUNT = "select count(*) from logs"


@pytest.fixture
async def a(database: Server) -> AsyncIterator[Agent]:
    async with agent(database) as an_agent:
        yield an_agent


async def test_the_same_key_writes_once_and_answers_twice(database: Server, a: Agent) -> None:
    first = await a.execute(ADD_LOG, idempotency_key="k")
    second = await a.execute(ADD_LOG, idempotency_key="k")
    assert "replayed" not in first
    assert second.pop("replayed") is True
    for answer in (first, second):
        del answer["duration_ms"]
    assert second == first
    assert query(database, COUNT) == [(1,)]
    assert (await a.execute(ADD_LOG))["rows"][0]["id"] == 2
    outcomes = query(
        database, "select outcome from audit.call where event = 'end' order by position"
    )
    assert [row[0] for row in outcomes] == ["done", "replayed", "done"]


async def test_a_key_is_the_agent_s_own_and_outlives_the_server(database: Server) -> None:
    for name, replayed in (("atlas", False), ("tetyana", False), ("atlas", True)):
        async with agent(database, agent=name) as a:
            answer = await a.execute(ADD_LOG, idempotency_key="k")
            assert answer.get("replayed", False) is replayed
    assert query(database, COUNT) == [(2,)]


async def test_a_key_that_was_used_for_something_else_is_refused(
    database: Server, a: Agent
) -> None:
    first = await a.execute(ADD_LOG, idempotency_key="k")
    other = await a.execute(ADD_LOG.replace("'m'", "'n'"), idempotency_key="k")
    confirmed = await a.execute(ADD_LOG, idempotency_key="k", confirm=True)
    schema = await a.alter("alter table logs add column x int", idempotency_key="k")
    for refused in (other, confirmed, schema):
        assert (refused["sqlstate"], refused["outcome"]) == ("22023", "nothing_changed")
        assert first["call_id"] in refused["error"]
    assert query(database, COUNT) == [(1,)]


async def test_a_key_of_a_failed_call_is_free(database: Server, a: Agent) -> None:
    async with agent(database, max_affected=1) as small:
        two = ADD_LOG.replace("('INFO'", "").replace("values", "select").replace(
            "(now(), 'INFO', 's', 'm')", "now(), 'INFO', 's', 'm' from generate_series(1, 2)"
        )  # fmt: skip
        failed = await small.execute(two, idempotency_key="k")
        assert failed["sqlstate"] == "54000"
    assert (await a.execute(two, idempotency_key="k"))["affected"] == 2


async def test_twins_at_the_same_time_write_once(database: Server) -> None:
    async with agent(database, write_connections=6) as one, agent(database) as two:
        answers = await asyncio.gather(
            *(a.execute(ADD_LOG, idempotency_key="k") for _ in range(5) for a in (one, two))
        )
    assert all(answer["success"] for answer in answers), answers
    assert sum("replayed" not in answer for answer in answers) == 1
    assert len({answer["call_id"] for answer in answers}) == 1
    assert query(database, COUNT) == [(1,)]


async def test_a_twin_of_a_call_that_hangs_is_told_to_wait(database: Server) -> None:
    async with agent(database) as one, agent(database, lock_timeout_ms=200) as two:
        with connect(database, "postgres") as blocker:
            blocker.execute("lock table logs in exclusive mode")
            hanging = asyncio.create_task(one.execute(ADD_LOG, idempotency_key="k"))
            await until(lambda: query(database, WAITING) == [(1,)])
            assert (await two.execute(ADD_LOG, idempotency_key="k"))["sqlstate"] == "55P03"
        assert (await hanging)["success"]
        assert (await two.execute(ADD_LOG, idempotency_key="k"))["replayed"]
    assert query(database, COUNT) == [(1,)]


async def test_a_schema_change_with_a_key_is_made_once(a: Agent) -> None:
    ddl = "alter table logs add column note text"
    assert (await a.alter(ddl, idempotency_key="k"))["success"]
    assert (await a.alter(ddl))["sqlstate"] == "42701"
    again = await a.alter(ddl, idempotency_key="k")
    assert (again["success"], again["replayed"]) == (True, True)


@pytest.mark.parametrize("key", ["", "x" * 201, 5])
async def test_a_key_is_a_short_text(a: Agent, key: object) -> None:
    refused = await a.execute(ADD_LOG, idempotency_key=key)
    assert (refused["success"], refused["refused_by"]) == (False, "gate")


async def test_a_dry_run_of_a_write_changes_nothing_and_tells_what_it_would(
    database: Server, a: Agent
) -> None:
    await a.execute(ADD_LOG)
    tried = await a.execute(
        "update logs set message = 'other' where id > 0 returning message", dry_run=True
    )
    assert (tried["success"], tried["dry_run"], tried["affected"]) == (True, True, 1)
    assert tried["rows"] == [{"message": "other"}]
    assert tried["written"] == 1
    assert tried["locks"] == [{"relation": "logs", "mode": "RowExclusiveLock"}]
    assert tried["plan"][0].startswith("Update on logs")
    assert query(database, "select message from logs") == [("m",)]
    status = await a.call("postgres_call_status", call_id=tried["call_id"])
    assert (status["state"], status["outcome"]) == ("not_committed", "dry_run")
    assert query(database, "select count(*) from audit.row_image") == [(1,)]


@pytest.mark.parametrize("value", ["true", 1, "yes", "on"])
async def test_a_dry_run_is_one_however_it_is_asked_for(
    database: Server, a: Agent, value: object
) -> None:
    answer = await a.execute(ADD_LOG, dry_run=value)
    assert answer["success"] is False or answer["dry_run"] is True
    assert query(database, COUNT) == [(0,)]


async def test_a_dry_run_finds_what_would_be_refused(database: Server, a: Agent) -> None:
    broken = await a.execute(ADD_LOG.replace("'m'", "null"), dry_run=True)
    assert broken["sqlstate"] == "23502"
    query_ = "alter table logs add constraint u unique (message) deferrable initially deferred"
    async with agent(database) as b:
        tools_answer = await b.alter(query_.replace(" deferrable initially deferred", ""))
        assert tools_answer["success"]
    await a.execute(ADD_LOG)
    assert (await a.execute(ADD_LOG, dry_run=True))["sqlstate"] == "23505"


async def test_a_dry_run_finds_what_would_be_refused_at_the_end(database: Server, a: Agent) -> None:
    from tests import schema_tools as tools

    tools.execute(
        database,
        "alter table logs add constraint one unique (message) deferrable initially deferred",
    )
    await a.execute(ADD_LOG)
    assert (await a.execute(ADD_LOG, dry_run=True))["sqlstate"] == "23505"
    assert (await a.execute(ADD_LOG))["sqlstate"] == "23505"


async def test_a_dry_run_of_a_schema_change(database: Server, a: Agent) -> None:
    tried = await a.alter("alter table logs add column note text", dry_run=True)
    assert (tried["success"], tried["dry_run"]) == (True, True)
    assert tried["locks"] == [{"relation": "logs", "mode": "AccessExclusiveLock"}]
    assert "rolled back" in tried["message"]
    index = await a.alter("create index ix_x on logs (message)", dry_run=True)
    assert {"relation": "logs", "mode": "ShareLock"} in index["locks"]
    for ddl in ("create index concurrently ix_x on logs (message)",
                "drop index concurrently ix_logs_timestamp"):  # fmt: skip
        refused = await a.alter(ddl, dry_run=True)
        assert (refused["refused_by"], refused["sqlstate"]) == ("gate", "0A000")
        assert "CONCURRENTLY" in refused["error"]
    indexes = "select to_regclass('ix_x'), to_regclass('ix_logs_timestamp')::text"
    assert query(database, indexes) == [(None, "ix_logs_timestamp")]
    assert query(database, "select count(*) from pg_attribute where attname = 'note'") == [(0,)]


async def test_a_dry_run_takes_no_key(database: Server, a: Agent) -> None:
    refused = await a.execute(ADD_LOG, dry_run=True, idempotency_key="k")
    assert refused["refused_by"] == "gate"
    assert (await a.execute(ADD_LOG, idempotency_key="k")).get("replayed") is None
    assert query(database, COUNT) == [(1,)]


async def test_more_rows_than_the_budget_are_rolled_back(database: Server) -> None:
    many = "insert into logs (timestamp, level, source, message) select now(), 'I', 's', 'm'"
    async with agent(database, max_affected=10, gate=OPEN_GATE) as a:
        assert (await a.execute(f"{many} from generate_series(1, 10)"))["affected"] == 10
        over = await a.execute(f"{many} from generate_series(1, 1234)")
        assert (over["sqlstate"], over["outcome"]) == ("54000", "nothing_changed")
        assert "1234 rows" in over["error"]
        assert "limit is 10" in over["error"]
        assert "fewer rows" in over["hint"]
        # A WHERE that holds for every row is no way around it, nor is RETURNING.
        await a.execute(f"{many}")
        for write in ("update logs set message = 'x'", "delete from logs returning id"):
            assert (await a.execute(write))["sqlstate"] == "54000"
        assert (await a.execute("delete from logs", dry_run=True))["sqlstate"] == "54000"
    assert query(database, "select count(*), count(distinct message) from logs") == [(11, 1)]


async def test_a_caller_s_own_budget_holds(database: Server) -> None:
    from dataclasses import replace

    from mcp_server.server import answer_call, open_access
    from mcp_server.settings import Settings

    access = open_access(Settings(), discover=lambda: database)
    budget = replace(access.caller.budget, affected_rows=1)
    small = replace(access, caller=replace(access.caller, budget=budget))
    add = {"query": ADD_LOG.replace("('I", "('I")}
    assert not (await answer_call(small, "execute", add))["isError"]
    two = {"query": "update logs set message = 'n' where id > 0"}
    assert not (await answer_call(small, "execute", two))["isError"]
    assert not (await answer_call(access, "execute", add))["isError"]
    assert (await answer_call(small, "execute", two))["isError"]
    assert not (await answer_call(access, "execute", two))["isError"]
    await access.recorder.close()
    await access.pools.close()
