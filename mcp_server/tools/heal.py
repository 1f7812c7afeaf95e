"""postgres_heal: heal an error or the drift, verified, or say what a person must do."""

from time import perf_counter
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from mcp_server.healing import heal, platform, quarantined
from mcp_server.healing.findings import heal_finding
from mcp_server.healing.orphans import heal_orphans
from mcp_server.tool import Access, Answer, Tool, elapsed_ms
from mcp_server.tools.diagnose import Diagnosed, ErrorArguments


class GivenFinding(BaseModel):
    """A finding of postgres_health_check; its other fields may be left as they are."""

    model_config = ConfigDict(extra="ignore")

    check: str = Field(max_length=63)
    about: str = Field(max_length=1_000)


class HealArguments(ErrorArguments):
    """What postgres_heal takes."""

    finding: GivenFinding | None = Field(
        default=None,
        description="Instead of an error: a finding of postgres_health_check.",
    )
    orphans: Literal["parents", "quarantine"] | None = Field(
        default=None,
        description="Of rows without a parent: make it, or move them to quarantine.",
    )
    step_id: UUID | None = Field(
        default=None,
        description="The platform's failed step, for recovery_attempts.",
    )
    dry_run: bool = Field(default=False, description="Prove the fix, and roll it back.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.finding is not None and (self.error or self.sqlstate or self.statement):
            raise ValueError("give an error or a finding, not both")
        if self.orphans and (
            self.error or self.sqlstate or (self.finding and self.finding.check != "orphans")
        ):
            raise ValueError("orphans goes alone, or with a finding of the check orphans")
        return self


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
    finding, dry_run = arguments.finding, arguments.dry_run
    if arguments.orphans is not None:
        about = None if finding is None else finding.about
        diagnosis, attempt = await heal_orphans(access, arguments.orphans, about, dry_run=dry_run)
    elif finding is not None and finding.check == quarantined.CHECK:
        diagnosis, attempt = await quarantined.heal_quarantined(
            access, finding.about, dry_run=dry_run
        )
    elif finding is not None:
        diagnosis, attempt = await heal_finding(
            access, finding.check, finding.about, dry_run=dry_run
        )
    else:
        diagnosis, attempt = await heal.heal(
            access, arguments.seen(), arguments.statement, dry_run=dry_run
        )
    if arguments.step_id is not None and not dry_run:
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
    description="Heal an error, or a finding of the health check (with none, all that drifted from "
    "the declared schema): proved in a rolled-back transaction where it can be, applied, verified, "
    "recorded; undone where it does not help. What needs a person is left, and said.",
    arguments=HealArguments,
    result=HealResult,
    run=run,
    read_only=False,
    destructive=False,
    idempotent=True,
    heals=True,
)
