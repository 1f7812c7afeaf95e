"""A tool call that did not succeed, as the agent is told about it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(eq=False)
class Failure(Exception):  # noqa: N818 - it is an answer of the server, and rarely its error
    """Why a call failed, and what to do about it.

    Attributes:
        error: one sentence or two, PostgreSQL's own where it refused.
        sqlstate: PostgreSQL's code; the gate uses the code that PostgreSQL would.
        hint: what to do next; empty where nobody knows.
        detail: PostgreSQL's DETAIL line.
        refused_by: "gate" where PostgreSQL never saw the statement.
        outcome: what became of a write: certainly nothing, or nobody can tell.
        call_id: of a call that was meant to change something, for postgres_call_status.
        conflicts: rows that an undo would overwrite or not find.
    """

    error: str
    sqlstate: str | None = None
    hint: str = ""
    detail: str | None = None
    refused_by: Literal["gate", "database", "server"] = "server"
    outcome: Literal["nothing_changed", "unknown"] | None = None
    call_id: str | None = None
    conflicts: list[dict[str, object]] | None = None

    def __str__(self) -> str:
        return self.error

    def fields(self) -> dict[str, object]:
        """The structured result of the call: `success` is false, empty fields are left out."""
        answer: dict[str, object] = {
            "success": False,
            "error": self.error,
            "sqlstate": self.sqlstate,
            "hint": self.hint,
            "refused_by": self.refused_by,
        }
        if self.detail:
            answer["detail"] = self.detail
        if self.outcome:
            answer["outcome"] = self.outcome
        if self.call_id:
            answer["call_id"] = self.call_id
        if self.conflicts is not None:
            answer["conflicts"] = self.conflicts
        return answer


def refuse(error: str, hint: str = "", sqlstate: str = "0A000") -> Failure:
    """A refusal by the gate; PostgreSQL never saw the statement.

    Args:
        sqlstate: the code that PostgreSQL has for the same; 0A000 is "feature not supported".
    """
    return Failure(error, sqlstate=sqlstate, hint=hint, refused_by="gate")
