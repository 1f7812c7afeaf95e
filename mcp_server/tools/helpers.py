"""The plan's helpers: fix_missing_column, create_performance_index, analyze_query_performance."""

from time import perf_counter
from typing import Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from database.catalogue.facts import Key, declared_facts, quoted
from mcp_server.audit import Call
from mcp_server.failure import Failure, refuse
from mcp_server.healing import performance
from mcp_server.healing.shapes import Candidate
from mcp_server.tool import Access, Answer, Arguments, Tool, elapsed_ms


class FixMissingColumnArguments(Arguments):
    """What postgres_fix_missing_column takes."""

    table: str = Field(description="Table of schema public.")
    column: str = Field(description="The column that is missing.")
    column_type: str = Field(description="Its type, as in ALTER TABLE … ADD COLUMN.")


class HelperResult(TypedDict):
    """What the helpers that change something answer."""

    success: bool
    ddl: str
    message: str
    changed: bool
    report: dict[str, Any]
    duration_ms: float


async def fix_missing_column(access: Access, arguments: FixMissingColumnArguments) -> Answer:
    """Add a column: proved in a rolled-back transaction, applied, verified.

    Raises:
        Failure: the gate or PostgreSQL refuses it, or sql/ declares it with another type.
    """
    start = perf_counter()
    table, column = arguments.table.removeprefix("public."), arguments.column
    ddl = f"ALTER TABLE public.{quoted(table)} ADD COLUMN {quoted(column)} {arguments.column_type}"
    statement = access.gate.schema(ddl, False)
    key = Key("column", "public", table, column)
    present = (await access.sessions.facts(access.caller)).get(key)
    declared = declared_facts().get(key)
    report: dict[str, Any] = {}
    if present is None:
        trial = Call(access.caller, "postgres_fix_missing_column", {"ddl": ddl}, dry_run=True)
        async with access.recorder.recorded(trial, writes=True):
            await access.sessions.change_schema(trial, statement)
        report["proved"] = True
        await access.sessions.change_schema(access.call, statement)
        present = (await access.sessions.facts(access.caller)).get(key)
        report["changed"] = True
    if present is None:
        raise Failure("The column was not added.", sqlstate="42703", outcome="unknown")
    report["column"] = present
    if declared is not None and declared["type"] != present["type"]:
        report["declared"] = {name: declared[name] for name in ("type", "not_null")}
    done = bool(report.get("changed"))
    message = "Column added and verified" if done else "The column is there already"
    return _answer(ddl, message, done, report, start)


class CreatePerformanceIndexArguments(Arguments):
    """What postgres_create_performance_index takes."""

    table: str = Field(description="Table of schema public.")
    columns: list[str] = Field(min_length=1, max_length=32, description="Columns, in order.")
    query: str | None = Field(
        default=None, description="A query that it shall help: the index stays only if it does."
    )


async def create_performance_index(
    access: Access, arguments: CreatePerformanceIndexArguments
) -> Answer:
    """Build an index CONCURRENTLY, where there is none that serves; keep it where it helps.

    Raises:
        Failure: the gate or PostgreSQL refuses it.
    """
    start = perf_counter()
    table = arguments.table.removeprefix("public.")
    candidate = Candidate(table, tuple(arguments.columns))
    # Judged first: names of an agent's go into it.
    access.gate.schema(candidate.definition, False)
    live = await access.sessions.facts(access.caller)
    if there := performance.covering(candidate, live):
        return _answer(candidate.definition, f"{there} serves already", False, {}, start)
    report: dict[str, Any] = {}
    stays = await performance.try_index(access, candidate, arguments.query, report)
    message = "Index created" if stays else "Index tried and dropped: it does not help"
    return _answer(candidate.definition, message, stays, report, start)


def _answer(ddl: str, message: str, changed: bool, report: dict[str, Any], start: float) -> Answer:
    return Answer(
        {
            "success": True,
            "ddl": ddl,
            "message": message,
            "changed": changed,
            "report": report,
            "duration_ms": elapsed_ms(start),
        }
    )


class AnalyzeQueryPerformanceArguments(Arguments):
    """What postgres_analyze_query_performance takes."""

    query: str = Field(description="One query; it is run, read-only, to be measured.")


class AnalyzeQueryPerformanceResult(TypedDict):
    """What postgres_analyze_query_performance answers; times in milliseconds."""

    success: bool
    plan: dict[str, Any]
    total_cost: float
    execution_ms: NotRequired[float]
    suggestions: list[str]
    duration_ms: float


async def analyze_query_performance(
    access: Access, arguments: AnalyzeQueryPerformanceArguments
) -> Answer:
    """EXPLAIN ANALYZE, with the indexes that the plan asks for.

    Raises:
        Failure: the gate or PostgreSQL refuses the query.
    """
    start = perf_counter()
    if arguments.query.lstrip().lower().startswith("explain"):
        raise refuse("The query itself is needed.", "Leave EXPLAIN out.", "42601")
    plan = await performance.plan_of(access, arguments.query, analyze=True)
    live = await access.sessions.facts(access.caller)
    trigrams = await performance.can_have_trigrams(access)
    wanted = performance.candidates(plan, live, arguments.query, trigrams=trigrams)
    return Answer(
        {
            "success": True,
            "plan": plan["Plan"],
            "total_cost": plan["Plan"]["Total Cost"],
            "execution_ms": plan["Execution Time"],
            "suggestions": [one.definition for one in wanted],
            "duration_ms": elapsed_ms(start),
        }
    )


FIX_MISSING_COLUMN = Tool(
    name="postgres_fix_missing_column",
    title="Add a missing column",
    description="Add a column that is missing: tried in a rolled-back transaction, applied, "
    "verified. One that is there already is no error.",
    arguments=FixMissingColumnArguments,
    result=HelperResult,
    run=fix_missing_column,
    read_only=False,
    heals=True,
)
CREATE_PERFORMANCE_INDEX = Tool(
    name="postgres_create_performance_index",
    title="Create an index",
    description="Build an index without blocking writers, where no other serves. With `query`, it "
    "is dropped again unless the query's plan uses it and costs clearly less.",
    arguments=CreatePerformanceIndexArguments,
    result=HelperResult,
    run=create_performance_index,
    read_only=False,
    heals=True,
)
ANALYZE_QUERY_PERFORMANCE = Tool(
    name="postgres_analyze_query_performance",
    title="Analyze a slow query",
    description="Run one query under EXPLAIN ANALYZE, read-only: its plan, cost and time, and the "
    "indexes that would help.",
    arguments=AnalyzeQueryPerformanceArguments,
    result=AnalyzeQueryPerformanceResult,
    run=analyze_query_performance,
)
