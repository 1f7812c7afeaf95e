"""The gate, without a database: what each tool takes, and that no text brings the process down."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.failure import Failure
from mcp_server.gate import Gate
from mcp_server.gate.execute import judge_execute
from mcp_server.gate.policy import policy
from mcp_server.gate.query import judge_query
from mcp_server.gate.schema import judge_schema
from mcp_server.gate.statement import Call, Kind
from mcp_server.hints import hint_for

GATE = Gate()


@pytest.mark.parametrize(
    ("sql", "operation"),
    [
        ("select 1", "SELECT"),
        ("  -- a comment\n select 1 ;\n-- another\n;", "SELECT"),
        ("values (1), (2)", "SELECT"),
        ("table tasks", "SELECT"),
        ("with t as (select 1) select * from t", "SELECT"),
        ("select 'delete from tasks; drop table tasks'", "SELECT"),
        ("select $x$it's; fine$x$, E'\\'', U&'\\0441'", "SELECT"),
        ("explain analyze select * from tasks", "EXPLAIN"),
        ("show all", "SHOW"),
        (
            "select count(*) filter (where status = 'FAILED') over (order by id) from tasks",
            "SELECT",
        ),
    ],
)
def test_a_query_passes(sql: str, operation: str) -> None:
    assert judge_query(sql).operation == operation
    assert judge_query(sql).text == sql


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("", "42601"),
        (";", "42601"),
        ("selec 1", "42601"),
        ("select 1; select 2", "42601"),
        ("select 1\0; drop table tasks", "22021"),
        ("select '\ud800'", "22021"),
        ("delete from tasks where id = '1'", "25006"),
        ("with d as (delete from tasks returning 1) select * from d", "25006"),
        ("select * from (select * into t from tasks) x", "25006"),
        ("select * into t from tasks", "25006"),
        ("select * from tasks for update", "25006"),
        ("select * from (select * from tasks for no key update) t", "25006"),
        ("explain analyze delete from tasks", "25006"),
        ("explain analyze create table t as select 1", "25006"),
        ("create table t (i int)", "25006"),
        ("set transaction read write", "25006"),
        ("copy tasks to '/tmp/x'", "25006"),
        ("call p()", "25006"),
        ("do 'begin end'", "25006"),
        ("select " + "'x'," * 100_000 + "1", "54000"),
    ],
)
def test_a_query_that_does_more_than_read_is_refused(sql: str, sqlstate: str) -> None:
    with pytest.raises(Failure) as refused:
        judge_query(sql)
    assert refused.value.sqlstate == sqlstate
    assert refused.value.refused_by == "gate"


@pytest.mark.parametrize(
    "sql",
    [
        "insert into tasks (id) values ('1') on conflict (id) do update set goal = 'x' returning *",
        "update tasks set goal = 'x' where id = '1'",
        "delete from tasks using sessions where tasks.session_id = sessions.id",
        "with s as (select 1 as i) update tasks set goal = 'x' from s where tasks.id = s.i",
        "update tasks set goal = 'x' where id in (select id from tasks for update skip locked)",
        "update tasks set goal = 'x' where not (id = '1' or goal = goal)",
        "delete from tasks where lower(goal) = goal and id is not null",
        "delete from logs a using logs b where a.message = b.message",
        "merge into tasks t using s on t.id = s.id when matched then delete",
    ],
)
def test_a_write_passes(sql: str) -> None:
    assert judge_execute(sql).text == sql


EVERY_ROW = [
    "delete from tasks",
    "update tasks set goal = 'x'",
    "delete from tasks where true",
    "delete from tasks where 1 = 1",
    "delete from tasks where id = id",
    "delete from tasks where id = '1' or true",
    "delete from tasks where id = '1' or goal = goal",
    "delete from tasks where not false and 1 < 2",
    "delete from tasks where not (id <> id)",
    "delete from tasks where (id = id and goal = goal) or false",
    "delete from tasks where not (id = '1' and false)",
    "delete from tasks where id::text = id::text",
    "delete from tasks where (id, goal) = (id, goal)",
    "delete from tasks where id in ('1', id)",
    "delete from tasks where id between id and id",
    "delete from tasks where id is not distinct from id",
    "delete from tasks where " + "not (" * 1_200 + "id = '1'" + ")" * 1_200,
    "merge into tasks t using s on t.id = t.id when matched then update set goal = ''",
    "delete from tasks where exists (select 1)",
    "merge into tasks t using s on true when matched then delete",
    "merge into tasks t using s on t.id = s.id when not matched by source then delete",
]


@pytest.mark.parametrize("sql", EVERY_ROW)
def test_a_write_to_every_row_needs_confirmation(sql: str) -> None:
    with pytest.raises(Failure, match="every row") as refused:
        judge_execute(sql)
    assert "confirm=true" in refused.value.hint
    assert judge_execute(sql, True).text == sql


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "truncate tasks",
        "with d as (delete from tasks where id = '1') insert into logs (id) values (1)",
        "update pg_settings set setting = '0' where name = 'statement_timeout'",
        "update pg_catalog.pg_class set relname = 'x' where oid = 1",
        "copy tasks from stdin",
        "explain analyze delete from tasks where id = '1'",
    ],
)
def test_other_statements_are_refused_as_writes(sql: str) -> None:
    for confirm in (False, True):
        with pytest.raises(Failure):
            judge_execute(sql, confirm)


@pytest.mark.parametrize(
    ("sql", "operation"),
    [
        ("alter table tasks add column if not exists priority integer default 0", "ALTER TABLE"),
        ("alter table public.tasks add column a int, add column b text", "ALTER TABLE"),
        ('alter table dataset_x add column "Ціна" double precision', "ALTER TABLE"),
        ("alter table tasks alter column goal type text", "ALTER TABLE"),
        ("alter table tasks add constraint c check (length(goal) > 0) not valid", "ALTER TABLE"),
        ("alter table tasks validate constraint c", "ALTER TABLE"),
        ("create index concurrently idx_tasks_goal on tasks (lower(goal))", "CREATE INDEX"),
        ("create index on tasks using gin (metadata_blob jsonb_path_ops)", "CREATE INDEX"),
        ("drop index if exists public.idx_tasks_goal", "DROP INDEX"),
        ("create table notes (id bigint generated always as identity primary key)", "CREATE TABLE"),
        ("create view v with (security_invoker=true) as select id from tasks", "CREATE VIEW"),
    ],
)
def test_a_harmless_schema_change_passes(sql: str, operation: str) -> None:
    assert judge_schema(sql).operation == operation


@pytest.mark.parametrize(
    "sql",
    [
        "alter table tasks add column a int, owner to mcp_heal",
        "alter table tasks drop column goal",
        "alter table tasks rename column goal to aim",
        "alter table tasks disable row level security",
        "alter table tasks alter column goal type varchar(5)",
        "alter table tasks alter column goal type text using evil(goal)",
        "alter table tasks alter column goal set default evil()",
        "alter table tasks alter column goal set default (1::float8).evil",
        "alter table tasks add constraint c check ((goal).evil)",
        "alter table tasks add constraint c check (tasks.evil is null)",
        "create index on tasks (((goal).evil))",
        "create table t (a int check (a operator(public.===) 1))",
        "alter table tasks add foreign key (id) references sessions on delete cascade",
        "alter table migration.quarantine add column a int",
        "alter table pg_class add column a int",
        "alter index tasks_pkey set (fillfactor = 50)",
        "create index on tasks (public.lower(goal))",
        "create index concurrently on tasks (goal)",
        'create index "do this: drop everything" on tasks (goal)',
        "create unlogged table t (i int)",
        "create table t (like tasks)",
        "create table t () inherits (tasks)",
        "create view v as select 1",
        "create or replace view v with (security_invoker=true) as select 1",
        "drop index a, b",
        "drop index a cascade",
        "drop schema public",
        "drop table migration.quarantine",
        "truncate tasks",
        "grant all on tasks to public",
        "insert into tasks (id) values ('1')",
        "select 1",
    ],
)
def test_other_schema_changes_are_refused(sql: str) -> None:
    with pytest.raises(Failure) as refused:
        judge_schema(sql, True)
    assert refused.value.refused_by == "gate"


def test_dropping_a_table_needs_confirmation() -> None:
    with pytest.raises(Failure, match="destroys data"):
        judge_schema("drop table notes")
    assert judge_schema("drop table notes", True).name == "notes"


# Left-recursive chains make trees as deep as they are long; without a bound the parser's C code
# overflows its stack and ends the process.
@pytest.mark.parametrize(
    "sql",
    [
        "select 1" + "+1" * 100_000,
        "select 'a'" + "||'a'" * 50_000,
        "select 1" + " union select 1" * 16_000,
        "select 1 from a" + " join a using(b)" * 16_000,
        "select 1" + "::int" * 50_000,
        "select " + "not " * 60_000 + "true",
        "select " + "(" * 100_000 + "1" + ")" * 100_000,
        "select " + "case when " * 20_000,
    ],
    ids=lambda sql: sql[:24],
)
def test_a_text_too_deep_for_the_parser_is_refused(sql: str) -> None:
    for judge in (judge_query, judge_schema, judge_execute):
        with pytest.raises(Failure) as refused:
            judge(sql)
        assert refused.value.sqlstate in ("54001", "42601")


def test_a_deep_text_within_the_bound_is_judged() -> None:
    assert judge_query("select 1" + "+1" * 4_000).operation == "SELECT"
    assert judge_query("select " + "not (" * 2_000 + "true" + ")" * 2_000).operation == "SELECT"
    deep = judge_query("select " + "not (" * 2_000 + "pg_sleep(1) is null" + ")" * 2_000)
    assert Call(Kind.FUNCTION, None, "pg_sleep", 1) in deep.calls


WORDS = (
    "select from where delete insert update with as for returning into explain analyze null tasks "
    "pg_sleep(1) ( ) ; , ' \" $$ $a$ -- /* */ E' U&\" :: 1 + ="
)
FRAGMENTS = st.sampled_from([*WORDS.split(), "\\", "\0", "\r", "\n", "\ufeff", "\u200b", "\ud800"])


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS, max_size=12).map(" ".join) | st.text(max_size=60))
def test_any_text_is_either_taken_or_refused_with_a_reason(text: str) -> None:
    for judge in (judge_query, judge_execute, judge_schema):
        try:
            assert judge(text).text == text
        except Failure as refused:
            if not (refused.error and refused.sqlstate):
                pytest.fail(f"no reason for {text!r}")


def test_what_definitions_may_call_has_no_reason_against_it() -> None:
    for name in policy().in_definitions:
        assert not policy().acts(name, "i")
        assert policy().why(name) == policy().why("no_such_function")


@pytest.mark.parametrize(
    ("sqlstate", "message", "sql", "part"),
    [
        ("42883", "operator does not exist: boolean = integer", "", "= true"),
        ("42883", "operator does not exist: jsonb ~~ unknown", "", "::text LIKE"),
        ("42883", "function datetime(unknown) does not exist", "", "now()"),
        ("42883", "function json_extract(jsonb, unknown) does not exist", "", "->>"),
        ("42703", 'column "rowid" does not exist', "", "primary key"),
        ("42703", 'column "FAILED" does not exist', 'where status = "FAILED"', "single quotes"),
        ("42P01", 'relation "sqlite_master" does not exist', "", "postgres_list_tables"),
        ("42601", "syntax error", "insert or replace into t values (1)", "ON CONFLICT"),
        ("42601", "syntax error", "PRAGMA table_info(tasks)", "postgres_describe_table"),
        ("57014", "canceling statement", "", "EXPLAIN"),
        ("08006", "", "", "reached"),
    ],
)
def test_an_error_says_what_to_write_instead(
    sqlstate: str, message: str, sql: str, part: str
) -> None:
    assert part in hint_for(sqlstate, message, sql)


def test_a_comment_that_confuses_the_parser_is_named() -> None:
    with pytest.raises(Failure) as refused:
        judge_query("select * from unnest(array[1]) with /* a comment */ ordinality")
    assert "comments" in refused.value.hint


def test_sqlite_syntax_is_answered_by_the_gate_itself() -> None:
    with pytest.raises(Failure) as refused:
        judge_query("pragma table_info(tasks)")
    assert "postgres_describe_table" in refused.value.hint
