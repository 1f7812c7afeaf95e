"""postgres_undo: put the rows of a call back."""

from time import perf_counter
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from mcp_server import undo
from mcp_server.connection import AgentConnection
from mcp_server.tool import Access, Answer, Arguments, Tool, elapsed_ms
from mcp_server.tools.call_status import is_own
from mcp_server.writing import Written


class UndoArguments(Arguments):
    """What postgres_undo takes."""

    call_id: UUID = Field(description="call_id of the answer to the write.")


class UndoResult(TypedDict):
    """What postgres_undo answers; `call_id` is the undo's own, which can be undone too."""

    success: bool
    call_id: str
    undone: str
    affected: int
    duration_ms: float


async def run(access: Access, arguments: UndoArguments) -> Answer:
    """Put the rows of a call back as they were before it.

    Raises:
        Failure: rows have changed since, or cannot be put back; then none is.
    """
    start = perf_counter()
    call = access.call
    call.reverts = arguments.call_id
    images = await undo.load(access.recorder, arguments.call_id)
    own = is_own(access.caller, await access.recorder.status(arguments.call_id))

    async def put_back(connection: AgentConnection) -> Written:
        return await undo.revert(connection, images, own=own)

    written = await access.sessions.write_by(call, put_back)
    return Answer(
        {
            "success": True,
            "call_id": str(call.id),
            "undone": str(arguments.call_id),
            "affected": written.affected,
            "duration_ms": elapsed_ms(start),
        }
    )


TOOL = Tool(
    name="postgres_undo",
    title="Undo a write",
    description=(
        "Put all rows that one call of postgres_execute (or of this tool) wrote back as they were "
        "before it, cascades included: all or none. Refused where any of them has changed since; "
        "`conflicts` says which. Schema changes are not undone."
    ),
    arguments=UndoArguments,
    result=UndoResult,
    run=run,
    read_only=False,
    destructive=True,
    idempotent=False,
)
