"""What a heal may not bring along: rows written, tables emptied, a promise of sql/checks broken."""

import re

import psycopg
import pytest

from database.apply import SQL_DIRECTORY
from database.connect import connect
from database.errors import TargetError
from database.settings import Server
from tests import schema_tools as tools
from tests.mcp_clients import agent
from tests.test_drift import _ROWS, digests, printed
from tests.test_healing import SLOW, attempts, platform, wrong

__all__ = ["platform"]
pytestmark = pytest.mark.anyio

#: All that sql/checks asserts, but drift.sql: a heal compares with the declaration itself.
ASSERTIONS = {file.stem for file in SQL_DIRECTORY.glob("checks/*.sql")} - {"run", "drift"}
_THEIRS = "select count(*), sum(n), count(distinct tableoid) from elsewhere.theirs"


def interfere(server: Server, statement: str, tag: str = "ALTER TABLE") -> None:
    """Have something run along with each statement of a kind, with an administrator's rights.

    Nobody hears of it: neither the event triggers nor the images of rows.
    """
    tools.execute(
        server,
        "create schema elsewhere",
        "create table elsewhere.theirs as select n from generate_series(1, 100) as n",
        f"""
        create function elsewhere.interferes() returns event_trigger
        language plpgsql security definer set event_triggers = off
        set session_replication_role = replica
        as $$ begin {statement}; end $$
        """,
        f"create event trigger zz on ddl_command_end when tag in ('{tag}')"
        " execute function elsewhere.interferes()",
    )


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            "insert into public.files (path, name, size, mtime, is_dir, last_scanned)"
            " values ('/a', 'a', 1, 0, false, now())",
            "write rows of public.files",
        ),
        ("update public.tasks set goal = 'other'", "write rows of public.tasks"),
        ("delete from public.logs", "write rows of public.logs"),
        ("insert into elsewhere.theirs values (0)", "write rows of elsewhere.theirs"),
        ("truncate elsewhere.theirs", "write rows of elsewhere.theirs"),
        ("alter table elsewhere.theirs alter n type bigint", "write rows of elsewhere.theirs"),
        ("truncate public.logs", "empty public.logs"),
        ("drop table elsewhere.theirs", "drop elsewhere.theirs"),
        ("create table elsewhere.copy as select * from public.tasks", "make elsewhere.copy"),
        # Beyond what sql/ declares, so that the drift does not count it.
        (
            "create view public.peephole as select * from public.logs",
            "break what sql/checks asserts: ownership: ",
        ),
    ],
)
async def test_what_would_come_with_a_fix_undoes_it(
    platform: Server, statement: str, said: str
) -> None:
    tools.execute(platform, "alter table logs alter source drop not null")
    interfere(platform, statement)
    damaged, rows = printed(platform), (digests(platform), tools.query(platform, _THEIRS))
    async with agent(platform) as door:
        answer = await door.call("postgres_heal")
    assert (answer["outcome"], answer["healed"]) == ("failed", False), answer
    (report,) = answer["rounds"]
    assert said in report["error"]["error"], report
    assert "applied" not in report
    assert printed(platform) == damaged
    assert (digests(platform), tools.query(platform, _THEIRS)) == rows
    assert attempts(platform)[-1][0] == "failed"


async def test_an_index_for_a_statement_goes_where_an_assertion_breaks(platform: Server) -> None:
    """No transaction holds it, so that what came with it stays; the index does not."""
    tools.execute(platform, *[_ROWS[3]] * 20, "analyze logs")
    interfere(platform, "create view public.peephole as select * from public.logs", "CREATE INDEX")
    async with agent(platform) as door:
        answer = await door.call("postgres_heal", sqlstate="57014", statement=SLOW)
    assert (answer["outcome"], answer["healed"]) == ("undone", False), answer
    (report,) = answer["rounds"]
    assert "break what sql/checks asserts: ownership: " in report["dropped"], report
    assert "checks" not in report
    assert indexes_for_messages(platform) == []


