"""A connection that is bound to a session sees that session's rows, and no other's."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from database.apply import run_psql
from database.connect import connect
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
    run_psql(server, ROWS)
    yield server
    tools.drop_database(server)


def bound(server: Server, role: str, session: str | None) -> psycopg.Connection[tuple[object, ...]]:
    """A connection whose transaction is bound as the MCP server binds it."""
    connection = connect(server, role)
    if session is not None:
        connection.execute("select set_config('app.current_session_id', %s, true)", [session])
    return connection


def count(connection: psycopg.Connection[tuple[object, ...]], table: str) -> object:
    row = connection.execute(f"select count(*) from {table}".encode()).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.parametrize("table", tools.SESSION_TABLES)
@pytest.mark.parametrize("role", ["mcp_read", "mcp_write", "mcp_heal"])
def test_a_bound_agent_sees_its_session_alone(two_sessions: Server, role: str, table: str) -> None:
    with bound(two_sessions, role, A) as connection:
        assert count(connection, table) == 1
    with bound(two_sessions, role, A.upper()) as connection:
        assert count(connection, table) == 1
    for nobody in ("current_session", "'; drop table tasks; --", "a" * 36, A + "0"):
        with bound(two_sessions, role, nobody) as connection:
            assert count(connection, table) == 0
    for everybody in (None, ""):
        with bound(two_sessions, role, everybody) as connection:
            assert count(connection, table) == 2


@pytest.mark.parametrize("table", tools.SESSION_TABLES)
def test_the_platform_and_the_migration_see_everything(two_sessions: Server, table: str) -> None:
    with bound(two_sessions, "atlas", A) as connection:
        assert count(connection, table) == 2
    with bound(two_sessions, "migrator", A) as connection:
        connection.execute("set role atlas_owner")
        assert count(connection, table) == 2


@pytest.mark.parametrize("table", ["logs", "chat_history", "conversation_summaries"])
def test_a_name_that_is_no_uuid_matches_where_sessions_are_text(
    two_sessions: Server, table: str
) -> None:
    with connect(two_sessions, "postgres") as admin:
        admin.execute(f"update {table} set session_id = 'current_session'".encode())
        admin.execute("set local role mcp_read")
        admin.execute("select set_config('app.current_session_id', 'current_session', true)")
        assert count(admin, table) == 2
        assert count(admin, "tasks") == 0
        admin.rollback()


def test_rows_without_a_session_are_seen_by_the_unbound(two_sessions: Server) -> None:
    with connect(two_sessions, "postgres") as admin:
        admin.execute("update logs set session_id = null")
        admin.execute("set local role mcp_read")
        assert count(admin, "logs") == 2
        admin.execute("select set_config('app.current_session_id', %s, true)", [A])
        assert count(admin, "logs") == 0
        admin.rollback()


def test_a_tool_call_without_a_task_is_found_by_its_step(two_sessions: Server) -> None:
    with connect(two_sessions, "postgres") as admin:
        admin.execute("update tool_executions set task_id = null")
        admin.execute("set local role mcp_read")
        admin.execute("select set_config('app.current_session_id', %s, true)", [A])
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
        admin.execute("select set_config('app.current_session_id', %s, true)", [A])
        assert admin.execute(f"delete from {table}".encode()).rowcount == 1
        admin.rollback()


def test_a_bound_agent_writes_into_its_own_session(two_sessions: Server) -> None:
    with bound(two_sessions, "mcp_write", A) as connection:
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


def test_the_graph_and_the_files_are_everybody_s(two_sessions: Server) -> None:
    with connect(two_sessions, "postgres") as admin:
        admin.execute("insert into kg_nodes values ('task:1', 'TASK', 'global', null, '{}', now())")
        admin.execute("set local role mcp_read")
        admin.execute("select set_config('app.current_session_id', %s, true)", [A])
        assert count(admin, "kg_nodes") == 1
        admin.rollback()


def plan_of(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> str:
    rows = connection.execute(f"explain (costs off) {statement}".encode()).fetchall()
    return "\n".join(str(row[0]) for row in rows)


@pytest.mark.parametrize("table", tools.SESSION_TABLES)
def test_the_session_is_looked_up_once_per_statement(two_sessions: Server, table: str) -> None:
    with bound(two_sessions, "mcp_read", A) as connection:
        plan = plan_of(connection, f"select * from {table}")
    assert "InitPlan 1" in plan
    assert "session_text()" not in plan, "a call in a filter would run for every row"
    assert "session_uuid()" not in plan


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
