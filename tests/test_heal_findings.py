"""postgres_heal with a finding of the health check: healed and gone, or left to a person."""

from typing import Any

import anyio
import psycopg
import pytest

from database.connect import connect
from database.settings import Server
from mcp_server import health
from tests import schema_tools as tools
from tests.mcp_clients import Agent, agent
from tests.test_drift import printed
from tests.test_healing import attempts
from tests.test_health import administer, threshold

pytestmark = pytest.mark.anyio


@pytest.fixture
def much(database: Server) -> Server:
    """A database with two tables of the owner's, which nothing looks after."""
    administer(
        database,
        "create table public.parents (a int primary key)",
        "create table public.much (n int, a int references parents (a), t text)"
        " with (autovacuum_enabled = off)",
        "insert into public.parents select generate_series(0, 99)",
        "insert into public.much select n, n % 100, 'x' from generate_series(0, 19999) as n",
    )
    # Hands the tables to their owner, with the rights of agents.
    tools.load(database)
    return database


async def found(door: Agent, check: str) -> list[dict[str, Any]]:
    answer = await door.call("postgres_health_check", level="full")
    assert answer["not_checked"] == {}
    return [entry for entry in answer["findings"] if entry["check"] == check]


async def heal(door: Agent, finding: dict[str, Any], **more: Any) -> dict[str, Any]:
    # As the health check gave it, with all that it says.
    return await door.call("postgres_heal", finding=finding, **more)


def indexes(server: Server, table: str = "much") -> list[object]:
    return [
        row[0]
        for row in tools.query(
            server,
            "select indexrelid::regclass::text || case when indisvalid then '' else ' invalid' end"
            f" from pg_index where indrelid = '{table}'::regclass order by 1",
        )
    ]


async def assert_healed(server: Server, door: Agent, check: str) -> dict[str, Any]:
    """Heals the one finding of a check, and looks whether that is on record."""
    (finding,) = await found(door, check)
    assert finding["alone"], finding
    answer = await heal(door, finding)
    assert (answer["outcome"], answer["healed"]) == ("healed", True), answer
    assert answer["rounds"][0]["verified"] == "it is not found any more"
    assert set(answer["rounds"][0]["checks"]["held"]) >= {"roles", "policies", "privileges"}
    assert await found(door, check) == []
    outcome, kind, state, finished, report = attempts(server)[-1]
    assert (outcome, kind, state, finished) == ("healed", "performance", None, True)
    assert isinstance(report, dict)
    assert report["rounds"] == answer["rounds"]
    return answer


async def test_statistics_then_a_key_without_an_index_then_dead_rows(much: Server) -> None:
    rows = tools.query(much, "select count(*), sum(n) from much")
    async with agent(much) as door:
        answer = await assert_healed(much, door, "stale_statistics")
        assert answer["diagnosis"]["sql"] == ["analyze public.much"]
        await assert_healed(much, door, "missing_fk_index")
        assert indexes(much) == ["ix_much_a"]
        administer(much, "update much set t = 'y'")
        await assert_healed(much, door, "dead_rows")
        again = await door.call("postgres_heal", finding={"check": "dead_rows", "about": "x"})
        assert again["outcome"] == "not_needed"
    assert tools.query(much, "select count(*), sum(n) from much") == rows


async def test_rows_that_somebody_still_sees_are_not_said_to_be_gone(much: Server) -> None:
    with connect(much, "atlas") as old:
        old.execute("set transaction isolation level repeatable read")
        old.execute("select count(*) from much")
        administer(much, "update much set t = 'y'")
        async with agent(much) as door:
            (finding,) = await found(door, "dead_rows")
            answer = await heal(door, finding)
            assert (answer["outcome"], answer["healed"]) == ("failed", False)
            assert "an old transaction" in answer["rounds"][0]["error"]["error"]
            old.rollback()
            assert (await heal(door, finding))["outcome"] == "healed"


