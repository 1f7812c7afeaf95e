"""Heals foreign keys that rows break: their parents are made, or the rows go into quarantine.

Invariant: only on request, since which rows come or go is nobody's to guess; and only by an agent
that may write rows as well. All is one transaction, proved first in one that is rolled back: the
key is put on for new rows, the old ones that break it are dealt with, PostgreSQL validates it, and
then nothing else of the schema differs, and of no other table was a row written. A row that goes
lies in migration.quarantine exactly as it was; one that others refer to does not go.
"""

from typing import Any, Literal

from database.catalogue.compare import Difference, drift
from database.catalogue.facts import declared_facts, quoted
from mcp_server.audit import Call
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.healing.attempt import Attempt, recorded
from mcp_server.healing.diagnosis import Diagnosis, Fix, may_heal_alone
from mcp_server.healing.errors import Seen
from mcp_server.healing.heal import verify
from mcp_server.healing.patience import hold_lock, patiently
from mcp_server.healing.proof import check_assertions, check_rows, witness
from mcp_server.healing.states import Knowledge
from mcp_server.pools import Capability
from mcp_server.references import (
    declared_references,
    lacking,
    parents_statement,
    reference_named,
    references,
)
from mcp_server.session import facts_on
from mcp_server.sql import sql_text
from mcp_server.tool import Access
from mcp_server.writing import Written

Remedy = Literal["parents", "quarantine"]

#: Where rows that move leave their traces: as many as it takes.
KEEPING = dict.fromkeys(("migration.quarantine", "migration.quarantine_piece", "audit.row_image"))
#: What is refused by these, a person decides: rows are referred to, are not seen, or are too many;
#: or a parent cannot be made up.
LEFT_TO_A_PERSON = ("55000", "42501", "54000")
_WORDS = {
    "parents": "Make the missing parents, with nothing but their key and what sql/ fills in, and "
    "put the key back",
    "quarantine": "Move the rows without a parent to migration.quarantine, and put the key back",
}
_UNDO = {
    "parents": "delete the parents, once no row refers to them",
    "quarantine": "write the missing parents, then postgres_heal with the finding quarantined_rows,"
    " or 'python -m migration quarantine replay ID...'",
}


async def heal_orphans(
    access: Access, remedy: Remedy, about: str | None = None, *, dry_run: bool = False
) -> tuple[Diagnosis, Attempt]:
    """Put declared foreign keys back, whatever rows break them.

    Args:
        about: the finding's `about`, one key; else all that are missing or not validated.

    Returns:
        What it was, and what was done about it.

    Raises:
        Failure: the agent may not write rows; it cannot be recorded, or was tried too often.
    """
    access.caller.check(Capability.WRITE)
    found = drift(declared_facts(), await access.sessions.facts(access.caller))
    keys = _in_order([one for one in found if _is_key(one, about)])
    diagnosis = _diagnosis(remedy, keys, about)
    async with recorded(access.recorder, access.call, diagnosis) as attempt:
        done: dict[str, Any] = {"statements": list(diagnosis.fix.statements), "dry_run": dry_run}
        attempt.rounds.append(done)
        attempt.outcome = "left_to_a_person" if diagnosis.fix.needed else "not_needed"
        if keys:
            work = _Work(access, remedy, keys, done)
            try:
                await patiently(lambda: work.run(dry_run=True))
                done["proved"] = True
                if not dry_run:
                    await patiently(lambda: work.run(dry_run=False))
                    done["applied"] = True
                attempt.outcome = "healed"
            except Failure as failure:
                # Rolled back: the database is as it was.
                done["error"] = {
                    "sqlstate": failure.sqlstate, "error": failure.error, "hint": failure.hint
                }  # fmt: skip
                for name in (remedy, "verified", "undo"):
                    done.pop(name, None)
                left = failure.sqlstate in LEFT_TO_A_PERSON
                attempt.outcome = "left_to_a_person" if left else "failed"
        after = drift(declared_facts(), await access.sessions.facts(access.caller))
        attempt.left = [one.words for one in after if one.is_drift]
    return diagnosis, attempt


def _is_key(difference: Difference, about: str | None) -> bool:
    declared, key = difference.declared, difference.key
    is_key = key.kind == "constraint" and declared is not None and declared["type"] == "f"
    return is_key and may_heal_alone(difference) and about in (None, f"public.{key.name}")


def _in_order(keys: list[Difference]) -> list[Difference]:
    """Those of children before those of their parents: an orphan may be another's parent."""
    waiting, ordered = list(keys), []
    while waiting:
        parents = {(one.key.relation, reference_named(one.key.name).parent) for one in waiting}
        free = [
            one
            for one in waiting
            if not any(
                parent == f"public.{one.key.relation}" and child != one.key.relation
                for child, parent in parents
            )
        ]
        # A ring has no first.
        ordered += free or waiting
        waiting = [one for one in waiting if one not in ordered]
    return ordered


