"""The catalogue of faults: diagnosis, fix, verification and record; or hands off."""

import json
from typing import Any
from uuid import uuid4

import anyio
import psycopg
import pytest

from database.catalogue import compare, facts
from database.connect import connect
from database.settings import Server
from mcp_server.healing.client import PostgreSQLSelfHealing, Sdk
from tests import schema_tools as tools
from tests.healing_faults import FAULTS, Fault
from tests.mcp_clients import Agent, agent, stdio_agent
from tests.programs import run_module
from tests.test_drift import _ROWS, digests, printed

pytestmark = pytest.mark.anyio


@pytest.fixture
def platform(database: Server) -> Server:
    """A database as sql/ declares it, with rows."""
    tools.execute(database, *_ROWS)
    return database


def wrong(server: Server) -> list[str]:
    with connect(server, "postgres") as connection:
        found = compare.drift(facts.declared_facts(), facts.live_facts(connection))
    return [difference.words for difference in found if difference.is_drift]


def failure_of(server: Server, fault: Fault) -> str | None:
    """The error that the fault brings, as a log of the platform has it."""
    if fault.failing is None:
        return fault.error
    with connect(server, fault.role) as connection, pytest.raises(psycopg.Error) as failure:
        connection.execute(fault.failing.encode())
    assert failure.value.sqlstate == fault.sqlstate
    name = type(failure.value).__name__
    return f"(psycopg.errors.{name}) {failure.value}\n[SQL: {fault.failing}]\n(Background on this)"


def attempts(server: Server) -> list[tuple[object, ...]]:
    return tools.query(
        server,
        "select outcome, class, sqlstate, finished_at is not null, report from ops.healing_attempt"
        " order by started_at",
    )


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_each_fault_is_healed_or_left_to_a_person(platform: Server, fault: Fault) -> None:
    tools.execute(platform, *fault.inject)
    error = failure_of(platform, fault)
    given = {} if error is None else {"error": error}
    lost = any(text.startswith("drop table") for text in fault.inject)
    damaged, rows = printed(platform), [] if lost else digests(platform)
    async with agent(platform) as door:
        if given:
            answer = (await door.call("postgres_diagnose", **given))["diagnosis"]
            assert answer["class"] == fault.kind, answer
            assert answer["sqlstate"] == fault.sqlstate
            assert fault.said in answer["fix"], answer
        healed = await door.call("postgres_heal", **given, **fault.told)
    assert healed["outcome"] == fault.outcome, json.dumps(healed, indent=1)
    assert healed["healed"] is (fault.outcome == "healed")
    assert healed["diagnosis"]["class"] == fault.kind
    assert fault.said in healed["diagnosis"]["fix"], healed
    if fault.outcome == "healed":
        # Policies that went with a column, and comments, are a person's: they are told.
        left = wrong(platform)
        assert left == healed["left"]
        assert [one for one in left if not one.startswith(("policy", "comment"))] == []
        if fault.failing:
            with connect(platform, fault.role) as connection:
                connection.execute(fault.failing.encode())
                connection.rollback()
    else:
        assert printed(platform) == damaged
    if not lost and not fault.moves and not any(" drop column" in t for t in fault.inject):
        assert digests(platform) == rows
    ((outcome, kind, state, finished, report),) = attempts(platform)
    assert (outcome, kind, finished) == (fault.outcome, fault.kind, True)
    assert state == (fault.sqlstate if given else None)
    assert isinstance(report, dict)
    assert report["rounds"] == healed["rounds"]


async def test_nothing_wrong_needs_nothing(platform: Server) -> None:
    async with agent(platform) as door:
        answer = await door.call("postgres_heal")
        assert (answer["outcome"], answer["healed"]) == ("not_needed", False)
        drift = await door.call("postgres_drift")
    assert (drift["count"], drift["additions"], drift["repair"]) == (0, [], [])


async def test_a_heal_waits_for_no_lock_for_long_and_changes_nothing_then(platform: Server) -> None:
    tools.execute(platform, "alter table tasks drop column completed_at")
    damaged = printed(platform)
    with connect(platform, "atlas") as busy:
        busy.execute("select count(*) from tasks")
        async with agent(platform, lock_timeout_ms=50) as door:
            answer = await door.call("postgres_heal", error='column "completed_at" does not exist')
            assert answer["outcome"] == "failed"
            assert answer["rounds"][0]["error"]["sqlstate"] == "55P03"
            assert printed(platform) == damaged
            busy.rollback()
            # Once more at once is allowed; it works now.
            answer = await door.call("postgres_heal", error='column "completed_at" does not exist')
    assert answer["outcome"] == "healed"
    assert wrong(platform) == []


async def test_after_failures_it_backs_off(platform: Server) -> None:
    tools.execute(platform, "alter table logs drop column message")
    async with agent(platform) as door:
        for _ in range(2):
            answer = await door.call("postgres_heal", error="column logs.message does not exist")
            assert answer["outcome"] == "failed"
        answer = await door.call("postgres_heal", error="column logs.message does not exist")
    assert (answer["success"], answer["sqlstate"]) == (False, "55P03")
    assert "tried again in" in answer["error"]
    assert len(attempts(platform)) == 2


