"""With the database alone: no agent's row is written without an image, and no record is forged."""

import json
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from database.apply import set_passwords
from database.connect import connect
from database.context_key import set_context_key
from database.settings import Server
from tests import schema_tools as tools

Connection = psycopg.Connection[tuple[object, ...]]

ADD_FILE = (
    "insert into files (path, name, size, mtime, is_dir, last_scanned)"
    " values (gen_random_uuid()::text, 'n', 1, 1, false, now())"
)
AGENTS = ("mcp_read", "mcp_write", "mcp_heal")


@pytest.fixture(scope="module")
def audited(cluster: Server) -> Iterator[Server]:
    """A database with tables of every kind that agents might write."""
    server = tools.empty_database(cluster, "test_audit")
    tools.load(server)
    set_context_key(server, admin="postgres")
    tools.execute(
        server,
        "create table parents (id integer primary key)",
        "create table cascading (id integer primary key,"
        " parent_id integer references parents on delete cascade on update cascade)",
        "create table emptied (id integer primary key,"
        " parent_id integer references parents on delete set null)",
        "create table parts (id integer, at integer, primary key (id, at)) partition by range (at)",
        "create table parts_1 partition of parts for values from (0) to (10)",
        "create table parts_2 partition of parts for values from (10) to (20)",
        "create table base (id integer primary key)",
        "create table derived () inherits (base)",
        "create view shown with (security_invoker = true) as select id from parents",
    )
    tools.load(server)
    assert tools.check(server) == ""
    tools.execute(
        server,
        "insert into parents values (1), (2)",
        "insert into cascading values (11, 1), (12, 1), (13, 2)",
        "insert into emptied values (21, 1)",
        "insert into parts values (1, 1), (2, 12)",
        "insert into base values (1)",
        "insert into derived values (2)",
    )
    yield server
    tools.drop_database(server)
    set_passwords(cluster)


def images(server: Server, connection: Connection, call: str) -> list[tuple[object, ...]]:
    """The images of a call that is still open: read by the owner, in the same transaction."""
    del server
    connection.execute("set session authorization default")
    return connection.execute(
        "select table_name, operation, before, after from audit.row_image"
        " where call_id = %s order by position",
        [call],
    ).fetchall()


def written(server: Server, *statements: str) -> list[tuple[object, ...]]:
    """The images that statements of a call leave behind; afterwards everything is as before."""
    with connect(server, "postgres") as connection:
        connection.execute("set session authorization mcp_write")
        call = tools.begin_call(server, connection)
        for statement in statements:
            connection.execute(statement.encode())
        count = tools.end_call(connection)
        found = images(server, connection, call)
        assert len(found) == count
        connection.rollback()
    return found


def test_each_row_is_kept_before_and_after(audited: Server) -> None:
    assert written(
        audited,
        "insert into parents values (3)",
        "update parents set id = 4 where id = 3",
        "delete from parents where id = 4",
    ) == [
        ("public.parents", "INSERT", None, {"id": 3}),
        ("public.parents", "UPDATE", {"id": 3}, {"id": 4}),
        ("public.parents", "DELETE", {"id": 4}, None),
    ]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (
            "delete from parents where id = 1",
            {
                ("public.cascading", "DELETE", 2),
                ("public.emptied", "UPDATE", 1),
                ("public.parents", "DELETE", 1),
            },
        ),
        (
            "update parents set id = 9 where id = 2",
            {("public.cascading", "UPDATE", 1), ("public.parents", "UPDATE", 1)},
        ),
        (
            "update parts set at = 15 where at = 1",
            {("public.parts_1", "DELETE", 1), ("public.parts_2", "INSERT", 1)},
        ),
        ("insert into parts values (3, 3)", {("public.parts_1", "INSERT", 1)}),
        ("delete from parts_2", {("public.parts_2", "DELETE", 1)}),
        (
            "delete from base where id > 0",
            {("public.base", "DELETE", 1), ("public.derived", "DELETE", 1)},
        ),
        ("insert into shown values (5)", {("public.parents", "INSERT", 1)}),
        (
            "merge into parents using (values (2), (7)) as v (id) on parents.id = v.id"
            " when matched then delete when not matched then insert values (v.id)",
            {
                ("public.parents", "INSERT", 1),
                ("public.parents", "DELETE", 1),
                ("public.cascading", "DELETE", 1),
            },
        ),
        (
            "insert into parents values (1), (8) on conflict (id) do update set id = 30",
            {
                ("public.parents", "INSERT", 1),
                ("public.parents", "UPDATE", 1),
                ("public.cascading", "UPDATE", 2),
                ("public.emptied", "UPDATE", 1),
            },
        ),
        (
            "with gone as (delete from derived returning id) insert into parents select id + 50"
            " from gone",
            {("public.derived", "DELETE", 1), ("public.parents", "INSERT", 1)},
        ),
    ],
)
def test_rows_that_are_written_by_the_way_are_kept_too(
    audited: Server, statement: str, expected: set[tuple[str, str, int]]
) -> None:
    if "do update" in statement:
        # ON UPDATE of emptied is NO ACTION.
        statement = statement.replace("(1), (8)", "(2), (8)")
        expected = {
            ("public.parents", "INSERT", 1),
            ("public.parents", "UPDATE", 1),
            ("public.cascading", "UPDATE", 1),
        }
    found = [(table, operation) for table, operation, _, _ in written(audited, statement)]
    assert {(*kind, found.count(kind)) for kind in found} == expected


