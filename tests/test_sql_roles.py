"""What each login can and cannot do, tried as that login over a connection of its own."""

from collections.abc import Iterator

import psycopg
import pytest

from database.connect import connect
from database.context_key import set_context_key
from database.errors import TargetError
from database.settings import Server
from tests import schema_tools as tools

LOG = "insert into logs (timestamp, level, source, message) values (now(), 'INFO', 'a', 'b')"


@pytest.fixture
def loaded(database: Server) -> Server:
    """A copy of the database as sql/ leaves it."""
    return database


@pytest.fixture(scope="module")
def everything(cluster: Server) -> Iterator[Server]:
    """One database for the tests that leave nothing behind."""
    server = tools.empty_database(cluster, "test_roles")
    tools.load(server)
    set_context_key(server, admin="postgres")
    tools.execute(server, LOG)
    yield server
    tools.drop_database(server)


CAN = [
    ("atlas", LOG),
    ("atlas", "update logs set level = 'DEBUG'"),
    ("atlas", "delete from files"),
    ("atlas", "select last_value from logs_id_seq"),
    ("mcp_read", "select count(*) from logs"),
    ("mcp_read", "select count(*) from migration.quarantine"),
    ("mcp_read", "explain analyze select * from tasks"),
    ("mcp_write", LOG),
    ("mcp_write", "update logs set level = 'DEBUG'"),
    ("mcp_write", "with gone as (delete from logs returning id) select count(*) from gone"),
    ("mcp_heal", "alter table tasks add column mood text"),
    ("mcp_heal", "create index ix_healed on tasks (goal)"),
    ("mcp_heal", "drop index ix_logs_timestamp"),
    ("migrator", "set role atlas_owner"),
]


@pytest.mark.parametrize("role", ["atlas", "migrator"])
def test_long_texts_are_compressed_by_lz4(everything: Server, role: str) -> None:
    """By those who write them; where this PostgreSQL was built with it, as ours are."""
    with connect(everything, role) as connection:
        if role == "migrator":
            connection.execute("set role atlas_owner")
        connection.execute(
            "insert into logs (timestamp, level, source, message) "
            "values (now(), 'INFO', 'long', repeat('long text ', 1000))"
        )
        row = connection.execute(
            "select pg_column_compression(message) from logs where source = 'long'"
        ).fetchone()
        connection.rollback()
        built_with_it = connection.execute(
            "select 'lz4' = any(enumvals) from pg_settings where name = 'default_toast_compression'"
        ).fetchone()
    assert row == ("lz4" if built_with_it == (True,) else "pglz",)


@pytest.mark.parametrize(("role", "statement"), CAN)
def test_what_a_login_is_for_works(everything: Server, role: str, statement: str) -> None:
    with connect(everything, role) as connection:
        if role == "mcp_write":
            tools.begin_call(everything, connection)
        elif role.startswith("mcp_"):
            tools.bind(everything, connection)
        connection.execute(statement.encode())
        connection.rollback()


