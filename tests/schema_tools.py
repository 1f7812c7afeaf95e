"""What the tests of sql/ share: applying it, checking it, and looking at what came of it."""

import os
import re
import subprocess
import uuid

import psycopg
from psycopg import sql

from database.apply import SQL_DIRECTORY, psql_environment, run_psql
from database.binaries import client_program
from database.connect import connect, passfile
from database.settings import Server
from mcp_server.context import sealed_context
from mcp_server.sql import sql_text

#: The tables whose rows belong to sessions, directly or by way of a task, a step or a node.
SESSION_TABLES = (
    "sessions",
    "tasks",
    "task_steps",
    "tool_executions",
    "logs",
    "chat_history",
    "agent_messages",
    "recovery_attempts",
    "conversation_summaries",
    "behavioral_deviations",
    "discoveries",
    "kg_nodes",
    "kg_edges",
    "knowledge_promotions",
)
TABLES = (*SESSION_TABLES, "files")
LOGINS = ("atlas", "migrator", "mcp_read", "mcp_write", "mcp_heal", "mcp_audit")

# Catalogue → what identifies a row in it. Temporary schemas come with any session that needs one.
_CATALOGUES = {
    "pg_class": "oid::regclass::text",
    "pg_attribute": "attrelid::regclass::text || '.' || attname",
    "pg_attrdef": "oid::text",
    "pg_constraint": "oid::text",
    "pg_index": "indexrelid::text",
    "pg_trigger": "oid::text",
    "pg_policy": "oid::text",
    "pg_proc": "oid::text",
    "pg_type": "oid::text",
    "pg_sequence": "seqrelid::text",
    "pg_namespace": "oid::text",
    "pg_default_acl": "oid::text",
    "pg_description": "objoid::text || '.' || objsubid",
    "pg_authid": "rolname",
    "pg_auth_members": "oid::text",
    "pg_db_role_setting": "setdatabase::text || '.' || setrole",
    "pg_shdescription": "objoid::text",
}


def load(server: Server, *, admin: str = "postgres") -> str:
    """Apply sql/load.sql; return its output."""
    return run_psql(server, SQL_DIRECTORY / "load.sql", admin=admin)


def check(server: Server, *, admin: str = "postgres") -> str:
    """Run sql/checks/run.sql; return its output."""
    return run_psql(server, SQL_DIRECTORY / "checks" / "run.sql", admin=admin)


def bind(
    server: Server,
    connection: psycopg.Connection[tuple[object, ...]],
    session: str = "",
    agent: str = "shared",
    **said: str | int,
) -> str:
    """Bind the connection's transaction as the MCP server does; what PostgreSQL was given."""
    key = server.context_key()
    assert key is not None
    row = connection.execute(sql_text("transaction_mark").encode()).fetchone()
    assert row is not None
    sealed = sealed_context(key, agent, session, str(row[0]), **said)
    assert connection.execute("select app.set_context(%s)", [sealed]).fetchone() == (True,)
    return sealed


def begin_call(
    server: Server,
    connection: psycopg.Connection[tuple[object, ...]],
    session: str = "",
    agent: str = "shared",
    **said: str | int,
) -> str:
    """Open the connection's transaction as a call that may write; the call's id."""
    key = server.context_key()
    assert key is not None
    call = str(uuid.uuid4())
    row = connection.execute(sql_text("transaction_mark").encode()).fetchone()
    assert row is not None
    said = {"call": call, "affected_rows": 100, **said}
    sealed = sealed_context(key, agent, session, str(row[0]), **said)
    begun = connection.execute("select audit.begin_write(%s)", [sealed]).fetchone()
    assert begun == ({"replayed": False},)
    return call


def end_call(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """Close it; how many rows were written."""
    row = connection.execute("select affected from audit.end_write('{}')").fetchone()
    assert row is not None
    return int(str(row[0]))


def execute(server: Server, *statements: str, role: str = "postgres") -> None:
    """Run statements one by one, each on its own."""
    with connect(server, role, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def query(server: Server, statement: str, role: str = "postgres") -> list[tuple[object, ...]]:
    """The rows of a query."""
    with connect(server, role, autocommit=True) as connection:
        return connection.execute(statement.encode()).fetchall()


def empty_database(server: Server, name: str, owner: str = "postgres") -> Server:
    """Create a database without anything in it."""
    with connect(server.with_database("postgres"), "postgres", autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} owner {}").format(
                sql.Identifier(name), sql.Identifier(owner)
            )
        )
    return server.with_database(name)


def drop_database(server: Server) -> None:
    with connect(server.with_database("postgres"), "postgres", autocommit=True) as connection:
        connection.execute(
            sql.SQL("drop database {} with (force)").format(sql.Identifier(server.database))
        )


def catalogue(server: Server) -> dict[str, dict[str, str]]:
    """Every row of the catalogues, as identity → version: a rewritten row has another xmin."""
    with connect(server, "postgres", autocommit=True) as connection:
        return {
            name: {
                str(row[0]): str(row[1])
                for row in connection.execute(
                    f"select {identity}, xmin from {name}"
                    f" where ({identity})::text !~ '^pg_(toast_)?temp'".encode()
                ).fetchall()
            }
            for name, identity in _CATALOGUES.items()
        }


def dump(server: Server) -> str:
    """The schema as pg_dump prints it, privileges included."""
    with passfile(server, "postgres") as password_file:
        return subprocess.run(
            [
                client_program("pg_dump"),
                *("--schema-only", "--restrict-key=tests", "--username=postgres", "--no-password"),
            ],
            env={**os.environ, **psql_environment(server, password_file)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout


def in_any_order(text: str) -> str:
    """A dump with columns and grants sorted: what is added again comes last."""

    def sorted_lines(match: re.Match[str]) -> str:
        lines = sorted(line.rstrip(",") for line in match[2].split("\n"))
        return match[1] + "\n".join(lines) + match[3]

    text = re.sub(r"(CREATE TABLE \S+ \(\n)(.*?)(\n\);)", sorted_lines, text, flags=re.DOTALL)
    return re.sub(r"()(^GRANT .*?$)(\n\n)", sorted_lines, text, flags=re.DOTALL | re.MULTILINE)


def role_facts(server: Server) -> list[tuple[object, ...]]:
    """Attributes, settings and memberships of the bundle's roles: what pg_dump leaves out."""
    return query(
        server,
        """
        select
            rolname, rolcanlogin, rolsuper, rolinherit, rolcreatedb, rolcreaterole, rolbypassrls,
            rolconnlimit,
            (select setconfig from pg_db_role_setting where setrole = r.oid and setdatabase = 0),
            array(
                select m.roleid::regrole || ' ' || m.inherit_option || ' ' || m.set_option
                from pg_auth_members as m where m.member = r.oid order by 1
            )
        from pg_roles as r
        where rolname ~ '^(atlas|migrator|mcp_)' order by 1
        """,
    )
