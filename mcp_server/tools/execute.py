"""postgres_execute: write rows."""

from time import perf_counter
from typing import Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from mcp_server.again import patiently
from mcp_server.tool import Access, Answer, Arguments, Tool, elapsed_ms
from mcp_server.tools.query import Column
from mcp_server.tools.written import Lock, ask, idempotency_key, told


class ExecuteArguments(Arguments):
    """What postgres_execute takes."""

    query: str = Field(description="One INSERT, UPDATE, DELETE or MERGE, RETURNING included.")
    params: list[Any] | None = Field(
        default=None, max_length=1_000, description="Values for $1, $2, … in the statement."
    )
    confirm: bool = Field(
        default=False, description="Allow an UPDATE or DELETE that reaches every row."
    )
    idempotency_key: str | None = idempotency_key()
    dry_run: bool = Field(
        default=False, description="Run it, report rows, locks and plan, and roll it back."
    )


class ExecuteResult(TypedDict):
    """What postgres_execute answers; the last four of the first part only with RETURNING.

    `written`, `locks` and `plan` only of a dry run; `replayed` where the key was used before.
    """

    success: bool
    call_id: str
    affected: int
    operation: str
    command_tag: str
    duration_ms: float
    rows: NotRequired[list[dict[str, Any]]]
    count: NotRequired[int]
    columns: NotRequired[list[Column]]
    truncated: NotRequired[bool]
    replayed: NotRequired[bool]
    dry_run: NotRequired[bool]
    written: NotRequired[int]
    locks: NotRequired[list[Lock]]
    plan: NotRequired[list[str]]


async def run(access: Access, arguments: ExecuteArguments) -> Answer:
    """Judge, run and commit a write.

    Raises:
        Failure: the gate or PostgreSQL refused it; its `outcome` says what became of it.
    """
    start = perf_counter()
    statement = access.gate.execute(arguments.query, arguments.confirm)
    call = ask(access.call, arguments.idempotency_key, dry_run=arguments.dry_run)
    written = await patiently(
        lambda: access.sessions.write(call, statement, arguments.params or ()),
        repeatable=call.idempotency_key is not None,
    )
    fields: dict[str, Any] = {
        "success": True,
        **told(call, written),
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
        "is 'unknown': then ask postgres_call_status, or send the same again with the same "
        "idempotency_key. postgres_undo takes the call_id of the answer."
    ),
    arguments=ExecuteArguments,
    result=ExecuteResult,
    run=run,
    read_only=False,
    destructive=True,
    idempotent=False,
)
