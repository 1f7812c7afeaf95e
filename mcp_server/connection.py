"""asyncpg's connection, with a bound on what it receives and with every type as JSON.

Row and byte caps are counted on rows that have arrived, and one value can have a gigabyte. So the
bytes themselves are counted between the socket and asyncpg, and the connection is cut when they
exceed the bound; PostgreSQL then ends the statement and rolls back.
"""

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import asyncpg

from mcp_server.sql import sql_text
from mcp_server.values import add_text_codec, set_codecs

if TYPE_CHECKING:
    from mcp_server.pools import Capability

    _Connection = asyncpg.Connection[asyncpg.Record]
else:  # generic for type checkers alone
    _Connection = asyncpg.Connection


#: PostgreSQL numbers what is not built in from here.
FIRST_OTHER_OID = 16_384


class BoundedWire(asyncio.Protocol):
    """Stands between a transport and asyncpg's protocol, and counts.

    Attributes:
        received: bytes since the last `start`.
        exceeded: whether the connection was cut for it.
    """

    def __init__(self, inner: asyncio.Protocol, transport: asyncio.Transport) -> None:
        self.received = 0
        self.exceeded = False
        self._limit: int | None = None
        self._inner = inner
        self._transport = transport

    def start(self, limit: int) -> None:
        """Count from zero; cut the connection at `limit` bytes."""
        self.received = 0
        self._limit = limit

    def stop(self) -> None:
        """Let everything through again."""
        self._limit = None

    def data_received(self, data: bytes) -> None:
        """Count what arrives and hand it on."""
        self.received += len(data)
        if self._limit is not None and self.received > self._limit:
            self.exceeded = True
            self._transport.abort()
            return
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Hand on."""
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand on."""
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Hand on."""
        self._inner.resume_writing()


class AgentConnection(_Connection):
    """An asyncpg connection that delivers JSON values over a bounded wire.

    Two of asyncpg's private methods are used, since it has no public way; its version is pinned.
    """

    __slots__ = ("capability", "context_key", "wire")
    #: What the login is for, a `pools.Capability`.
    capability: "Capability"
    #: What contexts are sealed with (context.py); None where there is no such secret.
    context_key: str | None
    wire: BoundedWire

    async def prepare_for_agents(self) -> None:
        """Put wire and codecs in place; once, when the connection has been made."""
        private: Any = self
        self.wire = BoundedWire(private._protocol, private._transport)
        private._transport.set_protocol(self.wire)
        await set_codecs(self)

    async def _introspect_types(
        self,
        typeoids: Iterable[int],
        timeout: float | None,  # noqa: ASYNC109 - asyncpg's
    ) -> tuple[list[asyncpg.Record], SimpleNamespace]:
        """Arrays as lists; other types that are not built in as text, not taken apart."""
        types = await self.fetch(sql_text("types"), list(typeoids), timeout=timeout)
        arrays = [type_ for type_ in types if type_["elemtype"] is not None]
        for type_ in types:
            if type_["elemtype"] is None:
                add_text_codec(self, type_["oid"], type_["name"])
            elif type_["elemtype"] >= FIRST_OTHER_OID:
                add_text_codec(self, type_["elemtype"], type_["elemtype_name"])
        # asyncpg asks for the statement's name, to learn whether it displaced the unnamed one.
        return arrays, SimpleNamespace(name="")
