"""The sealed context: no SQL makes one, changes one, or uses one that was meant for another."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from database.apply import run_psql
from database.connect import connect
from database.context_key import padded_blocks, set_context_key
from database.settings import Server
from mcp_server.context import sealed_context
from mcp_server.sql import sql_text
from tests import schema_tools as tools

A = "aaaaaaaa-0000-4000-8000-000000000001"
B = "bbbbbbbb-0000-4000-8000-000000000002"
ROWS = Path(__file__).parent / "fixtures" / "two_sessions.sql"
SEEN = "select coalesce(string_agg(goal, '' order by goal), '') from tasks"

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(scope="module")
def two_sessions(cluster: Server) -> Iterator[Server]:
    """Two sessions, a and b, with the key in place and TEMPORARY for writers, to be generous."""
    server = tools.empty_database(cluster, "test_context")
    tools.load(server)
    assert set_context_key(server, admin="postgres")
    run_psql(server, ROWS)
    yield server
    tools.drop_database(server)


def seen(connection: Connection) -> object:
    """The goals that are seen: each session has one task, named by its letter."""
    row = connection.execute(SEEN.encode()).fetchone()
    assert row is not None
    return row[0]


def forged(mark: str, key: str = "guessed") -> str:
    return sealed_context(key, "atlas", "", mark)


def mark_of(connection: Connection) -> str:
    row = connection.execute(sql_text("transaction_mark").encode()).fetchone()
    assert row is not None
    return str(row[0])


def said(sealed: str, **changes: str) -> str:
    """The same seal over another context."""
    return sealed[:64] + json.dumps(json.loads(sealed[64:]) | changes)


@pytest.mark.parametrize("role", ["mcp_read", "mcp_write", "mcp_heal"])
def test_another_context_under_the_same_seal_is_none(two_sessions: Server, role: str) -> None:
    with connect(two_sessions, role) as connection:
        sealed = tools.bind(two_sessions, connection, A)
        assert seen(connection) == "a"
        for text in (
            said(sealed, session=""),
            said(sealed, session=B),
            said(sealed, agent="atlas"),
            sealed.replace(A, B),
            sealed[:64] + sealed[64:].replace('"session": "', '"session": "", "was": "'),
            sealed + " ",
            sealed.upper(),
            "0" * 64 + sealed[64:],
            forged(mark_of(connection)),
            forged(mark_of(connection), key=""),
            sealed[64:],
            sealed[:64],
            "",
            "null",
            "{}",
            "x" * 100_000,
            "😀" * 64 + "{",
        ):
            answer = connection.execute("select app.set_context(%s)", [text]).fetchone()
            assert answer == (False,), text[:200]
            assert seen(connection) == "", text[:200]
        connection.execute("select app.set_context(%s)", [sealed])
        assert seen(connection) == "a"


#: How a setting is changed. %s is the literal of its new value.
ROUTES = {
    "SET": "set app.context = {}",
    "SET LOCAL": "set local app.context = {}",
    "the function of ours": "select app.set_context({})",
    "RESET": "reset app.context",
    "RESET ALL": "reset all",
    "DISCARD ALL": "discard all",
    "set_config": "select set_config('app.context', {}, true)",
    "set_config for the session": "select set_config('app.context', {}, false)",
    "set_config within the statement": (
        "with s as materialized (select set_config('app.context', {}, true) as v)"
        " select goal from s, tasks"
    ),
    "set_config in the condition": (
        "select goal from tasks where set_config('app.context', {}, true) is not null"
    ),
    "our function within the statement": (
        "with s as materialized (select app.set_context({}) as v) select goal from s, tasks"
    ),
    "pg_settings": "update pg_settings set setting = {} where name = 'app.context'",
    "a block of code": "do $x$ begin perform set_config('app.context', {}, true); end $x$",
    "text that runs": (
        "select query_to_xml($q$select set_config('app.context', {}, true)$q$, true, true, '')"
    ),
    "another role": "set role atlas_guard",
    "another login": "set session authorization postgres",
    "another path": "set search_path = pg_temp, public",
    "policies switched off": "set row_security = off",
    "replication": "set session_replication_role = replica",
}


@pytest.mark.parametrize("role", ["mcp_read", "mcp_write", "mcp_heal"])
@pytest.mark.parametrize("route", ROUTES)
def test_no_setting_by_any_route_shows_more(two_sessions: Server, role: str, route: str) -> None:
    with connect(two_sessions, role) as connection:
        sealed = tools.bind(two_sessions, connection, A)
        for value in (said(sealed, session=""), forged(mark_of(connection)), B, "", "every"):
            literal = psycopg.sql.Literal(value).as_string(connection)
            try:
                with connection.transaction():
                    cursor = connection.execute(ROUTES[route].format(literal).encode())
                    rows = cursor.fetchall() if cursor.description else []
                    assert "b" not in [row[-1] for row in rows]
                    assert seen(connection) in ("a", "")
            except psycopg.Error as refusal:
                # As good; DISCARD ALL and row_security = off lead to one as well.
                if refusal.sqlstate not in ("42501", "25001", "25006"):
                    raise
            assert seen(connection) in ("a", "")
        connection.rollback()


@pytest.mark.parametrize("role", ["mcp_read", "mcp_write"])
def test_a_stolen_context_is_worth_nothing_elsewhere(two_sessions: Server, role: str) -> None:
    with connect(two_sessions, role) as owner, connect(two_sessions, role) as thief:
        stolen = tools.bind(two_sessions, owner, "")
        assert seen(owner) == "ab"
        # In another backend, while it is valid where it belongs.
        assert thief.execute("select app.set_context(%s)", [stolen]).fetchone() == (False,)
        assert seen(thief) == ""
        thief.rollback()
        # In another login's backend.
        with connect(two_sessions, "mcp_heal") as other:
            assert other.execute("select app.set_context(%s)", [stolen]).fetchone() == (False,)
        # In the next transaction of the same backend.
        owner.rollback()
        assert owner.execute("select app.set_context(%s)", [stolen]).fetchone() == (False,)
        assert seen(owner) == ""
        # Said for the whole session: nothing of it survives the transaction either.
        owner.rollback()
        stolen = tools.bind(two_sessions, owner, "")
        owner.execute(psycopg.sql.SQL("set app.context = {}").format(stolen))
        assert seen(owner) == "ab"
        owner.commit()
        assert seen(owner) == ""


def test_options_of_a_connection_and_of_a_role_are_no_context(two_sessions: Server) -> None:
    with connect(two_sessions, "mcp_write") as connection:
        sealed = tools.bind(two_sessions, connection, "")
        alter = psycopg.sql.SQL("alter role mcp_write set app.context = {}").format(sealed)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(alter)
        connection.rollback()
    password = two_sessions.password("mcp_read")
    with psycopg.connect(
        host=two_sessions.host, port=two_sessions.port, dbname=two_sessions.database,
        user="mcp_read", password=password, options="-c app.context=every",
    ) as connection:  # fmt: skip
        assert seen(connection) == ""


@pytest.mark.parametrize("role", ["atlas", "migrator", "mcp_read", "mcp_write", "mcp_heal"])
@pytest.mark.parametrize(
    "statement",
    [
        "select * from app.context_key",
        "select inner_block from app.context_key",
        "copy app.context_key to stdout",
        "insert into app.context_key values (true, '', '')",
        "update app.agent set sessions = 'every'",
        "insert into app.agent values ('mcp', 'every')",
        "delete from app.agent",
        "set role atlas_guard",
        "create function app.context(x int) returns int language sql return 1",
        "create or replace function app.set_context(sealed text) returns boolean"
        " language sql return true",
        "drop function app.context() cascade",
        "alter table app.agent owner to mcp_heal",
        "alter function app.context() security invoker",
        "drop schema app cascade",
        "select table_to_xml('app.context_key', true, false, '')",
        "select query_to_xml('table app.context_key', true, false, '')",
    ],
)
def test_nobody_reads_the_key_or_changes_what_decides(
    two_sessions: Server, role: str, statement: str
) -> None:
    with connect(two_sessions, role) as connection:
        if role == "migrator":
            connection.execute("set role atlas_owner")
        with pytest.raises(psycopg.Error) as refusal:
            connection.execute(statement.encode()).fetchall()
        assert refusal.value.sqlstate in ("42501", "25006"), refusal.value
        connection.rollback()


def test_a_function_of_an_agent_s_own_name_is_not_called(two_sessions: Server) -> None:
    tools.execute(two_sessions, "grant temporary on database test_context to mcp_write")
    try:
        with connect(two_sessions, "mcp_write") as connection:
            tools.bind(two_sessions, connection, A)
            connection.execute(
                "create function pg_temp.sha256(bytea) returns bytea language sql return ''::bytea"
            )
            connection.execute("create temporary table context_key (inner_block bytea)")
            connection.execute("create temporary table agent (name text, sessions text)")
            connection.execute("set local search_path = pg_temp, public, app")
            assert seen(connection) == "a"
            connection.rollback()
    finally:
        tools.execute(two_sessions, "revoke temporary on database test_context from mcp_write")


def test_the_key_is_put_in_once_and_replaced_when_it_changes(
    database: Server, tmp_path: Path
) -> None:
    assert set_context_key(database, admin="postgres") is False
    (tmp_path / "postgres_password").write_text(str(database.password("postgres")))
    elsewhere = database.model_copy(update={"secrets_dir": tmp_path})
    assert set_context_key(elsewhere, admin="postgres") is False, "no secret, no change"
    (tmp_path / "mcp_context_key").write_text("another key\n")
    assert set_context_key(elsewhere, admin="postgres") is True
    assert tools.query(database, "select count(*) from app.context_key") == [(1,)]
    with connect(database, "mcp_read") as connection:
        sealed = sealed_context(str(database.context_key()), "atlas", "", mark_of(connection))
        assert connection.execute("select app.set_context(%s)", [sealed]).fetchone() == (False,)
        sealed = sealed_context("another key", "atlas", "", mark_of(connection))
        assert connection.execute("select app.set_context(%s)", [sealed]).fetchone() == (True,)


def test_without_a_key_nobody_is_let_in(database: Server) -> None:
    tools.execute(database, "delete from app.context_key")
    with connect(database, "mcp_read") as connection:
        for key in ("", str(database.context_key())):
            sealed = sealed_context(key, "atlas", "", mark_of(connection))
            assert connection.execute("select app.set_context(%s)", [sealed]).fetchone() == (False,)
        assert seen(connection) == ""


def test_the_key_is_in_no_log(database: Server) -> None:
    log = database.secrets_dir.parent / "server.log"
    tools.execute(database, "alter role postgres set log_statement = 'all'")
    try:
        tools.execute(database, "delete from app.context_key")
        assert set_context_key(database, admin="postgres") is True
        with connect(database, "mcp_read") as connection:
            tools.bind(database, connection)
    finally:
        tools.execute(database, "alter role postgres reset log_statement")
    text = log.read_text(errors="replace")
    assert 'copy "app"."context_key"' in text, "the statement is there, its data are not"
    key = str(database.context_key())
    inner, outer = padded_blocks(key.encode())
    assert not [secret for secret in (key, inner.hex(), outer.hex()) if secret in text]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_two_hashes_over_the_padded_blocks_are_an_hmac(key: bytes, message: bytes) -> None:
    inner, outer = padded_blocks(key)
    digest = hashlib.sha256(outer + hashlib.sha256(inner + message).digest()).digest()
    assert digest == hmac.digest(key, message, "sha256")
