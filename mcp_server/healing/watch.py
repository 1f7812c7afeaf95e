"""Watches: looks for what is wrong at intervals, and heals what is of an allowed class.

Invariant: the watcher changes nothing itself. It calls postgres_heal, as an agent of the agents
file, so that rights, proof, verification and record are those of any agent's call. Whether an
attempt may begin, which of several watchers acts, and how many attempts an hour has, the database
decides (sql/88_healing_attempts.sql), so that it holds for all of them and across restarts. A
database that does not answer is waited for; nothing is ever restarted.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import orjson
import structlog

from database.catalogue.compare import drift
from database.catalogue.facts import declared_facts
from database.errors import UsageError
from database.settings import Server
from mcp_server import server
from mcp_server.agents import load_agents
from mcp_server.failure import Failure
from mcp_server.healing.attempt import LIMITED, PAUSED, limit_words
from mcp_server.healing.diagnosis import Diagnosis, diagnose_drift, may_heal_alone
from mcp_server.healing.findings import diagnose_finding
from mcp_server.healing.heartbeat import beat
from mcp_server.healing.states import Kind
from mcp_server.health import Severity, findings
from mcp_server.pools import Capability
from mcp_server.settings import Settings
from mcp_server.tool import Access

_log = structlog.get_logger()

_LONGEST_PAUSE = 3_600.0
#: SQLSTATEs of a database that does not answer, or not yet: 08 and 57P as classes.
_AWAY = ("08", "57P", "53300")


@dataclass(frozen=True)
class Trouble:
    """Something that is not as it should be.

    Attributes:
        words: what, and what it is known by.
        kind: the class of its diagnosis.
        fix: what would heal it, in words.
        arguments: what postgres_heal heals it by; None where it is a person's.
    """

    words: str
    kind: Kind
    severity: Severity
    fix: str
    arguments: dict[str, Any] | None = None


#: Why something was left: a person's; not of an allowed class; tried, in vain; nothing may be done.
Reason = Literal["person", "class", "failed", "hindered"]


@dataclass
class Look:
    """What one look came to.

    Attributes:
        hindered: why nothing was healed, or not all of it: paused, another watcher, the limit.
        healed: what was healed, or was healed meanwhile.
        left: what was not.
    """

    hindered: str | None = None
    healed: list[Trouble] = field(default_factory=list)
    left: list[tuple[Trouble, Reason]] = field(default_factory=list)


def open_watch(settings: Settings, discover: Callable[[], Server] = Server.discover) -> Access:
    """What the watcher works with: as the agent of MCP_HEAL_AGENT, with its limit of attempts.

    Raises:
        UsageError: there is no such agent, or it may not read and heal.
    """
    name = settings.heal_agent
    hint = (
        f'Give it capabilities = ["read", "heal"] there, under [agents.{name}], or name another '
        "agent with MCP_HEAL_AGENT."
    )
    agents = load_agents(settings)
    if name not in agents:
        raise UsageError(f"There is no agent {name!r} in {agents.source}.", hint)
    access = server.open_access(settings.model_copy(update={"agent": name}), discover=discover)
    if lacks := {Capability.READ, Capability.HEAL} - access.caller.capabilities:
        words = " nor ".join(sorted(one.word for one in lacks))
        raise UsageError(f"{name} may not {words} by {agents.source}.", hint)
    caller = replace(access.caller, heals_per_hour=settings.heal_per_hour)
    return replace(access, caller=caller)


async def troubles(access: Access) -> list[Trouble]:
    """What is wrong now: the drift, then the findings of the full health check, severest first.

    Raises:
        Failure: PostgreSQL cannot be asked.
    """
    live = await access.sessions.facts(access.caller)
    wrong = [one for one in drift(declared_facts(), live) if one.is_drift]
    found: list[Trouble] = []
    if alone := [one for one in wrong if may_heal_alone(one)]:
        words = "; ".join(one.words for one in alone)
        found.append(_trouble(words, diagnose_drift(alone), "critical", {}))
    for one in wrong:
        if not may_heal_alone(one):
            found.append(_trouble(one.words, diagnose_drift([one]), "warning", {}))
    entries, not_checked = await findings(access.sessions, access.caller)
    for entry in entries:
        about = {"check": entry["check"], "about": entry["about"]}
        diagnosis = diagnose_finding(access, entry)
        words = f"{entry['check']}: {entry['about']}"
        found.append(_trouble(words, diagnosis, entry["severity"], {"finding": about}))
    for check, error in not_checked.items():
        found.append(Trouble(f"{check} cannot be checked", "unknown", "warning", error))
    return found


def _trouble(
    words: str, diagnosis: Diagnosis, severity: Severity, arguments: dict[str, Any]
) -> Trouble:
    fix = diagnosis.fix
    return Trouble(
        words, diagnosis.known.kind, severity, fix.words, arguments if fix.alone else None
    )


class Watch:
    """One watcher.

    Attributes:
        access: from `open_watch`.
        heartbeat: the file that says when it looked; None for none.
    """

    def __init__(self, access: Access, heartbeat: Path | None = None) -> None:
        self.access = access
        self.heartbeat = heartbeat
        self._settings = access.settings
        #: What was said to be left, so that it is said once; and what hindered it last.
        self._told: set[str] = set()
        self._hindered: str | None = None
        #: What failed → how often, and when it may be tried again, of the monotonic clock.
        self._failed: dict[str, tuple[int, float]] = {}

    async def run(self) -> None:
        """Look, wait, and look again, until it is cancelled."""
        _log.info(
            "watching",
            agent=self.access.caller.agent,
            classes=self._settings.heal_classes,
            per_hour=self._settings.heal_per_hour,
        )
        failures = 0
        while True:
            try:
                await self.look()
            except Failure as failure:
                failures += 1
                if failures == 1:
                    _log.warning("cannot look", sqlstate=failure.sqlstate, error=failure.error)
                pause = min(2.0 ** min(failures - 1, 16), self._settings.heal_interval_s)
            else:
                if failures:
                    _log.info("looking again", after=failures)
                failures, pause = 0, self._settings.heal_interval_s
            # Several watchers do not all come at the same moment.
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311

    async def look(self, *, always: bool = False) -> Look:
        """Look once, and heal what may be healed.

        Args:
            always: say what is wrong also where nothing may be healed now.

        Raises:
            Failure: PostgreSQL does not answer.
        """
        look = Look()
        look.hindered, stands_by = await self._hindrance()
        if always or not stands_by:
            for trouble in await troubles(self.access):
                reason = self._reason_to_leave(trouble, look) or await self._heal(trouble, look)
                if reason is None:
                    look.healed.append(trouble)
                else:
                    look.left.append((trouble, reason))
            self._tell(look)
        if not stands_by and all(reason != "hindered" for _, reason in look.left):
            # There was nothing to be hindered from.
            look.hindered = None
        if look.hindered is not None and look.hindered != self._hindered:
            _log.warning("not healing", why=look.hindered)
        self._hindered = look.hindered
        self._beat(look.hindered or "looked")
        return look

    async def _hindrance(self) -> tuple[str | None, bool]:
        """Why nothing may be healed now; and whether there is no point in looking then."""
        recorder, caller = self.access.recorder, self.access.caller
        status = orjson.loads(
            await recorder.healing("healing_status", caller.agent, caller.heals_per_hour)
        )
        if paused := status["paused"]:
            return f"Healing is paused {paused}", True
        if not await recorder.healing("healing_watching"):
            return "Another watcher acts.", True
        return (limit_words(caller), False) if status["wait_seconds"] else (None, False)

    def _reason_to_leave(self, trouble: Trouble, look: Look) -> Reason | None:
        if trouble.arguments is None:
            return "person"
        if trouble.kind not in self._settings.allowed_classes():
            return "class"
        if look.hindered is not None:
            return "hindered"
        _, not_before = self._failed.get(trouble.words, (0, 0.0))
        return "failed" if monotonic() < not_before else None

    async def _heal(self, trouble: Trouble, look: Look) -> Reason | None:
        """Have it healed; why it was not, None where it was.

        Raises:
            Failure: PostgreSQL does not answer any more.
        """
        self._beat("healing")
        assert trouble.arguments is not None
        answer = await server.answer_call(self.access, "postgres_heal", trouble.arguments)
        fields = answer["structuredContent"]
        state, outcome = fields.get("sqlstate"), fields.get("outcome")
        if fields["success"] and outcome in ("healed", "not_needed"):
            self._failed.pop(trouble.words, None)
            _log.info(
                "healed", what=trouble.words, outcome=outcome, attempt_id=fields["attempt_id"]
            )
            return None
        if state and state.startswith(_AWAY):
            raise Failure(fields["error"], sqlstate=state, hint=fields["hint"])
        if state in (PAUSED, LIMITED):
            look.hindered = fields["error"]
            return "hindered"
        count = self._failed.get(trouble.words, (0, 0.0))[0] + 1
        pause = min(self._settings.heal_interval_s * 2.0 ** min(count, 16), _LONGEST_PAUSE)
        self._failed[trouble.words] = (count, monotonic() + pause)
        _log.warning(
            "not healed",
            what=trouble.words,
            outcome=outcome,
            attempt_id=fields.get("attempt_id"),
            error=fields.get("error"),
            again_in_s=round(pause),
        )
        return "failed"

    def _tell(self, look: Look) -> None:
        """Log what is left to a person, once for as long as it is there."""
        mine = [(one, reason) for one, reason in look.left if reason in ("person", "class")]
        for trouble, reason in mine:
            if trouble.words not in self._told:
                _log.warning(
                    "left to a person" if reason == "person" else "class not allowed",
                    what=trouble.words,
                    severity=trouble.severity,
                    **{"class": trouble.kind},
                    fix=trouble.fix,
                )
        self._told = {trouble.words for trouble, _ in mine}

    def _beat(self, state: str) -> None:
        if self.heartbeat is not None:
            beat(self.heartbeat, state, self._settings.heal_interval_s)
