"""postgres_heal: heal an error or the drift, verified, or say what a person must do."""

from time import perf_counter
from typing import Any
from uuid import UUID

from pydantic import Field
from typing_extensions import TypedDict

from mcp_server.healing import heal, platform
from mcp_server.tools.diagnose import Diagnosed, ErrorArguments
from mcp_server.tools.tool import Access, Answer, Tool, elapsed_ms


class HealArguments(ErrorArguments):
    """What postgres_heal takes."""

    step_id: UUID | None = Field(
        default=None,
        description="The platform's step that failed: gets a row in recovery_attempts.",
    )
    dry_run: bool = Field(default=False, description="Prove the fix, and roll it back.")


class HealResult(TypedDict):
    """What postgres_heal answers. `outcome`: healed, not_needed, left_to_a_person, failed, undone.

    `left`: what of the schema is still not as declared.
    """

    success: bool
    healed: bool
    outcome: str
    attempt_id: str
    diagnosis: Diagnosed
    rounds: list[dict[str, Any]]
    left: list[str]
    duration_ms: float


async def run(access: Access, arguments: HealArguments) -> Answer:
    """Heal, and record it.

    Raises:
        Failure: it cannot be recorded, or was tried too often.
    """
    start = perf_counter()
    seen = arguments.seen()
    diagnosis, attempt = await heal.heal(
        access, seen, arguments.statement, dry_run=arguments.dry_run
    )
    if arguments.step_id is not None and not arguments.dry_run:
        error = diagnosis.seen.text
        await platform.note(access, arguments.step_id, attempt, error, elapsed_ms(start))
    return Answer(
        {
            "success": True,
            "healed": attempt.outcome == "healed" and not arguments.dry_run,
            "outcome": attempt.outcome,
            "attempt_id": str(attempt.id),
            "diagnosis": diagnosis.fields(),
            "rounds": attempt.rounds,
            "left": attempt.left,
            "duration_ms": elapsed_ms(start),
        }
    )


TOOL = Tool(
    name="postgres_heal",
    title="Heal the database",
    description="Heal an error (or, with none given, everything that drifted from the declared "
    "schema): proved in a rolled-back transaction, applied, verified, recorded; undone where it "
    "does not help. What needs a person is left alone, and said exactly.",
    arguments=HealArguments,
    result=HealResult,
    run=run,
    read_only=False,
    destructive=False,
    idempotent=True,
    heals=True,
)
