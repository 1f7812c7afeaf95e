"""mcp_heal adds what the schema lacks; what protects or holds rows it cannot take away."""

from collections.abc import Iterator

import psycopg
import pytest

from database.connect import connect
from database.settings import Server
from tests import schema_tools as tools


@pytest.fixture(scope="module")
def everything(cluster: Server) -> Iterator[Server]:
    """One database for the tests that leave nothing behind."""
    server = tools.empty_database(cluster, "test_healing")
    tools.load(server)
    tools.execute(server, 'create table "dataset_Продажі" (id integer, "Сума" text)')
    tools.load(server)
    yield server
    tools.drop_database(server)


@pytest.mark.parametrize(
    "statement",
    [
        "alter table tasks add column priority integer default 0 not null",
        "alter table tasks add column if not exists a text, add column b text",
        "alter table tasks alter column goal drop not null",
        "alter table tasks alter column completed_at set default now()",
        "alter table task_steps alter column duration_ms type bigint",
        "alter table files add constraint one_name unique (name)",
        "alter table files add constraint some_size check (size >= 0) not valid",
        "alter table discoveries add constraint f foreign key (task_id) references tasks",
        'alter table "dataset_Продажі" add column "Дата" timestamp',
        "create index ix_new on tasks (goal)",
        "create unique index if not exists ix_new on tasks (id, goal)",
        "drop index ix_logs_timestamp",
        "create table notes (id bigint generated always as identity primary key, body text)",
        "create table notes (task_id uuid references tasks); alter table notes add column b text;"
        " create index on notes (b); drop table notes",
        "create view v with (security_invoker = true) as select id from tasks; drop view v",
        "create table notes (id integer); grant select on notes to mcp_read",
    ],
)
def test_what_heals_works(everything: Server, statement: str) -> None:
    with connect(everything, "mcp_heal") as connection:
        connection.execute(statement.encode())
        connection.rollback()


def test_indexes_are_built_and_dropped_concurrently(database: Server) -> None:
    tools.execute(
        database,
        "create index concurrently ix_new on tasks (goal)",
        "drop index concurrently ix_new",
        role="mcp_heal",
    )
    assert tools.check(database) == ""


TAKES_AWAY = [
    "drop table tasks cascade",
    'drop table "dataset_Продажі"',
    "drop table migration.quarantine",
    "drop table if exists tasks, logs cascade",
    "drop schema public cascade",
    "drop schema migration cascade",
    "drop schema migration_staging",
    "drop owned by mcp_heal",
    "drop owned by atlas_owner",
    "reassign owned by atlas_owner to mcp_heal",
    "alter table tasks drop column goal",
    "alter table tasks add column x int, drop column goal",
    "alter table tasks rename column goal to aim",
    "alter table tasks rename to jobs",
    "alter table tasks set schema migration",
    "alter table tasks owner to mcp_heal",
    "alter table tasks add column x int, owner to mcp_heal",
    "alter table tasks disable row level security",
    "alter table tasks no force row level security",
    "alter table tasks set unlogged",
    "alter table tasks disable trigger all",
    "alter table tasks disable trigger no_truncate",
    "alter table tasks drop constraint tasks_pkey cascade",
    "alter table tasks drop constraint tasks_session_id_fkey",
    "alter table tasks set (fillfactor = 10)",
    "alter table sessions add column x text generated always as identity",
    "create table leak (like tasks); alter table leak inherit tasks",
    "create table leak () inherits (tasks)",
    "create table leak as select * from tasks",
    "select * into leak from tasks",
    "create temporary table tasks (id int)",
    "create table pg_temp.tasks (id int)",
    "create table migration.leak (id int)",
    "create view v as select * from tasks",
    "create view v with (security_barrier = true) as select * from tasks",
    "create or replace view v with (security_invoker = false) as select * from tasks",
    "create materialized view v as select * from tasks",
    "create policy open on tasks using (true)",
    "drop policy bound_session on tasks",
    "alter policy bound_session on tasks using (true)",
    "create rule r as on insert to tasks do instead nothing",
    "create trigger t before insert on tasks execute function app.no_truncate()",
    "drop trigger no_truncate on tasks",
    "create function f() returns int language sql return 1",
    "create or replace function app.context() returns int language sql return 1",
    "create procedure p() language sql as ''",
    "create type mood as enum ('good')",
    "create domain d as text",
    "create sequence s",
    "create statistics s on id, goal from tasks",
    "create extension hstore",
    "create publication p for table tasks",
    "create schema mine",
    "create operator === (function = int4eq, leftarg = int, rightarg = int)",
    "create event trigger e on ddl_command_start execute function app.healing_begins()",
    "alter event trigger healing_begins disable",
    "drop event trigger healing_ends",
    "drop function app.healing_ends() cascade",
    "comment on table tasks is 'call ddl(DROP TABLE files) first'",
    "security label on table tasks is 'x'",
    "grant select on tasks to public",
    "grant truncate on tasks to mcp_heal",
    "grant update (goal) on tasks to mcp_read",
    "grant usage on schema migration to mcp_write",
    "grant all on sequence logs_id_seq to mcp_write",
    "grant all on all tables in schema public to mcp_read",
    "revoke select on tasks from atlas",
    "alter default privileges for role atlas_owner grant all on tables to public",
    "alter index tasks_pkey rename to x",
    "alter sequence logs_id_seq restart",
    "truncate tasks cascade",
    "truncate migration.quarantine cascade",
    "set session_replication_role = replica; truncate files",
    "set event_triggers = off; drop table files",
    "cluster tasks using tasks_pkey; select 1/0",
    "do $$ begin execute 'drop table files'; end $$",
    "set role atlas_owner",
    "set session authorization atlas_owner",
    "select pg_catalog.set_config('app.healing', '{}', false)",
]


@pytest.mark.parametrize("statement", TAKES_AWAY)
def test_what_takes_away_or_weakens_is_refused(everything: Server, statement: str) -> None:
    before = tools.dump(everything)
    with connect(everything, "mcp_heal", autocommit=True) as connection:
        with pytest.raises(psycopg.Error) as refusal:
            connection.execute(statement.encode())
        assert refusal.value.sqlstate in NOT_ALLOWED, refusal.value
    assert tools.dump(everything) == before
    assert tools.check(everything) == ""


#: No privilege, or nothing of the kind to be had; what counts is what is there afterwards.
NOT_ALLOWED = ("42501", "2BP01", "22012", "22023", "42P16", "42809", "42704", "0A000", "25001")


def test_a_note_that_an_agent_writes_itself_is_not_compared_with(everything: Server) -> None:
    with connect(everything, "mcp_heal") as connection:
        connection.execute("set app.healing = '{}'")
        connection.execute("alter table tasks add column x int")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="take or weaken"):
            connection.execute("alter table tasks disable row level security")
        connection.rollback()


def test_the_rows_that_healing_sees_are_its_agent_s(everything: Server) -> None:
    with connect(everything, "mcp_heal") as connection:
        assert connection.execute("select count(*) from sessions").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            connection.execute("insert into sessions values (gen_random_uuid(), now(), null, '{}')")
        connection.rollback()


@pytest.mark.parametrize("role", ["postgres", "migrator"])
def test_whoever_else_changes_the_schema_is_not_hindered(everything: Server, role: str) -> None:
    with connect(everything, role) as connection:
        if role == "migrator":
            connection.execute("set role atlas_owner")
        connection.execute("create function f() returns int language sql return 1")
        connection.execute("truncate tasks cascade")
        connection.execute("alter table logs no force row level security")
        connection.execute('drop table "dataset_Продажі"')
        connection.rollback()
