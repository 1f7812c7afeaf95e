"""The tools, through a real client on a real PostgreSQL as the real logins."""

import json
import re
from pathlib import Path

import psycopg
import pytest
from mcp import Client
from mcp.shared.exceptions import MCPError

from database.connect import connect
from database.settings import Server
from mcp_server.server import build_server, listed_tools, open_access
from mcp_server.settings import Settings
from mcp_server.tools import BY_NAME, TOOLS
from tests.mcp_clients import OPEN_GATE, agent
from tests.programs import CHECKOUT, query

pytestmark = pytest.mark.anyio

SESSION = "11111111-1111-1111-1111-111111111111"
ADD_SESSION = (
    f"insert into sessions (id, started_at, metadata_blob) values ('{SESSION}', now(), '{{}}')"
)
ADD_TASKS = f"""
    insert into tasks (id, session_id, goal, status, golden_path, created_at, metadata_blob)
    select gen_random_uuid(), '{SESSION}', 'Мета ' || n, 'PENDING', n % 2 = 0, now(), '{{"n": [1]}}'
    from generate_series(1, 10) as n
"""


async def test_health_check_says_what_the_plan_wants(database: Server) -> None:
    async with agent(database) as a:
        answer = await a.call("postgres_health_check")
    assert answer["status"] == "healthy"
    assert answer["table_count"] == 15
    assert answer["version"].startswith("PostgreSQL 17")
    assert re.fullmatch(r"\d+ (kB|MB)", answer["database_size"])


async def test_list_tables_lists_the_platforms_tables(database: Server) -> None:
    async with agent(database) as a:
        answer = await a.call("postgres_list_tables")
        assert (answer["schema"], answer["count"], len(answer["tables"])) == ("public", 15, 15)
        assert {
            "table_name": "tasks",
            "table_type": "BASE TABLE",
            "estimated_rows": None,
        } in answer["tables"]
        missing = await a.call("postgres_list_tables", schema="nowhere'; drop table tasks; --")
        assert missing["sqlstate"] == "3F000"


async def test_describe_table_tells_all_of_a_table(database: Server) -> None:
    async with agent(database) as a:
        answer = await a.call("postgres_describe_table", table_name="tasks")
        missing = await a.call("postgres_describe_table", table_name='tasks"; select pg_sleep(9)')
    columns = {column["column_name"]: column for column in answer["columns"]}
    assert columns["golden_path"] == {
        "column_name": "golden_path",
        "data_type": "boolean",
        "is_nullable": "NO",
        "column_default": None,
        "character_maximum_length": None,
        "identity": None,
    }
    assert columns["parent_task_id"]["is_nullable"] == "YES"
    assert answer["primary_key"] == ["id"]
    references = {key["table"]: key for key in answer["foreign_keys"]}
    assert references["sessions"]["columns"] == ["session_id"]
    assert references["sessions"]["table_columns"] == ["id"]
    assert "task_steps" in {key["table"] for key in answer["referenced_by"]}
    assert any(index["definition"].startswith("CREATE UNIQUE") for index in answer["indexes"])
    assert missing["sqlstate"] == "42P01"