def test_copy_leaves_images_too(audited: Server) -> None:
    with connect(audited, "mcp_write") as connection:
        tools.begin_call(audited, connection)
        with connection.cursor().copy("copy parents from stdin") as copy:
            for number in range(100, 110):
                copy.write_row((number,))
        assert tools.end_call(connection) == 10
        connection.rollback()


def test_the_platform_and_the_owner_leave_none(audited: Server) -> None:
    before = tools.query(audited, "select count(*) from audit.row_image")
    for role in ("atlas", "postgres"):
        with connect(audited, role) as connection:
            connection.execute(ADD_FILE.encode())
            connection.execute("delete from parents where id = 1")
            assert connection.execute(
                "select coalesce(nullif(current_setting('audit.rows', true), ''), 'none')"
            ).fetchone() == ("none",)
            connection.rollback()
    assert tools.query(audited, "select count(*) from audit.row_image") == before


UNRECORDED = [
    ("mcp_write", ADD_FILE),
    ("mcp_write", "delete from parents"),
    ("mcp_write", "insert into shown values (77)"),
    ("mcp_write", "truncate parents cascade"),
    ("mcp_write", f"set session_replication_role = 'replica'; {ADD_FILE}"),
    ("mcp_write", f"alter table files disable trigger all; {ADD_FILE}"),
    ("mcp_write", f"alter table files disable trigger row_image; {ADD_FILE}"),
    ("mcp_write", f"set session authorization atlas; {ADD_FILE}"),
    ("mcp_write", "create temporary table files (id integer)"),
    ("mcp_heal", ADD_FILE),
    ("mcp_heal", "delete from parents"),
    ("mcp_heal", "truncate parents cascade"),
    ("mcp_heal", "truncate only base"),
    ("mcp_heal", "alter table files disable trigger row_image"),
    ("mcp_heal", "alter table files disable trigger all"),
    ("mcp_heal", "alter table parts_1 disable trigger row_image"),
    ("mcp_heal", "alter table files enable replica trigger row_image"),
    ("mcp_heal", "drop trigger row_image on files"),
    ("mcp_heal", "alter trigger row_image on files rename to no_image"),
    ("mcp_heal", "create rule unseen as on insert to files do instead nothing"),
    (
        "mcp_heal",
        "create trigger other before insert on files for each row"
        " execute function suppress_redundant_updates_trigger()",
    ),
    ("mcp_heal", "create table mine (id int); alter table mine disable trigger row_image"),
    ("mcp_heal", "create table mine (id int); truncate mine"),
    ("mcp_heal", "create table mine (id int); insert into mine values (1)"),
    ("mcp_heal", "create table mine as select 1 as id; alter table mine disable trigger all"),
    ("mcp_heal", "select 1 as id into mine; delete from mine"),
    (
        "mcp_heal",
        "create table mine (id int) partition by list (id);"
        " create table my_part partition of mine default;"
        " alter table my_part disable trigger row_image",
    ),
    ("mcp_heal", "alter event trigger audit_follows disable"),
]


