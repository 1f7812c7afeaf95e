"""postgres_health_check(level=full): findings are really produced, a healthy database has none."""

from typing import Any

import pytest

from database.connect import connect
from database.settings import Server
from mcp_server import health
from tests.mcp_clients import agent
from tests.programs import query

pytestmark = pytest.mark.anyio


async def full(server: Server) -> dict[str, Any]:
    async with agent(server) as a:
        answer = await a.call("postgres_health_check", level="full")
    assert answer["success"]
    assert answer["not_checked"] == {}
    return answer


async def found(server: Server, check: str) -> list[dict[str, Any]]:
    return [entry for entry in (await full(server))["findings"] if entry["check"] == check]


def administer(server: Server, *statements: str) -> None:
    with connect(server, "postgres", autocommit=True) as connection:
        for text in statements:
            connection.execute(text.encode())


def threshold(monkeypatch: pytest.MonkeyPatch, name: str, *values: str) -> None:
    """Where the real one would take gigabytes, or days, to reach."""
    changed = [
        health.Check(check.name, check.severity, check.meaning, values)
        if check.name == name
        else check
        for check in health.CHECKS
    ]
    monkeypatch.setattr(health, "CHECKS", tuple(changed))


async def test_a_healthy_database_has_no_findings(database: Server) -> None:
    assert (await full(database))["findings"] == []
    async with agent(database) as a:
        assert "findings" not in await a.call("postgres_health_check")


async def test_the_severest_comes_first_and_each_has_what_it_takes(database: Server) -> None:
    query(database, "create index one on logs (level, source)")
    query(database, "create index two on logs (level, source)")
    administer(
        database, "update pg_index set indisvalid = false where indexrelid = 'one'::regclass"
    )
    entries = (await full(database))["findings"]
    assert [entry["severity"] for entry in entries] == ["warning"]
    (entry,) = entries
    assert entry["about"] == "public.one"
    assert entry["fix"] == "reindex index concurrently public.one"
    administer(database, entry["fix"])
    (entry,) = (await full(database))["findings"]
    assert (entry["check"], entry["about"], entry["evidence"]["same_as"]) == (
        "duplicate_index", "public.one", "two",
    )  # fmt: skip
    administer(database, entry["fix"])
    assert (await full(database))["findings"] == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("(level)", "(source)"),
        ("(level)", "(level desc)"),
        ("(level)", '(level collate "C")'),
        ("(level)", "(level) where level = 'ERROR'"),
        ("(lower(level))", "(upper(level))"),
        ("(level)", "(level, source)"),
    ],
)
async def test_indexes_that_differ_are_no_duplicates(
    database: Server, first: str, second: str
) -> None:
    query(database, f"create index one on logs {first}")
    query(database, f"create index two on logs {second}")
    assert await found(database, "duplicate_index") == []


async def test_a_foreign_key_without_an_index(database: Server) -> None:
    query(
        database,
        "create table parents (a int, b int, unique (b, a));"
        "create table children (n int, a int, b int, foreign key (b, a) references parents (b, a))",
    )
    query(database, "grant select on parents, children to mcp_read")
    query(database, "insert into parents values (1, 1)")
    query(database, "insert into children select n, 1, 1 from generate_series(1, 2000) as n")
    query(database, "analyze children")
    (entry,) = await found(database, "missing_fk_index")
    assert entry["evidence"]["columns"] == ["b", "a"]
    assert entry["evidence"]["rows"] == 2000
    administer(database, entry["fix"])
    assert await found(database, "missing_fk_index") == []
    # Another order serves as well, another beginning does not.
    administer(database, "drop index children_b_a_idx", "create index on children (a, b, n)")
    assert await found(database, "missing_fk_index") == []
    administer(database, "drop index children_a_b_n_idx", "create index on children (n, a, b)")
    assert len(await found(database, "missing_fk_index")) == 1


async def test_dead_rows_and_stale_statistics(database: Server) -> None:
    administer(database, "create table public.much (n int) with (autovacuum_enabled = off)")
    administer(database, "grant select on public.much to mcp_read")
    administer(database, "insert into public.much select generate_series(1, 20000)")
    stale = await found(database, "stale_statistics")
    assert [entry["about"] for entry in stale] == ["public.much"]
    assert stale[0]["evidence"]["last_analyze"] is None
    administer(database, stale[0]["fix"])
    administer(database, "update public.much set n = n + 1")
    (dead,) = await found(database, "dead_rows")
    assert dead["evidence"]["dead_rows"] >= 20000
    administer(database, dead["fix"])
    assert (await full(database))["findings"] == []


async def test_numbers_that_run_out_and_a_small_cache(
    database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold(monkeypatch, "wraparound", "0")
    assert database.database in [entry["about"] for entry in await found(database, "wraparound")]
    threshold(monkeypatch, "cache", "1", "1.1")
    (entry,) = await found(database, "cache")
    assert 0 <= entry["evidence"]["hit"] <= 1
    threshold(monkeypatch, "connections", "0")
    (entry,) = await found(database, "connections")
    assert 0 < entry["evidence"]["used"] < entry["evidence"]["most"]


async def test_an_unused_index(database: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    threshold(monkeypatch, "unused_index", "1", "0")
    query(database, "create index idle on logs (message)")
    administer(database, "select pg_stat_reset()")
    assert "public.idle" in [entry["about"] for entry in await found(database, "unused_index")]
    # Statistics that are younger than a week say nothing.
    monkeypatch.undo()
    assert await found(database, "unused_index") == []


async def test_a_slot_that_nobody_reads(database: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    threshold(monkeypatch, "slot", "0")
    administer(database, "select pg_create_physical_replication_slot('idle_slot', true)")
    try:
        query(database, "create table written (n int)")
        assert [entry["about"] for entry in await found(database, "slot")] == ["idle_slot"]
    finally:
        administer(database, "select pg_drop_replication_slot('idle_slot')")
