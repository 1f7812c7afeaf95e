"""Heals what was diagnosed: proof, fix, verification, all in one transaction; else nothing.

Invariant: a fix is committed only after the very transaction that makes it has shown that what was
wrong is right, that nothing else of the schema differs more than before, that no row was written,
and that what sql/checks asserts holds as before. So undoing is rolling back, and a server that is
killed leaves nothing half done. CREATE INDEX CONCURRENTLY alone runs outside of it; what it leaves
behind when it fails is removed.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from database.catalogue.compare import Difference, drift
from database.catalogue.facts import declared_facts
from mcp_server.audit import Call
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.healing.attempt import PAUSED, Attempt, Outcome, recorded
from mcp_server.healing.diagnosis import Diagnosis, Fix, diagnose, diagnose_drift, fix_of
from mcp_server.healing.errors import Seen, read_error
from mcp_server.healing.indexes import build_index, check_built
from mcp_server.healing.patience import TRANSIENT, hold_lock, patiently
from mcp_server.healing.performance import improve
from mcp_server.healing.plans import generic_plan
from mcp_server.healing.proof import asserted, check_assertions, check_rows, witness
from mcp_server.pools import Capability
from mcp_server.session import facts_on
from mcp_server.tool import Access
from mcp_server.writing import Written

_ROUNDS = 3
#: For rows that break a foreign key that shall be put back.
REMEDIES = (
    "Rows refer to a parent that is not there; postgres_health_check(level=full) counts them by "
    "key (check orphans). Write the missing parents; or call postgres_heal with orphans=parents, "
    "which makes those that need nothing but a key, or with orphans=quarantine, which moves the "
    "rows to migration.quarantine, from where they come back once their parents are there."
)


async def diagnosed(access: Access, seen: Seen | None, statement: str | None) -> Diagnosis:
    """What is wrong now, by an error, or by the drift where there is none.

    Raises:
        Failure: the catalogue cannot be read.
    """
    live = await access.sessions.facts(access.caller)
    found = drift(declared_facts(), live)
    if seen is None:
        return diagnose_drift(found)
    seen = await _with_the_damaged(access, seen)
    return diagnose(seen, statement, found, declared_facts(), live)


async def _with_the_damaged(access: Access, seen: Seen) -> Seen:
    """The error with the name of the table or index whose file it names; both have XX001."""
    if "file" not in seen.names:
        return seen
    _, database, file = seen.names["file"].split("/")
    for found in await access.sessions.catalogue(access.caller, "damaged_relation", database, file):
        names = {"table": found["table_name"]}
        if found["is_index"]:
            names["index"] = found["name"]
        return replace(seen, names={**seen.names, **names})
    return seen


async def heal(
    access: Access, seen: Seen | None, statement: str | None, *, dry_run: bool = False
) -> tuple[Diagnosis, Attempt]:
    """Heal what can be healed without a person.

    Returns:
        The first diagnosis, and what was done about it.

    Raises:
        Failure: it cannot be recorded, or was tried too often.
    """
    first = diagnosis = await diagnosed(access, seen, statement)
    async with recorded(access.recorder, access.call, first) as attempt:
        for _ in range(_ROUNDS):
            again = await _round(access, diagnosis, attempt, dry_run=dry_run)
            if again is None or dry_run:
                break
            # It runs into another error now: that one next.
            diagnosis = await diagnosed(access, again, diagnosis.statement)
            if not diagnosis.fix.alone:
                attempt.outcome = "left_to_a_person"
                attempt.rounds.append({"diagnosis": diagnosis.fields()})
                break
        else:
            attempt.outcome = "failed"
        after = drift(declared_facts(), await access.sessions.facts(access.caller))
        attempt.left = [one.words for one in after if one.is_drift]
    return first, attempt


async def _round(
    access: Access, diagnosis: Diagnosis, attempt: Attempt, *, dry_run: bool
) -> Seen | None:
    """One fix; the error that the statement runs into afterwards, None where it runs."""
    if diagnosis.known.kind == "performance":
        attempt.outcome, report = await improve(access, diagnosis.statement, dry_run=dry_run)
        attempt.rounds.append(report)
        return None
    fix = diagnosis.fix
    done: dict[str, object] = {"statements": list(fix.statements), "dry_run": dry_run}
    attempt.rounds.append(done)
    if not fix.alone:
        attempt.outcome = "left_to_a_person" if fix.needed else "not_needed"
        return None
    attempt.outcome, state = await _tried(access, fix, done, dry_run=dry_run)
    # What stands in the way of all of it stands in the way of each part.
    if attempt.outcome != "healed" and state not in (PAUSED, *TRANSIENT):
        await _apart(access, fix, attempt, dry_run=dry_run)
    if attempt.outcome != "healed" or dry_run or diagnosis.statement is None:
        return None
    return await _still_failing(access, diagnosis.statement, attempt.rounds[-1])


async def _tried(
    access: Access, fix: Fix, done: dict[str, object], *, dry_run: bool
) -> tuple[Outcome, str | None]:
    """Make the fix, if it can be made; what came of it, and the SQLSTATE of what is in the way."""
    try:
        await _apply(access, fix, done, dry_run=dry_run)
    except Failure as failure:
        # Rolled back, or removed again: the database is as it was.
        done["error"] = {"sqlstate": failure.sqlstate, "error": failure.error}
        if failure.sqlstate == "23503":
            # Which rows go, or come, is not for healing to choose unasked.
            done["remedies"] = REMEDIES
            return "left_to_a_person", failure.sqlstate
        return "failed", failure.sqlstate
    return "healed", None


async def _apart(access: Access, fix: Fix, attempt: Attempt, *, dry_run: bool) -> None:
    """What cannot be made holds nothing else back: each table's part of a fix by itself.

    Those that fail are tried again after the others, whose keys they may need, while that helps.
    """
    tables: dict[str, list[Difference]] = {}
    for one in fix.differences:
        tables.setdefault(one.key.relation, []).append(one)
    waiting = [fix_of(found) for found in tables.values()] if len(tables) > 1 else []
    while waiting:
        left: list[Fix] = []
        for part in waiting:
            done: dict[str, object] = {"statements": list(part.statements), "dry_run": dry_run}
            outcome, _ = await _tried(access, part, done, dry_run=dry_run)
            attempt.rounds.append(done)
            if outcome != "healed":
                left.append(part)
                attempt.outcome = outcome
        if not left:
            attempt.outcome = "healed"
        if len(left) == len(waiting):
            return
        waiting = left


async def _apply(access: Access, fix: Fix, done: dict[str, object], *, dry_run: bool) -> None:
    """Prove the fix, then make it.

    Raises:
        Failure: it cannot be made, or does not heal; then it was not.
    """
    indexes = [one for one in fix.differences if one.key.kind == "index"]
    others = [one for one in fix.differences if one.key.kind != "index"]
    statements = [text for text in fix.statements if not _is_index(text)]

    async def work(connection: AgentConnection) -> Written:
        return await _change(connection, statements, others, done)

    if statements:
        if fix.resets:
            # A sequence is not rolled back; it is only ever put forward, which harms nobody.
            done["proved"] = "not tried: a sequence knows no rollback"
        else:
            # The proof: all of it, rolled back.
            await _patiently(access, work, statements, dry_run=True)
            done["proved"] = True
        if not dry_run:
            await _patiently(access, work, statements, dry_run=False)
            done["applied"] = True
    if indexes and not dry_run:
        held = await asserted(access)
        for one in indexes:
            await build_index(access, one, done)
        await check_built(access, indexes)
        done["checks"] = check_assertions(held, await asserted(access))
        done["applied"] = True


def _is_index(text: str) -> bool:
    return text.lower().startswith(("create index", "create unique index", "drop index"))


async def _patiently(
    access: Access,
    work: Callable[[AgentConnection], Awaitable[Written]],
    statements: list[str],
    *,
    dry_run: bool,
) -> None:
    """Run it as a write of mcp_heal's, or try it."""

    async def once() -> None:
        # A call within the tool's: what is committed is on record with its statements.
        call = Call(
            access.caller, "postgres_heal", {"ddl": ";\n".join(statements)}, dry_run=dry_run
        )
        async with access.recorder.recorded(call, writes=True):
            await access.sessions.write_by(call, work, Capability.HEAL)

    await patiently(once)


