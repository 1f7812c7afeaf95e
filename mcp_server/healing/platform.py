"""The platform's own log of repairs, recovery_attempts."""

from uuid import UUID

import orjson

from mcp_server.audit import Call
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.healing.attempt import Attempt
from mcp_server.pools import Capability
from mcp_server.sql import sql_text
from mcp_server.tool import Access
from mcp_server.writing import Written

_LONGEST = 10_000


async def note(
    access: Access, step_id: UUID, attempt: Attempt, error: str, duration_ms: float
) -> None:
    """Write a row, as a write of the agent's own; what stands against it goes into the attempt.

    The attempt itself is on record in ops.healing_attempt in any case.
    """
    if Capability.WRITE not in access.caller.capabilities:
        attempt.rounds.append({"recovery_attempts": "the agent may not write"})
        return
    values = (
        step_id,
        len(attempt.rounds),
        "postgres_heal",
        attempt.outcome in ("healed", "not_needed"),
        round(duration_ms),
        orjson.dumps(attempt.rounds, default=str).decode()[:_LONGEST],
        error.replace("\0", "�")[:_LONGEST],
    )

    async def insert(connection: AgentConnection) -> Written:
        await connection.execute(sql_text("recovery_attempt"), *values)
        return Written(1, "INSERT 0 1")

    call = Call(access.caller, "postgres_heal", {"step_id": str(step_id)})
    try:
        async with access.recorder.recorded(call, writes=True):
            await access.sessions.write_by(call, insert)
    except Failure as failure:
        attempt.rounds.append({"recovery_attempts": failure.error})
