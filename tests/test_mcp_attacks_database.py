"""The attack list with the gate off, against the schema of sql/: only PostgreSQL stands.

The agent is bound to session a. What it must not read is marked by the word "forbidden"; what it
must not change is compared before and after.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from database.apply import run_psql, set_passwords
from database.settings import Server
from tests import schema_tools as tools
from tests.mcp_clients import OPEN_GATE, Agent, agent
from tests.programs import query
from tests.test_mcp_attacks import Attack, attacks, launch

__all__ = ["attacks"]
pytestmark = pytest.mark.anyio

A = "aaaaaaaa-0000-4000-8000-000000000001"
B = "bbbbbbbb-0000-4000-8000-000000000002"
TESTS = Path(__file__).parent
SETTINGS: dict[str, Any] = {
    "session_id": A,
    "statement_timeout_ms": 1_500,
    "schema_timeout_ms": 1_500,
    "lock_timeout_ms": 500,
    "read_connections": 1,
    "write_connections": 1,
}
#: They fill the disk until the time is up, as their session may.
TOO_LONG = ("e-25", "e-26", "d-201")

# Of the session, and of what a call could leave behind on its connection.
LEFT = """
    select concat_ws(
        ' ', current_user, session_user, current_setting('search_path'),
        current_setting('transaction_read_only'), current_setting('statement_timeout'),
        current_setting('lock_timeout'), current_setting('row_security'),
        (select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory'),
        (select count(*) from pg_cursors where is_holdable),
        (select count(*) from pg_prepared_statements where from_sql),
        (select count(*) from pg_listening_channels()),
        (select count(*) from pg_class where relpersistence = 't')
    ) as v
"""


@pytest.fixture
def arena(database: Server) -> Iterator[Server]:
    """The real schema with two sessions in it, and what else the attacks name."""
    run_psql(database, TESTS / "fixtures" / "two_sessions.sql")
    run_psql(database, TESTS / "sql" / "attack_neighbours.sql")
    yield database
    tools.load(database)
    set_passwords(database)
    assert tools.check(database) == "", "sql/ puts right what a login could do to itself"


def others(server: Server) -> list[tuple[object, ...]]:
    """Every row that is not session a's, and everything that protects."""
    rows = "select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {} as t"
    mine = f"t::text not like '%{A}%' and t::text not like '%a_000000-0000-4000%%'"
    return [
        *(query(server, f"{rows.format(t)} where {mine}")[0] for t in tools.TABLES),
        *(
            query(server, rows.format(table))[0]
            for table in (
                *("users", "secrets", "agent_memory", "mcp_internal.audit_log"),
                *("mcp_internal.tokens", "migration.run", "app.agent", "app.context_key"),
            )
        ),
        *query(server, "select fact from app.protections() as fact order by 1"),
        *query(server, "select rolname, rolsuper, rolbypassrls from pg_roles order by 1"),
        *query(server, "select roleid, member from pg_auth_members order by 1, 2"),
        *query(server, "select proname from pg_proc where oid >= 16384 order by 1"),
        *query(server, "select extname from pg_extension order by 1"),
        *query(server, "select slot_name from pg_replication_slots order by 1"),
        *query(server, "select evtname, evtenabled from pg_event_trigger order by 1"),
        *query(server, "select count(*) from pg_largeobject_metadata"),
        *query(server, "select nspname from pg_namespace where nspname !~ '^pg_t' order by 1"),
    ]


async def run(server: Server, attacks: list[Attack], tool: str) -> None:
    before = others(server)
    async with agent(server, gate=OPEN_GATE, **SETTINGS) as a:
        clean = await left(a)
        for attack in attacks:
            if attack.tool != tool or attack.id in TOO_LONG or "\0" in attack.sql:
                continue
            answer = json.dumps(await launch(a, attack))
            for forbidden in ("forbidden", "hunter2", "root:", B):
                assert forbidden not in answer, attack
            assert await left(a) == clean, attack
    after = others(server)
    # What a schema change added is the owner's to judge; nothing that was there is gone.
    assert [fact for fact in before if fact not in after] == []
    if tool != "ddl":
        assert after == before


async def left(a: Agent) -> list[dict[str, Any]]:
    return await a.rows(LEFT)


@pytest.mark.parametrize("tool", ["query", "execute", "ddl"])
async def test_with_the_gate_off_nothing_of_others_is_read_or_changed(
    arena: Server, attacks: list[Attack], tool: str
) -> None:
    await run(arena, attacks, tool)


#: Kinds that the list has under other names, sent by every tool alike.
MORE = [
    "update tasks set goal = goal || 'x'",
    "delete from logs",
    "merge into tasks using (select 1) as s on true when matched then delete",
    f"select * from tasks where session_id <> '{A}'",
    "table chat_history",
    "select * from kg_nodes n join kg_edges e on e.source_id = n.id",
    "copy tasks to stdout",
    "copy (select * from tasks) to stdout",
    "explain (analyze, verbose, settings) select * from tasks",
    "lock table tasks in access exclusive mode",
    "set app.context = ''",
    "set local role mcp_write",
    "set session characteristics as transaction read write",
    "prepare p as select * from tasks",
    "declare c cursor with hold for select * from tasks",
    "listen others",
    "notify others, 'x'",
    "create temporary table tasks as select 1",
    "select * from pg_stats where tablename = 'tasks'",
    "select most_common_vals::text from pg_stats",
    "select lo_from_bytea(0, 'x')",
    "alter role current_user password 'x'",
    "alter role current_user set search_path = pg_temp",
    "alter role all set search_path = pg_temp",
    "alter user mcp_write createrole",
    "vacuum full",
    "reindex table tasks",
    "analyze",
    "commit",
    "rollback and chain",
    "set transaction_timeout = 0",
    "discard all",
    "security label on role mcp_read is 'x'",
    "select 1 from tasks for update",
    "select nextval('logs_id_seq')",
    "select setval('logs_id_seq', 1)",
]


@pytest.mark.parametrize("tool", ["query", "execute", "ddl"])
async def test_with_the_gate_off_other_kinds_get_no_further(arena: Server, tool: str) -> None:
    await run(arena, [Attack(sql, tool, sql, "", "") for sql in MORE], tool)


async def test_what_an_agent_did_to_its_own_login_is_put_right(arena: Server) -> None:
    async with agent(arena, gate=OPEN_GATE, **SETTINGS) as a:
        for statement in (
            "alter role mcp_heal set work_mem = '2GB'",
            "alter role mcp_heal set statement_timeout = 0",
            "alter role mcp_heal password 'mine'",
        ):
            assert (await a.alter(statement))["success"], "PostgreSQL has no right to take away"
    tools.load(arena)
    assert set_passwords(arena) == ["mcp_heal"]
    assert query(arena, "show work_mem", role="mcp_heal") == query(arena, "show work_mem")
    assert query(arena, "show statement_timeout", role="mcp_heal") == [("15min",)]
