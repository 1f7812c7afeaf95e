"""Heals what the health check found: statistics, dead rows, indexes that lack or are too many, and
slow statements.

Invariant: nothing of what is run comes from the caller. The finding is looked for again, and its
SQL is the check's own; what concerns an index passes the gate as an agent's would. None of it can
be rolled back, so none of it changes a row, or takes away an index that serves and is the only one
of its kind. One session takes the lock of healing, looks whether the finding is still there, acts,
and looks whether it is gone.
"""

import asyncio
from dataclasses import dataclass, field

import anyio

from database.catalogue.compare import drift
from database.catalogue.facts import declared_facts
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.gate import Statement
from mcp_server.healing.attempt import Attempt, recorded
from mcp_server.healing.diagnosis import Diagnosis, Fix
from mcp_server.healing.errors import Seen
from mcp_server.healing.patience import patiently
from mcp_server.healing.proof import assertions, check_assertions
from mcp_server.healing.states import Kind, Knowledge
from mcp_server.healing.workload import speed_up
from mcp_server.health import Check, Finding, check_named, look
from mcp_server.sql import sql_text
from mcp_server.tool import Access

_SLOW = "slow_statement"
#: Checks whose findings may be healed without a person, each with what proves its fix.
HEALABLE = {
    "invalid_index": "no query uses it, and it refuses no row",
    "missing_fk_index": "no index begins with the columns of the key",
    "dead_rows": "VACUUM changes no row that anybody sees, and no definition",
    "stale_statistics": "ANALYZE changes no row and no definition",
    "duplicate_index": "another index is the same, valid, and stays",
    "unused_index": "healing built it for a statement, and nothing has used it for days",
    _SLOW: "an index stays only where the plan takes it and costs clearly less",
}


async def heal_finding(
    access: Access, name: str, about: str, *, dry_run: bool = False
) -> tuple[Diagnosis, Attempt]:
    """Heal one finding, where that needs no person.

    Args:
        name, about: the finding's `check` and `about`.

    Returns:
        What it was, and what was done about it.

    Raises:
        Failure: there is no such check, it cannot be made or recorded, or was tried too often.
    """
    check = check_named(name)
    entries = await look(access.sessions, access.caller, check)
    finding = next((entry for entry in entries if entry["about"] == about), None)
    statements, refusal = _statements(access, finding)
    diagnosis = _diagnosis(check, about, finding, statements, refusal)
    async with recorded(access.recorder, access.call, diagnosis) as attempt:
        done: dict[str, object] = {"statements": list(diagnosis.fix.statements), "dry_run": dry_run}
        attempt.rounds.append(done)
        if not diagnosis.fix.alone:
            attempt.outcome = "left_to_a_person" if diagnosis.fix.needed else "not_needed"
        elif finding is not None and name == _SLOW:
            attempt.outcome = await speed_up(access, finding, done, dry_run=dry_run)
        elif dry_run:
            # What runs outside of a transaction cannot be tried.
            done["proved"] = HEALABLE[name]
            attempt.outcome = "left_to_a_person"
        else:
            work = _Work(access, check, about, statements, done)
            attempt.outcome = "failed"
            try:
                await patiently(work.run)
            except Failure as failure:
                done["error"] = {"sqlstate": failure.sqlstate, "error": failure.error}
            else:
                attempt.outcome = "healed" if work.acted else "not_needed"
        after = drift(declared_facts(), await access.sessions.facts(access.caller))
        attempt.left = [one.words for one in after if one.is_drift]
    return diagnosis, attempt


def diagnose_finding(access: Access, finding: Finding) -> Diagnosis:
    """What a finding is, and what would be run; it is not looked for again.

    Raises:
        Failure: there is no such check.
    """
    statements, refusal = _statements(access, finding)
    return _diagnosis(check_named(finding["check"]), finding["about"], finding, statements, refusal)


def _diagnosis(
    check: Check,
    about: str,
    finding: Finding | None,
    statements: list[Statement],
    refusal: str,
) -> Diagnosis:
    seen = Seen(f"{check.name}: {about}", None, {"check": check.name, "object": about})
    kind: Kind = "performance" if check.name in HEALABLE else "capacity"
    if check.name == "orphans":
        kind = "data"
    meaning = check.meaning if finding is None else finding["meaning"]
    known = Knowledge(kind, meaning, meaning, "low", alone=check.name in HEALABLE)
    if finding is None:
        return Diagnosis(seen, known, Fix(f"Nothing: {about} is not found.", needed=False))
    if finding is not None and finding["alone"] and check.name == _SLOW:
        return Diagnosis(seen, known, Fix(f"{meaning}: an index, where one helps.", alone=True))
    if statements:
        texts = tuple(statement.text for statement in statements)
        return Diagnosis(seen, known, Fix(f"{meaning}.", texts, alone=True))
    by_hand = () if finding["fix"] is None else (finding["fix"],)
    return Diagnosis(seen, known, Fix(f"A person's: {meaning}. {refusal}".strip(), by_hand))


