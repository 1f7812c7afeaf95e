"""Heals rows that wait in quarantine: those go back that fit now, exactly as they were.

Invariant: no value is changed; what would be lossy, or a choice, is a person's. A row is put back
with all constraints on, compared with what was kept, and marked as replayed, all in one
transaction: what healing took out, and of what a migration refused that which says the same in
both worlds (ops.loaded_values). Those that do not fit stay as they are. `python -m migration
quarantine` sees the same afterwards.
"""

from collections import Counter
from typing import Any

from mcp_server.audit import Call
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.healing.attempt import Attempt, recorded
from mcp_server.healing.diagnosis import Diagnosis, Fix
from mcp_server.healing.errors import Seen
from mcp_server.healing.orphans import KEEPING, LEFT_TO_A_PERSON, check_may
from mcp_server.healing.patience import patiently
from mcp_server.healing.proof import check_assertions, check_rows, witness
from mcp_server.healing.states import Knowledge
from mcp_server.health import Finding, check_named, look
from mcp_server.pools import Capability
from mcp_server.sql import sql_text
from mcp_server.tool import Access
from mcp_server.writing import Written

CHECK = "quarantined_rows"


async def heal_quarantined(
    access: Access, about: str, *, dry_run: bool = False
) -> tuple[Diagnosis, Attempt]:
    """Put back the rows of a finding that fit now.

    Args:
        about: the finding's `about`: the table, the column and the SQLSTATE.

    Returns:
        What it was, and what was done about it.

    Raises:
        Failure: the agent may not write rows; it cannot be recorded, or was tried too often.
    """
    access.caller.check(Capability.WRITE)
    entries = await look(access.sessions, access.caller, check_named(CHECK))
    finding = next((entry for entry in entries if entry["about"] == about), None)
    diagnosis = _diagnosis(about, finding)
    async with recorded(access.recorder, access.call, diagnosis) as attempt:
        done: dict[str, Any] = {"dry_run": dry_run}
        attempt.rounds.append(done)
        if finding is None or not finding["alone"]:
            attempt.outcome = "left_to_a_person" if diagnosis.fix.needed else "not_needed"
            return diagnosis, attempt
        try:
            await patiently(lambda: _replay(access, finding, done, dry_run=dry_run))
        except Failure as failure:
            # Rolled back: the database is as it was.
            done["error"] = {"sqlstate": failure.sqlstate, "error": failure.error}
            left = failure.sqlstate in LEFT_TO_A_PERSON
            attempt.outcome = "left_to_a_person" if left else "failed"
        else:
            attempt.outcome = "healed" if done["replayed"] else "left_to_a_person"
    return diagnosis, attempt


def _diagnosis(about: str, finding: Finding | None) -> Diagnosis:
    seen = Seen(f"{CHECK}: {about}", None, {"check": CHECK, "object": about})
    meaning = check_named(CHECK).meaning if finding is None else finding["meaning"]
    known = Knowledge("data", meaning, meaning, "low", alone=True)
    if finding is None:
        return Diagnosis(seen, known, Fix(f"Nothing: {about} is not found.", needed=False))
    if not finding["alone"]:
        return Diagnosis(seen, known, Fix(f"A person's: {meaning}."))
    words = "Put back the rows that fit now, as they were; the others stay where they are."
    return Diagnosis(seen, known, Fix(words, alone=True))


async def _replay(access: Access, finding: Finding, done: dict[str, Any], *, dry_run: bool) -> None:
    evidence = finding["evidence"]
    asked = {"finding": {"check": CHECK, "about": finding["about"]}}
    call = Call(access.caller, "postgres_heal", asked, dry_run=dry_run)

    async def work(connection: AgentConnection) -> Written:
        await check_may(connection)
        witnessed = await witness(connection, ())
        records = await connection.fetch(
            sql_text("replay_fitting"),
            *(evidence[name] for name in ("table", "column", "sqlstate")),
            access.caller.budget.affected_rows,
        )
        now = await witness(connection, ())
        # Its own counts have those in them that were tried in vain; its rows were compared one by
        # one.
        check_rows(witnessed, now, {f"public.{evidence['table']}": None} | KEEPING)
        done["checks"] = check_assertions(witnessed.assertions, now.assertions)
        back = [record["entry"] for record in records if record["refused"] is None]
        done["replayed"] = back
        done["refused"] = dict(Counter(r["refused"] for r in records if r["refused"] is not None))
        done["verified"] = "each row that is back holds what was kept of it, no other was written"
        return Written(len(back), f"HEAL {len(back)}")

    async with access.recorder.recorded(call, writes=True):
        await access.sessions.write_by(call, work, Capability.HEAL)
    if not dry_run:
        done["call_id"] = str(call.id)
