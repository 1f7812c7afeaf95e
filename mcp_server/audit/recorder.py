"""Writes the records of calls, over a connection of its own that runs no agent's SQL.

Records that come at the same time are sent together: adding one takes a lock that all servers
share, and a round trip. The beginning of a write is on record before the write is sent, its end
before it is answered. A read waits for nothing but the record of its beginning, which is made
while it runs; that of its end comes a moment later. The record of an end that PostgreSQL did not
take (it is restarting) is kept, and sent with the next.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import anyio
import asyncpg
import orjson
import structlog

from database.errors import BundleError
from database.settings import Server
from mcp_server.audit.call import Call, Entry
from mcp_server.failure import Failure
from mcp_server.hints import hint_for
from mcp_server.pools import CONNECTION_LOST, connect_as
from mcp_server.settings import Settings
from mcp_server.sql import sql_text

LOGIN = "mcp_audit"

_BATCH = 500
# Ends that wait for PostgreSQL to come back; what is beyond them is dropped, and logged.
_MOST_KEPT = 10_000
_ANSWER_SECONDS = 10.0
# The end of a read waits so long for a beginning to be sent with.
_LINGER_SECONDS = 0.1
_CLOSING_SECONDS = 3.0
_FAILURES = (*CONNECTION_LOST, asyncpg.PostgresError, BundleError, TimeoutError)
# One entry's own fault: the others of its batch are sent without it.
_BAD_ENTRY = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)

_log = structlog.get_logger()


@dataclass(frozen=True)
class _Pending:
    entry: Entry
    done: "asyncio.Future[None]"


class Recorder:
    """The audit of one server process."""

    def __init__(
        self, settings: Settings, discover: Callable[[], Server] = Server.discover
    ) -> None:
        self._settings = settings
        self._discover = discover
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._in_use = asyncio.Lock()
        self._pending: deque[_Pending] = deque()
        self._sending: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._anchor: str | None = None

    @asynccontextmanager
    async def recorded(self, call: Call, *, writes: bool) -> AsyncIterator[None]:
        """Record the beginning and the end of what is done within.

        Raises:
            Failure: the beginning cannot be recorded. A write is not begun then, and what was
                read is not given out.
        """
        stored = self._settings.audit_arguments == "store"
        begun = self._add(call.begin(store_arguments=stored))
        failure: Failure | None = None
        try:
            if writes:
                await _recorded(begun)
            yield
            await _recorded(begun)
            call.outcome = call.outcome or "done"
        except Failure as error:
            failure = error
            raise
        except Exception:
            call.outcome = "failed"
            raise
        except BaseException:
            call.outcome = "cancelled"
            raise
        finally:
            ended = self._add(call.end(failure), at_once=writes)
            if writes:
                # What is written is written: that its record comes later changes no answer.
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({ended})

    async def status(self, call_id: UUID) -> dict[str, Any] | None:
        """What became of a call, as audit.status() says; None where there is none.

        Raises:
            Failure: PostgreSQL cannot be asked.
        """
        (record,) = await self._ask("call_status", call_id)
        return None if record["status"] is None else dict(orjson.loads(record["status"]))

    async def images(self, call_id: UUID) -> list[asyncpg.Record]:
        """The images of a call's rows, in the order in which they were written.

        Raises:
            Failure: PostgreSQL cannot be asked.
        """
        return await self._ask("row_images", call_id)

    async def healing(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - as the file says
        """What sql/`name`.sql answers of attempts at healing.

        Raises:
            Failure: PostgreSQL cannot be asked.
        """
        (record,) = await self._ask(name, *arguments)
        return record[0]

    async def close(self) -> None:
        """Send what is left, and log where the chain ends; `audit verify --anchor` takes that."""
        if self._pending:
            self._send()
        if self._sending is not None:
            with anyio.CancelScope(shield=True):
                await asyncio.wait({self._sending}, timeout=_CLOSING_SECONDS)
            if self._sending is not None:
                self._sending.cancel()
        if self._anchor is not None:
            _log.info("audit", anchor=self._anchor, unrecorded=len(self._pending))
        self._drop()

    def _add(self, entry: Entry, *, at_once: bool = True) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Not everybody waits; asyncio would complain of an error that nobody has looked at.
        done.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._pending.append(_Pending(entry, done))
        if at_once:
            self._send()
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._send)
        return done

    def _send(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._pending:
                count = min(_BATCH, len(self._pending))
                batch = [self._pending.popleft() for _ in range(count)]
                try:
                    await self._send_batch(batch)
                except Exception as error:  # noqa: BLE001 - told to whoever waits
                    _log.warning("audit: not recorded", cause=type(error).__name__)
                    self._keep_ends([*batch, *self._pending], error)
                    return
        finally:
            self._sending = None

    async def _send_batch(self, batch: list[_Pending]) -> None:
        entries = orjson.dumps([pending.entry for pending in batch]).decode()
        try:
            (record,) = await self._run("append", entries)
        except _BAD_ENTRY as error:
            if len(batch) > 1:
                for pending in batch:
                    await self._send_batch([pending])
                return
            _log.warning("audit: refused", cause=type(error).__name__)
            batch[0].done.set_exception(error)
            return
        self._anchor = record["anchor"]
        for pending in batch:
            if not pending.done.done():
                pending.done.set_result(None)

    def _keep_ends(self, unsent: list[_Pending], error: Exception) -> None:
        for pending in unsent:
            if not pending.done.done():
                pending.done.set_exception(error)
        # What has happened is recorded when PostgreSQL is back; what has not begun never was.
        ends = [pending for pending in unsent if pending.entry["event"] == "end"]
        self._pending = deque(ends[-_MOST_KEPT:])

    async def _ask(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        try:
            return await self._run(name, *arguments)
        except _FAILURES as error:
            raise _unrecorded("The record of calls cannot be read", error) from error

    async def _run(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        """Run sql/`name`.sql; once more where the connection turns out to be dead.

        All of these may be run twice: append() adds nothing that is there.
        """
        async with self._in_use:
            for last in (False, True):
                try:
                    if self._connection is None or self._connection.is_closed():
                        self._connection = await connect_as(
                            self._discover(), LOGIN, "AUDIT", statement_cache_size=10
                        )
                    text = sql_text(name)
                    return await self._connection.fetch(text, *arguments, timeout=_ANSWER_SECONDS)
                except CONNECTION_LOST:
                    self._drop()
                    if last:
                        raise
                except asyncpg.PostgresError:
                    raise
                except BaseException:
                    # Cancelled or late: nobody knows what comes next on it.
                    self._drop()
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


async def _recorded(begun: "asyncio.Future[None]") -> None:
    try:
        # Shielded: a caller who leaves does not take the others' records along.
        await asyncio.shield(begun)
    except _FAILURES as error:
        raise _unrecorded("The call cannot be recorded, so it is not made", error) from error


def _unrecorded(what: str, error: BaseException) -> Failure:
    state = getattr(error, "sqlstate", None) or "08001"
    return Failure(
        f"{what}: {error or type(error).__name__}",
        sqlstate=state,
        hint=hint_for(state, ""),
        outcome="nothing_changed",
    )
