"""One statement of an agent's in a transaction of its own.

Invariant: what a call reports as written has been committed, and what it reports as refused has
not. Between the two stands only a connection lost while COMMIT was under way: then the answer is
"unknown" (SQLSTATE 08007), never a guess.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from database.catalogue.facts import EMPTY_PATH, FACTS_SQL, Facts, facts_of
from mcp_server import writing
from mcp_server.audit import Call
from mcp_server.caller import Caller
from mcp_server.connection import AgentConnection
from mcp_server.context import bind
from mcp_server.failure import Failure
from mcp_server.gate import Catalogue, Statement
from mcp_server.hints import hint_for
from mcp_server.parameters import Parameters, bound
from mcp_server.pools import CONNECTION_LOST, Capability, Pools
from mcp_server.rows import Rows, count_rest, read_rows
from mcp_server.settings import Settings
from mcp_server.slots import Slots
from mcp_server.sql import quoted, sql_text
from mcp_server.writing import Written

# A call may receive this much before its connection is cut: enough for every chunk of rows that
# the caps ask for, little enough for the server's memory.
_WIRE_BYTES = 32 * 1024 * 1024
# PostgreSQL's timeout strikes first and says so; then ours; then PostgreSQL ends the transaction.
_GRACE_MS = 2_000


class Sessions:
    """Runs statements with the limits of the settings."""

    def __init__(self, settings: Settings, pools: Pools) -> None:
        self._settings = settings
        self._pools = pools
        sizes = {one: settings.connections()[one.word] for one in Capability}
        self.slots = Slots(sizes, settings.acquire_timeout_ms)
        self._catalogue = Catalogue()

    async def read(
        self, caller: Caller, statement: Statement, limit: int, parameters: Parameters = ()
    ) -> Rows:
        """Run a query in a READ ONLY transaction; the first rows of its result.

        Args:
            parameters: JSON values for $1, $2, …

        Raises:
            Failure: with PostgreSQL's SQLSTATE.
        """
        async with self._running(caller, Capability.READ, statement) as connection:
            prepared = await connection.prepare(statement.text)
            values = bound(prepared, parameters)
            return await _fetch(prepared, values, limit, caller.budget.bytes)

    async def read_by(
        self,
        caller: Caller,
        statement: Statement,
        work: Callable[[AgentConnection], Awaitable[None]],
    ) -> None:
        """Run statements of ours in the READ ONLY transaction that a query would have.

        Args:
            statement: the query that they are about; what it calls is judged beforehand.

        Raises:
            Failure: with PostgreSQL's SQLSTATE, or what `work` raises.
        """
        async with self._running(caller, Capability.READ, statement) as connection:
            await work(connection)

    async def write(self, call: Call, statement: Statement, parameters: Parameters = ()) -> Written:
        """Run one write and commit it; or not, where the call is a dry run.

        Args:
            parameters: JSON values for $1, $2, …

        Raises:
            Failure: with PostgreSQL's SQLSTATE; `outcome` says what became of the write.
        """
        caller = call.caller
        async with self._running(caller, Capability.WRITE, statement, binds=False) as connection:
            if earlier := await writing.begin(connection, call):
                return earlier
            prepared = await connection.prepare(statement.text)
            values = bound(prepared, parameters)
            plan = await writing.plan(connection, statement, *values) if call.dry_run else []
            if prepared.get_attributes():
                budget = caller.budget
                rows = await _fetch(prepared, values, budget.rows, budget.bytes, drain=True)
                written = Written(rows.total, f"{statement.operation} {rows.total}", rows)
            else:
                await prepared.fetch(*values)
                tag = prepared.get_statusmsg() or ""
                written = Written(int(tag.rsplit(" ", 1)[-1]), tag)
            return await _end(connection, call, written, plan)

    async def write_by(
        self,
        call: Call,
        work: Callable[[AgentConnection], Awaitable[Written]],
        capability: Capability = Capability.WRITE,
    ) -> Written:
        """Run statements of ours as one write, and commit it; or not, where it is a dry run.

        Raises:
            Failure: as `write`, or what `work` raises; then nothing was changed.
        """
        statement = Statement("", "WRITE")
        async with self._running(call.caller, capability, statement, binds=False) as connection:
            if earlier := await writing.begin(connection, call):
                return earlier
            return await _end(connection, call, await work(connection), [])

    async def change_schema(
        self, call: Call, statement: Statement, *, owned: bool = False
    ) -> Written:
        """Run one schema change and commit it; or not, where the call is a dry run.

        Args:
            owned: refuse where the relation is not this login's own.

        Raises:
            Failure: with PostgreSQL's SQLSTATE.
        """
        if not statement.in_transaction:
            await self._change_concurrently(call.caller, statement)
            return Written(0, statement.operation)
        async with self._running(
            call.caller, Capability.HEAL, statement, binds=False
        ) as connection:
            if earlier := await writing.begin(connection, call):
                return earlier
            if owned:
                await _check_owned(connection, statement)
            await (await connection.prepare(statement.text)).fetch()
            if statement.operation in ("CREATE TABLE", "CREATE VIEW"):
                for grant in await connection.fetch(sql_text("grants"), statement.name):
                    await connection.execute(grant["statement"])
            changed = await _end(connection, call, Written(0, statement.operation), [])
        self._catalogue.forget()
        return changed

    async def maintain(
        self, caller: Caller, work: Callable[[AgentConnection], Awaitable[None]]
    ) -> None:
        """Run statements of ours that no transaction may hold, while nobody else heals.

        Raises:
            Failure: 55P03 where somebody heals, else what `work` raises; what it has done, stays.
        """
        statement = Statement("", "HEAL", in_transaction=False)
        async with self._running(caller, Capability.HEAL, statement) as connection:
            if not await connection.fetchval(sql_text("healing_lock_session")):
                raise Failure("Somebody else is healing.", sqlstate="55P03")
            await work(connection)
        self._catalogue.forget()

    async def remove_invalid(self, caller: Caller, statement: Statement) -> None:
        """Remove what a build that failed leaves: it costs every write and serves no query.

        Raises:
            Failure: with PostgreSQL's SQLSTATE.
        """
        async with self._running(caller, Capability.HEAL, statement) as connection:
            for drop in await connection.fetch(sql_text("invalid_index"), statement.name):
                await connection.execute(drop["statement"])

    async def catalogue(
        self, caller: Caller, name: str, *arguments: str, capability: Capability = Capability.READ
    ) -> list[asyncpg.Record]:
        """Run a query of ours, sql/`name`.sql, with the rights of an agent that reads, or heals."""
        statement = Statement(sql_text(name), "SELECT")
        async with self._running(caller, capability, statement) as connection:
            return list(await connection.fetch(statement.text, *arguments))

    async def facts(self, caller: Caller) -> Facts:
        """What the catalogue says, as an agent that reads may know it.

        Raises:
            Failure: with PostgreSQL's SQLSTATE.
        """
        statement = Statement(FACTS_SQL, "SELECT")
        async with self._running(caller, Capability.READ, statement) as connection:
            return await facts_on(connection)

    async def _change_concurrently(self, caller: Caller, statement: Statement) -> None:
        try:
            async with self._running(caller, Capability.HEAL, statement) as connection:
                await (await connection.prepare(statement.text)).fetch()
        except (Failure, asyncio.CancelledError) as error:
            # 42P07: the name was taken; then nothing was begun.
            taken = isinstance(error, Failure) and error.sqlstate == "42P07"
            if statement.operation == "CREATE INDEX" and not taken:
                with anyio.CancelScope(shield=True):
                    await self.remove_invalid(caller, statement)
            raise

    def _begin(self, capability: Capability, statement: Statement, timeout_ms: int) -> str:
        if not statement.in_transaction:
            name = "begin_concurrently"
        else:
            name = "begin_read" if capability is Capability.READ else "begin_write"
        return sql_text(name).format(
            statement_timeout=quoted(str(timeout_ms)),
            lock_timeout=quoted(str(self._settings.lock_timeout_ms)),
            transaction_timeout=quoted(str(timeout_ms + 2 * _GRACE_MS)),
        )

    @asynccontextmanager
    async def _running(
        self,
        caller: Caller,
        capability: Capability,
        statement: Statement,
        *,
        binds: bool = True,
    ) -> AsyncIterator[AgentConnection]:
        """A connection in its transaction; whatever goes wrong on it becomes a Failure.

        Args:
            binds: bind it to the caller; else that is left to `writing.begin`.
        """
        limit_ms = caller.budget.milliseconds(capability)
        begin = self._begin(capability, statement, limit_ms)
        caller.check(capability)
        async with (
            self.slots.taken(caller, capability),
            self._pools.connection(capability, begin) as connection,
        ):
            wire = connection.wire
            wire.start(max(_WIRE_BYTES, 4 * caller.budget.bytes))
            try:
                async with asyncio.timeout((limit_ms + _GRACE_MS) / 1000):
                    if binds and statement.in_transaction:
                        await bind(connection, caller)
                    await self._catalogue.check(connection, capability, statement.calls)
                    yield connection
            except Failure:
                raise
            except Exception as error:
                failure = (
                    _too_much() if wire.exceeded else failure_of(error, statement.text, limit_ms)
                )
                failure.outcome = None if capability is Capability.READ else "nothing_changed"
                raise failure from error
            finally:
                wire.stop()


async def facts_on(connection: AgentConnection) -> Facts:
    """What the catalogue says within the connection's transaction, whose search_path it empties."""
    await connection.execute(EMPTY_PATH)
    return facts_of(tuple(record) for record in await connection.fetch(FACTS_SQL))