def _statements(access: Access, finding: Finding | None) -> tuple[list[Statement], str]:
    """What heals it, in order; or none, and why the gate does not take it, where it judged."""
    if finding is None or not finding["alone"] or finding["fix"] is None:
        return [], ""
    fix = finding["fix"]
    match finding["check"]:
        case "dead_rows":
            return [Statement(fix, "VACUUM", in_transaction=False)], ""
        case "stale_statistics":
            return [Statement(fix, "ANALYZE", in_transaction=False)], ""
        case "invalid_index":
            # REINDEX is not for mcp_heal, whose event triggers know what adds.
            built = str(finding["evidence"]["definition"])
            texts = [
                f"drop index concurrently if exists {finding['about']}",
                built.replace("INDEX ", "INDEX CONCURRENTLY ", 1),
            ]
        case _:
            texts = [fix]
    try:
        return [access.gate.schema(text, False) for text in texts], ""
    except Failure as refusal:
        return [], refusal.error


@dataclass
class _Work:
    """What is to be run, and how far it is: after a lock timeout it goes on where it was.

    Attributes:
        waiting: what has not been run yet.
        acted: whether anything was run.
    """

    access: Access
    check: Check
    about: str
    waiting: list[Statement]
    done: dict[str, object]
    acted: bool = False
    _building: list[Statement] = field(default_factory=list)
    _held: dict[str, str | None] = field(default_factory=dict)

    async def run(self) -> None:
        """Run it once.

        Raises:
            Failure: it cannot be run, or the finding is there afterwards.
        """
        sessions, caller = self.access.sessions, self.access.caller
        try:
            await sessions.maintain(caller, self._act)
        except (Failure, asyncio.CancelledError) as error:
            self.done["not_run"] = [statement.text for statement in self.waiting]
            # 42P07: the name was taken; then nothing was begun.
            taken = isinstance(error, Failure) and error.sqlstate == "42P07"
            with anyio.CancelScope(shield=True):
                for statement in () if taken else self._building:
                    await self._clean_up(statement)
            raise

    async def _clean_up(self, building: Statement) -> None:
        try:
            await self.access.sessions.remove_invalid(self.access.caller, building)
        except Failure as failure:
            # Whoever was in the way of the build is in the way of this too. The next try removes
            # it, and until then the health check finds it.
            self.done["left_behind"] = {"index": building.name, "error": failure.error}
        else:
            self.done.pop("left_behind", None)

    async def _act(self, connection: AgentConnection) -> None:
        if not self.acted and not await self._is_there(connection):
            self.done["verified"] = "it was healed meanwhile"
            return
        self.done["proved"] = HEALABLE[self.check.name]
        if not self._held:
            self._held = await assertions(connection)
        while self.waiting:
            # Healing may have been paused meanwhile: then this is an error.
            await connection.fetchval(sql_text("healing_lock_session"))
            statement = self.waiting[0]
            self._building = [statement] if statement.operation == "CREATE INDEX" else []
            if self._building:
                await _remove_leftover(connection, statement)
            await (await connection.prepare(statement.text)).fetch()
            self.acted = True
            self.waiting.pop(0)
        self._building, self.done["not_run"] = [], []
        self.done.pop("left_behind", None)
        self.done["applied"] = True
        self.done["checks"] = check_assertions(self._held, await assertions(connection))
        if await self._is_there(connection):
            raise Failure(_still_there(self.check), sqlstate="22000", outcome="unknown")
        self.done["verified"] = "it is not found any more"

    async def _is_there(self, connection: AgentConnection) -> bool:
        records = await connection.fetch(
            sql_text(f"health_{self.check.name}"), *self.check.parameters()
        )
        return any(finding["about"] == self.about for finding in self.check.found(records))


async def _remove_leftover(connection: AgentConnection, building: Statement) -> None:
    """Remove what an earlier build of that name left; not one that refuses rows."""
    for drop in await connection.fetch(sql_text("invalid_index"), building.name):
        if not drop["is_unique"]:
            await connection.execute(drop["statement"])


def _still_there(check: Check) -> str:
    if check.name == "dead_rows":
        return (
            "VACUUM could not remove them: an old transaction, a prepared one or a slot may still "
            "see them. postgres_health_check says which, where it is one of these."
        )
    return "It is found as before."