READ_ONLY, NO_PRIVILEGE = "25006", "42501"
CANNOT = [
    ("atlas", "alter table logs add column x text", NO_PRIVILEGE),
    ("atlas", "create table mine (id integer)", NO_PRIVILEGE),
    ("atlas", "truncate logs", NO_PRIVILEGE),
    ("atlas", "select * from migration.quarantine", NO_PRIVILEGE),
    ("atlas", "create temporary table mine (id integer)", NO_PRIVILEGE),
    ("mcp_read", LOG, READ_ONLY),
    ("mcp_read", f"set transaction read write; {LOG}", NO_PRIVILEGE),
    ("mcp_read", "set transaction read write; delete from logs", NO_PRIVILEGE),
    ("mcp_read", "set transaction read write; select nextval('logs_id_seq')", NO_PRIVILEGE),
    ("mcp_read", "set transaction read write; create temporary table x (i int)", NO_PRIVILEGE),
    ("mcp_read", "select pg_read_file('postgresql.conf')", NO_PRIVILEGE),
    ("mcp_read", "set temp_file_limit = -1", NO_PRIVILEGE),
    *(
        (role, statement, NO_PRIVILEGE)
        for role in ("mcp_read", "mcp_write", "mcp_heal")
        for statement in (
            "select pg_sleep(0)",
            "select pg_sleep_for('0 s')",
            "select pg_advisory_lock(1)",
            "select pg_try_advisory_xact_lock(1, 2)",
            "select set_config('statement_timeout', '0', false)",
            "set transaction read write;"
            " update pg_settings set setting = '0' where name = 'statement_timeout'",
            "select pg_notify('a', 'b')",
            "select pg_cancel_backend(1)",
            "select pg_terminate_backend(1)",
            "select pg_export_snapshot()",
            "select pg_current_xact_id()",
            "select pg_logical_emit_message(false, 'a', 'b')",
            "select lo_create(0)",
            "select lo_from_bytea(0, '')",
            "select query_to_xml('select 1', true, true, '')",
            "select table_to_xml('public.tasks', true, true, '')",
            "select schema_to_xml('public', true, true, '')",
            "select database_to_xml(true, true, '')",
            "select * from ts_stat('select to_tsvector(''a'')')",
            "select ts_rewrite('a', 'select ''a''::tsquery, ''b''::tsquery')",
            "select * from pg_stat_activity",
            "select pg_stat_get_backend_activity(1)",
            "do $$ begin null; end $$",
            "select pg_ls_dir('.')",
            "select lo_import('/etc/passwd')",
            "copy (select 1) to '/tmp/x'",
            "copy (select 1) to program 'true'",
        )
    ),
    ("mcp_read", "set role mcp_write", NO_PRIVILEGE),
    ("mcp_read", "set role atlas_owner", NO_PRIVILEGE),
    ("mcp_read", "set session authorization postgres", NO_PRIVILEGE),
    ("mcp_write", "set role mcp_heal", NO_PRIVILEGE),
    ("mcp_write", "set role atlas_owner", NO_PRIVILEGE),
    ("mcp_write", "truncate logs", NO_PRIVILEGE),
    ("mcp_write", "create table mine (id integer)", NO_PRIVILEGE),
    ("mcp_write", "alter table logs add column x text", NO_PRIVILEGE),
    ("mcp_write", "drop policy bound_session on logs", NO_PRIVILEGE),
    ("mcp_write", "copy logs to program 'true'", NO_PRIVILEGE),
    ("mcp_write", "insert into migration.quarantine default values", NO_PRIVILEGE),
    ("mcp_write", "create function f() returns int language sql return 1", NO_PRIVILEGE),
    ("mcp_heal", "set role atlas_owner", NO_PRIVILEGE),
    ("mcp_heal", "set role mcp_write", NO_PRIVILEGE),
    ("mcp_heal", "create role another", NO_PRIVILEGE),
    ("mcp_heal", "create schema another", NO_PRIVILEGE),
    ("mcp_heal", "grant atlas_owner to mcp_read", NO_PRIVILEGE),
    ("migrator", "select count(*) from public.logs", NO_PRIVILEGE),
    ("migrator", "set role atlas", NO_PRIVILEGE),
]


@pytest.mark.parametrize(("role", "statement", "sqlstate"), CANNOT)
def test_what_a_login_is_not_for_is_refused(
    everything: Server, role: str, statement: str, sqlstate: str
) -> None:
    with connect(everything, role) as connection:
        with pytest.raises(psycopg.Error) as refusal:
            connection.execute(statement.encode())
        assert refusal.value.sqlstate == sqlstate
        connection.rollback()


@pytest.mark.parametrize("role", ["atlas", "migrator"])
def test_the_platform_and_the_migration_may_call_what_acts(everything: Server, role: str) -> None:
    with connect(everything, role) as connection:
        connection.execute("select set_config('work_mem', '8MB', true), pg_sleep(0)")
        connection.execute("select pg_advisory_xact_lock(1), pg_notify('a', 'b')")
        connection.execute("do $$ begin null; end $$")
        connection.rollback()


