"""Indexes that a statement asks for: proposed from its text, judged by the planner."""

import pytest

from database.settings import Server
from mcp_server.healing.shapes import Candidate, asked_by
from tests import schema_tools as tools
from tests.mcp_clients import agent, stdio_agent
from tests.test_drift import _ROWS

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("select * from logs order by message limit 5", [("message",)]),
        ("select * from logs order by level desc, message desc limit 5", [("level", "message")]),
        ("select * from logs where level = $1 order by message limit 5", [("level", "message")]),
        (
            "select * from logs l where 'x' = l.level order by l.message limit 1",
            [("level", "message")],
        ),
        # No one b-tree has these orders.
        ("select * from logs order by level, message desc limit 5", []),
        ("select * from logs order by lower(message) limit 5", []),
        ("select * from logs order by message desc nulls last limit 5", []),
        # All rows are read anyway.
        ("select * from logs order by message", []),
        # Not one table of public, or not its rows.
        ("select * from logs, tasks order by message limit 5", []),
        ("select * from audit.call order by tool limit 5", []),
        ("select level, count(*) from logs group by level order by level limit 5", []),
        ("select 1 order by 1 limit 5", []),
        ("delete from logs where message is null", []),
    ],
)
def test_an_order_that_ends_early_asks_for_an_index(
    statement: str, wanted: list[tuple[str, ...]]
) -> None:
    assert asked_by(statement) == [Candidate("logs", columns) for columns in wanted]


def test_nulls_ask_for_a_partial_index_on_what_else_is_compared() -> None:
    statement = "select * from logs where message > 'x' and session_id is null"
    (found,) = asked_by(statement)
    assert found == Candidate("logs", ("message",), where='"session_id" is null')
    assert found.definition == (
        'create index concurrently "ix_logs_message_partial" on public."logs" using btree '
        '("message") where "session_id" is null'
    )
    # One of either is no condition of all rows; a column against a column is none of an index.
    assert asked_by("select * from logs where message > 'x' or session_id is null") == []
    assert asked_by("select * from logs where message = level and session_id is null") == []


def test_a_long_name_is_cut_by_bytes() -> None:
    name = Candidate("ä" * 40, ("b",), where="b is null").name
    assert len(name.encode()) <= 63
    assert name.endswith("_partial")


async def test_the_order_of_a_query_is_healed_by_an_index_that_is_used(database: Server) -> None:
    tools.execute(database, *_ROWS, *[_ROWS[3]] * 20, "analyze logs")
    query = "select id from logs order by message limit 5"
    async with stdio_agent(database) as door:
        analyse = {"query": query}
        before = (
            await door.client.call_tool("postgres_analyze_query_performance", analyse)
        ).structured_content
        assert before is not None
        (suggestion,) = before["suggestions"]
        assert '"ix_logs_message"' in suggestion
        arguments = {"table": "logs", "columns": ["message"], "query": query}
        built = (
            await door.client.call_tool("postgres_create_performance_index", arguments)
        ).structured_content
        assert built is not None
        assert built["changed"], built
        assert built["report"]["index_is_used"]
        assert built["report"]["blocks_after"] < built["report"]["blocks_before"]
        after = (
            await door.client.call_tool("postgres_analyze_query_performance", analyse)
        ).structured_content
    assert after is not None
    assert after["suggestions"] == []
    assert after["total_cost"] < before["total_cost"]


async def test_nulls_are_healed_by_a_partial_index_and_it_goes_where_it_is_useless(
    database: Server,
) -> None:
    tools.execute(
        database,
        *_ROWS,
        *[_ROWS[3]] * 20,
        "update logs set metadata_blob = '{}' where id % 1000 = 1",
        "analyze logs",
    )
    rare = "select * from logs where metadata_blob is not null and message >= 'm'"
    common = "select * from logs where metadata_blob is null and message >= 'm'"
    async with agent(database) as door:
        answer = await door.call("postgres_heal", sqlstate="57014", statement=rare)
        assert answer["outcome"] == "healed", answer["rounds"]
        (report,) = answer["rounds"]
        assert report["built"] == "ix_logs_message_partial"
        assert report["index_is_used"]
        again = await door.call("postgres_heal", sqlstate="57014", statement=rare)
        assert again["outcome"] == "left_to_a_person", again
        tools.execute(database, "drop index ix_logs_message_partial")
        answer = await door.call("postgres_heal", sqlstate="57014", statement=common)
        assert answer["outcome"] == "undone", answer
    names = tools.query(database, "select indexname from pg_indexes where tablename = 'logs'")
    assert not {("ix_logs_message_partial",), ("ix_logs_message",)} & set(names)


async def test_what_the_planner_believes_wrongly_is_found_by_running_it(database: Server) -> None:
    """Statistics say that a message is rare; half of the rows have it by now."""
    tools.execute(
        database,
        "alter table logs set (autovacuum_enabled = false)",
        *_ROWS,
        "analyze logs",
        """insert into logs (timestamp, level, source, message, session_id)
           select now() at time zone 'UTC', 'INFO', 'test',
               case when n % 2 = 0 then 'hot' else 'cold ' || n end, 'current_session'
           from generate_series(1, 60000) as n""",
    )
    query = "select level from logs where message = 'hot'"
    async with agent(database) as door:
        answer = await door.call("postgres_heal", sqlstate="57014", statement=query)
    assert answer["outcome"] == "undone", answer
    (report,) = answer["rounds"]
    assert report["cost_after"] < report["cost_before"] / 2
    assert report["blocks_after"] > report["blocks_before"]
    names = tools.query(database, "select indexname from pg_indexes where tablename = 'logs'")
    assert ("ix_logs_message",) not in names


async def test_a_query_that_cannot_be_run_to_its_end_is_judged_by_its_cost(
    database: Server,
) -> None:
    tools.execute(database, *_ROWS, *[_ROWS[3]] * 20, "analyze logs")
    query = "select 1 / (length(level) - length(level)) from logs where message = 'message 77'"
    async with agent(database) as door:
        answer = await door.call("postgres_heal", sqlstate="57014", statement=query)
    assert answer["outcome"] == "healed", answer["rounds"]
    assert answer["rounds"][0]["not_measured"]["sqlstate"] == "22012"