def _diagnosis(remedy: Remedy, keys: list[Difference], about: str | None) -> Diagnosis:
    seen = Seen(f"orphans: {about or 'all'}", None, {"object": about} if about else {})
    cause = "Rows may refer to a parent that is not there, where a foreign key is not in force."
    known = Knowledge("data", cause, _WORDS[remedy], "medium", alone=True)
    if about and about.removeprefix("public.") not in {one.name for one in references()}:
        words = f"A person's: sql/ does not declare {about}. Deal with its rows, and validate it."
        return Diagnosis(seen, known, Fix(words))
    if not keys:
        words = "Nothing: no foreign key that sql/ declares is missing or not validated here."
        return Diagnosis(seen, known, Fix(words, needed=False))
    words = f"{_WORDS[remedy]}: {'; '.join(one.words for one in keys)}."
    statements = tuple(text for key in keys for text in _statements(key, remedy))
    return Diagnosis(seen, known, Fix(words, statements, alone=True, differences=tuple(keys)))


def _statements(key: Difference, remedy: Remedy) -> list[str]:
    texts = [_put_on(key), _validation(key)]
    if remedy == "parents":
        reference = reference_named(key.key.name)
        if not lacking(reference):
            texts.insert(1, parents_statement(reference))
    return [text for text in texts if text]


def _put_on(key: Difference) -> str:
    """The key for new rows, which so cannot break it from here on; empty where it is there."""
    if key.live is not None:
        return ""
    assert key.declared is not None
    table, name = key.key.table, quoted(key.key.name)
    return f"alter table {table} add constraint {name} {key.declared['definition']} not valid"


def _validation(key: Difference) -> str:
    return f"alter table {key.key.table} validate constraint {quoted(key.key.name)}"


class _Work:
    """The one transaction, tried and then made."""

    def __init__(
        self, access: Access, remedy: Remedy, keys: list[Difference], done: dict[str, Any]
    ) -> None:
        self._access, self._remedy, self._keys, self._done = access, remedy, keys, done

    async def run(self, *, dry_run: bool) -> None:
        """Run it once.

        Raises:
            Failure: it cannot be made, or does not heal; then nothing was changed.
        """
        asked = {"orphans": self._remedy, "keys": [one.key.name for one in self._keys]}
        call = Call(self._access.caller, "postgres_heal", asked, dry_run=dry_run)

        async def work(connection: AgentConnection) -> Written:
            return await self._act(connection, dry_run=dry_run)

        async with self._access.recorder.recorded(call, writes=True):
            await self._access.sessions.write_by(call, work, Capability.HEAL)
        if not dry_run:
            self._done["call_id"] = str(call.id)

    async def _act(self, connection: AgentConnection, *, dry_run: bool) -> Written:
        await check_may(connection)
        before = drift(declared_facts(), await facts_on(connection))
        witnessed = await witness(connection, ())
        for key in self._keys:
            if text := _put_on(key):
                await connection.execute(text)
        written: dict[str, int] = {}
        report: list[dict[str, Any]] = []
        for key in self._keys:
            await hold_lock(connection)
            table, count, what = await self._deal_with(connection, key)
            written[table] = written.get(table, 0) + count
            # Ids of what is rolled back are nobody's.
            report.append({"key": key.key.name, "rows": count} | ({} if dry_run else what))
            await connection.execute(_validation(key))
        after = drift(declared_facts(), await facts_on(connection))
        verify(self._keys, before, after)
        now = await witness(connection, ())
        check_rows(witnessed, now, {f"public.{table}": n for table, n in written.items()} | KEEPING)
        self._done["checks"] = check_assertions(witnessed.assertions, now.assertions)
        self._done |= {
            self._remedy: report,
            "verified": "the key is in force and holds for every row, no other difference has "
            "come, no other row was written",
            "undo": _UNDO[self._remedy],
        }
        count = sum(written.values())
        return Written(count, f"HEAL {count}")

    async def _deal_with(
        self, connection: AgentConnection, key: Difference
    ) -> tuple[str, int, dict[str, Any]]:
        """The table that was written, how many of its rows, and which they are."""
        if self._remedy == "quarantine":
            most = self._access.caller.budget.affected_rows
            arguments = (key.key.table, key.key.name, declared_references(), most)
            records = await connection.fetch(sql_text("quarantine_orphans"), *arguments)
            entries = [record["entry"] for record in records]
            return key.key.relation, len(entries), {"quarantine_ids": entries}
        reference = reference_named(key.key.name)
        parent = reference.parent.removeprefix("public.")
        if lacks := lacking(reference):
            raise Failure(
                f"A row of {parent} cannot be made up: nobody knows its {', '.join(lacks)}.",
                sqlstate="55000",
                hint=f"A person writes the missing rows of {parent}; or call postgres_heal with "
                "orphans=quarantine.",
                outcome="nothing_changed",
            )
        tag = await connection.execute(parents_statement(reference))
        return parent, int(tag.rsplit(" ", 1)[-1]), {"parent": parent}


async def check_may(connection: AgentConnection) -> None:
    """It is this transaction's turn to heal, and it sees all the rows that it may have to move.

    Raises:
        Failure: 55P03, 42501.
    """
    await hold_lock(connection)
    if not await connection.fetchval(sql_text("sees_every_session")):
        raise Failure(
            "Rows of every session may be concerned, and this agent does not see them.",
            sqlstate="42501",
            hint="An agent that sees every session does it, or a person.",
            outcome="nothing_changed",
        )
