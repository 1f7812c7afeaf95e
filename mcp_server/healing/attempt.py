"""The record of an attempt at healing: begun before anything is changed, ended whatever happens."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal
from uuid import UUID, uuid4

import anyio
import orjson

from mcp_server.audit import Call, Recorder
from mcp_server.caller import Caller
from mcp_server.failure import Failure
from mcp_server.healing.diagnosis import Diagnosis

Outcome = Literal["healed", "not_needed", "left_to_a_person", "failed", "undone", "interrupted"]
#: SQLSTATE while healing is paused, and where an agent has had its attempts of the hour.
PAUSED, LIMITED = "55000", "53400"
_SEEN_LENGTH = 4_000


@dataclass
class Attempt:
    """An attempt.

    Attributes:
        rounds: what was tried in each: statements, proof, verification, error.
        left: what of the schema is still not as declared, in words.
    """

    id: UUID = field(default_factory=uuid4)
    outcome: Outcome = "failed"
    rounds: list[dict[str, Any]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


@asynccontextmanager
async def recorded(recorder: Recorder, call: Call, diagnosis: Diagnosis) -> AsyncIterator[Attempt]:
    """Record what is done within.

    Raises:
        Failure: 55P03 where the same thing has failed before, and it is too early to try again;
            PAUSED; LIMITED; or the beginning cannot be recorded. Nothing is begun then.
    """
    attempt, start = Attempt(), perf_counter()
    entry = {
        "id": str(attempt.id),
        "agent": call.caller.agent,
        "session": call.caller.session or None,
        "call_id": str(call.id),
        "sqlstate": diagnosis.seen.sqlstate,
        "class": diagnosis.known.kind,
        "seen": diagnosis.seen.text.replace("\0", "�")[:_SEEN_LENGTH],
        "fingerprint": _fingerprint(diagnosis),
        "per_hour": call.caller.heals_per_hour,
    }
    begun = orjson.loads(await recorder.healing("healing_begin", _json(entry)))
    if refusal := _refusal(call, begun):
        raise refusal
    try:
        yield attempt
    except asyncio.CancelledError:
        attempt.outcome = "interrupted"
        raise
    finally:
        report = {"diagnosis": diagnosis.fields(), "rounds": attempt.rounds, "left": attempt.left}
        ended = {
            "outcome": attempt.outcome,
            "report": report,
            "duration_ms": (perf_counter() - start) * 1000,
        }
        with anyio.CancelScope(shield=True):
            await recorder.healing("healing_end", attempt.id, _json(ended))


async def check_not_paused(recorder: Recorder) -> None:
    """For what is changed without the lock of healing, which asks this by itself.

    Raises:
        Failure: PAUSED.
    """
    if paused := await recorder.healing("healing_paused"):
        raise _paused(paused)


def limit_words(caller: Caller) -> str:
    """What is said to an agent that may begin no attempt now."""
    return f"{caller.agent} has begun the {caller.heals_per_hour} attempts that it may an hour."


def _paused(words: str) -> Failure:
    return Failure(
        f"Healing is paused {words}",
        sqlstate=PAUSED,
        hint="A person resumes it: mcp-server-atlas-pg heal resume.",
        outcome="nothing_changed",
    )


def _refusal(call: Call, begun: dict[str, Any]) -> Failure | None:
    if paused := begun.get("paused"):
        return _paused(paused)
    if wait := begun.get("limit_seconds"):
        state = LIMITED
        error = limit_words(call.caller)
        hint = f"The next one may begin in {wait:.0f} s; MCP_HEAL_PER_HOUR allows more."
    elif wait := begun.get("wait_seconds"):
        state = "55P03"
        error = (
            f"Healing this has failed repeatedly; it is tried again in {wait} s at the earliest."
        )
        hint = "Leave it to a person; ops.healing_attempt says what was tried."
    else:
        return None
    return Failure(error, sqlstate=state, hint=hint, outcome="nothing_changed")


def _fingerprint(diagnosis: Diagnosis) -> str:
    what = [diagnosis.seen.sqlstate, diagnosis.fix.statements or diagnosis.seen.names]
    return hashlib.sha256(_json(what).encode()).hexdigest()


def _json(value: object) -> str:
    return orjson.dumps(value, default=str).decode().replace("\\u0000", "\\ufffd")
