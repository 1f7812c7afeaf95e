"""postgres_drift: what of the schema is not as sql/ declares it."""

from time import perf_counter

from typing_extensions import TypedDict

from database.catalogue.compare import drift, repairs
from database.catalogue.facts import declared_facts
from mcp_server.tool import Access, Answer, Arguments, Tool, elapsed_ms


class DriftArguments(Arguments):
    """postgres_drift takes nothing."""


class DriftEntry(TypedDict):
    """A difference. `by_hand`: values may be lost or cannot be made up."""

    kind: str
    schema: str
    table: str
    name: str
    state: str
    words: str
    repair: list[str]
    by_hand: bool


class DriftResult(TypedDict):
    """What postgres_drift answers; `additions` are not declared, and stay."""

    success: bool
    count: int
    differences: list[DriftEntry]
    additions: list[str]
    repair: list[str]
    duration_ms: float


async def run(access: Access, _arguments: DriftArguments) -> Answer:
    """Compare the catalogue with the declared one.

    Raises:
        Failure: PostgreSQL cannot be asked.
    """
    start = perf_counter()
    found = drift(declared_facts(), await access.sessions.facts(access.caller))
    wrong = [difference for difference in found if difference.is_drift]
    return Answer(
        {
            "success": True,
            "count": len(wrong),
            "differences": [difference.fields() for difference in wrong],
            "additions": [one.words for one in found if not one.is_drift],
            "repair": repairs(wrong),
            "duration_ms": elapsed_ms(start),
        }
    )


TOOL = Tool(
    name="postgres_drift",
    title="Compare the schema with its declaration",
    description="What of tables, columns, indexes, constraints, policies, rights, functions and "
    "triggers is not as declared, with the SQL that repairs it. Changes nothing.",
    arguments=DriftArguments,
    result=DriftResult,
    run=run,
)