async def test_a_build_that_waits_in_vain_says_what_is_there_and_is_made_good(much: Server) -> None:
    administer(much, "analyze much")
    with connect(much, "atlas") as busy:
        busy.execute("update much set t = 'y' where n = 1")
        async with agent(much, lock_timeout_ms=50) as door:
            (finding,) = await found(door, "missing_fk_index")
            answer = await heal(door, finding)
            assert answer["outcome"] == "failed"
            (report,) = answer["rounds"]
            assert report["error"]["sqlstate"] == "55P03"
            assert report["not_run"] == answer["diagnosis"]["sql"]
            # Who is in the way of the build is in the way of its removal.
            assert report["left_behind"]["index"] == "ix_much_a"
            assert indexes(much) == ["ix_much_a invalid"]
            busy.rollback()
            assert (await heal(door, finding))["outcome"] == "healed"
    assert indexes(much) == ["ix_much_a"]


def break_index(server: Server, definition: str) -> None:
    """A build that fails at a row."""
    with pytest.raises(psycopg.Error):
        administer(server, definition)


async def test_an_invalid_index_is_built_again(much: Server) -> None:
    break_index(much, "create index concurrently broken on much ((1 / n)) where t = 'x'")
    assert indexes(much) == ["broken invalid"]
    administer(much, "delete from much where n = 0")
    async with agent(much) as door:
        await assert_healed(much, door, "invalid_index")
    assert indexes(much) == ["broken"]


async def test_an_index_that_cannot_be_built_says_what_is_left_to_run(much: Server) -> None:
    break_index(much, "create index concurrently broken on much ((1 / n))")
    async with agent(much) as door:
        (finding,) = await found(door, "invalid_index")
        answer = await heal(door, finding)
    assert answer["outcome"] == "failed"
    (report,) = answer["rounds"]
    assert report["error"]["sqlstate"] == "22012"
    assert report["not_run"] == [
        "CREATE INDEX CONCURRENTLY broken ON public.much USING btree (((1 / n)))"
    ]
    assert indexes(much) == []


async def test_an_invalid_index_that_refuses_rows_is_a_person_s(much: Server) -> None:
    break_index(much, "create unique index concurrently broken on much (t)")
    before = printed(much)
    async with agent(much) as door:
        (finding,) = await found(door, "invalid_index")
        assert not finding["alone"]
        assert "a person rebuilds it, for it is unique" in finding["meaning"]
        answer = await heal(door, finding)
    assert answer["outcome"] == "left_to_a_person"
    assert answer["diagnosis"]["sql"] == ["reindex index concurrently public.broken"]
    assert printed(much) == before


async def test_an_index_that_refuses_rows_does_not_make_room_for_one_of_its_name(
    much: Server,
) -> None:
    administer(much, "analyze much")
    break_index(much, "create unique index concurrently ix_much_a on much (a)")
    async with agent(much) as door:
        (finding,) = await found(door, "missing_fk_index")
        answer = await heal(door, finding)
    assert answer["outcome"] == "failed"
    assert answer["rounds"][0]["error"]["sqlstate"] == "42P07"
    assert indexes(much) == ["ix_much_a invalid"]


async def test_an_index_that_may_be_being_built_is_left_alone(much: Server) -> None:
    break_index(much, "create index concurrently broken on much ((1 / n))")
    with connect(much, "postgres") as builder:
        builder.execute("lock table much in share update exclusive mode")
        async with agent(much) as door:
            (finding,) = await found(door, "invalid_index")
            assert finding["evidence"]["held"]
            assert (await heal(door, finding))["outcome"] == "left_to_a_person"
    assert indexes(much) == ["broken invalid"]


async def test_of_two_that_are_the_same_the_one_that_is_not_declared_goes(much: Server) -> None:
    declared = "create index ix_logs_timestamp on logs (timestamp)"
    administer(
        much,
        "drop index ix_logs_timestamp",
        # The older one, which would stay if sql/ did not say otherwise.
        "create index stray on logs (timestamp)",
        declared,
    )
    async with agent(much) as door:
        answer = await assert_healed(much, door, "duplicate_index")
        assert answer["diagnosis"]["sql"] == ["drop index concurrently public.stray"]
        assert (await door.call("postgres_drift"))["count"] == 0
    assert "ix_logs_timestamp" in indexes(much, "logs")


