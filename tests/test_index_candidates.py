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
            "select * from logs l where $1 = l.level order by l.message limit 1",
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


def test_a_constant_asks_for_a_partial_index_on_what_else_is_compared() -> None:
    statement = "select * from tasks where status = 'FAILED' and created_at > $1"
    (found,) = asked_by(statement)
    assert found == Candidate("tasks", ("created_at",), where="\"status\" = 'FAILED'")
    # Beside a test for NULL, with the order; a quote stays within its text.
    statement = (
        "select * from tasks where status = 'it''s' and a is null order by created_at limit 5"
    )
    assert asked_by(statement)[0] == Candidate(
        "tasks", ("created_at",), where="\"a\" is null and \"status\" = 'it''s'"
    )
    # Of a value that is not known, and of a number, there are as many as rows.
    for value in ("$1", "7", "null", "lower('x')", "'a' || 'b'"):
        statement = f"select * from tasks where status = {value} and created_at > $2"
        assert not any(one.where for one in asked_by(statement)), value
    # Nothing else is compared: then there is nothing to put into it.
    assert asked_by("select * from tasks where status = 'FAILED'") == []
    assert asked_by("select * from tasks where status = 'FAILED' or created_at > $1") == []


@pytest.mark.parametrize(
    ("statement", "include"),
    [
        ("select id, n from t where a = $1", ("id", "n")),
        ("select t.id, a from t where t.a > $1", ("id",)),
        # All is in it already, or not all can be; or it is more than columns.
        ("select a from t where a = $1", None),
        ("select * from t where a = $1", None),
        ("select b, c, d, e from t where a = $1", None),
        ("select id, length(b) from t where a = $1", None),
        ("select count(*) from t where a = $1", None),
        ("select id from t", None),
    ],
)
def test_a_few_columns_that_are_returned_ask_for_a_covering_index(
    statement: str, include: tuple[str, ...] | None
) -> None:
    wanted = [] if include is None else [Candidate("t", ("a",), include=include)]
    assert asked_by(statement) == wanted
    for one in wanted:
        assert one.definition.endswith(
            f"""("a") include ({", ".join(f'"{n}"' for n in one.include)})"""
        )
        assert one.name == "ix_t_a_covering"


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("message like '%timeout%'", True),
        ("message ilike '%timeout%'", True),
        ("message like $1", True),
        ("l.message like '%' || $1 || '%' and level = $2", True),
        ("message like '%ab%'", False),
        ("message not like '%timeout%'", False),
        ("'timeout' like message", False),
        ("message similar to '%timeout%'", False),
        ("lower(message) like '%timeout%'", False),
        ("message like '%timeout%' or level = $1", False),
    ],
)
def test_a_text_within_a_text_asks_for_trigrams(condition: str, wanted: bool) -> None:
    found = [
        one for one in asked_by(f"select * from logs l where {condition}") if one.kind != "btree"
    ]
    assert found == [Candidate("logs", ("message",), "trigram")] * wanted
    for one in found:
        assert one.definition == (
            'create index concurrently "ix_logs_message_trigram" on public."logs" using gin '
            '("message" ops.gin_trgm_ops)'
        )


@pytest.mark.parametrize(
    "source",
    [
        "tasks t join task_steps s on s.task_id = t.id where s.status = $1 and t.id = $2",
        "tasks as t, task_steps as s where t.id = s.task_id and s.status = $1 and $2 = t.id",
        "task_steps s left join tasks t on t.id = s.task_id and s.status = $1 where t.id = $2",
    ],
)
def test_a_join_asks_for_what_joins_and_what_is_compared_together(source: str) -> None:
    assert set(asked_by(f"select s.id from {source}")) == {
        Candidate("task_steps", ("task_id", "status")),
        Candidate("task_steps", ("status", "task_id")),
    }


def test_what_is_not_said_to_be_of_a_table_of_the_join_asks_for_nothing() -> None:
    for condition in ("status = $1", "x.status = $1", "s.status = t.status", "s.status is null"):
        statement = f"select 1 from tasks t join task_steps s on s.task_id = t.id where {condition}"
        assert asked_by(statement) == [], condition


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
        plain, covering = before["suggestions"]
        assert '"ix_logs_message"' in plain
        assert '("message") include ("id")' in covering
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


@pytest.fixture
def notes(database: Server) -> Server:
    """A table that a migration brought, with 30 000 rows and no policy."""
    tools.execute(
        database,
        "create table notes (id integer primary key, kind text, at integer, n integer, said text)",
        """insert into notes select n, case when n % 500 = 0 then 'RARE' else 'COMMON' end,
           n * 7919 % 30000, n, md5(n::text) || repeat(' padding', 20)
           from generate_series(1, 30000) as n""",
    )
    tools.load(database)
    tools.execute(database, "vacuum analyze notes")
    return database


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("select n from notes where kind = 'RARE' and at > 15000", "ix_notes_at_partial"),
        ("select id from notes where said like '%c4ca4238%'", "ix_notes_said_trigram"),
        ("select id from notes where at between 100 and 130", "ix_notes_at"),
        # So many rows that reading them from the table is no cheaper than reading it all.
        ("select n from notes where at > 12000", "ix_notes_at_covering"),
    ],
)
async def test_the_index_that_a_query_asks_for_is_built_used_and_kept(
    notes: Server, query: str, name: str
) -> None:
    async with agent(notes) as door:
        answer = await door.call("postgres_heal", sqlstate="57014", statement=query)
        assert answer["outcome"] == "healed", answer["rounds"]
        (report,) = answer["rounds"]
        assert report["built"] == name
        assert report["blocks_after"] < report["blocks_before"]
        again = await door.call("postgres_heal", sqlstate="57014", statement=query)
        assert again["outcome"] == "left_to_a_person", again
    left = tools.query(notes, "select indexname from pg_indexes where tablename = 'notes'")
    assert set(left) == {("notes_pkey",), (name,)}
