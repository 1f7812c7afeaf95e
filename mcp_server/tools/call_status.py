"""postgres_call_status: what became of a call."""

from time import perf_counter
from typing import Any, Literal, NotRequired
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from mcp_server.caller import Caller
from mcp_server.failure import Failure
from mcp_server.tool import Access, Answer, Arguments, Tool, elapsed_ms


class CallStatusArguments(Arguments):
    """What postgres_call_status takes."""

    call_id: UUID = Field(description="call_id of an answer, also of one that failed.")


class CallStatusResult(TypedDict):
    """What postgres_call_status answers.

    `state` is the truth about what the call wrote; `outcome` what is on record of its end. What
    there is none of is left out.
    """

    success: bool
    call_id: str
    state: Literal["committed", "running", "not_committed"]
    duration_ms: float
    outcome: NotRequired[str]
    sqlstate: NotRequired[str]
    affected: NotRequired[int]
    tool: NotRequired[str]
    began_at: NotRequired[str]
    ended_at: NotRequired[str]


async def run(access: Access, arguments: CallStatusArguments) -> Answer:
    """Look a call of the agent's up.

    Raises:
        Failure: 02000 where it has made no such call.
    """
    start = perf_counter()
    status = await access.recorder.status(arguments.call_id)
    if status is None or not is_own(access.caller, status):
        raise Failure(
            f"There is no call {arguments.call_id} of yours.",
            sqlstate="02000",
            hint="A call of yours that is not on record has written nothing.",
        )
    names = ("state", "outcome", "sqlstate", "affected", "tool", "began_at", "ended_at")
    return Answer(
        {
            "success": True,
            "call_id": str(arguments.call_id),
            **{name: status[name] for name in names if status[name] is not None},
            "duration_ms": elapsed_ms(start),
        }
    )


def is_own(caller: Caller, status: dict[str, Any] | None) -> bool:
    """Whether a call was made by the caller; bound to a session, it was made in that session."""
    return (
        status is not None
        and status["agent"] == caller.agent
        and caller.session in ("", status["session"])
    )


TOOL = Tool(
    name="postgres_call_status",
    title="What became of a call",
    description=(
        "Say whether a call of yours was committed: after an answer with outcome 'unknown', or "
        "none at all. 'running': ask again in a moment."
    ),
    arguments=CallStatusArguments,
    result=CallStatusResult,
    run=run,
)
