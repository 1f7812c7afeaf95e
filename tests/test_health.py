"""postgres_health_check(level=full): findings are really produced, a healthy database has none."""

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import anyio
import psycopg
import pytest

from database.connect import connect
from database.embedded.temporary import temporary_server
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
        replace(check, values=values) if check.name == name else check for check in health.CHECKS
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
    administer(database, "drop index ix_children_b_a", "create index on children (a, b, n)")
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


async def test_a_long_transaction(database: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    threshold(monkeypatch, "long_transaction", "900", "1")
    with connect(database, "atlas") as forgotten:
        forgotten.execute("select 1")
        assert await found(database, "long_transaction") == []
        await anyio.sleep(1.6)
        (entry,) = await found(database, "long_transaction")
        pid = forgotten.info.backend_pid
        assert entry["about"] == f"session {pid} of atlas"
        assert entry["evidence"]["state"] == "idle in transaction"
        administer(database, entry["fix"])
        assert await found(database, "long_transaction") == []
        with pytest.raises(psycopg.errors.AdminShutdown):
            forgotten.execute("select 1")


async def test_sessions_that_a_pool_leaks(
    database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold(monkeypatch, "idle_sessions", "0", "3")
    with ExitStack() as stack:
        leaked = [stack.enter_context(connect(database, "atlas", autocommit=True)) for _ in "123"]
        for session in leaked:
            session.execute("select 1")
        (entry,) = await found(database, "idle_sessions")
        assert (entry["about"], entry["evidence"]["sessions"]) == ("atlas", 3)
        leaked.pop().close()
        assert await found(database, "idle_sessions") == []


@pytest.mark.parametrize("declared", ["integer", "smallint", "bigint"])
async def test_numbers_of_a_sequence_run_out(database: Server, declared: str) -> None:
    most = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}[declared]
    for text in (
        f"create table counted (i {declared} generated always as identity)",
        # Its own end is beyond the column's.
        f"create table serial (i {declared})",
        "create sequence counter owned by serial.i",
    ):
        query(database, text)
    assert await found(database, "sequence") == []
    for name in ("counted_i_seq", "counter"):
        administer(database, f"grant select on sequence {name} to atlas_guard")
        query(database, f"select setval('{name}', {most // 10 * 9})")
    entries = await found(database, "sequence")
    assert [(entry["about"], entry["evidence"]["most"]) for entry in entries] == [
        ("public.counted_i_seq", most),
        ("public.counter", most),
    ]


async def test_a_table_of_mostly_empty_space(
    database: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold(monkeypatch, "bloat", "100000", "0.5")
    for text in (
        "create table public.much (n int, t text) with (autovacuum_enabled = off)",
        "grant select on public.much to mcp_read",
        "insert into public.much select n, repeat('x', n % 90) from generate_series(1, 20000) n",
        "analyze public.much",
    ):
        administer(database, text)
    assert await found(database, "bloat") == []
    # The last rows stay, so that vacuum cannot cut the end off.
    administer(database, "delete from public.much where n < 19000", "vacuum analyze public.much")
    (entry,) = await found(database, "bloat")
    assert entry["about"] == "public.much"
    administer(database, entry["fix"])
    assert await found(database, "bloat") == []


async def test_ages_and_counts_are_all_that_is_shown(database: Server) -> None:
    with connect(database, "atlas") as other, connect(database, "mcp_read") as reader:
        other.execute("select 'a text of somebody else'")
        shown = reader.execute("select * from ops.sessions()").fetchall()
        assert [row[1] for row in shown] == ["atlas"]
        assert "somebody else" not in str(shown)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("select * from ops.healing_attempt")
    # An agent's own SQL does not get even that.
    async with agent(database) as a:
        for name in ("sessions", "prepared_transactions", "sequence_use", "replicas"):
            refused = await a.query(f"select * from ops.{name}()")
            assert refused["refused_by"] == "gate", name


async def test_a_transaction_that_was_prepared_and_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threshold(monkeypatch, "prepared_transaction", "0")
    with temporary_server(options={"max_prepared_transactions": "2"}) as server:
        administer(server, "begin", "create table t (n int)", "prepare transaction 'it''s open'")
        (entry,) = await found(server, "prepared_transaction")
        assert (entry["about"], entry["evidence"]["login"]) == ("it's open", "postgres")
        administer(server, entry["fix"])
        assert await found(server, "prepared_transaction") == []