def test_the_owner_cannot_log_in(cluster: Server) -> None:
    tools.execute(cluster, "alter role atlas_owner password 'x'")
    try:
        with pytest.raises(psycopg.OperationalError, match="not permitted to log in"):
            psycopg.connect(
                host=cluster.host, port=cluster.port, dbname=cluster.database,
                user="atlas_owner", password="x",
            )  # fmt: skip
    finally:
        tools.execute(cluster, "alter role atlas_owner password null")


@pytest.mark.parametrize("role", tools.LOGINS)
def test_every_session_is_in_utc_and_finds_real_tables_first(everything: Server, role: str) -> None:
    assert tools.query(everything, "show timezone", role) == [("UTC",)]
    assert tools.query(everything, "show search_path", role) == [("public, pg_temp",)]


@pytest.mark.parametrize(
    ("role", "setting", "value"),
    [
        ("mcp_read", "default_transaction_read_only", "on"),
        ("mcp_read", "statement_timeout", "30s"),
        ("mcp_read", "temp_file_limit", "1GB"),
        ("mcp_write", "lock_timeout", "5s"),
        ("mcp_heal", "idle_in_transaction_session_timeout", "1min"),
        ("atlas", "idle_session_timeout", "10min"),
        ("migrator", "statement_timeout", "0"),
    ],
)
def test_a_session_begins_with_its_limits(
    everything: Server, role: str, setting: str, value: str
) -> None:
    assert tools.query(everything, f"show {setting}", role) == [(value,)]


def test_a_stranger_is_not_let_in(everything: Server) -> None:
    tools.execute(everything, "create role stranger login password 'x'")
    try:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(
                host=everything.host, port=everything.port, dbname=everything.database,
                user="stranger", password="x",
            )  # fmt: skip
    finally:
        tools.execute(everything, "drop role stranger")


def test_a_table_made_by_the_migration_is_granted_like_the_rest_at_once(loaded: Server) -> None:
    with connect(loaded, "migrator", autocommit=True) as connection:
        connection.execute("set role atlas_owner")
        connection.execute("create temporary table staging (id integer)")
        connection.execute(
            'create table "dataset_Продажі"'
            " (row_id integer generated by default as identity primary key, value text)"
        )
        connection.execute("create function later() returns integer language sql return 1")
    insert = """insert into "dataset_Продажі" (value) values ('x')"""
    tools.execute(loaded, insert, role="atlas")
    with connect(loaded, "mcp_write") as connection:
        tools.begin_call(loaded, connection)
        connection.execute(insert.encode())
        assert tools.end_call(connection) == 1
    assert tools.query(loaded, 'select row_id from "dataset_Продажі"', "mcp_read") == [(1,), (2,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        tools.query(loaded, "select later()", "mcp_read")
    assert tools.check(loaded) == ""
    assert tools.load(loaded) == ""


def test_what_the_healer_changes_stays_within_the_rules(loaded: Server) -> None:
    tools.execute(
        loaded,
        "alter table tasks add column mood text",
        "create index concurrently ix_tasks_goal on tasks (goal)",
        role="mcp_heal",
    )
    before = tools.dump(loaded)
    assert tools.check(loaded) == ""
    assert tools.load(loaded) == ""
    assert tools.dump(loaded) == before


def test_a_table_of_the_healer_is_handed_over_at_the_next_load(loaded: Server) -> None:
    tools.execute(loaded, "create table extra (id integer)", role="mcp_heal")
    with pytest.raises(TargetError, match=r"not owned by atlas_owner .*: public\.extra"):
        tools.check(loaded)
    tools.load(loaded)
    assert tools.check(loaded) == ""


def test_the_logins_together_leave_room_for_an_administrator(cluster: Server) -> None:
    # PostgreSQL's default is 100 connections, of which 3 are a superuser's.
    assert tools.query(
        cluster, "select sum(rolconnlimit) <= 97 from pg_roles where rolconnlimit > 0"
    ) == [(True,)]
