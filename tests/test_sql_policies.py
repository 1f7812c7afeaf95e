"""A transaction that is bound to a session sees that session's rows, and no other's."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from database.apply import run_psql
from database.connect import connect
from database.context_key import set_context_key
from database.settings import Server
from tests import schema_tools as tools

A = "aaaaaaaa-0000-4000-8000-000000000001"
B = "bbbbbbbb-0000-4000-8000-000000000002"
ROWS = Path(__file__).parent / "fixtures" / "two_sessions.sql"


@pytest.fixture(scope="module")
def two_sessions(cluster: Server) -> Iterator[Server]:
    """Two sessions, each with one row in every table that belongs to sessions."""
    server = tools.empty_database(cluster, "test_policies")
    tools.load(server)
    set_context_key(server, admin="postgres")
    run_psql(server, ROWS)
    yield server
    tools.drop_database(server)


def bound(
    server: Server, role: str, session: str, agent: str = "shared"
) -> psycopg.Connection[tuple[object, ...]]:
    """A connection whose transaction is bound as the MCP server binds it."""
    connection = connect(server, role)
    tools.bind(server, connection, session, agent)
    return connection


def rows_of_a_session(table: str) -> int:
    return 2 if table == "kg_nodes" else 1


def count(connection: psycopg.Connection[tuple[object, ...]], table: str) -> object:
    row = connection.execute(f"select count(*) from {table}".encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("table", tools.SESSION_TABLES)
@pytest.mark.parametrize("role", ["mcp_read", "mcp_write", "mcp_heal"])
def test_a_bound_agent_sees_its_session_alone(two_sessions: Server, role: str, table: str) -> None:
    with bound(two_sessions, role, A) as connection:
        assert count(connection, table) == rows_of_a_session(table)
    with bound(two_sessions, role, A.upper()) as connection:
        assert count(connection, table) == rows_of_a_session(table)
    for nobody in ("current_session", "'; drop table tasks; --", "a" * 36, A + "0", "\\", '"'):
        with bound(two_sessions, role, nobody) as connection:
            assert count(connection, table) == 0
    with bound(two_sessions, role, "") as connection:
        assert count(connection, table) == 2 * rows_of_a_session(table)


@pytest.mark.parametrize(
    ("role", "table"),
    [
        *itertools.product(["mcp_read", "mcp_write", "mcp_heal"], tools.TABLES),
        ("mcp_read", "migration.quarantine"),
        ("mcp_heal", "migration.quarantine"),
    ],
)
def test_an_agent_without_a_context_sees_nothing(
    two_sessions: Server, role: str, table: str
) -> None:
    with connect(two_sessions, "postgres") as admin:
        admin.execute("insert into files values (7, 'p', 'n', 1, 1, false, null, now())")
        admin.execute(
            "insert into migration.run (source_name, engine, status) values ('s', 'copy', 'failed')"
        )
        admin.execute(
            "insert into migration.quarantine (run_id, table_name, row_values, reason)"
            " select id, 't', '{}', 'r' from migration.run"
        )
        admin.execute(f"set local role {role}".encode())
        assert count(admin, table) == 0
        tools.bind(two_sessions, admin)
        assert count(admin, table) != 0
        admin.rollback()


def test_what_a_migration_could_not_load_is_for_those_who_see_every_session(
    two_sessions: Server,
) -> None:
    with connect(two_sessions, "postgres") as admin:
        admin.execute(
            "insert into migration.run (source_name, engine, status) values ('s', 'copy', 'failed')"
        )
        admin.execute("set local role mcp_read")
        tools.bind(two_sessions, admin, A)
        assert count(admin, "migration.run") == 0
        admin.rollback()


@pytest.mark.parametrize(
    ("rules", "agent", "sees"),
    [
        ({}, "grisha", 2),
        ({"grisha": "bound"}, "grisha", 0),
        ({"grisha": "bound"}, "atlas", 2),
        ({"*": "bound"}, "grisha", 0),
        ({"*": "bound", "grisha": "every"}, "grisha", 2),
    ],
)
def test_what_an_agent_sees_without_a_session_is_configured(
    two_sessions: Server, rules: dict[str, str], agent: str, sees: int
) -> None:
    with connect(two_sessions, "postgres") as admin:
        for rule in rules.items():
            admin.execute("insert into app.agent values (%s, %s)", rule)
        admin.execute("set local role mcp_read")
        tools.bind(two_sessions, admin, "", agent)
        assert count(admin, "tasks") == sees
        # Being bound to one never shows more than that one.
        tools.bind(two_sessions, admin, A, agent)
        assert count(admin, "tasks") == 1
        admin.rollback()


@pytest.mark.parametrize("table", tools.SESSION_TABLES)
def test_the_platform_and_the_migration_see_everything(two_sessions: Server, table: str) -> None:
    with connect(two_sessions, "atlas") as connection:
        connection.execute("set local app.context = 'x'")
        assert count(connection, table) == 2 * rows_of_a_session(table)
    with connect(two_sessions, "migrator") as connection:
        connection.execute("set role atlas_owner")
        assert count(connection, table) == 2 * rows_of_a_session(table)


@pytest.mark.parametrize("table", ["logs", "chat_history", "conversation_summaries"])
def test_a_name_that_is_no_uuid_matches_where_sessions_are_text(
    two_sessions: Server, table: str
) -> None:
    with connect(two_sessions, "postgres") as admin:
        admin.execute(f"update {table} set session_id = 'current_session'".encode())
        admin.execute("set local role mcp_read")
        tools.bind(two_sessions, admin, "current_session")
        assert count(admin, table) == 2
        assert count(admin, "tasks") == 0
        admin.rollback()


def test_rows_without_a_session_are_seen_by_the_unbound(two_sessions: Server) -> None:
    with connect(two_sessions, "postgres") as admin:
        admin.execute("update logs set session_id = null")
        admin.execute("set local role mcp_read")
        tools.bind(two_sessions, admin)
        assert count(admin, "logs") == 2
        tools.bind(two_sessions, admin, A)
        assert count(admin, "logs") == 0
        admin.rollback()


def test_a_tool_call_without_a_task_is_found_by_its_step(two_sessions: Server) -> None:
    with connect(two_sessions, "postgres") as admin:
        admin.execute("update tool_executions set task_id = null")
        admin.execute("set local role mcp_read")
        tools.bind(two_sessions, admin, A)
        assert count(admin, "tool_executions") == 1
        admin.rollback()


@pytest.mark.parametrize(
    "statement",
    [
        f"insert into sessions values ('{B[:-1]}9', now(), null, '{{}}')",
        f"insert into tasks values (gen_random_uuid(), '{B}', 'g', 's', true, now(), null, '{{}}')",
        f"update tasks set session_id = '{B}'",
        f"update logs set session_id = '{B}'",
        "update logs set session_id = null",
        "update task_steps set task_id = 'b1000000-0000-4000-8000-000000000000'",
        "insert into discoveries (task_id, step_id, key, value, category, created_at)"
        " values ('b1000000-0000-4000-8000-000000000000', '1', 'k', 'v', 'c', now())",
        "update kg_nodes set task_id = 'b1000000-0000-4000-8000-000000000000'",
        "insert into kg_edges (source_id, target_id, relation, namespace, created_at)"
        " values ('task:a:from', 'task:b:to', 'LEADS_TO', 'task', now())",
        "update knowledge_promotions set node_id = 'task:b:to'",
    ],
)
def test_a_bound_agent_cannot_write_into_another_session(
    two_sessions: Server, statement: str
) -> None:
    with bound(two_sessions, "mcp_write", A) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            connection.execute(statement.encode())
        connection.rollback()


@pytest.mark.parametrize("table", tools.SESSION_TABLES)
def test_a_bound_agent_deletes_no_row_of_another_session(two_sessions: Server, table: str) -> None:
    with connect(two_sessions, "postgres") as admin:
        # Foreign keys are not what is tested here.
        admin.execute("set local session_replication_role = 'replica'")
        admin.execute("set local role mcp_write")
        tools.bind(two_sessions, admin, A)
        deleted = admin.execute(f"delete from {table}".encode()).rowcount
        assert deleted == rows_of_a_session(table)
        admin.rollback()


def test_a_bound_agent_writes_into_its_own_session(two_sessions: Server) -> None:
    with connect(two_sessions, "mcp_write") as connection:
        tools.begin_call(two_sessions, connection, A)
        connection.execute(
            "insert into tasks values (%s, %s, 'g', 's', false, now(), null, '{}')",
            ["a1000000-0000-4000-8000-000000000001", A],
        )
        connection.execute(
            "insert into task_steps"
            " values (gen_random_uuid(), %s, '1', 'a', 't', 's', null, 1, now())",
            ["a1000000-0000-4000-8000-000000000001"],
        )
        connection.rollback()


def test_global_knowledge_and_the_files_are_everybody_s(two_sessions: Server) -> None:
    with connect(two_sessions, "postgres") as admin:
        admin.execute("insert into kg_nodes values ('fact:1', 'FACT', 'global', null, '{}', now())")
        admin.execute("insert into files values (7, 'p', 'n', 1, 1, false, null, now())")
        admin.execute("set local role mcp_read")
        tools.bind(two_sessions, admin, A)
        assert count(admin, "kg_nodes where task_id is null") == 1
        assert count(admin, "files") == 1
        admin.rollback()


def plan_of(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> str:
    rows = connection.execute(f"explain (costs off) {statement}".encode()).fetchall()
    return "\n".join(str(row[0]) for row in rows)


@pytest.mark.parametrize("table", [*tools.TABLES, "migration.quarantine"])
def test_the_context_is_verified_before_the_first_row(two_sessions: Server, table: str) -> None:
    with bound(two_sessions, "mcp_read", A) as connection:
        plan = plan_of(connection, f"select * from {table}")
    # Every call of context() is a sub-plan of its own that refers to nothing outside.
    scans = re.findall(r"InitPlan \d+\n +->  Function Scan on context\b", plan)
    assert scans
    assert len(scans) == plan.count("Function Scan on context")
    assert "context(" not in plan


@pytest.mark.parametrize("rows", [10, 3_000])
def test_the_context_is_verified_as_often_for_many_rows_as_for_few(
    two_sessions: Server, rows: int
) -> None:
    with connect(two_sessions, "postgres") as admin:
        admin.execute("set local track_functions = 'all'")
        admin.execute(
            "insert into task_steps"
            " select gen_random_uuid(), id, '1', 'a', 't', 's', null, 1, now()"
            " from tasks cross join generate_series(1, %s)",
            [rows],
        )
        admin.execute("set local role mcp_read")
        tools.bind(two_sessions, admin, A)
        before = calls(admin)
        assert count(admin, "task_steps") == rows + 1
        # One for the steps, two for the tasks behind them.
        assert calls(admin) - before <= 3
        admin.rollback()


def calls(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    row = connection.execute(
        "select calls from pg_stat_xact_user_functions where funcname = 'context'"
    ).fetchone()
    return int(str(row[0])) if row else 0


def test_an_agent_that_sees_every_session_reads_in_parallel(two_sessions: Server) -> None:
    with bound(two_sessions, "mcp_read", "") as connection:
        connection.execute("set local parallel_setup_cost = 0")
        connection.execute("set local parallel_tuple_cost = 0")
        connection.execute("set local min_parallel_table_scan_size = 0")
        assert "Workers Planned" in plan_of(connection, "select count(*) from logs")
        connection.execute("set local debug_parallel_query = 'on'")
        assert count(connection, "logs") == 2


@pytest.mark.parametrize("role", ["atlas", "postgres"])
def test_the_platform_pays_nothing_for_the_policies(two_sessions: Server, role: str) -> None:
    with connect(two_sessions, role) as connection:
        assert plan_of(connection, "select * from logs") == "Seq Scan on logs"


def test_policies_leave_the_indexes_of_the_agents_own_conditions_usable(
    two_sessions: Server,
) -> None:
    with bound(two_sessions, "mcp_read", A) as connection:
        connection.execute("set local enable_seqscan = off")
        logs = plan_of(
            connection, f"select * from logs where session_id = '{A}' order by timestamp"
        )
        assert "ix_logs_session_id_timestamp" in logs
        steps = plan_of(
            connection,
            "select * from task_steps where task_id = 'a1000000-0000-4000-8000-000000000000'"
            " and sequence_number = '1'",
        )
        assert "ix_task_steps_task_id_sequence_number" in steps
