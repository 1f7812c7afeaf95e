"""sql/load.sql makes, repairs and upgrades the schema, and otherwise does nothing."""

import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from database.apply import run_psql
from database.connect import connect
from database.embedded.server import EmbeddedServer
from database.errors import TargetError
from database.settings import Server
from tests import schema_tools as tools

JANUARY = Path(__file__).parent / "fixtures" / "schema_2026_01.sql"


@pytest.fixture
def loaded(database: Server) -> Server:
    """A copy of the database as sql/ leaves it."""
    return database


@pytest.fixture(scope="module")
def whole(cluster: Server) -> str:
    """The schema that each copy begins with, as pg_dump prints it."""
    return tools.dump(cluster)


@pytest.fixture
def empty(cluster: Server) -> Iterator[Server]:
    """A database that sql/ has never been applied to."""
    server = tools.empty_database(cluster, f"test_{uuid.uuid4().hex[:12]}")
    yield server
    tools.drop_database(server)


def rename_in(text: str, server: Server) -> str:
    return text.replace(server.database, "DATABASE")


def test_a_second_run_says_nothing_and_rewrites_no_catalogue_row(loaded: Server) -> None:
    before, schema, roles = tools.catalogue(loaded), tools.dump(loaded), tools.role_facts(loaded)
    assert tools.load(loaded) == ""
    assert tools.load(loaded) == ""
    assert tools.catalogue(loaded) == before
    assert tools.dump(loaded) == schema
    assert tools.role_facts(loaded) == roles


def test_the_first_run_says_nothing_either(empty: Server) -> None:
    assert tools.load(empty) == ""
    assert tools.check(empty) == ""


def test_a_copy_for_a_test_is_as_sql_leaves_it(loaded: Server, whole: str) -> None:
    before = tools.catalogue(loaded)
    rights = """
        select acl::text from pg_database cross join unnest(datacl) as acl
        where datname = current_database() order by 1
    """
    given = tools.query(loaded, rights)
    assert tools.dump(loaded) == whole
    assert tools.load(loaded) == ""
    assert tools.catalogue(loaded) == before
    assert tools.query(loaded, rights) == given
    assert tools.check(loaded) == ""


def test_nothing_of_the_scratch_schemas_stays(loaded: Server) -> None:
    schemas = tools.query(loaded, "select nspname from pg_namespace where nspname ~ '^declared'")
    assert schemas == []


def test_a_run_with_nothing_to_do_waits_for_nobody(loaded: Server) -> None:
    with connect(loaded, "atlas") as reader:
        reader.execute("select count(*) from tasks")
        reader.execute(
            "insert into logs (timestamp, level, source, message) values (now(), 'INFO', 'a', 'b')"
        )
        with connect(loaded, "postgres") as other:
            other.execute("lock table tasks, sessions, logs in row exclusive mode")
            assert tools.load(loaded) == ""


