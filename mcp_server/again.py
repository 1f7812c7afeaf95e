"""Runs a call again that was in somebody's way, or whose connection was lost.

Invariant: nothing is run twice that may have been done once. PostgreSQL has rolled back what ended
in a deadlock or a serialization failure, so that is tried again a few times. Where a connection was
lost before COMMIT was sent (08006), a query is sent once more, and a write that has an idempotency
key. Once only: it may have been the statement that brought it down. A write that was lost in its
COMMIT (08007) is never run again here: the agent is told to ask. Nothing is ever restarted, and
what was cancelled is not run again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from mcp_server.failure import Failure

_log = structlog.get_logger()

#: Rolled back because of somebody else: deadlock, serialization.
IN_THE_WAY = frozenset({"40P01", "40001"})
#: The connection was lost; no COMMIT had been sent.
LOST = "08006"
_ATTEMPTS = {True: 2, False: 4}
_FIRST_PAUSE = 0.1

_Result = TypeVar("_Result")


async def patiently(work: Callable[[], Awaitable[_Result]], *, repeatable: bool) -> _Result:
    """Run `work`, again after a growing, random pause where that can help.

    Args:
        repeatable: to do it twice is to do it once: a query, or a write with its key.

    Raises:
        Failure: of the last attempt.
    """
    attempt = 1
    while True:
        try:
            return await work()
        except Failure as failure:
            lost = failure.sqlstate == LOST
            helps = (lost and repeatable) or failure.sqlstate in IN_THE_WAY
            if not helps or attempt >= _ATTEMPTS[lost]:
                raise
            _log.warning("tried again", sqlstate=failure.sqlstate, attempt=attempt)
        await asyncio.sleep(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
        attempt += 1
