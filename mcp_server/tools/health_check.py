"""postgres_health_check: whether the database answers, and how large it is."""

from time import perf_counter
from typing import Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from mcp_server.health import Finding, findings
from mcp_server.tool import Access, Answer, Arguments, Tool, elapsed_ms


class HealthCheckArguments(Arguments):
    """What postgres_health_check takes."""

    level: Literal["basic", "full"] = Field(
        default="basic", description="full: also look for what is wrong, with severity and fix."
    )


class HealthCheckResult(TypedDict):
    """What postgres_health_check answers. `table_count` counts the tables of schema public.

    With level full, `findings` is what is wrong, and `not_checked` why a check could not be made.
    """

    success: bool
    version: str
    table_count: int
    database_size: str
    status: str
    duration_ms: float
    findings: NotRequired[list[Finding]]
    not_checked: NotRequired[dict[str, str]]


async def run(access: Access, arguments: HealthCheckArguments) -> Answer:
    """Ask PostgreSQL how it is.

    Raises:
        Failure: it does not answer; the tool's result then says `status: unhealthy`.
    """
    start = perf_counter()
    (record,) = await access.sessions.catalogue(access.caller, "health_check")
    more: dict[str, object] = {}
    if arguments.level == "full":
        found, failed = await findings(access.sessions, access.caller)
        more = {"findings": found, "not_checked": failed}
    return Answer(
        {
            "success": True,
            **dict(record),
            **more,
            "status": "healthy",
            "duration_ms": elapsed_ms(start),
        }
    )


TOOL = Tool(
    name="postgres_health_check",
    title="Check health",
    description="Check the connection; PostgreSQL's version, number of tables, database size. With "
    "level full, what is wrong: indexes, dead rows, statistics, connections, archiving.",
    arguments=HealthCheckArguments,
    result=HealthCheckResult,
    run=run,
    failure_fields={"status": "unhealthy"},
)
