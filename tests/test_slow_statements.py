"""Slow statements: found by what PostgreSQL counts, sped up by an index where one helps."""

import json
import re
from typing import Any

import anyio
import psycopg
import pytest

from database.connect import connect
from database.embedded.temporary import temporary_server
from database.settings import Server
from tests import schema_tools as tools
from tests.mcp_clients import Agent, agent
from tests.test_drift import _ROWS
from tests.test_heal_findings import found, heal, indexes
from tests.test_healing import attempts
from tests.test_healing_killed import Killer, heal_and_die
from tests.test_health import administer, threshold

pytestmark = pytest.mark.anyio

#: As the platform's SQLAlchemy sends it: with parameters, by the extended protocol.
QUERY = "select id from logs where message = %s::varchar and level = %s::varchar"


@pytest.fixture
def platform(database: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A platform with 21 000 logs, whose every statement counts as slow."""
    tools.load(database)
    tools.execute(database, *_ROWS, *[_ROWS[3]] * 20, "analyze logs")
    administer(database, "select ops.pg_stat_statements_reset()")
    threshold(monkeypatch, "slow_statement", "0", "0")
    return database


def run(server: Server, text: str, *values: object, login: str = "atlas") -> None:
    with connect(server, login) as connection:
        connection.execute(text.encode(), values or None)
        connection.execute("select 1").fetchall()
        connection.commit()


async def slow(door: Agent) -> list[dict[str, Any]]:
    """The findings of statements on the platform's tables."""
    entries = await found(door, "slow_statement")
    return [entry for entry in entries if "logs" in entry["evidence"]["statement"]]


async def test_a_slow_statement_is_found_healed_by_an_index_and_on_record(
    platform: Server,
) -> None:
    for number in range(1, 6):
        run(platform, QUERY, f"message {number}", "INFO")
    async with agent(platform) as door:
        (finding,) = await slow(door)
        assert re.fullmatch(r"-?\d+", finding["about"])
        evidence = finding["evidence"]
        assert (evidence["calls"], evidence["rows_per_call"]) == (5, 21)
        assert "message 3" not in str(finding)
        assert evidence["blocks_per_call"] > 100
        tried = await heal(door, finding, dry_run=True)
        assert (tried["outcome"], indexes(platform, "logs").count("ix_logs_message_level")) == (
            "left_to_a_person", 0,
        )  # fmt: skip
        assert '("message", "level")' in tried["rounds"][0]["candidates"][0]
        answer = await heal(door, finding)
        assert answer["outcome"] == "healed", answer
        assert "ix_logs_message_level" in indexes(platform, "logs")
        outcome, kind, _, finished, report = attempts(platform)[-1]
        assert (outcome, kind, finished) == ("healed", "performance", True)
        assert isinstance(report, dict)
        (done,) = report["rounds"]
        assert done["index_is_used"]
        assert done["cost_after"] < done["cost_before"] * 0.7
        # From now on it is counted anew: should it still be slow, an index is not the answer.
        assert await slow(door) == []
        run(platform, QUERY, "message 7", "INFO")
        (again,) = await slow(door)
        assert (again["about"], again["evidence"]["calls"]) == (finding["about"], 1)
        assert again["evidence"]["blocks_per_call"] < evidence["blocks_per_call"] / 2
        assert again["evidence"]["indexed_at"] is not None
        again = await heal(door, finding)
        assert (again["outcome"], again["rounds"][0]["candidates"]) == ("left_to_a_person", [])
    assert tools.check(platform) == ""


async def test_no_value_of_a_row_is_shown(platform: Server) -> None:
    run(platform, "select id from logs where message = 'a secret' and level = 'INFO'")
    run(platform, "select id from logs where message = 'b' limit 7")
    run(platform, "/* a secret */ select source from logs")
    run(platform, "select source from logs -- a secret")
    run(platform, "declare c cursor for select level from logs where message = 'a secret'")
    run(platform, "select level from logs", login="mcp_heal")
    with connect(platform, "postgres") as connection:
        connection.execute("select session_id from logs where message = 'a secret'")
    with connect(platform, "mcp_read") as reader:
        shown = reader.execute("select statement from ops.slow_statements()").fetchall()
        assert "secret" not in str(shown)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("select * from ops.pg_stat_statements")
    async with agent(platform) as door:
        texts = [entry["evidence"]["statement"] for entry in await slow(door)]
        assert sorted(texts) == [
            "select id from logs where message = $1 and level = $2",
            "select id from logs where message = $1 limit $2",
        ]
        for name in ("ops.slow_statements", "ops.built_indexes", "ops.pg_stat_statements"):
            refused = await door.query(f"select * from {name}{'()' * (name[-1] == 's')}")
            assert not refused["success"], name


async def test_what_an_index_does_not_help_is_left_to_a_person(platform: Server) -> None:
    run(platform, "select level from logs where source = %s", "test")
    run(platform, "select id from logs where timestamp > now() - interval '1 hour'")
    run(platform, "update logs set source = %s where message = %s", "x", "message 3")
    async with agent(platform) as door:
        findings = {entry["evidence"]["statement"].split()[1]: entry for entry in await slow(door)}
        useless = await heal(door, findings["level"])
        assert useless["outcome"] == "undone", useless["rounds"]
        # What did not help is not built over and over.
        again = await heal(door, findings["level"])
        assert again["outcome"] == "left_to_a_person"
        assert "did not help" in again["rounds"][0]["words"]
        # PostgreSQL keeps `interval $2`, which is no SQL.
        unplanned = await heal(door, findings["id"])
        assert unplanned["outcome"] == "left_to_a_person"
        assert "cannot be planned" in unplanned["rounds"][0]["words"]
        written = findings["logs"]
        assert (written["alone"], "more than a query" in written["meaning"]) == (False, True)
        assert (await heal(door, written))["outcome"] == "left_to_a_person"
    assert not [name for name in indexes(platform, "logs") if "source" in str(name)]


async def test_a_server_that_counts_no_statements_has_no_such_finding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threshold(monkeypatch, "slow_statement", "0", "0")
    with temporary_server(options={"shared_preload_libraries": ""}) as server:
        assert tools.query(server, "select extname from pg_extension order by 1") == [
            ("pg_trgm",), ("plpgsql",),
        ]  # fmt: skip
        assert tools.load(server) == ""
        async with agent(server) as door:
            assert await found(door, "slow_statement") == []
        # Created by somebody although the library was not loaded: no error either.
        administer(server, "create extension pg_stat_statements with schema ops")
        async with agent(server) as door:
            assert await found(door, "slow_statement") == []
        tools.load(server)
        assert tools.check(server) == ""


def built(server: Server) -> list[tuple[object, ...]]:
    return tools.query(
        server,
        "select name, outcome, index_oid is not null, ended_at is not null from ops.built_index"
        " order by began_at",
    )


def age(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let statistics of any age count, and what was built and used just now be long ago."""
    threshold(monkeypatch, "unused_index", str(1 << 40), "0")
    administer(server, "select pg_stat_reset()")


async def test_an_index_that_healing_built_goes_when_nobody_uses_it(
    platform: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(platform, QUERY, "message 3", "INFO")
    async with agent(platform) as door:
        (finding,) = await slow(door)
        assert (await heal(door, finding))["outcome"] == "healed"
        assert built(platform) == [("ix_logs_message_level", "kept", True, True)]
        tools.execute(platform, "create index of_a_person on logs (source)")
        # A week is not over.
        assert await found(door, "unused_index") == []
        age(platform, monkeypatch)
        unused = {entry["about"]: entry for entry in await found(door, "unused_index")}
        assert set(unused) == {"public.ix_logs_message_level"}
        threshold(monkeypatch, "unused_index", "1", "0")
        unused = {entry["about"]: entry for entry in await found(door, "unused_index")}
        person = unused["public.of_a_person"]
        assert (person["alone"], "a person drops it" in person["meaning"]) == (False, True)
        assert (await heal(door, person))["outcome"] == "left_to_a_person"
        own = unused["public.ix_logs_message_level"]
        assert (own["alone"], own["evidence"]["built_by_healing"]) == (True, True)
        assert (await heal(door, own))["outcome"] == "healed"
    assert "ix_logs_message_level" not in indexes(platform, "logs")
    assert "of_a_person" in indexes(platform, "logs")


async def test_an_index_that_was_used_lately_stays(
    platform: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(platform, QUERY, "message 3", "INFO")
    async with agent(platform) as door:
        (finding,) = await slow(door)
        assert (await heal(door, finding))["outcome"] == "healed"
        # Built ten days ago, and counted for as long.
        administer(
            platform,
            "update ops.built_index set began_at = now() - interval '10 days',"
            " ended_at = now() - interval '10 days'",
        )
        threshold(monkeypatch, "unused_index", str(1 << 40), str(3 / 86400))
        run(platform, QUERY, "message 9", "INFO")
        assert await found(door, "unused_index") == []
        await anyio.sleep(3.5)
        (entry,) = await found(door, "unused_index")
        assert entry["alone"]


@pytest.mark.parametrize(
    ("step", "is_there"),
    [
        pytest.param(b'create index concurrently "ix_logs_message_level"', False, id="not begun"),
        pytest.param(b"ops.end_index", True, id="built, and not on record"),
    ],
)
async def test_what_a_killed_heal_has_built_is_known_to_be_healing_s(
    platform: Server, monkeypatch: pytest.MonkeyPatch, step: bytes, is_there: bool
) -> None:
    statement = "select id from logs where message = 'message 3' and level = 'INFO'"
    given = json.dumps({"sqlstate": "57014", "statement": statement})
    await heal_and_die(platform, Killer(step, 1, 0), given)
    assert built(platform) == [("ix_logs_message_level", "building", False, False)]
    assert ("ix_logs_message_level" in indexes(platform, "logs")) == is_there
    age(platform, monkeypatch)
    async with agent(platform) as door:
        entries = await found(door, "unused_index")
        assert [entry["alone"] for entry in entries] == [True] * is_there
        for entry in entries:
            assert (await heal(door, entry))["outcome"] == "healed"
    assert "ix_logs_message_level" not in indexes(platform, "logs")


async def test_one_of_the_same_name_that_a_person_built_is_the_person_s(
    platform: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(platform, QUERY, "message 3", "INFO")
    async with agent(platform) as door:
        (finding,) = await slow(door)
        assert (await heal(door, finding))["outcome"] == "healed"
        tools.execute(
            platform,
            "drop index ix_logs_message_level",
            "create index ix_logs_message_level on logs (message)",
        )
        age(platform, monkeypatch)
        assert await found(door, "unused_index") == []
        # One that was being built when the server was killed has no number on record.
        tools.execute(platform, "update ops.built_index set outcome = 'building', index_oid = null")
        (entry,) = await found(door, "unused_index")
        assert entry["alone"]
