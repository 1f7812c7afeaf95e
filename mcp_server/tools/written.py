"""What the tools that change something have in common."""

from typing import Any

from pydantic import Field
from typing_extensions import TypedDict

from mcp_server.audit import Call
from mcp_server.failure import refuse
from mcp_server.writing import Written


class Lock(TypedDict):
    """A lock that a dry run took; `mode` is PostgreSQL's name of it."""

    relation: str
    mode: str


def idempotency_key() -> Any:  # noqa: ANN401 - pydantic's field
    """The argument of the name."""
    return Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Your name for this request: sent again with the same one, it is not done "
        "again, and answered as the first time.",
    )


def ask(call: Call, key: str | None, *, dry_run: bool) -> Call:
    """The call, with how it is to be made.

    Raises:
        Failure: it is a dry run with a key.
    """
    if dry_run and key is not None:
        raise refuse("A dry run writes nothing, and takes no idempotency_key.", "Leave it out.")
    call.idempotency_key, call.dry_run = key, dry_run
    return call


def told(call: Call, written: Written) -> dict[str, Any]:
    """The part of the answer that says which call it was and what kind of one."""
    if call.replays is not None:
        return {"call_id": call.replays, "replayed": True}
    fields: dict[str, Any] = {"call_id": str(call.id)}
    if written.trial is not None:
        trial = written.trial
        fields |= {"dry_run": True, "written": trial.written, "locks": trial.locks}
        if trial.plan:
            fields["plan"] = trial.plan
    return fields
