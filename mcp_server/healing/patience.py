"""Whose turn it is to heal, and trying again where somebody else was in the way."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.sql import sql_text

_TRIES = 4
_FIRST_PAUSE = 0.2
#: Lock timeout, deadlock, serialization: nothing was changed, and a moment later it may work.
TRANSIENT = ("55P03", "40P01", "40001")


async def patiently(work: Callable[[], Awaitable[None]]) -> None:
    """Run it, again after a growing, random pause where somebody else was in the way.

    Raises:
        Failure: of the last try.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            await work()
        except Failure as failure:
            if failure.sqlstate not in TRANSIENT or attempt == _TRIES:
                raise
            await asyncio.sleep(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
        else:
            return


async def hold_lock(connection: AgentConnection) -> None:
    """Take the lock of healing; again before each statement, since it is refused once paused.

    Raises:
        Failure: somebody else is healing, or healing is paused.
    """
    if not await connection.fetchval(sql_text("healing_lock")):
        raise Failure("Somebody else is healing.", sqlstate="55P03", outcome="nothing_changed")
