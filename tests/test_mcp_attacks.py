"""The attack list against the whole stack: once with the gate, once without.

The judge is the state of the database afterwards, not only the refusal.
"""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from database.apply import run_psql
from database.connect import connect
from database.settings import Server
from mcp_server.failure import Failure
from mcp_server.gate import Catalogue, Gate
from mcp_server.pools import Capability, Pools
from mcp_server.settings import Settings as ServerSettings
from tests.mcp_clients import OPEN_GATE, Agent, agent
from tests.programs import query

pytestmark = pytest.mark.anyio

FIXTURES = Path(__file__).parent / "sql" / "attack_fixtures.sql"
TABLES = (
    "tasks",
    "agent_memory",
    "users",
    "secrets",
    "mine",
    "comments",
    "mcp_internal.audit_log",
    "mcp_internal.tokens",
)
SETTINGS: dict[str, Any] = {
    "statement_timeout_ms": 1_500,
    "schema_timeout_ms": 1_500,
    "lock_timeout_ms": 500,
}
# Legitimate, but about objects (an extension, parameters) that are not there.
NOT_HERE = {"q-ok-07": "42P02", "q-ok-16": "42P01"}


# Without the gate these run under READ ONLY, and leave nothing behind.
HARMLESS_WITHOUT_GATE = {
    *("q-func-29", "q-func-35", "q-func-36", "q-func-37", "q-lex-15"),
    *("q-rls-03", "q-rls-07", "q-rls-12", "q-rls-21"),
    *("q-stmt-05", "q-stmt-06", "q-stmt-07", "q-stmt-10", "q-stmt-13", "q-stmt-15"),
    *("q-stmt-18", "q-stmt-19", "q-stmt-23", "q-stmt-25", "q-stmt-27", "q-stmt-35"),
}


@dataclass(frozen=True)
class Attack:
    id: str
    tool: str
    sql: str
    expectation: str
    why: str


@pytest.fixture(scope="module")
def attacks(shared: Path) -> list[Attack]:
    lines = (shared / "attacks" / "attacks.jsonl").read_text().splitlines()
    return [Attack(**json.loads(line)) for line in lines]