async def test_a_query_answers_rows_columns_and_count(database: Server) -> None:
    async with agent(database) as a:
        await a.execute(ADD_SESSION)
        await a.execute(ADD_TASKS)
        answer = await a.query("select goal, golden_path, metadata_blob from tasks order by goal")
    assert answer["count"] == 10
    assert answer["truncated"] is False
    assert answer["rows"][0] == {
        "goal": "Мета 1",
        "golden_path": False,
        "metadata_blob": {"n": [1]},
    }
    assert answer["columns"] == [
        {"name": "goal", "type": "text"},
        {"name": "golden_path", "type": "bool"},
        {"name": "metadata_blob", "type": "jsonb"},
    ]
    assert answer["duration_ms"] > 0


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("9223372036854775807", 9223372036854775807),
        ("1.5", 1.5),
        ("1.10", "1.10"),
        ("12345678901234567.25", "12345678901234567.25"),
        ("'NaN'::float8", "NaN"),
        ("'-infinity'::float8", "-Infinity"),
        ("0.1::float4", 0.1),
        ("'infinity'::timestamp", "infinity"),
        ("timestamp '2026-01-31 12:00:00.123456'", "2026-01-31T12:00:00.123456"),
        ("timestamptz '2026-01-31 12:00:00+02'", "2026-01-31T10:00:00+00"),
        ("date '0044-03-15 BC'", "0044-03-15 BC"),
        ("interval '1 day 2 hours'", "1 day 02:00:00"),
        (f"'{SESSION}'::uuid", SESSION),
        ("'\\x00ff'::bytea", "\\x00ff"),
        ("array[1, null, 3]", [1, None, 3]),
        ("array[['a', 'b c'], ['d\"', 'NULL']]", [["a", "b c"], ['d"', "NULL"]]),
        (f"array['{SESSION}'::uuid]", [SESSION]),
        ("row(1, 'a', 2.5::float8)", "(1,a,2.5)"),
        ("tstzrange('2026-01-01', null)", '["2026-01-01 00:00:00+00",)'),
        ("'{[1,3),[5,8)}'::int4multirange", "{[1,3),[5,8)}"),
        ("'a'::\"char\"", "a"),
        ("inet '10.0.0.1/8'", "10.0.0.1/8"),
        ("null", None),
        ("'{\"a\": 12345678901234567890123}'::jsonb", {"a": "12345678901234567890123"}),
        ("'{\"a\": 0.12345678901234567890}'::jsonb", {"a": "0.12345678901234567890"}),
        ("'[1, {\"b\": null}]'::json", [1, {"b": None}]),
        ("'🦉 \u200b'", "🦉 \u200b"),
    ],
)
async def test_every_value_arrives_without_loss(
    database: Server, expression: str, value: object
) -> None:
    async with agent(database) as a:
        assert await a.rows(f"select {expression} as v") == [{"v": value}]


async def test_values_of_own_types_arrive_as_text(database: Server) -> None:
    query(database, "create type mood as enum ('good')")
    query(database, "create type pair as (a int, b text)")
    async with agent(database) as a:
        rows = await a.rows(
            "select 'good'::mood m, array['good'::mood] ms, (1, 'x')::pair p, s from sessions s "
            "right join (values (1)) v on true"
        )
    assert rows == [{"m": "good", "ms": ["good"], "p": "(1,x)", "s": None}]


async def test_json_deeper_than_the_encoder_goes_arrives_as_text(database: Server) -> None:
    async with agent(database) as a:
        (row,) = await a.rows(
            "select (repeat('[', 400) || repeat(']', 400))::jsonb as deep, 1 as n"
        )
    assert row["n"] == 1
    assert json.loads(str(row["deep"]).replace("'", '"'))


async def test_columns_of_the_same_name_do_not_hide_each_other(database: Server) -> None:
    async with agent(database) as a:
        assert await a.rows("select 1 as a, 2 as a, 3 as a_2") == [{"a": 1, "a_3": 2, "a_2": 3}]


async def test_explain_analyze_and_show_are_queries(database: Server) -> None:
    async with agent(database) as a:
        plan = await a.rows("explain (analyze, format json) select * from tasks")
        assert plan[0]["QUERY PLAN"][0]["Plan"]["Node Type"]
        assert await a.rows("show default_transaction_read_only") == [
            {"default_transaction_read_only": "on"}
        ]