@pytest.mark.parametrize(("role", "statements"), UNRECORDED)
def test_no_agent_writes_a_row_without_a_call(audited: Server, role: str, statements: str) -> None:
    with connect(audited, role) as connection:
        tools.bind(audited, connection)
        with pytest.raises((errors.InsufficientPrivilege, errors.UndefinedTable)):
            connection.execute(statements.encode())
        connection.rollback()


def test_a_table_that_an_agent_or_a_migration_makes_is_recorded_at_once(database: Server) -> None:
    with connect(database, "mcp_heal", autocommit=True) as connection:
        connection.execute("create table healed (id integer primary key)")
        connection.execute("grant select, insert on healed to mcp_write")
    with connect(database, "migrator", autocommit=True) as connection:
        connection.execute("set role atlas_owner")
        connection.execute("create table dataset_x (id integer primary key)")
    with connect(database, "mcp_write") as connection:
        tools.begin_call(database, connection)
        connection.execute("insert into healed values (1)")
        connection.execute("insert into dataset_x values (1)")
        assert tools.end_call(connection) == 2
    with connect(database, "mcp_heal", autocommit=True) as connection:
        connection.execute("drop table healed")
    assert tools.load(database) == ""
    assert tools.check(database) == ""


def test_a_call_is_committed_whole_or_not_at_all(audited: Server) -> None:
    with connect(audited, "mcp_write") as connection:
        tools.begin_call(audited, connection)
        connection.execute(ADD_FILE.encode())
        with pytest.raises(errors.InsufficientPrivilege, match="at its end"):
            connection.commit()
    with connect(audited, "mcp_write") as connection:
        tools.begin_call(audited, connection)
        tools.end_call(connection)
        with pytest.raises(errors.InsufficientPrivilege, match="as a call"):
            connection.execute(ADD_FILE.encode())
    with (
        connect(audited, "mcp_write") as connection,
        pytest.raises(errors.InsufficientPrivilege, match="not begun as a call"),
    ):
        tools.end_call(connection)
    assert tools.query(audited, "select count(*) from files") == [(0,)]


def test_a_sealed_call_is_good_for_one_transaction(audited: Server) -> None:
    with connect(audited, "mcp_write") as connection:
        call = tools.begin_call(audited, connection)
        row = connection.execute("select current_setting('app.context')").fetchone()
        assert row is not None
        sealed = str(row[0])
        # Once more in the same transaction, by the agent's own SQL.
        with pytest.raises(errors.UniqueViolation):
            connection.execute("select audit.begin_write(%s)", [sealed])
        connection.rollback()
        forged = sealed[:64] + sealed[64:].replace(call, str(uuid.uuid4()))
        wider = sealed[:64] + sealed[64:].replace('"affected_rows": 100', '"affected_rows": 999')
        for text in (sealed, forged, wider):
            assert connection.execute("select audit.begin_write(%s)", [text]).fetchone() == (None,)
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(ADD_FILE.encode())
            connection.rollback()


def test_the_limit_of_rows_counts_cascades_and_says_how_many(audited: Server) -> None:
    with connect(audited, "mcp_write") as connection:
        tools.begin_call(audited, connection, affected_rows=3)
        connection.execute("delete from parents where id = 1")
        with pytest.raises(errors.ProgramLimitExceeded, match=r"would change 4 rows.*limit is 3"):
            tools.end_call(connection)
        connection.rollback()
        tools.begin_call(audited, connection, affected_rows=4)
        connection.execute("delete from parents where id = 1")
        assert tools.end_call(connection) == 4
        connection.rollback()


