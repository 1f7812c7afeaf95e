"""Connections: nothing of a call is left for the next, and faults of PostgreSQL pass."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from database.apply import apply_schema
from database.embedded.server import EmbeddedServer
from database.errors import TargetError
from database.settings import Server
from mcp_server.server import answer_call, open_access
from mcp_server.settings import Settings
from tests.mcp_clients import OPEN_GATE, agent
from tests.programs import query

pytestmark = pytest.mark.anyio

ADD_LOG = "insert into logs (timestamp, level, source, message) values (now(), 'INFO', 's', 'm')"


@pytest.fixture
def instance() -> Iterator[EmbeddedServer]:
    """An own server, to be stopped and started."""
    directory = Path(tempfile.mkdtemp(prefix="atlas-postgres-"))
    directory.chmod(0o755)
    embedded = EmbeddedServer(directory, options={"fsync": "off"})
    try:
        apply_schema(embedded.start())
        yield embedded
    finally:
        embedded.remove()


@contextlib.asynccontextmanager
async def cutting(server: Server, marker: bytes, *, deliver: bool) -> AsyncIterator[Server]:
    """A way to `server` that is cut when the client sends `marker`, before or after delivery."""

    async def forward(client: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        reader, writer = await asyncio.open_connection(server.host, server.port)

        async def answers() -> None:
            while data := await reader.read(65_536):
                out.write(data)

        task = asyncio.create_task(answers())
        with contextlib.suppress(ConnectionError):
            while data := await client.read(65_536):
                cut = marker in data
                if cut:
                    task.cancel()
                if deliver or not cut:
                    writer.write(data)
                    await writer.drain()
                if cut:
                    # Time for PostgreSQL to act on what was delivered.
                    await asyncio.sleep(0.3)
                    break
        task.cancel()
        writer.close()
        out.close()

    proxy = await asyncio.start_server(forward, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    try:
        yield server.model_copy(update={"port": port, "sslmode": "disable"})
    finally:
        proxy.close()


@pytest.mark.parametrize("delivered", [True, False])
async def test_a_connection_lost_at_commit_is_reported_as_unknown(
    database: Server, delivered: bool
) -> None:
    async with (
        cutting(database, b"commit\0", deliver=delivered) as cut,
        agent(cut) as a,
    ):
        answer = await a.execute(ADD_LOG)
    assert (answer["sqlstate"], answer["outcome"]) == ("08007", "unknown")
    assert query(database, "select count(*) from logs") == [(int(delivered),)]


async def test_a_connection_lost_before_commit_changed_nothing(database: Server) -> None:
    async with cutting(database, b"logs (timestamp", deliver=True) as cut, agent(cut) as a:
        answer = await a.execute(ADD_LOG)
    assert (answer["sqlstate"], answer["outcome"]) == ("08006", "nothing_changed")
    assert query(database, "select count(*) from logs") == [(0,)]


async def test_a_commit_is_not_torn_by_a_caller_who_leaves(database: Server) -> None:
    async with agent(database) as a:
        for pause in (0.001, 0.002, 0.003, 0.004, 0.006, 0.01):
            with anyio.move_on_after(pause):
                await a.execute(ADD_LOG)
        # Whatever was cancelled left no transaction open and no connection broken.
        assert (await a.execute(ADD_LOG))["success"]
    open_transactions = (
        "select count(*) from pg_stat_activity where state like 'idle in%%' and datname = %s"
    )
    assert query(database, open_transactions, database.database) == [(0,)]


@pytest.mark.parametrize(
    ("first", "probe", "clean"),
    [
        (
            "select set_config('statement_timeout', '1', false)",
            "select current_setting('statement_timeout') as v",
            "30s",
        ),
        (
            "select set_config('search_path', 'pg_catalog', false)",
            "select current_setting('search_path') as v",
            "public, pg_temp",
        ),
        (
            "set app.context = 'x'",
            "select current_setting('app.context') like '%shared%' as v",
            True,
        ),
        (
            "select pg_advisory_lock(42)::text",
            "select count(*)::text as v from pg_locks where locktype = 'advisory'",
            "0",
        ),
        (
            "declare c cursor with hold for select 1",
            "select count(*)::text as v from pg_cursors where is_holdable",
            "0",
        ),
        ("listen secrets", "select count(*)::text as v from pg_listening_channels()", "0"),
        ("set role none", "select current_user::text as v", "mcp_read"),
        ("rollback", "select current_setting('transaction_read_only') as v", "on"),
    ],
)
async def test_nothing_of_a_call_is_left_for_the_next(
    database: Server, first: str, probe: str, clean: object
) -> None:
    async with agent(database, gate=OPEN_GATE, read_connections=1) as a:
        (before,) = await a.rows("select pg_backend_pid() as pid")
        await a.query(first)
        (after,) = await a.rows("select pg_backend_pid() as pid")
        assert await a.rows(probe) == [{"v": clean}]
    assert before == after


async def test_a_temporary_table_does_not_hide_a_real_one(database: Server) -> None:
    query(database, f"grant temporary on database {database.database} to mcp_write")
    async with agent(database, gate=OPEN_GATE, write_connections=1) as a:
        await a.execute("create temporary table files (i int)")
        answer = await a.execute("delete from files where id = 0 returning path")
        assert answer["success"], answer
        assert answer["columns"] == [{"name": "path", "type": "varchar"}]


async def test_errors_do_not_cost_connections(database: Server) -> None:
    async with agent(database, read_connections=1) as a:
        (before,) = await a.rows("select pg_backend_pid() as pid")
        for _ in range(20):
            assert (await a.query("select broken"))["sqlstate"] == "42703"
        assert await a.rows("select pg_backend_pid() as pid") == [before]


async def test_a_restart_of_postgresql_is_survived(instance: EmbeddedServer) -> None:
    server = Server.from_instance(instance.directory)
    async with agent(server) as a:
        assert (await a.execute(ADD_LOG))["success"]
        await a.rows("select 1")
        instance.stop()
        down = await a.call("postgres_health_check")
        assert down["status"] == "unhealthy"
        assert down["sqlstate"].startswith("08")
        assert down["hint"]
        assert (await a.execute(ADD_LOG))["sqlstate"].startswith("08")
        instance.start()
        assert (await a.call("postgres_health_check"))["status"] == "healthy"
        assert await a.rows("select count(*) as n from logs") == [{"n": 1}]


async def test_a_crash_of_postgresql_is_survived(instance: EmbeddedServer) -> None:
    server = Server.from_instance(instance.directory)
    async with agent(server) as a:
        await asyncio.gather(*(a.rows("select 1") for _ in range(6)))
        instance.stop(mode="immediate")
        instance.start()
        answers = await asyncio.gather(*(a.query("select 1") for _ in range(12)))
    assert all(answer["success"] for answer in answers), answers


async def test_the_server_starts_without_postgresql_and_finds_it_later(database: Server) -> None:
    found: list[Server] = []

    def discover() -> Server:
        if not found:
            raise TargetError("No PostgreSQL is configured.", "Start one.")
        return found[0]

    access = open_access(Settings(), discover=discover)
    early = (await answer_call(access, "postgres_query", {"query": "select 1"}))[
        "structuredContent"
    ]
    assert (early["success"], early["sqlstate"], early["hint"]) == (False, "08001", "Start one.")
    found.append(database)
    late = await answer_call(access, "postgres_query", {"query": "select 1 as n"})
    assert late["structuredContent"]["rows"] == [{"n": 1}]
    await access.pools.close()


async def test_a_wrong_password_is_named_but_not_shown(database: Server, tmp_path: Path) -> None:
    (tmp_path / "mcp_read_password").write_text("not-the-password")
    async with agent(database.model_copy(update={"secrets_dir": tmp_path})) as a:
        answer = await a.query("select 1")
    assert answer["sqlstate"] == "28P01"
    assert "not-the-password" not in str(answer)


async def test_sessions_are_known_to_postgresql_by_capability(database: Server) -> None:
    async with agent(database) as a:
        await a.rows("select 1")
        await a.execute(ADD_LOG)
        names = "select distinct usename, application_name from pg_stat_activity where datname = %s"
        seen = query(database, names, database.database)
    assert ("mcp_read", "mcp-server-atlas-pg/READ") in seen
    assert ("mcp_write", "mcp-server-atlas-pg/WRITE") in seen