async def test_a_write_says_how_many_rows_and_gives_them(database: Server) -> None:
    async with agent(database) as a:
        assert (await a.execute(ADD_SESSION))["command_tag"] == "INSERT 0 1"
        answer = await a.execute(ADD_TASKS)
        assert (answer["affected"], answer["operation"]) == (10, "INSERT")
        assert "rows" not in answer
        answer = await a.execute(
            "update tasks set status = 'DONE' where golden_path returning goal, status"
        )
        assert answer["affected"] == answer["count"] == 5
        assert {row["status"] for row in answer["rows"]} == {"DONE"}
        answer = await a.execute(
            "merge into tasks using (select 'DONE' as status) as d on tasks.status = d.status "
            "when matched then delete"
        )
        assert (answer["affected"], answer["operation"]) == (5, "MERGE")
    assert query(database, "select count(*) from tasks") == [(5,)]


async def test_a_write_to_every_row_is_done_when_confirmed(database: Server) -> None:
    async with agent(database) as a:
        await a.execute(ADD_SESSION)
        refused = await a.execute("delete from sessions")
        assert refused["refused_by"] == "gate"
        assert query(database, "select count(*) from sessions") == [(1,)]
        assert (await a.execute("delete from sessions", confirm=True))["affected"] == 1


async def test_a_failed_write_changes_nothing_and_says_so(database: Server) -> None:
    async with agent(database) as a:
        await a.execute(ADD_SESSION)
        answer = await a.execute(
            "insert into sessions (id, started_at, metadata_blob) "
            f"values (gen_random_uuid(), now(), '{{}}'), ('{SESSION}', now(), '{{}}')"
        )
    assert answer["sqlstate"] == "23505"
    assert answer["outcome"] == "nothing_changed"
    assert "ON CONFLICT" in answer["hint"]
    assert query(database, "select count(*) from sessions") == [(1,)]


async def test_a_deferred_constraint_that_fails_at_commit_is_no_success(database: Server) -> None:
    query(database, "create table public.parent (id int primary key)")
    query(
        database,
        "create table public.child (id int references parent deferrable initially deferred)",
    )
    query(database, "grant all on parent, child to mcp_write")
    async with agent(database) as a:
        answer = await a.execute("insert into child values (7)")
    assert answer["sqlstate"] == "23503"
    assert query(database, "select count(*) from child") == [(0,)]


async def test_the_schema_is_healed_by_the_plans_statements(database: Server) -> None:
    async with agent(database) as a:
        answer = await a.alter("ALTER TABLE tasks ADD COLUMN priority INTEGER DEFAULT 0")
        assert answer["ddl"] == "ALTER TABLE tasks ADD COLUMN priority INTEGER DEFAULT 0"
        assert answer["message"] == "Schema updated successfully"
        answer = await a.call(
            "postgres_schema_alter", query="CREATE INDEX idx_tasks_priority ON tasks (priority)"
        )
        assert answer["operation"] == "CREATE INDEX"
        assert (await a.alter("DROP INDEX CONCURRENTLY idx_tasks_priority"))["success"]
        assert await a.rows("select priority from tasks") == []


async def test_an_index_is_built_concurrently_or_not_at_all(database: Server) -> None:
    async with agent(database) as a:
        assert (await a.alter("create index concurrently ix on tasks (goal)"))["success"]
        assert (await a.alter("create index concurrently ix on tasks (goal)"))[
            "sqlstate"
        ] == "42P07"
        await a.execute(ADD_SESSION)
        await a.execute(ADD_TASKS)
        answer = await a.alter("create unique index concurrently one on tasks (status)")
        assert answer["sqlstate"] == "23505"
    assert query(database, "select relname from pg_class where relname in ('ix', 'one')") == [
        ("ix",)
    ]


async def test_a_table_made_by_the_tool_is_usable_and_can_go_again(database: Server) -> None:
    async with agent(database) as a:
        ddl = "create table notes (id bigint generated always as identity primary key, body text)"
        assert (await a.alter(ddl))["operation"] == "CREATE TABLE"
        assert (await a.execute("insert into notes (body) values ('x')"))["affected"] == 1
        assert await a.rows("select body from notes") == [{"body": "x"}]
        assert (await a.alter("drop table notes"))["refused_by"] == "gate"
        assert (await a.alter("drop table notes", confirm=True))["success"]
        refused = await a.alter("drop table tasks", confirm=True)
    assert refused["sqlstate"] == "42501"
    assert query(database, "select to_regclass('tasks')::text") == [("tasks",)]