async def test_an_index_for_a_statement_is_not_built_while_somebody_heals(platform: Server) -> None:
    tools.execute(platform, *[_ROWS[3]] * 20, "analyze logs")
    async with agent(platform) as door:
        with connect(platform, "mcp_heal") as other:
            assert other.execute("select ops.lock_healing_session()").fetchone() == (True,)
            answer = await door.call("postgres_heal", sqlstate="57014", statement=SLOW)
            assert answer["outcome"] == "failed", answer
            (report,) = answer["rounds"]
            assert report["error"]["sqlstate"] == "55P03"
            assert indexes_for_messages(platform) == []
            # What an agent asks for itself is no healing.
            asked = {"table": "logs", "columns": ["source"], "query": SLOW}
            tried = await door.call("postgres_create_performance_index", **asked)
            assert tried["success"], tried
        answer = await door.call("postgres_heal", sqlstate="57014", statement=SLOW)
    assert answer["outcome"] == "healed", answer["rounds"]
    assert "roles" in answer["rounds"][0]["checks"]["held"]
    assert indexes_for_messages(platform) == ["ix_logs_message"]


def indexes_for_messages(server: Server) -> list[object]:
    found = tools.query(
        server, "select indexname from pg_indexes where tablename = 'logs' and indexdef ~ 'message'"
    )
    return [name for (name,) in found]


async def test_what_others_do_meanwhile_is_not_the_fix_s(platform: Server) -> None:
    tools.execute(
        platform, "alter table logs alter source drop not null", "create extension dblink"
    )
    others = (
        f"host={platform.host} port={platform.port} dbname={platform.database} user=postgres"
        f" password={platform.password('postgres')}"
    )
    # In another session, which commits it.
    interfere(
        platform,
        f"perform public.dblink_exec('{others}', 'truncate elsewhere.theirs');"
        f" perform public.dblink_exec('{others}', 'drop table if exists elsewhere.old');"
        f" perform public.dblink_exec('{others}', 'create table elsewhere.old (n int)')",
    )
    async with agent(platform) as door:
        answer = await door.call("postgres_heal")
    assert answer["outcome"] == "healed", answer
    assert tools.query(platform, _THEIRS) == [(0, None, 0)]
    assert wrong(platform) == []


def test_run_sql_makes_every_assertion() -> None:
    text = (SQL_DIRECTORY / "checks" / "run.sql").read_text()
    assert set(re.findall(r"^select pg_temp\.assert_(\w+)\(\)", text, re.MULTILINE)) == ASSERTIONS


async def test_what_was_broken_before_is_named_and_does_not_block(platform: Server) -> None:
    tools.execute(
        platform,
        "alter table tasks drop column completed_at",
        "drop index ix_logs_timestamp",
        "create view public.peephole as select * from logs",
    )
    with pytest.raises(TargetError) as ours:
        tools.check(platform)
    async with agent(platform) as door:
        answer = await door.call("postgres_heal")
    assert answer["outcome"] == "healed", answer
    assert wrong(platform) == []
    (report,) = answer["rounds"]
    found = report["checks"]
    assert set(found["held"]) | set(found["broken_before"]) == ASSERTIONS
    assert set(found["broken_before"]) == {"ownership", "privileges", "policies"}
    assert "public.peephole" in found["broken_before"]["policies"]
    # The same words as a person reads.
    assert found["broken_before"]["ownership"] in str(ours.value)
    recorded = attempts(platform)[-1][4]
    assert isinstance(recorded, dict)
    assert recorded["rounds"] == answer["rounds"]


@pytest.mark.parametrize("login", ["atlas", "migrator", "mcp_read", "mcp_write", "mcp_audit"])
def test_the_assertions_are_asked_by_who_heals_alone(cluster: Server, login: str) -> None:
    assert len(tools.query(cluster, "select * from ops.assertions()", role="mcp_heal")) == len(
        ASSERTIONS
    )
    for role, call in ((login, "ops.assertions()"), ("mcp_heal", "ops.assert_roles()")):
        with connect(cluster, role) as connection, pytest.raises(psycopg.Error) as refusal:
            connection.execute(f"select {call}".encode())
        assert refusal.value.sqlstate == "42501"
