"""A plan in the making: what the plans of its tables share."""

from dataclasses import dataclass, field

from migration.plan.joined import Evidence
from migration.plan.names import Names
from migration.policies import Policies
from migration.profile import Profile
from migration.schema import LeftOut


@dataclass(frozen=True)
class Draft:
    """Invariant: whatever does not arrive as it was is in `not_carried` or in `problems`."""

    profile: Profile
    policies: Policies
    names: Names
    #: What decides the type of each column, by folded (table, column).
    facts: dict[tuple[str, str], Evidence]
    not_carried: list[LeftOut]
    #: Why the plan cannot run.
    problems: list[str] = field(default_factory=list)

    def leave_out(self, kind: str, name: str, why: str) -> None:
        """Note what does not arrive."""
        self.not_carried.append(LeftOut(kind=kind, name=name, why=why))