@pytest.mark.parametrize("name", BY_NAME)
async def test_a_tool_answers_under_both_of_its_names(database: Server, name: str) -> None:
    write = (
        "insert into files (path, name, size, mtime, is_dir, last_scanned)"
        " values ('p', 'n', 1, 1, false, now())"
    )
    async with agent(database) as a:
        written = (await a.execute(write))["call_id"]
    arguments = {
        "query": {"query": "select 1"},
        "undo": {"call_id": written},
        "call_status": {"call_id": written},
        "execute": {"query": "delete from files where id = 0"},
        "schema_alter": {"ddl": "alter table files add column if not exists size integer"},
        "describe_table": {"table_name": "files"},
        "diagnose": {"sqlstate": "40P01"},
        "fix_missing_column": {"table": "files", "column": "size", "column_type": "integer"},
        "create_performance_index": {"table": "files", "columns": ["path"]},
        "analyze_query_performance": {"query": "select 1"},
    }.get(name.removeprefix("postgres_"), {})
    async with agent(database) as a:
        assert (await a.call(name, **arguments))["success"]


async def test_names_without_prefix_are_listed_on_request_only(database: Server) -> None:
    async with agent(database) as a:
        listed = [tool.name for tool in (await a.client.list_tools()).tools]
    assert listed == [tool.name for tool in TOOLS]
    with_aliases = listed_tools(Settings(list_aliases=True))
    assert len({tool.name for tool in with_aliases}) == 2 * len(TOOLS)


async def test_definitions_are_typed_and_small() -> None:
    tools = listed_tools(Settings())
    for tool in tools:
        assert tool.input_schema["type"] == "object"
        assert tool.output_schema
        assert "success" in tool.output_schema["required"]
        assert tool.annotations
        assert tool.annotations.read_only_hint is (tool.name not in WRITING)
    definitions = json.dumps([tool.model_dump(exclude_none=True) for tool in tools])
    # Fourteen tools, 1.5 kB each: every conversation carries them.
    assert len(definitions) < 22_000


WRITING = (
    "postgres_execute",
    "postgres_schema_alter",
    "postgres_undo",
    "postgres_heal",
    "postgres_fix_missing_column",
    "postgres_create_performance_index",
)


@pytest.mark.parametrize(
    ("tool", "arguments", "part"),
    [
        ("postgres_query", {}, "query: Field required"),
        ("postgres_query", {"query": "select 1", "limit": 0}, "limit"),
        ("postgres_query", {"query": "select 1", "limit": -5}, "limit"),
        ("postgres_query", {"query": "select 1", "row_limit": 5}, "row_limit"),
        ("postgres_query", {"query": ["select 1"]}, "query"),
        ("postgres_schema_alter", {}, "either ddl or query"),
        ("postgres_schema_alter", {"ddl": "x", "query": "y"}, "either ddl or query"),
    ],
)
async def test_wrong_arguments_are_explained(
    database: Server, tool: str, arguments: dict[str, object], part: str
) -> None:
    async with agent(database) as a:
        answer = await a.call(tool, **arguments)
    assert part in answer["error"]
    assert "takes" in answer["hint"]


async def test_an_unknown_tool_is_an_error_of_the_protocol(database: Server) -> None:
    async with Client(build_server(open_access(Settings(), discover=lambda: database))) as client:
        with pytest.raises(MCPError, match="postgres_query"):
            await client.call_tool("postgres_drop_everything", {})