async def _fetch(
    prepared: "PreparedStatement[asyncpg.Record]",
    values: Parameters,
    limit: int,
    max_bytes: int,
    *,
    drain: bool = False,
) -> Rows:
    columns = [(column.name, column.type.name) for column in prepared.get_attributes()]
    cursor = await prepared.cursor(*values)
    rows = await read_rows(cursor, columns, limit, max_bytes)
    if drain and rows.truncated:
        rows.total += await count_rest(cursor)
    return rows


def failure_of(error: Exception, sql: str, limit_ms: int) -> Failure:
    """What the agent is told about an error of PostgreSQL or of asyncpg.

    Raises:
        Exception: `error` itself, where it is a fault of this server.
    """
    if isinstance(error, TimeoutError):
        return Failure(
            f"The statement took longer than {limit_ms} ms and was cancelled.",
            sqlstate="57014",
            hint=hint_for("57014", ""),
        )
    # asyncpg gives its own "connection was closed" a SQLSTATE too.
    lost = isinstance(error, asyncpg.PostgresConnectionError)
    if isinstance(error, asyncpg.PostgresError) and error.sqlstate and not lost:
        message = error.args[0] if error.args else type(error).__name__
        detail = getattr(error, "detail", None)
        # PostgreSQL's own hint is kept: it knows the column that was meant. Not where it says
        # CASCADE, which the gate does not take.
        own = "" if error.sqlstate == "2BP01" else getattr(error, "hint", None) or ""
        ours = hint_for(error.sqlstate, str(message), sql)
        return Failure(
            str(message),
            sqlstate=error.sqlstate,
            hint=" ".join(part for part in (ours, own) if part),
            detail=detail,
            refused_by="database",
        )
    if isinstance(error, asyncpg.InterfaceError) and "expects" in str(error):
        return Failure(
            "The statement contains a parameter ($1, …), and there are none.",
            sqlstate="42P02",
            hint=hint_for("42P02", ""),
        )
    if isinstance(error, CONNECTION_LOST):
        return Failure(
            "The connection to PostgreSQL was lost.", sqlstate="08006", hint=hint_for("08006", "")
        )
    raise error