async def _change(
    connection: AgentConnection,
    statements: list[str],
    differences: list[Difference],
    done: dict[str, object],
) -> Written:
    await hold_lock(connection)
    before = drift(declared_facts(), await facts_on(connection))
    touched = {one.key.relation for one in differences}
    witnessed = await witness(connection, touched)
    if differences and not {one.key for one in differences} & {one.key for one in before}:
        done["verified"] = "it was healed meanwhile"
        return Written(0, "HEAL")
    changed = 0
    for text in statements:
        await hold_lock(connection)
        changed += len(await (await connection.prepare(text)).fetch())
    after = drift(declared_facts(), await facts_on(connection))
    verify(differences, before, after)
    now = await witness(connection, touched)
    check_rows(witnessed, now)
    done["checks"] = check_assertions(witnessed.assertions, now.assertions)
    if not differences and not changed:
        raise Failure(
            "The sequence is not behind: the key is really taken.",
            sqlstate="23505",
            hint="Write INSERT … ON CONFLICT (key) DO UPDATE, or another key.",
            outcome="nothing_changed",
        )
    await hold_lock(connection)
    done["verified"] = "the difference is gone, no other has come, no row was written"
    return Written(0, "HEAL")


def verify(
    differences: list[Difference], before: list[Difference], after: list[Difference]
) -> None:
    """The differences are gone, and no other has come.

    Raises:
        Failure: it is not so.
    """
    left = {one.key for one in differences} & {one.key for one in after}
    had = {(one.key, one.words) for one in before}
    fresh = [one.words for one in after if (one.key, one.words) not in had and one.is_drift]
    if left or fresh:
        words = "; ".join([*(f"{key.kind} {key.name} is still wrong" for key in left), *fresh])
        raise Failure(
            f"The fix does not heal: {words}", sqlstate="22000", outcome="nothing_changed"
        )


async def _still_failing(access: Access, statement: str, done: dict[str, object]) -> Seen | None:
    """What the failing statement runs into now; planned only, with the agent's own rights."""
    try:
        await generic_plan(access, statement)
    except Failure as failure:
        if failure.refused_by == "gate":
            done["statement"] = "not tried: it is no query"
            return None
        done["statement"] = {"sqlstate": failure.sqlstate, "error": failure.error}
        return replace(_seen(failure), statement=statement)
    done["statement"] = "runs"
    return None


def _seen(failure: Failure) -> Seen:
    seen = read_error(failure.error)
    return Seen(failure.error, failure.sqlstate, seen.names)