@pytest.mark.parametrize(
    ("sql", "sqlstate", "part"),
    [
        ("select * from tasks where golden_path = 1", "42883", "= true"),
        ("select * from tasks where created_at > datetime('now')", "42883", "now()"),
        ("select rowid from tasks", "42703", "primary key"),
        ('select * from tasks where status = "FAILED"', "42703", "single quotes"),
        ("select * from tasks where metadata_blob like '%x%'", "42883", "::text LIKE"),
        ("select * from tasks where id like '1%'", "42883", "::text LIKE"),
        ("select status, goal from tasks group by status", "42803", "GROUP BY"),
        ("select * from sqlite_master", "42P01", "postgres_list_tables"),
        ("select json_extract(metadata_blob, '$.n') from tasks", "42883", "->>"),
        ("select $1", "42P02", "params"),
    ],
)
async def test_sqlite_dialect_is_answered_with_postgresqls(
    database: Server, sql: str, sqlstate: str, part: str
) -> None:
    async with agent(database) as a:
        answer = await a.query(sql)
    assert answer["sqlstate"] == sqlstate
    assert part in answer["hint"]


async def test_a_delete_through_query_is_refused_by_the_gate_and_by_the_role(
    database: Server,
) -> None:
    async with agent(database) as a:
        await a.execute(ADD_SESSION)
        answer = await a.query("delete from sessions")
        assert (answer["refused_by"], answer["sqlstate"]) == ("gate", "25006")
    async with agent(database, gate=OPEN_GATE) as a:
        answer = await a.query("delete from sessions")
        assert (answer["refused_by"], answer["sqlstate"]) == ("database", "25006")
    with connect(database, "mcp_read") as connection:
        connection.read_only = False
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("delete from sessions")
    assert query(database, "select count(*) from sessions") == [(1,)]


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("set transaction read write", "25001"),
        ("select 1; delete from sessions", "42601"),
        ("begin read write", "25001"),
        ("insert into sessions (id) values (gen_random_uuid())", "25006"),
        ("create table x (i int)", "25006"),
        ("create temporary table x (i int)", "25006"),
        ("set role mcp_heal", "42501"),
        ("set session authorization postgres", "42501"),
        ("copy sessions to program 'id'", "42501"),
        ("select pg_read_file('/etc/passwd')", "42501"),
        ("select * from pg_authid", "42501"),
        ("alter system set log_statement = 'none'", "25001"),
    ],
)
async def test_with_the_gate_off_postgresql_refuses(
    database: Server, sql: str, sqlstate: str
) -> None:
    async with agent(database, gate=OPEN_GATE) as a:
        answer = await a.query(sql)
    assert (answer["refused_by"], answer["sqlstate"]) == ("database", sqlstate)


async def test_writing_cannot_change_the_schema_nor_healing_be_reached_from_it(
    database: Server,
) -> None:
    async with agent(database, gate=OPEN_GATE) as a:
        for sql in ("drop table files", "alter table files add column x int", "set role mcp_heal"):
            assert (await a.execute(sql))["sqlstate"] == "42501", sql


async def test_an_agent_bound_to_a_session_sees_its_rows_alone(database: Server) -> None:
    async with agent(database) as a:
        await a.execute(ADD_SESSION)
        await a.execute(ADD_TASKS)
    other = "22222222-2222-2222-2222-222222222222"
    async with agent(database, session_id=SESSION) as a:
        assert len(await a.rows("select id from tasks")) == 10
    async with agent(database, session_id=other) as a:
        assert await a.rows("select id from tasks") == []
        assert (await a.execute("delete from tasks", confirm=True))["affected"] == 0


def test_the_reference_describes_every_tool_and_argument() -> None:
    page = (CHECKOUT / "docs/reference/mcp-tools.md").read_text()
    for tool in TOOLS:
        assert f"## {tool.name}" in page
        for name, field in tool.arguments.model_fields.items():
            assert f"`{field.alias or name}`" in page


def test_no_sql_is_written_into_the_servers_code() -> None:
    sources = (CHECKOUT / "mcp_server").rglob("*.py")
    long_sql = re.compile(r"(?i)\b(select|insert into|delete from)\b[^\"\n]{40,}\bfrom\b")
    assert [path for path in sources if long_sql.search(Path(path).read_text())] == []
