"""Which functions agents may call: the gate and PostgreSQL's rights say the same of every one."""

import pytest

from database.settings import Server
from mcp_server.failure import Failure
from mcp_server.gate import Catalogue, Gate
from mcp_server.gate.statement import Call, Kind
from mcp_server.pools import Capability, Pools
from mcp_server.settings import Settings
from mcp_server.sql import sql_text
from tests import schema_tools as tools
from tests.mcp_clients import OPEN_GATE, agent

pytestmark = pytest.mark.anyio

#: Those that SQL can call: no triggers, no handlers, nothing that takes what SQL cannot give.
CALLABLE = """
    select pg_proc.oid from pg_proc inner join pg_type on pg_type.oid = prorettype
    where not 'internal'::regtype = any (proargtypes) and (typtype <> 'p' or typname in
    ('record', 'void', 'cstring') or typname like 'any%')
"""
# Executable, since defaults of columns and sessions' resetting need them, and refused all the same.
GATE_ALONE = {
    "nextval",
    "setval",
    "pg_advisory_unlock_all",
    "set_context",
    "context",
    "begin_write",
    "end_write",
    # The health check's, not the agents'.
    "sessions",
    "prepared_transactions",
    "sequence_use",
    "replicas",
    "orphan_condition",
    "orphans",
    "slow_statements",
    "built_indexes",
    "suppose_index",
    "suppose_nothing",
}


@pytest.mark.parametrize("login", [Capability.READ, Capability.WRITE])
async def test_the_gate_refuses_what_the_rights_refuse_and_little_more(
    database: Server, login: Capability
) -> None:
    pools = Pools(Settings(), lambda: database)
    async with pools.connection(login, "begin") as connection:
        names = [row[0] for row in await connection.fetch("select distinct proname from pg_proc")]
        rows = await connection.fetch(sql_text("functions"), names, [], [])
        callable_ = {row["oid"] for row in await connection.fetch(CALLABLE)}
        rows = [row for row in rows if row["oid"] in callable_]
        assert len(rows) > 2_500
        catalogue = Catalogue()
        refused = set()
        calls = [Call(Kind.FUNCTION, row["schema"], row["name"], row["least"]) for row in rows]
        for row, call in zip(rows, calls, strict=True):
            try:
                await catalogue.check(connection, login, [call])
            except Failure:
                refused.add(row["function"])
            else:
                assert row["executable"], row["signature"]
    await pools.close()
    allowed_by_rights = {row["function"] for row in rows if row["executable"]}
    forbidden = {row["function"] for row in rows if not row["executable"]}
    assert refused & allowed_by_rights - forbidden <= GATE_ALONE


# (statement, how far it gets with the gate off: PostgreSQL's answer)
HOLES = [
    "select pg_sleep(9)",
    "select PG_CATALOG.Pg_Sleep(9)",
    'select U&"pg\\005fsleep"(9)',
    "select (9::float8).pg_sleep",
    "select x.pg_sleep from cast(9 as float8) as x",
    "select (x).pg_sleep from cast(9 as float8) as x",
    "select (select 9::float8).pg_sleep",
    "select (1).pg_advisory_lock",
    "select 1 order by set_config('a.b', 'c', true)",
    "select set_config(variadic array['a.b', 'c', 'true'])",
    "select * from rows from (generate_series(1, 2), pg_sleep(9))",
    "select * from tasks tablesample system ((select pg_sleep(9) is null)::int)",
    "select * from json_table('[1]', '$[*]' columns (a int path '$' default pg_backend_pid() + "
    "length(pg_read_file('/etc/passwd')) on empty))",
    "select * from xmltable('/a' passing (query_to_xml('select 1', true, false, '')) "
    "columns a text)",
    "select count(*) filter (where pg_try_advisory_lock(1)) from tasks",
    "select sum(1) over (order by pg_sleep(9)::text) from tasks",
    "select percentile_cont(0.5) within group (order by length(pg_sleep(9)::text)) from tasks",
    "with recursive r as (select lo_create(0)) select * from r",
    "values (nextval('logs_id_seq'))",
    "explain (analyze) select pg_notify('a', 'b')",
    "select table_to_xml('tasks', true, false, '')",
    "select ts_rewrite('a', 'select ''a''::tsquery, ''b''::tsquery')",
    "select pg_current_xact_id()",
    "select no_such_function(1, 2)",
    "select dblink.dblink('a')",
]


