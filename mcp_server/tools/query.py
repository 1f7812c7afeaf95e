"""postgres_query: read."""

from time import perf_counter
from typing import Any

from pydantic import Field
from typing_extensions import TypedDict

from mcp_server.again import patiently
from mcp_server.tool import Access, Answer, Arguments, Tool, elapsed_ms


class QueryArguments(Arguments):
    """What postgres_query takes."""

    query: str = Field(description="One SELECT, VALUES, TABLE, WITH, EXPLAIN [ANALYZE] or SHOW.")
    params: list[Any] | None = Field(
        default=None, max_length=1_000, description="Values for $1, $2, … in the query."
    )
    limit: int | None = Field(
        default=None, ge=1, description="Most rows to return; the server's own cap holds as well."
    )


class Column(TypedDict):
    """A column of a result."""

    name: str
    type: str


class QueryResult(TypedDict):
    """What postgres_query answers."""

    success: bool
    rows: list[dict[str, Any]]
    count: int
    columns: list[Column]
    truncated: bool
    duration_ms: float


async def run(access: Access, arguments: QueryArguments) -> Answer:
    """Judge and run a query.

    Raises:
        Failure: the gate or PostgreSQL refused it.
    """
    start = perf_counter()
    statement = access.gate.query(arguments.query)
    limit = access.limit(arguments.limit)
    parameters = arguments.params or ()
    rows = await patiently(
        lambda: access.sessions.read(access.caller, statement, limit, parameters), repeatable=True
    )
    return Answer(
        {
            "success": True,
            "rows": rows.rows,
            "count": len(rows.rows),
            "columns": rows.columns,
            "truncated": rows.truncated,
            "duration_ms": elapsed_ms(start),
        },
        rows,
    )


TOOL = Tool(
    name="postgres_query",
    title="Query",
    description=(
        "Run one read-only PostgreSQL query and get its rows as JSON. EXPLAIN (ANALYZE) works too. "
        "truncated=true means that there are more rows: aggregate, filter or page with LIMIT and "
        "OFFSET. This is PostgreSQL, not SQLite: booleans are true and false, text is in single "
        "quotes, JSON columns are jsonb, times are UTC."
    ),
    arguments=QueryArguments,
    result=QueryResult,
    run=run,
)
