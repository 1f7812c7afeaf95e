"""Heals what was diagnosed: proof, fix, verification, all in one transaction; else nothing.

Invariant: a fix is committed only after the very transaction that makes it has shown that what was
wrong is right, that nothing else of the schema differs more than before, and that no row was
written. So undoing is rolling back, and a server that is killed leaves nothing half done. CREATE
INDEX CONCURRENTLY alone runs outside of it; what it leaves behind when it fails is removed.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

from database.catalogue.compare import Difference, drift
from database.catalogue.facts import declared_facts
from mcp_server.audit import Call
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.gate import Statement
from mcp_server.healing.attempt import Attempt, recorded
from mcp_server.healing.diagnosis import Diagnosis, Fix, diagnose, diagnose_drift
from mcp_server.healing.errors import Seen, read_error
from mcp_server.healing.performance import improve
from mcp_server.healing.plans import generic_plan
from mcp_server.pools import Capability
from mcp_server.session import facts_on
from mcp_server.sql import sql_text
from mcp_server.tools.tool import Access
from mcp_server.writing import Written

_ROUNDS = 3
_TRIES = 4
_FIRST_PAUSE = 0.2
#: Lock timeout, deadlock, serialization: nothing was changed, and a moment later it may work.
TRANSIENT = ("55P03", "40P01", "40001")


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
    try:
        await _apply(access, fix, done, dry_run=dry_run)
    except Failure as failure:
        # Rolled back, or removed again: the database is as it was.
        done["error"] = {"sqlstate": failure.sqlstate, "error": failure.error}
        attempt.outcome = "failed"
        return None
    attempt.outcome = "healed"
    if dry_run or diagnosis.statement is None:
        return None
    return await _still_failing(access, diagnosis.statement, done)


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
        for one in indexes:
            await _build(access, one)
        await _check_gone(access, indexes)
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


async def patiently(work: Callable[[], Awaitable[None]]) -> None:
    """Run it, again after a growing, random pause where somebody else was in the way.

    Raises:
        Failure: of the last try.
    """
    for attempt in range(1, _TRIES + 1):
        try:
            await work()
        except Failure as failure:
            if failure.sqlstate not in TRANSIENT or attempt == _TRIES:
                raise
            await asyncio.sleep(_FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
        else:
            return


async def _change(
    connection: AgentConnection,
    statements: list[str],
    differences: list[Difference],
    done: dict[str, object],
) -> Written:
    if not await connection.fetchval(sql_text("healing_lock")):
        raise Failure("Somebody else is healing.", sqlstate="55P03", outcome="nothing_changed")
    before = drift(declared_facts(), await facts_on(connection))
    effects = await _effects(connection)
    if differences and not {one.key for one in differences} & {one.key for one in before}:
        done["verified"] = "it was healed meanwhile"
        return Written(0, "HEAL")
    changed = 0
    for text in statements:
        changed += len(await (await connection.prepare(text)).fetch())
    after = drift(declared_facts(), await facts_on(connection))
    _verify(differences, before, after)
    _check_rows(effects, await _effects(connection), {one.key.relation for one in differences})
    if not differences and not changed:
        raise Failure(
            "The sequence is not behind: the key is really taken.",
            sqlstate="23505",
            hint="Write INSERT … ON CONFLICT (key) DO UPDATE, or another key.",
            outcome="nothing_changed",
        )
    done["verified"] = "the difference is gone, no other has come, no row was written"
    return Written(0, "HEAL")


def _verify(
    differences: list[Difference], before: list[Difference], after: list[Difference]
) -> None:
    left = {one.key for one in differences} & {one.key for one in after}
    had = {(one.key, one.words) for one in before}
    fresh = [one.words for one in after if (one.key, one.words) not in had and one.is_drift]
    if left or fresh:
        words = "; ".join([*(f"{key.kind} {key.name} is still wrong" for key in left), *fresh])
        raise Failure(
            f"The fix does not heal: {words}", sqlstate="22000", outcome="nothing_changed"
        )


_Effects = dict[str, tuple[int, int]]


async def _effects(connection: AgentConnection) -> _Effects:
    records = await connection.fetch(sql_text("healing_effects"))
    return {record["name"]: (record["file"], record["written"]) for record in records}


def _check_rows(before: _Effects, after: _Effects, touched: set[str]) -> None:
    """No row was written anywhere, and no table but those that were meant was rewritten."""
    for name, (file, written) in after.items():
        had = before.get(name)
        plain = name.split(".")[-1].strip('"')
        if had is not None and (written != had[1] or (file != had[0] and plain not in touched)):
            raise Failure(
                f"The fix would write rows of {name}, which it must not.",
                sqlstate="22000",
                outcome="nothing_changed",
            )


async def _build(access: Access, index: Difference) -> None:
    """Build an index without locking writers out; an invalid leftover goes first."""
    assert index.declared is not None
    name = index.key.name
    if index.live is not None:
        drop = f'drop index concurrently if exists public."{name}"'
        await access.sessions.change_schema(
            access.call, Statement(drop, "DROP INDEX", name, in_transaction=False)
        )
    text = index.declared["definition"].replace("INDEX ", "INDEX CONCURRENTLY ", 1)
    await access.sessions.change_schema(
        access.call, Statement(text, "CREATE INDEX", name, in_transaction=False)
    )


async def _check_gone(access: Access, differences: list[Difference]) -> None:
    after = drift(declared_facts(), await access.sessions.facts(access.caller))
    left = {one.key for one in differences} & {one.key for one in after}
    if left:
        names = ", ".join(key.name for key in left)
        raise Failure(f"Still wrong: {names}", sqlstate="22000", outcome="unknown")


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