async def _end(
    connection: AgentConnection, call: Call, written: Written, plan: list[str]
) -> Written:
    await writing.end(connection, call, written)
    if call.dry_run:
        return replace(written, trial=await writing.trial(connection, call, plan))
    await _commit(connection)
    return written


async def _commit(connection: AgentConnection) -> None:
    try:
        # A COMMIT that was sent is waited for, even if the caller has gone: else nobody knows.
        with anyio.CancelScope(shield=True):
            tag = await connection.execute("commit")
    except (*CONNECTION_LOST, TimeoutError) as error:
        if isinstance(error, asyncpg.PostgresError) and not _is_loss(error.sqlstate):
            raise
        raise Failure(
            "The connection was lost while the write was being committed.",
            sqlstate="08007",
            hint="Ask postgres_call_status with this call_id whether it was written, before "
            "sending it again; or send it again with the idempotency_key that it had.",
            outcome="unknown",
        ) from error
    if tag != "COMMIT":
        raise Failure(
            "PostgreSQL rolled the write back.", sqlstate="40000", outcome="nothing_changed"
        )


def _is_loss(sqlstate: str | None) -> bool:
    return sqlstate is None or sqlstate.startswith(("08", "57P"))


async def _check_owned(connection: AgentConnection, statement: Statement) -> None:
    record = await connection.fetchrow(sql_text("owned"), statement.name)
    if record is not None and not record["owned"]:
        raise Failure(
            f"{statement.name} was not made through this tool.",
            sqlstate="42501",
            hint="What sql/ declares, or a migration brought, a person removes.",
            outcome="nothing_changed",
        )


def _too_much() -> Failure:
    return Failure(
        f"The result is larger than {_WIRE_BYTES // 1024**2} MB in one piece.",
        sqlstate="54000",
        hint=hint_for("54000", ""),
    )
