"""postgres_health_check: whether the database answers, and how large it is."""

from time import perf_counter

from typing_extensions import TypedDict

from mcp_server.tools.tool import Access, Answer, Arguments, Tool, elapsed_ms


class HealthCheckArguments(Arguments):
    """postgres_health_check takes nothing."""


class HealthCheckResult(TypedDict):
    """What postgres_health_check answers. `table_count` counts the tables of schema public."""

    success: bool
    version: str
    table_count: int
    database_size: str
    status: str
    duration_ms: float


async def run(access: Access, _arguments: HealthCheckArguments) -> Answer:
    """Ask PostgreSQL how it is.

    Raises:
        Failure: it does not answer; the tool's result then says `status: unhealthy`.
    """
    start = perf_counter()
    (record,) = await access.sessions.catalogue(access.caller, "health_check")
    return Answer(
        {
            "success": True,
            **dict(record),
            "status": "healthy",
            "duration_ms": elapsed_ms(start),
        }
    )


TOOL = Tool(
    name="postgres_health_check",
    title="Check health",
    description="Check the connection; PostgreSQL's version, number of tables, database size.",
    arguments=HealthCheckArguments,
    result=HealthCheckResult,
    run=run,
    failure_fields={"status": "unhealthy"},
)
