"""Findings that no agent heals: said exactly, nothing done, on record; what is said does help."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from database.connect import connect
from database.settings import Server
from tests.mcp_clients import agent
from tests.test_drift import printed
from tests.test_heal_findings import found, heal
from tests.test_healing import attempts
from tests.test_health import administer, threshold

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Left:
    """A finding that is a person's.

    Attributes:
        values: thresholds, where the real ones would take gigabytes or days to reach.
        inject: statements of an administrator.
        sessions: how many of the platform are left open, and what each has run.
        said: what the diagnosis says of it.
        helps: whether the SQL of the finding, run by an administrator, ends it.
    """

    check: str
    about: str
    values: tuple[str, ...]
    inject: tuple[str, ...] = ()
    sessions: int = 0
    said: str = ""
    helps: bool = True


FINDINGS = (
    Left(
        "bloat", "public.much", ("100000", "0.5"),
        (
            "create table public.much (n int, t text) with (autovacuum_enabled = off)",
            "grant select on public.much to mcp_read",
            "insert into public.much"
            " select n, repeat('x', n % 90) from generate_series(1, 20000) as n",
            # The last rows stay, so that vacuum cannot cut the end off.
            "delete from public.much where n < 19000",
            "vacuum analyze public.much",
        ),
        said="space",
    ),
    Left(
        "sequence", "public.logs_id_seq", ("0.8",),
        ("select setval('logs_id_seq', 2000000000)",),
        said="bigint", helps=False,
    ),
    Left(
        "unused_index", "public.idle", ("1", "0"),
        ("create index idle on logs (message)", "select pg_stat_reset()"),
        said="index",
    ),
    Left(
        "slot", "idle_slot", ("0",),
        ("select pg_create_physical_replication_slot('idle_slot', true)",),
        said="start its reader, or drop it", helps=False,
    ),
    Left("idle_sessions", "atlas", ("0", "3"), sessions=3, said="dispose of engines", helps=False),
    Left("long_transaction", "", ("0", "0"), sessions=1, said="ask its owner"),
)  # fmt: skip


@pytest.fixture
def server(database: Server) -> Iterator[Server]:
    """A database, and the slots of the whole server as they were."""
    yield database
    administer(
        database,
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots"
        " where slot_name = 'idle_slot'",
    )


@pytest.mark.parametrize("left", FINDINGS, ids=lambda left: left.check)
async def test_it_is_left_to_a_person(
    server: Server, monkeypatch: pytest.MonkeyPatch, left: Left
) -> None:
    threshold(monkeypatch, left.check, *left.values)
    administer(server, *left.inject)
    with ExitStack() as stack:
        sessions = [stack.enter_context(connect(server, "atlas")) for _ in range(left.sessions)]
        for session in sessions:
            session.execute("select 1")
            if left.check == "idle_sessions":
                session.commit()
        before = printed(server)
        async with agent(server) as door:
            entry = next(
                one for one in await found(door, left.check) if one["about"].startswith(left.about)
            )
            assert entry["alone"] is False
            answer = await heal(door, entry)
            assert (answer["outcome"], answer["healed"]) == ("left_to_a_person", False)
            assert answer["diagnosis"]["alone"] is False
            assert left.said in answer["diagnosis"]["fix"], answer
            assert printed(server) == before
            # It has ended nobody's session.
            assert all(session.execute("select 1").fetchone() == (1,) for session in sessions)
            outcome, _, _, finished, report = attempts(server)[-1]
            assert (outcome, finished) == ("left_to_a_person", True)
            assert isinstance(report, dict)
            assert report["rounds"] == answer["rounds"]
            if left.helps:
                administer(server, entry["fix"])
                again = [one["about"] for one in await found(door, left.check)]
                assert entry["about"] not in again
        for session in sessions:
            session.close()
