"""Connections to PostgreSQL: one pool per capability, each with a login of its own.

Reading, writing and healing never share a connection. A pool opens connections when they are
needed, so the server starts without PostgreSQL and survives its restarts; where PostgreSQL
listens and which password it wants is looked up anew for every connection.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from ssl import CERT_REQUIRED, SSLContext, create_default_context
from typing import Any, cast

import anyio
import asyncpg
import structlog

from database.errors import BundleError
from database.settings import Server
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.hints import hint_for
from mcp_server.settings import Settings
from mcp_server.sql import sql_text

_log = structlog.get_logger()

_CONNECT_TIMEOUT = 5.0
_CLEANUP_TIMEOUT = 10.0
# An idle agent gives its connections back; the roles' limits are shared by all servers.
_IDLE_SECONDS = 60.0
_ATTEMPTS = 3

#: What asyncpg raises where the connection is gone. Its own InterfaceError is one of them: a
#: connection that was closed under a call answers so; or, between two of a statement's messages,
#: with an error about its own state.
CONNECTION_LOST = (
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    OSError,
)


class Capability(StrEnum):
    """What a call may do; the value is the login that does it."""

    READ = "mcp_read"
    WRITE = "mcp_write"
    HEAL = "mcp_heal"

    @property
    def word(self) -> str:
        """What people call it: read, write, heal."""
        return self.name.lower()


class Pools:
    """The three pools of one server process."""

    def __init__(
        self, settings: Settings, discover: Callable[[], Server] = Server.discover
    ) -> None:
        self._settings = settings
        self._discover = discover
        self._pools: dict[Capability, asyncpg.Pool[asyncpg.Record]] = {}

    @asynccontextmanager
    async def connection(
        self, capability: Capability, begin: str
    ) -> AsyncIterator[AgentConnection]:
        """A connection on which `begin` has been run; rolled back and reset afterwards.

        Args:
            begin: statements of ours, without parameters. Run again on another connection where
                the first one turns out to be dead, since nothing of the agent's was sent yet.

        Raises:
            Failure: 08001 or the SQLSTATE of the refused login, 53300 where all are in use.
        """
        pool = await self._pool(capability)
        connection = await self._acquire(pool, capability, begin)
        try:
            yield connection
        finally:
            # Also when the call was cancelled: asyncpg then has PostgreSQL cancel the statement.
            await _release(pool, connection)

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            pool.terminate()
        self._pools.clear()

    async def _pool(self, capability: Capability) -> "asyncpg.Pool[asyncpg.Record]":
        pool = self._pools.get(capability)
        if pool is None:
            create: Any = asyncpg.create_pool  # its stubs do not know `connect` with a class
            pool = create(
                connect=self._connector(capability),
                reset=_nothing,
                connection_class=AgentConnection,
                min_size=0,
                max_size=self._settings.connections()[capability.word],
                max_inactive_connection_lifetime=_IDLE_SECONDS,
            )
            self._pools[capability] = pool
        # With min_size 0 this connects to nothing.
        await pool
        return pool

    def _connector(self, capability: Capability) -> Callable[..., Awaitable[AgentConnection]]:
        async def connect(*_dsn: object, **options: object) -> AgentConnection:
            try:
                return await open_connection(options)
            except TimeoutError:
                # Told apart from waiting for a free connection.
                raise ConnectionError(f"no answer within {_CONNECT_TIMEOUT:g} s") from None

        async def open_connection(options: dict[str, object]) -> AgentConnection:
            server = self._discover()
            connection: AgentConnection = await connect_as(
                server, capability.value, capability.name, **options
            )
            await connection.prepare_for_agents()
            connection.context_key = server.context_key()
            connection.capability = capability
            return connection

        return connect

    async def _acquire(
        self, pool: "asyncpg.Pool[asyncpg.Record]", capability: Capability, begin: str
    ) -> AgentConnection:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                connection: Any = await pool.acquire(
                    timeout=self._settings.acquire_timeout_ms / 1000
                )
            except Exception as error:
                raise _unreachable(capability, error) from error
            try:
                await connection.execute(begin)
            except CONNECTION_LOST as error:
                await _release(pool, connection)
                if attempt == _ATTEMPTS:
                    raise _unreachable(capability, error) from error
            except asyncpg.PostgresError as error:
                await _release(pool, connection)
                raise _unreachable(capability, error) from error
            except BaseException:
                await _release(pool, connection)
                raise
            else:
                return cast("AgentConnection", connection)
        raise AssertionError("unreachable: the last attempt returns or raises")


async def connect_as(server: Server, login: str, label: str, **options: object) -> Any:  # noqa: ANN401 - of the class that the options name
    """A connection of its own as one of our logins.

    Args:
        label: what pg_stat_activity calls it.
        options: further ones of asyncpg's.
    """
    connect_to: Any = asyncpg.connect
    settings = {
        "host": server.host,
        "port": server.port,
        "database": server.database,
        "user": login,
        "password": server.password(login),
        "ssl": _tls(server),
        "timeout": _CONNECT_TIMEOUT,
        # Agents' statements hardly repeat, and a plan kept across calls breaks when the
        # schema changes, and behind PgBouncer.
        "statement_cache_size": 0,
        "server_settings": {"application_name": f"mcp-server-atlas-pg/{label}"},
    }
    return await connect_to(**settings | options)


async def _nothing(_connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The pool's own resetting; `_release` has done it, transaction and all."""


async def _release(pool: "asyncpg.Pool[asyncpg.Record]", connection: "AgentConnection") -> None:
    # The scope of a cancelled call would cancel its own cleaning up.
    with anyio.CancelScope(shield=True):
        try:
            # After a cancelled statement asyncpg first waits for PostgreSQL's answer to that.
            await connection.execute(sql_text("reset"), timeout=_CLEANUP_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - dead or stuck: the next one is new
            _log.warning("connection dropped", cause=type(error).__name__)
            # A connection that closed itself has left the pool already, and says so.
            with suppress(asyncpg.InterfaceError):
                connection.terminate()
        with suppress(asyncpg.InterfaceError):
            await pool.release(cast("Any", connection))


def _tls(server: Server) -> SSLContext | str:
    # asyncpg takes libpq's modes, but the CA file only from the environment.
    if server.sslmode in ("verify-ca", "verify-full") and server.sslrootcert:
        context = create_default_context(cafile=str(server.sslrootcert))
        context.check_hostname = server.sslmode == "verify-full"
        context.verify_mode = CERT_REQUIRED
        return context
    return server.sslmode


def _unreachable(capability: Capability, error: Exception) -> Failure:
    """Why there is no connection. Never the password: asyncpg's messages do not hold it."""
    if isinstance(error, BundleError):
        return Failure(error.message, sqlstate="08001", hint=error.hint)
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate
        return Failure(
            f"PostgreSQL refuses {capability}: {error}",
            sqlstate=state,
            hint=hint_for(state, str(error)),
            refused_by="database",
        )
    if isinstance(error, TimeoutError):
        return Failure(
            f"No connection of {capability} became free in time.",
            sqlstate="53300",
            hint=hint_for("53300", ""),
        )
    return Failure(
        f"PostgreSQL cannot be reached: {error}", sqlstate="08001", hint=hint_for("08001", "")
    )