@pytest.fixture
def arena(cluster: Server) -> Iterator[Server]:
    """A database with what the attacks are about, and without the platform's tables."""
    admin = cluster.with_database("postgres")
    server = cluster.with_database(f"attacks_{uuid.uuid4().hex[:12]}")
    name = sql.Identifier(server.database)
    with connect(admin, "postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(name))
    try:
        run_psql(server, FIXTURES)
        yield server
    finally:
        with connect(admin, "postgres", autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(name))


def state(server: Server) -> list[tuple[object, ...]]:
    """Everything that an attack could have changed: rows, catalogue, roles, settings."""
    rows = [
        query(
            server,
            f"select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {t} t",
        )
        for t in TABLES
    ]
    catalogue = """
        select md5(string_agg(line, '|' order by line)) from (
            select format('%s %s %s %s', oid, relname, relowner, relacl) as line from pg_class
            where relnamespace in ('public'::regnamespace, 'mcp_internal'::regnamespace)
            union all select format('%s %s %s', proname, prosrc, proacl) from pg_proc
            where oid > 16384
            union all select format('%s %s %s', attrelid, attname, atttypid) from pg_attribute
            where attrelid > 16384 and attnum > 0
            union all select format('%s %s', polname, pg_get_expr(polqual, polrelid)) from pg_policy
            union all select format('%s %s', rolname, rolsuper) from pg_roles
            union all select setconfig::text from pg_db_role_setting
            union all select nspname from pg_namespace where nspname !~ '^pg_t'
            union all select slot_name from pg_replication_slots
            union all select extname from pg_extension
            union all select datname from pg_database where datname !~ '^(test|attacks)_'
        ) as lines
    """.replace("%s", "%%s")
    return [row for result in [*rows, query(server, catalogue)] for row in result]


async def launch(a: Agent, attack: Attack) -> dict[str, Any]:
    if attack.tool == "query":
        return await a.query(attack.sql)
    if attack.tool == "execute":
        return await a.execute(attack.sql)
    # The list's word for the one control that drops a table: "after confirmation".
    return await a.alter(attack.sql, confirm=True)


async def judged(pools: Pools, attack: Attack) -> bool:
    """Whether the gate alone lets it pass."""
    gate, catalogue = Gate(), Catalogue()
    try:
        if attack.tool == "query":
            statement, login = gate.query(attack.sql), Capability.READ
        elif attack.tool == "execute":
            statement, login = gate.execute(attack.sql, False), Capability.WRITE
        else:
            statement, login = gate.schema(attack.sql, True), Capability.HEAL
        async with pools.connection(login, "begin") as connection:
            await catalogue.check(connection, login, statement.calls)
    except Failure:
        return False
    return True


async def test_the_gate_refuses_every_attack_and_no_control(
    arena: Server, attacks: list[Attack]
) -> None:
    pools = Pools(ServerSettings(), lambda: arena)
    passed = {attack.id: await judged(pools, attack) for attack in attacks}
    await pools.close()
    wrong = [
        f"{attack.id} {attack.sql[:80]}"
        for attack in attacks
        if passed[attack.id] != (attack.expectation == "allow")
        and attack.expectation in ("allow", "reject")
    ]
    assert wrong == []


async def test_what_the_gate_refuses_changes_nothing(arena: Server, attacks: list[Attack]) -> None:
    before = state(arena)
    async with agent(arena, **SETTINGS) as a:
        for attack in attacks:
            if attack.expectation == "reject":
                answer = await launch(a, attack)
                assert answer["success"] is False, attack
                assert answer["refused_by"] == "gate", attack
                assert answer["sqlstate"], attack
    assert state(arena) == before


async def test_what_the_roles_and_policies_must_refuse_they_refuse(
    arena: Server, attacks: list[Attack]
) -> None:
    before = state(arena)
    async with agent(arena, **SETTINGS) as a:
        for attack in attacks:
            if attack.expectation == "db_error":
                answer = await launch(a, attack)
                assert answer["success"] is False, attack
                assert "hunter2" not in json.dumps(answer)
    assert state(arena) == before


async def test_what_is_contained_stays_within_bounds(arena: Server, attacks: list[Attack]) -> None:
    async with agent(arena, **SETTINGS) as a:
        for attack in attacks:
            if attack.expectation != "contained":
                continue
            answer = await launch(a, attack)
            assert len(json.dumps(answer)) < 1_000_000, attack
            assert "a secret of b" not in json.dumps(answer), attack
            # Nothing is left for the next call.
            assert await a.rows("select current_user::text as v") == [{"v": "mcp_read"}]


async def test_legitimate_statements_work(arena: Server, attacks: list[Attack]) -> None:
    async with agent(arena, **SETTINGS) as a:
        controls = [attack for attack in attacks if attack.expectation == "allow"]
        # The list makes a table, indexes it, looks at it and drops it: in the order of its ids.
        for attack in sorted(controls, key=lambda attack: attack.id):
            if attack.id == "d-104":
                assert (await launch(a, attack))["sqlstate"] == "2BP01"
                assert (await a.alter("drop view v_mine", confirm=True))["success"]
            answer = await launch(a, attack)
            assert answer["success"] or answer["sqlstate"] == NOT_HERE.get(attack.id), (
                attack,
                answer,
            )


async def test_with_the_gate_off_a_query_still_changes_nothing(
    arena: Server, attacks: list[Attack]
) -> None:
    before = state(arena)
    succeeded = []
    async with agent(arena, gate=OPEN_GATE, **SETTINGS) as a:
        for attack in attacks:
            if attack.tool == "query" and "\0" not in attack.sql:
                answer = await launch(a, attack)
                text = json.dumps(answer)
                assert "hunter2" not in text, attack
                assert "a secret of b" not in text, attack
                assert "root:" not in text, attack
                if answer["success"] and attack.expectation == "reject":
                    succeeded.append(attack.id)
                assert await a.rows(
                    "select concat_ws(',', current_user, current_setting('search_path'), "
                    "current_setting('transaction_read_only')) as v"
                ) == [{"v": "mcp_read,public, pg_temp,on"}], attack
    assert state(arena) == before
    # These ran, and acted within their own transaction alone; docs/explanation/security.md names
    # what such a statement could still do.
    assert set(succeeded) <= HARMLESS_WITHOUT_GATE


async def test_with_the_gate_off_a_write_reaches_its_own_rows_alone(
    arena: Server, attacks: list[Attack]
) -> None:
    others = (
        "select md5(string_agg(t::text, '|' order by id)) from tasks t where agent_id = 'agent_b'"
    )
    before = query(arena, others)
    async with agent(arena, gate=OPEN_GATE, **SETTINGS) as a:
        for attack in attacks:
            if attack.tool == "execute" and attack.id not in ("e-25", "e-26"):
                await launch(a, attack)
    assert query(arena, others) == before
    untouched = [
        ("users", 1),
        ("secrets", 1),
        ("mcp_internal.audit_log", 1),
        ("mcp_internal.tokens", 0),
    ]
    for table, rows in untouched:
        assert query(arena, f"select count(*) from {table}") == [(rows,)]
    assert query(arena, "select is_admin from users") == [(False,)]
    assert query(arena, "select content from agent_memory where agent_id = 'agent_b'") == [
        ("a secret of b",)
    ]
