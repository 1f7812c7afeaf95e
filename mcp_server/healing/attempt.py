"""The record of an attempt at healing: begun before anything is changed, ended whatever happens."""

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
from mcp_server.failure import Failure
from mcp_server.healing.diagnosis import Diagnosis

Outcome = Literal["healed", "not_needed", "left_to_a_person", "failed", "undone"]
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
        Failure: 55P03 where the same thing has failed before, and it is too early to try again; or
            the beginning cannot be recorded. Nothing is begun then.
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
    }
    begun = orjson.loads(await recorder.healing("healing_begin", _json(entry)))
    if wait := begun.get("wait_seconds"):
        raise Failure(
            f"Healing this has failed repeatedly; it is tried again in {wait} s at the earliest.",
            sqlstate="55P03",
            hint="Leave it to a person; ops.healing_attempt says what was tried.",
            outcome="nothing_changed",
        )
    try:
        yield attempt
    finally:
        report = {"diagnosis": diagnosis.fields(), "rounds": attempt.rounds, "left": attempt.left}
        ended = {
            "outcome": attempt.outcome,
            "report": report,
            "duration_ms": (perf_counter() - start) * 1000,
        }
        with anyio.CancelScope(shield=True):
            await recorder.healing("healing_end", attempt.id, _json(ended))


def _fingerprint(diagnosis: Diagnosis) -> str:
    what = [diagnosis.seen.sqlstate, diagnosis.fix.statements or diagnosis.seen.names]
    return hashlib.sha256(_json(what).encode()).hexdigest()


def _json(value: object) -> str:
    return orjson.dumps(value, default=str).decode().replace("\\u0000", "\\ufffd")