def test_two_runs_at_the_same_time_both_succeed(empty: Server) -> None:
    failures: list[BaseException] = []

    def apply() -> None:
        try:
            tools.load(empty)
        except BaseException as error:  # noqa: BLE001 (reported by the assertion below)
            failures.append(error)

    threads = [threading.Thread(target=apply) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert tools.check(empty) == ""


def test_january_s_schema_ends_as_a_new_one(empty: Server, loaded: Server) -> None:
    run_psql(empty, JANUARY)
    assert tools.load(empty) == ""
    assert rename_in(tools.dump(empty), empty) == rename_in(tools.dump(loaded), loaded)
    assert tools.check(empty) == ""


def test_january_s_rows_get_what_the_platform_would_have_written(empty: Server) -> None:
    run_psql(empty, JANUARY)
    tools.load(empty)
    assert tools.query(empty, "select metadata_blob, parent_task_id, goal from tasks") == [
        ({}, None, "Зібрати звіт")
    ]
    assert tools.query(empty, "select status, arguments ->> 'path' from tool_executions") == [
        ("SUCCESS", "звіт.md")
    ]
    assert tools.query(empty, "select id, session_id from logs order by id") == [
        (1, None),
        (2, None),
    ]


@pytest.mark.parametrize("table", tools.TABLES)
def test_a_lost_table_comes_back(loaded: Server, whole: str, table: str) -> None:
    tools.execute(loaded, f"drop table public.{table} cascade")
    tools.load(loaded)
    assert tools.dump(loaded) == whole
    assert tools.check(loaded) == ""


DAMAGES = {
    "the last column": "alter table tool_executions drop column status",
    "a column in the middle": "alter table logs drop column metadata_blob",
    "a column that policies use": "alter table tasks drop column session_id cascade",
    "a column of a foreign key": "alter table tasks drop column parent_task_id",
    "an identity column": "alter table logs drop column id",
    "an identity": "alter table logs alter column id drop identity",
    "a default": "alter table migration.run alter column started_at drop default",
    "not null": "alter table tasks alter column goal drop not null",
    "nullability": "alter table tasks alter column completed_at set not null",
    "a length put on": "alter table task_steps alter column tool type varchar(100)",
    "a primary key": "alter table sessions drop constraint sessions_pkey cascade",
    "a unique constraint": "alter table files drop constraint files_path_key",
    "a foreign key": "alter table kg_edges drop constraint kg_edges_source_id_fkey",
    "a check": "alter table migration.run drop constraint run_status_check",
    "another rule under a declared name": (
        "alter table kg_edges drop constraint kg_edges_source_id_fkey, add constraint"
        " kg_edges_source_id_fkey foreign key (source_id) references kg_nodes on delete cascade"
    ),
    "an index": "drop index ix_logs_timestamp",
    "another index under a declared name": (
        "drop index ix_logs_timestamp; create index ix_logs_timestamp on logs (level)"
    ),
    "an invalid index": (
        "update pg_index set indisvalid = false where indexrelid = 'ix_logs_timestamp'::regclass"
    ),
    "a comment": "comment on table tasks is null",
    "a comment of a column": "comment on column logs.session_id is 'something else'",
    "a function": "drop function app.context() cascade",
    "another function under a declared name": (
        "create or replace function app.set_context(sealed text) returns boolean"
        " language sql return true"
    ),
    "a schema": "drop schema app cascade",
    "the migration's schema": "drop schema migration cascade",
    "a policy": "drop policy bound_session on tasks",
    "a wider policy": "alter policy bound_session on tasks using (true)",
    "a policy for others": "alter policy bound_session on tasks to mcp_read",
    "a policy in the graph": "alter policy bound_session on kg_nodes using (task_id is null)",
    "the quarantine's policies": "alter table migration.quarantine disable row level security",
    "a policy too many": "create policy hide on tasks as restrictive using (false)",
    "row-level security": "alter table tasks disable row level security",
    "its force": "alter table tasks no force row level security",
    "row-level security where none belongs": ("alter table app.agent enable row level security"),
    "a grant": "revoke select on tasks from mcp_read",
    "a grant too many": "grant delete on tasks to mcp_read",
    "a grant option": "grant select on tasks to mcp_read with grant option",
    "a grant on a column": "grant update (goal) on tasks to mcp_read",
    "a grant to everybody": "grant select on tasks to public",
    "a grant on a sequence": "revoke usage on sequence logs_id_seq from atlas",
    "a grant on a schema": "revoke usage on schema public from atlas",
    "a schema for everybody": "grant usage, create on schema public to public",
    "a schema's creator too many": "grant create on schema public to mcp_write",
    "a function for everybody": "grant execute on function app.context() to public",
    "a function for nobody": "revoke execute on function app.context() from mcp_write",
    "the quarantine for writers": "grant insert on migration.quarantine to mcp_write",
    "default privileges": (
        "alter default privileges for role atlas_owner in schema public"
        " revoke select on tables from mcp_read"
    ),
    "default privileges too many": (
        "alter default privileges for role atlas_owner in schema public"
        " grant delete on tables to mcp_read"
    ),
    "functions for everybody by default": (
        "alter default privileges for role atlas_owner grant execute on functions to public"
    ),
    "an owner": "alter table tasks owner to mcp_write",
    "a function's owner": "alter function app.context() owner to postgres",
    "a schema's owner": "alter schema migration owner to postgres",
    "the guard's schema to the owner": "alter schema app owner to atlas_owner",
    "the guard's function to the owner": "alter function app.context() owner to atlas_owner",
    "the key to the owner": "alter table app.context_key owner to atlas_owner",
    "the key for readers": "grant select on app.context_key to mcp_read",
    "a column of the key for readers": "grant select (inner_block) on app.context_key to mcp_read",
    "what agents see for agents": "grant update on app.agent to mcp_write",
    "the caller's rights": "alter function app.context() security invoker",
    "a function that acts": "grant execute on function pg_sleep(float8) to public",
    "a function that acts, for agents": "grant execute on function pg_notify to mcp_write",
    "a function that acts, for nobody": "revoke all on function set_config from atlas_functions",
    "a language for everybody": "grant usage on language plpgsql to public",
    "a trigger": "drop trigger no_truncate on tasks",
    "a trigger switched off": "alter table tasks disable trigger no_truncate",
    "an image's trigger": "drop trigger row_image on tasks",
    "an image's trigger switched off": "alter table logs disable trigger row_image",
    "an image's trigger for nobody": (
        "drop trigger row_image on tasks; create trigger row_image after insert or update or delete"
        " on tasks for each row when (false) execute function audit.image()"
    ),
    "an image's trigger for some writes": (
        "drop trigger row_image on tasks; create trigger row_image after insert or update of goal"
        " on tasks for each row when (session_user in ('mcp_write', 'mcp_heal'))"
        " execute function audit.image()"
    ),
    "a record that can be changed": "drop trigger no_change on audit.call",
    "a record that can be truncated": "alter table audit.written disable trigger no_truncate",
    "a call that has no end": "drop trigger no_open_end on audit.written",
    "records for agents": "grant select on audit.call to mcp_read",
    "records for the platform": "grant usage on schema audit to atlas",
    "records by agents": "grant execute on function audit.append(jsonb) to mcp_write",
    "records by everybody": "grant execute on function audit.append(jsonb) to public",
    "records by the owner": "grant insert on audit.row_image to atlas_owner",
    "records for nobody": "revoke execute on function audit.append(jsonb) from mcp_audit",
    "calls for nobody": "revoke execute on function audit.begin_write(text) from mcp_write",
    "the audit to the owner": "alter table audit.row_image owner to atlas_owner",
    "the audit's function to the owner": "alter function audit.image() owner to atlas_owner",
    "the audit's function with the caller's rights": (
        "alter function audit.append(jsonb) security invoker"
    ),
    "the audit's function on the caller's path": "alter function audit.image() reset search_path",
    "another image": (
        "create or replace function audit.image() returns trigger language plpgsql"
        " as 'begin return null; end'"
    ),
    "the audit": "drop schema audit cascade",
    "new tables without images": "alter event trigger audit_follows disable",
    "an event trigger": "drop event trigger healing_ends",
    "an event trigger switched off": "alter event trigger healing_begins disable",
    "the caller's path": "alter function app.context() reset search_path",
    "rows put back with an owner's rights": (
        "alter function ops.replay(bigint, jsonb) security definer"
    ),
    "orphans moved with an owner's rights": (
        "alter function ops.quarantine_orphans(oid, jsonb, bigint) security definer"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damage_is_found_by_the_checks_and_repaired(
    loaded: Server, whole: str, damage: str
) -> None:
    tools.execute(loaded, damage)
    with pytest.raises(TargetError):
        tools.check(loaded)
    assert tools.load(loaded) == ""
    assert tools.in_any_order(tools.dump(loaded)) == tools.in_any_order(whole)
    assert tools.check(loaded) == ""


ROLE_DAMAGES = {
    "too many connections": "alter role mcp_heal connection limit -1",
    "no login": "alter role atlas nologin",
    "a login for the owner": "alter role atlas_owner login",
    "superuser": "alter role mcp_read superuser",
    "exempt from policies": "alter role mcp_read bypassrls",
    "may create roles": "alter role mcp_write createrole createdb",
    "another time zone": "alter role atlas set timezone = 'Europe/Kyiv'",
    "writes by default": "alter role mcp_read reset default_transaction_read_only",
    "another path": "alter role mcp_read set search_path = pg_temp, public",
    "a setting too many": "alter role mcp_write set work_mem = '1GB'",
    "no time limit": "alter role mcp_read set statement_timeout = 0",
    "a climb": "grant mcp_write to mcp_read",
    "a climb to the owner": "grant atlas_owner to mcp_write",
    "a predefined role": "grant pg_read_server_files to mcp_read",
    "an inheriting migrator": "grant atlas_owner to migrator with inherit true",
    "a healer who becomes the owner": "grant atlas_owner to mcp_heal with set true",
    "a healer without ownership": "revoke atlas_owner from mcp_heal",
    "a member of the guard": "grant atlas_guard to mcp_read with inherit false, set true",
    "the owner a member of the guard": "grant atlas_guard to atlas_owner",
    "a recorder of the guard": "grant atlas_guard to mcp_audit",
    "a recorder who waits for the disk": "alter role mcp_audit reset synchronous_commit",
    "functions for agents": "grant atlas_functions to mcp_write",
    "an admin option": "grant atlas_owner to migrator with admin option",
}


@pytest.mark.parametrize("damage", ROLE_DAMAGES.values(), ids=ROLE_DAMAGES.keys())
def test_a_changed_role_is_found_by_the_checks_and_put_right(loaded: Server, damage: str) -> None:
    def facts() -> set[str]:
        return {str(sorted(map(str, row))) for row in map(list, tools.role_facts(loaded))}

    before = facts()
    tools.execute(loaded, damage)
    try:
        with pytest.raises(TargetError):
            tools.check(loaded)
    finally:
        # Roles are the whole cluster's: the other tests need them as they were.
        tools.load(loaded)
    assert len(before) == len(facts())
    assert tools.check(loaded) == ""


def test_a_lost_role_comes_back_with_its_rights(loaded: Server, cluster: Server) -> None:
    tools.execute(loaded, "alter role mcp_read rename to lost")
    try:
        tools.load(loaded)
        assert tools.check(loaded) == ""
    finally:
        tools.execute(loaded, "drop owned by mcp_read", "drop role mcp_read")
        tools.execute(loaded, "alter role lost rename to mcp_read")
        tools.load(loaded)
    assert tools.check(loaded) == ""


def test_what_others_added_stays(loaded: Server) -> None:
    tools.execute(
        loaded,
        "alter table tasks add column mood text default 'calm'",
        "create index ix_mine on tasks (goal)",
        "alter table logs alter column level set default 'INFO'",
        "alter table tasks add constraint goal_is_said check (goal <> '')",
    )
    before = tools.dump(loaded)
    assert tools.load(loaded) == ""
    assert tools.dump(loaded) == before
    assert tools.check(loaded) == ""


def test_a_changed_type_is_reported_and_left(loaded: Server) -> None:
    tools.execute(loaded, "alter table files alter column size type bigint")
    assert "column public.files.size is bigint, and declared as integer" in tools.load(loaded)
    assert tools.query(
        loaded,
        "select atttypid::regtype::text from pg_attribute"
        " where attrelid = 'files'::regclass and attname = 'size'",
    ) == [("bigint",)]


def test_a_table_that_turns_up_is_owned_and_granted_like_the_rest(loaded: Server) -> None:
    tools.execute(
        loaded,
        'create table "dataset_Продажі" (row_id integer generated by default as identity)',
        "create view totals with (security_invoker = true) as select 1 as one",
    )
    tools.load(loaded)
    assert tools.check(loaded) == ""
    assert tools.query(loaded, 'select count(*) from "dataset_Продажі"', "mcp_read") == [(0,)]
    tools.execute(loaded, 'insert into "dataset_Продажі" default values', role="atlas")


def test_a_table_that_turns_up_leaves_images_from_then_on(loaded: Server) -> None:
    tools.execute(
        loaded,
        "alter event trigger audit_follows disable",
        "set role atlas_owner",
        "create table unseen (id integer)",
        "create table parts (id integer) partition by list (id)",
        "create table part partition of parts default",
        "reset role",
        "alter event trigger audit_follows enable",
    )
    with pytest.raises(TargetError, match=r"without an image: .*parts.*unseen"):
        tools.check(loaded)
    assert tools.load(loaded) == ""
    assert tools.check(loaded) == ""
    assert tools.query(
        loaded,
        "select tgrelid::regclass::text from pg_trigger where tgname = 'row_image'"
        " and tgrelid::regclass::text in ('unseen', 'parts', 'part') order by 1",
    ) == [("part",), ("parts",), ("unseen",)]


def test_a_column_that_nobody_can_invent_stops_the_run_and_nothing_is_changed(
    loaded: Server,
) -> None:
    tools.execute(
        loaded,
        "insert into sessions values (gen_random_uuid(), now(), null, '{}')",
        "insert into tasks select gen_random_uuid(), id, 'goal', 'PENDING', false, now(), null,"
        " '{}' from sessions",
        "alter table tasks drop column goal",
        "drop index ix_logs_timestamp",
    )
    before = tools.dump(loaded)
    with pytest.raises(TargetError, match='column "goal" of relation "tasks"'):
        tools.load(loaded)
    assert tools.dump(loaded) == before


def test_an_identity_that_is_added_again_continues_after_the_rows(loaded: Server) -> None:
    entry = "insert into logs (timestamp, level, source, message) values (now(), 'INFO', 'a', 'b')"
    tools.execute(loaded, entry, entry, entry, "alter table logs alter column id drop identity")
    tools.load(loaded)
    tools.execute(loaded, entry, role="atlas")
    assert tools.query(loaded, "select max(id) from logs") == [(4,)]


def test_an_extension_keeps_its_own_rights_but_on_functions_that_act(loaded: Server) -> None:
    tools.execute(
        loaded,
        "drop extension pg_stat_statements",
        "create extension pg_stat_statements schema public",
        "create extension dblink",
    )
    granted = """
        select relname, relacl::text from pg_class where relname like 'pg_stat_statements%'
        order by 1
    """
    before = tools.query(loaded, granted)
    with pytest.raises(TargetError, match=r"mcp_read may call public\.dblink"):
        tools.check(loaded)
    assert tools.load(loaded) == ""
    assert tools.query(loaded, granted) == before
    assert tools.check(loaded) == ""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        tools.query(loaded, "select dblink_connect('x')", "mcp_read")
    after = tools.dump(loaded)
    assert tools.load(loaded) == ""
    assert tools.dump(loaded) == after


def test_an_administrator_who_is_no_superuser_can_apply_it() -> None:
    # Not pytest's own folder: the server's user cannot enter it.
    directory = Path(tempfile.mkdtemp(prefix="atlas-managed-"))
    directory.chmod(0o755)
    instance = EmbeddedServer(directory, options={"fsync": "off"})
    try:
        server = instance.start().with_database("postgres")
        secret = server.secrets_dir / "dba_password"
        secret.write_text("managed")
        secret.chmod(0o600)
        tools.execute(server, "create role dba login createrole createdb password 'managed'")
        managed = tools.empty_database(server, "managed", owner="dba")
        assert tools.load(managed, admin="dba") == ""
        assert tools.check(managed, admin="dba") == ""
        before = tools.catalogue(managed)
        assert tools.load(managed, admin="dba") == ""
        assert tools.catalogue(managed) == before
        assert tools.load(managed) == "", "a superuser finds nothing to do but its own limits"
        tools.execute(managed, "alter table tasks drop column metadata_blob cascade")
        assert tools.load(managed, admin="dba") == ""
        assert tools.check(managed, admin="dba") == ""
    finally:
        instance.remove()