@pytest.mark.parametrize("sql", HOLES)
async def test_what_acts_is_refused_in_whatever_form_it_is_called(
    database: Server, sql: str
) -> None:
    async with agent(database) as a:
        answer = await a.query(sql)
        assert answer["refused_by"] == "gate", answer
        assert answer["sqlstate"] in ("42501", "42883")
    async with agent(database, gate=OPEN_GATE, statement_timeout_ms=1_000) as a:
        answer = await a.query(sql)
        assert answer["success"] is False, "PostgreSQL has to refuse it as well"
        assert answer["sqlstate"] != "57014"


@pytest.mark.parametrize(
    "made",
    [
        "create function public.acts(int) returns int language sql volatile return $1",
        "create function public.acts(int) returns int language sql security definer stable "
        "return $1",
        "create function public.acts(int) returns int language sql stable return $1; "
        "revoke execute on function public.acts from public",
        "create function public.step(int, int) returns int language sql volatile return $1; "
        "create aggregate public.acts(int) (sfunc = public.step, stype = int)",
    ],
)
async def test_a_function_of_the_site_passes_only_where_it_does_not_act(
    database: Server, made: str
) -> None:
    async with agent(database) as a:
        assert (await a.query("select acts(1)"))["sqlstate"] == "42883"
        tools.execute(database, *made.split("; "))
        # What was unknown is asked again, not remembered.
        answer = await a.query("select acts(1)")
        assert (answer["sqlstate"], answer["refused_by"]) == ("42501", "gate")
        assert (await a.query("select public.acts(v) from (values (1)) v (v)"))[
            "refused_by"
        ] == "gate"


async def test_an_operator_or_a_cast_that_acts_is_refused(database: Server) -> None:
    tools.execute(
        database,
        "create function public.acts(int, int) returns int language sql volatile return $1",
        "create operator public.=== (function = public.acts, leftarg = int, rightarg = int)",
        "create type public.odd as (a int)",
        "create function public.odd_of(int) returns odd language sql volatile return row($1)",
        "create cast (int as public.odd) with function public.odd_of(int)",
    )
    async with agent(database) as a:
        for sql in (
            "select 1 === 2",
            "select 1 operator(public.===) 2",
            "select 1 === any (select 2)",
            "select 1::odd",
            "select cast(1 as public.odd)",
        ):
            answer = await a.query(sql)
            assert (answer["sqlstate"], answer["refused_by"]) == ("42501", "gate"), sql


async def test_a_harmless_function_of_the_site_passes(database: Server) -> None:
    tools.execute(
        database,
        "create function public.twice(int) returns int language sql immutable return 2 * $1",
    )
    async with agent(database) as a:
        assert await a.rows("select twice(2) as v, public.twice(3) as w") == [{"v": 4, "w": 6}]


async def test_names_of_columns_and_types_may_be_written_as_calls(database: Server) -> None:
    async with agent(database) as a:
        for sql in (
            "select goal(tasks) from tasks",
            "select jsonb('[1]')",
            "select t.goal from tasks t",
        ):
            assert (await a.query(sql))["success"], sql


def test_calls_are_found_wherever_the_grammar_hides_them() -> None:
    statement = Gate().query(
        'select (a).f, b.g.h, "K"(1), x.y(variadic z), 1 operator(s.+) 2, 3::s.t'
    )
    assert statement.calls == {
        Call(Kind.ATTRIBUTE, None, "f", 1),
        Call(Kind.ATTRIBUTE, None, "g", 1),
        Call(Kind.ATTRIBUTE, None, "h", 1),
        Call(Kind.FUNCTION, None, "K", 1),
        Call(Kind.FUNCTION, "x", "y", None),
        Call(Kind.OPERATOR, "s", "+"),
        Call(Kind.TYPE, "s", "t"),
    }