async def test_what_cannot_be_healed_holds_nothing_else_back(platform: Server) -> None:
    tools.execute(
        platform,
        "alter table task_steps drop constraint task_steps_task_id_fkey",
        f"update task_steps set task_id = '{uuid4()}'",
        "alter table files drop column content_hash",
        "drop index ix_logs_timestamp",
    )
    async with agent(platform) as door:
        tried = await door.call("postgres_heal", dry_run=True)
        assert (tried["healed"], len(tried["left"])) == (False, 3)
        answer = await door.call("postgres_heal")
    assert (answer["healed"], answer["outcome"]) == (False, "left_to_a_person")
    assert len(answer["left"]) == 1
    assert "task_steps_task_id_fkey" in answer["left"][0]
    assert len(wrong(platform)) == 1
    assert any("remedies" in done for done in answer["rounds"])


async def test_a_dry_run_proves_and_changes_nothing(platform: Server) -> None:
    tools.execute(platform, "alter table tasks drop column completed_at")
    damaged = printed(platform)
    async with agent(platform) as door:
        answer = await door.call("postgres_heal", dry_run=True)
    assert (answer["healed"], answer["rounds"][0]["proved"]) == (False, True)
    assert printed(platform) == damaged


async def test_who_may_not_heal_only_looks(platform: Server) -> None:
    tools.execute(platform, "drop index ix_logs_timestamp")
    async with agent(platform, agent="grisha") as door:
        assert (await door.call("postgres_heal"))["sqlstate"] == "42501"
        assert (await door.call("postgres_drift"))["count"] == 1
        answer = await door.call("postgres_diagnose", sqlstate="40P01")
    assert answer["diagnosis"]["class"] == "transient"
    assert wrong(platform) == ["index ix_logs_timestamp of public.logs is missing"]


async def test_two_at_once_heal_once(platform: Server) -> None:
    tools.execute(
        platform, "alter table tasks drop column completed_at", "drop index ix_logs_timestamp"
    )
    answers: list[dict[str, Any]] = []

    async def heal() -> None:
        async with agent(platform) as door:
            answers.append(await door.call("postgres_heal"))

    async with anyio.create_task_group() as both:
        both.start_soon(heal)
        both.start_soon(heal)
    assert "healed" in {answer["outcome"] for answer in answers}
    assert wrong(platform) == []


async def test_the_platform_s_own_log_has_a_row(platform: Server) -> None:
    tools.execute(platform, "drop index ix_logs_timestamp")
    step = tools.query(platform, "select id from task_steps limit 1")[0][0]
    async with agent(platform) as door:
        answer = await door.call("postgres_heal", step_id=str(step))
    assert answer["outcome"] == "healed"
    rows = tools.query(
        platform, "select step_id, recovery_method, success, error_before from recovery_attempts"
    )
    assert rows == [(step, "postgres_heal", True, "drift")]
    chain = run_module("mcp_server", "audit", "verify", server=platform)
    assert chain.returncode == 0, chain


SLOW = "select * from logs where message = 'message 77'"


async def test_an_index_stays_where_it_helps_and_goes_where_it_does_not(platform: Server) -> None:
    tools.execute(platform, *[_ROWS[3]] * 20, "analyze logs")
    async with agent(platform) as door:
        answer = await door.call("postgres_heal", sqlstate="57014", statement=SLOW)
        assert answer["outcome"] == "healed", answer
        (report,) = answer["rounds"]
        assert report["index_is_used"]
        assert report["cost_after"] < report["cost_before"] / 2
        # All rows have this: no index makes it cheaper.
        useless = "select * from logs where source = 'test'"
        answer = await door.call("postgres_heal", sqlstate="57014", statement=useless)
        assert answer["outcome"] == "undone", answer
    names = tools.query(platform, "select indexname from pg_indexes where tablename = 'logs'")
    assert ("ix_logs_message",) in names
    assert ("ix_logs_source",) not in names


class PlatformManager:
    """A manager as the platform has it: several servers, results as dicts of the protocol."""

    def __init__(self, door: Agent) -> None:
        self.door = door

    async def call_tool(self, server: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        assert server == "postgres"
        result = await self.door.client.call_tool(tool, arguments)
        return {"content": [block.model_dump() for block in result.content]}


@pytest.mark.parametrize("kind", ["platform", "sdk"])
async def test_the_plan_s_helpers_work_under_their_names(platform: Server, kind: str) -> None:
    tools.execute(platform, *[_ROWS[3]] * 20, "analyze logs")
    async with stdio_agent(platform) as door:
        manager = PlatformManager(door) if kind == "platform" else Sdk(door.client)
        healing = PostgreSQLSelfHealing(manager)
        for changed in (True, False):
            answer = await healing.fix_missing_column("tasks", "priority", "integer")
            assert (answer["success"], answer["changed"]) == (True, changed), answer
        analysis = await healing.analyze_query_performance(SLOW)
        assert analysis["suggestions"] == [
            'create index concurrently "ix_logs_message" on public."logs" using btree ("message")'
        ]
        for changed in (True, False):
            answer = await healing.create_performance_index("logs", ["message"])
            assert (answer["success"], answer["changed"]) == (True, changed), answer
        faster = await healing.analyze_query_performance(SLOW)
        assert faster["total_cost"] < analysis["total_cost"]
        refused = await healing.fix_missing_column("tasks", "x", "integer; drop table tasks")
        assert refused["success"] is False
        diagnosis = await healing.diagnose("deadlock detected")
        assert diagnosis["diagnosis"]["sqlstate"] == "40P01"
        healed = await healing.heal('column "gaol" does not exist', "select gaol from tasks")
        assert healed["outcome"] == "left_to_a_person"
    columns = tools.query(
        platform,
        "select format_type(atttypid, atttypmod) from pg_attribute"
        " where attrelid = 'tasks'::regclass and attname = 'priority'",
    )
    assert columns == [("integer",)]
