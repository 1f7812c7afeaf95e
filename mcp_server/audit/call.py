"""A call of a tool, as it is recorded."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from time import perf_counter
from typing import Any, Literal
from uuid import UUID, uuid4

from pglast import parser

from mcp_server.caller import Caller
from mcp_server.failure import Failure

Outcome = Literal["done", "replayed", "dry_run", "refused", "failed", "cancelled", "unknown"]
Entry = dict[str, Any]

_STATEMENT_LENGTH = 4_000
_KEY_LENGTH = 200
# Above this, trees may be so deep that the C code which walks them overflows its stack.
_MOST_TOKENS = 5_000
_CONSTANTS = frozenset({"SCONST", "USCONST", "BCONST", "XCONST", "ICONST", "FCONST"})
_COMMENTS = frozenset({"SQL_COMMENT", "C_COMMENT"})


@dataclass
class Call:
    """One call.

    Attributes:
        arguments: what the agent sent, not validated.
        id: what `postgres_undo` and `postgres_call_status` know it by.
        idempotency_key: the agent's name for what it wants done once.
        dry_run: it is to be rolled back.
        reverts: the call that this one undoes.
        outcome: what became of it; None while it runs.
        affected: rows that it wrote, those of cascades included.
        images_sha256: of their images, as they were committed.
        returned: rows of its answer.
        replays: the call that had the same idempotency key before.
    """

    caller: Caller
    tool: str
    arguments: dict[str, Any]
    id: UUID = field(default_factory=uuid4)
    idempotency_key: str | None = None
    dry_run: bool = False
    reverts: UUID | None = None
    outcome: Outcome | None = None
    affected: int | None = None
    images_sha256: str | None = None
    returned: int | None = None
    replays: str | None = None
    started: float = field(default_factory=perf_counter)

    def request_sha256(self) -> str:
        """What has to be equal for two calls to ask for the same."""
        asked = {name: v for name, v in self.arguments.items() if name != "idempotency_key"}
        return _sha256(_json([self.tool, asked]))

    def begin(self, *, store_arguments: bool) -> Entry:
        """The record of its beginning, as columns of audit.call."""
        text = _statement(self.arguments)
        fingerprint, statement = _described(text) if text is not None else (None, None)
        arguments = _json(self.arguments)
        key = self.arguments.get("idempotency_key")
        return self._entry(
            "begin",
            fingerprint=fingerprint,
            statement=statement,
            arguments_sha256=_sha256(arguments),
            arguments=storable(arguments) if store_arguments else None,
            idempotency_key=storable(key[:_KEY_LENGTH]) if isinstance(key, str) else None,
        )

    def end(self, failure: Failure | None = None) -> Entry:
        """The record of its end."""
        if failure is not None:
            self.outcome = _outcome(failure)
        return self._entry(
            "end",
            outcome=self.outcome,
            sqlstate=failure.sqlstate if failure else None,
            affected=self.affected,
            returned=self.returned,
            duration_us=round((perf_counter() - self.started) * 1_000_000),
            images_sha256=self.images_sha256,
        )

    def _entry(self, event: str, **columns: object) -> Entry:
        entry = {
            "event": event,
            "call_id": str(self.id),
            "agent": self.caller.agent,
            "session": self.caller.session,
            "tool": self.tool,
            "reverts": str(self.reverts) if self.reverts else None,
            **columns,
        }
        return {name: value for name, value in entry.items() if value is not None}


def storable(text: str) -> str:
    """A text without what PostgreSQL cannot store: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode()


def _outcome(failure: Failure) -> Outcome:
    if failure.outcome == "unknown":
        return "unknown"
    return "refused" if failure.refused_by == "gate" else "failed"


def _statement(arguments: dict[str, Any]) -> str | None:
    texts = (arguments.get(name) for name in ("query", "ddl"))
    return next((text for text in texts if isinstance(text, str)), None)


def _described(text: str) -> tuple[str | None, str | None]:
    """The statement's fingerprint, and its text without constants; None where it has no tokens."""
    return _remembered(text) if len(text) <= 4_096 else _describe(text)


def _describe(text: str) -> tuple[str | None, str | None]:
    try:
        tokens = parser.scan(text)
        fingerprint = parser.fingerprint(text) if len(tokens) <= _MOST_TOKENS else None
    except (parser.ParseError, UnicodeEncodeError):
        return None, None
    words = (
        "?" if token.name in _CONSTANTS else text[token.start : token.end + 1]
        for token in tokens
        if token.name not in _COMMENTS
    )
    return fingerprint, storable(" ".join(words)[:_STATEMENT_LENGTH])


_remembered = lru_cache(maxsize=512)(_describe)


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