TABLES = ("audit.call", "audit.written", "audit.row_image")
FORGERIES = [
    *(
        (role, statement.format(table))
        for role in (*AGENTS, "atlas", "migrator")
        for table in TABLES
        for statement in ("select * from {}", "delete from {}", "table {}", "truncate {}")
    ),
    *(("mcp_audit", f"delete from {table}") for table in TABLES),
    ("mcp_audit", "update audit.call set agent = 'x'"),
    ("mcp_audit", "insert into audit.written select * from audit.written"),
    ("mcp_audit", "select audit.begin_write('')"),
    ("mcp_audit", "select * from public.files"),
    *(
        (role, statement)
        for role in (*AGENTS, "atlas")
        for statement in (
            "select audit.append('[]')",
            "select audit.status(gen_random_uuid())",
            "insert into audit.row_image values (gen_random_uuid(), 1, 'x', 'INSERT')",
            "update audit.row_image set before = after",
            "set role mcp_audit",
            "set role atlas_guard",
            "create table audit.mine (id integer)",
            "alter table audit.call disable trigger all",
            "drop trigger no_change on audit.call",
            "create or replace function audit.image() returns trigger language sql as ''",
            "lock table audit.call",
            "copy audit.call to stdout",
            "comment on table audit.call is 'x'",
        )
    ),
    ("mcp_heal", "alter table audit.call owner to mcp_heal"),
    ("mcp_heal", "drop schema audit cascade"),
    ("mcp_heal", "create view spy with (security_invoker = true) as table audit.call; table spy"),
    ("mcp_heal", "create table spy (id uuid references audit.written)"),
    ("mcp_heal", "create trigger t after insert on audit.call execute function audit.image()"),
    ("mcp_read", "select audit.begin_write('')"),
    ("mcp_read", "select audit.end_write('{}')"),
]


@pytest.mark.parametrize(("role", "statement"), FORGERIES)
def test_records_are_out_of_reach(audited: Server, role: str, statement: str) -> None:
    with connect(audited, role) as connection:
        if role in AGENTS:
            tools.bind(audited, connection)
            if role == "mcp_read":
                # What is left is the right, not the transaction's mode.
                connection.rollback()
                connection.execute("set transaction read write")
        with pytest.raises((errors.InsufficientPrivilege, errors.WrongObjectType)):
            connection.execute(statement.encode())
        connection.rollback()


def test_a_superuser_in_a_hurry_is_stopped_as_well(audited: Server) -> None:
    with connect(audited, "mcp_write") as connection:
        call = tools.begin_call(audited, connection)
        connection.execute("delete from parents where id = 2")
        connection.execute("insert into parents values (2)")
        connection.execute("insert into cascading values (13, 2)")
        tools.end_call(connection)
    entry = json.dumps([{"event": "begin", "call_id": call, "agent": "a"}])
    with connect(audited, "mcp_audit", autocommit=True) as connection:
        connection.execute("select audit.append(%s::jsonb)", [entry])
    for table in TABLES:
        for statement in ("delete from {}", "truncate {}", "update {} set call_id = null"):
            with pytest.raises((errors.InsufficientPrivilege, errors.NotNullViolation)):
                tools.execute(audited, statement.format(table))
    with pytest.raises(errors.InsufficientPrivilege):
        tools.execute(audited, "update audit.written set affected = 0")


def test_a_row_that_json_cannot_hold_exactly_is_marked(audited: Server) -> None:
    tools.execute(
        audited,
        "create table exact (id integer primary key, j json, f float8, a integer[], b bytea,"
        " n numeric, t timestamptz, i interval, r int4range, x text)",
        "grant all on exact to mcp_write",
        "insert into exact values"
        " (1, '{}', 1e-300, '{1,null}', '\\x00ff', 1.10, 'infinity', '1 mon', '[1,5)', 'ж\\u')",
        "insert into exact (id, j) values (2, '{\"a\":  1}')",
        "insert into exact (id, f) values (3, '-0')",
        "insert into exact (id, a) values (4, '[2:2]={1}')",
        "insert into exact (id, n, t) values (5, 'NaN', '0044-03-15 BC')",
        "insert into exact (id, x) values (6, repeat('x', 1100000))",
    )
    with connect(audited, "postgres") as connection:
        connection.execute("set session authorization mcp_write")
        call = tools.begin_call(audited, connection)
        # Whatever an agent could do to the forms of values.
        connection.execute("set local bytea_output = 'escape'")
        connection.execute("set local intervalstyle = 'sql_standard'")
        connection.execute("set local extra_float_digits = -15")
        connection.execute("set local datestyle = 'German'")
        connection.execute("delete from exact")
        tools.end_call(connection)
        connection.execute("set session authorization default")
        flaws = connection.execute(
            "select (before ->> 'id')::integer, flaw from audit.row_image where call_id = %s"
            " order by 1",
            [call],
        ).fetchall()
        connection.rollback()
    lossy = "its values cannot be written as JSON without loss"
    assert flaws == [
        (1, None),
        (2, lossy),
        (3, lossy),
        (4, lossy),
        (5, None),
        (6, "it is larger than 1 MiB"),
    ]
