"""Indexes are judged by hypopg before one is built, on all that is asked; where it is installed."""

from typing import Any

import psycopg
import pytest

from database.binaries import has_library, server_binaries
from database.connect import connect
from database.settings import Server
from tests import schema_tools as tools
from tests.mcp_clients import agent
from tests.test_health import administer
from tests.test_index_candidates import notes

__all__ = ["notes"]
pytestmark = pytest.mark.anyio

#: Two indexes would help it; each by itself.
QUERY = "select n from notes where kind = 'RARE' and at > 15000"


@pytest.fixture
def workload(notes: Server) -> Server:
    if not has_library(server_binaries(), "hypopg"):
        pytest.skip("this PostgreSQL has no hypopg (Debian: postgresql-17-hypopg)")
    administer(notes, "select ops.pg_stat_statements_reset()")
    return notes


def ask(server: Server, text: str, times: int) -> None:
    with connect(server, "atlas") as connection:
        for _ in range(times):
            connection.execute(text.encode())


def named(server: Server) -> list[object]:
    text = "select indexname from pg_indexes where tablename = 'notes' order by 1"
    return [row[0] for row in tools.query(server, text)]


async def healed(server: Server, query: str) -> dict[str, Any]:
    async with agent(server) as door:
        return await door.call("postgres_heal", sqlstate="57014", statement=query)


async def test_of_two_the_one_that_all_statements_gain_by_is_built(workload: Server) -> None:
    ask(workload, "select n from notes where at = 7 and kind = 'COMMON'", 50)
    answer = await healed(workload, QUERY)
    assert answer["outcome"] == "healed", answer["rounds"]
    (report,) = answer["rounds"]
    notes_of = {note["index"]: note for note in report["supposed"]}
    # The partial one would do for the query, and is no use to the others.
    partial, full = notes_of["ix_notes_at_partial"], notes_of["ix_notes_kind_at"]
    assert (partial["used"], full["used"]) == (True, True)
    assert (partial["used_by"], full["used_by"]) == (1, 2)
    assert full["gain"] > partial["gain"] > 0
    assert report["built"] == "ix_notes_kind_at"
    assert named(workload) == ["ix_notes_kind_at", "notes_pkey"]


async def test_what_helps_nothing_is_never_built(workload: Server) -> None:
    answer = await healed(workload, "select said from notes where at > 10")
    assert answer["outcome"] == "left_to_a_person", answer["rounds"]
    (report,) = answer["rounds"]
    assert [note["used"] for note in report["supposed"]] == [False]
    assert "built" not in report
    assert named(workload) == ["notes_pkey"]
    assert tools.query(workload, "select count(*) from ops.built_index") == [(0,)]


async def test_nothing_supposed_is_left_in_a_session_nor_can_agents_suppose(
    workload: Server,
) -> None:
    async with agent(workload) as door:
        await door.call("postgres_heal", sqlstate="57014", statement=QUERY, dry_run=True)
        plan = await door.query(f"explain {QUERY}")
        assert "Seq Scan" in str(plan["rows"]), plan
        for call in ("ops.suppose_index('create index on notes (n)')", "ops.hypopg_reset()"):
            refused = await door.query(f"select {call}")
            assert (refused["sqlstate"], refused["refused_by"]) == ("42501", "gate"), refused
    with (
        connect(workload, "mcp_read") as reader,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        reader.execute("select ops.hypopg_create_index('create index on notes (n)')")
    assert tools.load(workload) == ""
    assert tools.check(workload) == ""
