"""postgres_execute: write rows."""

from time import perf_counter
from typing import Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from mcp_server.tools.query import Column
from mcp_server.tools.tool import Access, Answer, Arguments, Tool, elapsed_ms


class ExecuteArguments(Arguments):
    """What postgres_execute takes."""

    query: str = Field(description="One INSERT, UPDATE, DELETE or MERGE, RETURNING included.")
    params: list[Any] | None = Field(
        default=None, max_length=1_000, description="Values for $1, $2, … in the statement."
    )
    confirm: bool = Field(
        default=False, description="Allow an UPDATE or DELETE that reaches every row."
    )


class ExecuteResult(TypedDict):
    """What postgres_execute answers; the last four only with RETURNING."""

    success: bool
    affected: int
    operation: str
    command_tag: str
    duration_ms: float
    rows: NotRequired[list[dict[str, Any]]]
    count: NotRequired[int]
    columns: NotRequired[list[Column]]
    truncated: NotRequired[bool]


async def run(access: Access, arguments: ExecuteArguments) -> Answer:
    """Judge, run and commit a write.

    Raises:
        Failure: the gate or PostgreSQL refused it; its `outcome` says what became of it.
    """
    start = perf_counter()
    statement = access.gate.execute(arguments.query, arguments.confirm)
    written = await access.sessions.write(access.caller, statement, arguments.params or ())
    fields: dict[str, Any] = {
        "success": True,
        "affected": written.affected,
        "operation": statement.operation,
        "command_tag": written.command_tag,
        "duration_ms": elapsed_ms(start),
    }
    if written.rows is not None:
        fields |= {
            "rows": written.rows.rows,
            "count": len(written.rows.rows),
            "columns": written.rows.columns,
            "truncated": written.rows.truncated,
        }
    return Answer(fields, written.rows)


TOOL = Tool(
    name="postgres_execute",
    title="Write rows",
    description=(
        "Run one INSERT, UPDATE, DELETE or MERGE in a transaction of its own and commit it. "
        "`affected` is the number of rows; RETURNING gives them. UPDATE and DELETE need a WHERE "
        "that names rows, or confirm=true. On failure nothing was changed, except where outcome "
        "is 'unknown'."
    ),
    arguments=ExecuteArguments,
    result=ExecuteResult,
    run=run,
    read_only=False,
    destructive=True,
    idempotent=False,
)