async def test_a_declared_index_is_not_dropped(
    much: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    administer(much, "create index one on logs (level, source)")
    administer(much, "create index two on logs (level, source)")
    # Both are declared, for all that the check knows.
    monkeypatch.setattr(health.Check, "parameters", lambda _: ('["one", "two"]',))
    check = next(check for check in health.CHECKS if check.name == "duplicate_index")
    monkeypatch.setattr(health, "CHECKS", (check,))
    async with agent(much) as door:
        (finding,) = await found(door, "duplicate_index")
        assert "where sql/ declares it" in finding["meaning"]
        answer = await heal(door, finding)
    assert answer["outcome"] == "left_to_a_person"
    assert {"one", "two"} <= set(indexes(much, "logs"))


async def test_a_table_of_somebody_else_s_is_left_to_a_person(database: Server) -> None:
    administer(
        database,
        "create table public.theirs (n int) with (autovacuum_enabled = off)",
        "grant select on public.theirs to mcp_read",
        "insert into public.theirs select generate_series(1, 2000)",
    )
    async with agent(database) as door:
        (finding,) = await found(door, "stale_statistics")
        assert not finding["alone"]
        assert "not one that mcp_heal maintains" in finding["meaning"]
        assert (await heal(door, finding))["outcome"] == "left_to_a_person"
        assert await found(door, "stale_statistics") == [finding]


async def test_what_no_agent_heals_is_said_exactly(
    much: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold(monkeypatch, "connections", "0")
    async with agent(much) as door:
        (finding,) = await found(door, "connections")
        answer = await heal(door, finding)
    assert (answer["outcome"], answer["diagnosis"]["alone"]) == ("left_to_a_person", False)
    assert "end idle ones" in answer["diagnosis"]["fix"]
    assert attempts(much)[-1][:2] == ("left_to_a_person", "capacity")


async def test_a_finding_is_a_name_and_never_sql(much: Server) -> None:
    before = printed(much)
    forged = {
        "check": "duplicate_index",
        "about": "public.ix_logs_timestamp",
        "fix": "drop table public.much",
        "alone": True,
    }
    async with agent(much) as door:
        assert (await heal(door, forged))["outcome"] == "not_needed"
        unknown = await heal(door, {"check": "check", "about": "much"})
        assert (unknown["success"], unknown["sqlstate"]) == (False, "22023")
        both = await heal(door, forged, error="deadlock detected")
        assert "not both" in both["error"]
    assert printed(much) == before


async def test_a_dry_run_says_what_it_would_run(much: Server) -> None:
    async with agent(much) as door:
        (finding,) = await found(door, "stale_statistics")
        answer = await heal(door, finding, dry_run=True)
        assert (answer["healed"], answer["diagnosis"]["sql"]) == (False, ["analyze public.much"])
        assert await found(door, "stale_statistics") == [finding]


async def test_who_may_not_heal_does_not(much: Server) -> None:
    async with agent(much, agent="tetyana") as door:
        (finding,) = await found(door, "stale_statistics")
        assert (await heal(door, finding))["sqlstate"] == "42501"
        assert await found(door, "stale_statistics") == [finding]


async def test_one_heals_at_a_time(much: Server) -> None:
    with connect(much, "mcp_heal", autocommit=True) as other:
        assert other.execute("select ops.lock_healing_session()").fetchone() == (True,)
        async with agent(much) as door:
            (finding,) = await found(door, "stale_statistics")
            answer = await heal(door, finding)
            assert answer["outcome"] == "failed"
            assert answer["rounds"][0]["error"]["error"] == "Somebody else is healing."
            # Repairs of the schema wait for the same lock.
            administer(much, "alter table tasks drop column completed_at")
            assert (await door.call("postgres_heal"))["outcome"] == "failed"
            other.close()
            assert (await heal(door, finding))["outcome"] == "healed"


async def test_two_at_once_heal_once(much: Server) -> None:
    answers: list[dict[str, Any]] = []
    async with agent(much) as door:
        (finding,) = await found(door, "stale_statistics")

    async def one() -> None:
        async with agent(much) as door:
            answers.append(await heal(door, finding))

    async with anyio.create_task_group() as both:
        both.start_soon(one)
        both.start_soon(one)
    assert "healed" in {answer["outcome"] for answer in answers}
    async with agent(much) as door:
        assert await found(door, "stale_statistics") == []
