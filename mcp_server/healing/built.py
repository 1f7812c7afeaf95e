"""The record of indexes that healing builds for a statement.

Invariant: on record before it is built. So an index that is there after a kill is known to be
healing's, and is dropped again like one that was kept and that nobody uses.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID, uuid4

import anyio
import orjson

from mcp_server.audit import Recorder
from mcp_server.healing.shapes import Candidate


@dataclass
class Trial:
    """An index that is being built. `outcome`: whether it is there at the end."""

    id: UUID = field(default_factory=uuid4)
    outcome: Literal["kept", "dropped"] = "dropped"


def statement_hash(statement: str) -> str:
    """What stands for a statement on record: its text may hold values."""
    return hashlib.sha256(statement.encode()).hexdigest()


@asynccontextmanager
async def building(
    recorder: Recorder, candidate: Candidate, statement: str
) -> AsyncIterator[Trial]:
    """Record an index, which is built and judged within.

    Raises:
        Failure: it cannot be recorded; then nothing is begun.
    """
    trial = Trial()
    entry = {
        "id": str(trial.id),
        "name": candidate.name,
        "table": candidate.table,
        "definition": candidate.definition,
        "statement": statement_hash(statement),
    }
    await recorder.healing("index_begin", orjson.dumps(entry).decode())
    try:
        yield trial
    finally:
        with anyio.CancelScope(shield=True):
            await recorder.healing("index_end", trial.id, trial.outcome)
