"""What postgres_health_check(level=full) looks for: each check is a query that yields findings.

Thresholds are where an administrator begins to care: below them, a healthy database that is in use
has findings every day, and nobody reads them.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import asyncpg
from typing_extensions import TypedDict

from database.catalogue.facts import declared_facts
from mcp_server.caller import Caller
from mcp_server.failure import Failure
from mcp_server.references import declared_references
from mcp_server.session import Sessions

Severity = Literal["notice", "warning", "critical"]
_ORDER: tuple[Severity, ...] = ("critical", "warning", "notice")


class Finding(TypedDict):
    """One thing that is not as it should be."""

    check: str
    severity: Severity
    #: A table, an index, a database, …
    about: str
    meaning: str
    #: Numbers, with their units in their names; rows are PostgreSQL's own counts.
    evidence: dict[str, object]
    #: Exact SQL, or null: then `meaning` says what a person does.
    fix: str | None
    #: postgres_heal does it without a person.
    alone: bool


@dataclass(frozen=True)
class Check:
    """One query, sql/health_`name`.sql.

    Attributes:
        values: its thresholds, as it says.
        by_hand: added to `meaning` where postgres_heal can do it for others, and not for this one.
        asks_declared: its last parameter is the names of the indexes that sql/ declares.
        asks_references: its first parameter is the foreign keys that sql/ declares.
    """

    name: str
    severity: Severity
    meaning: str
    values: tuple[str, ...] = ()
    by_hand: str = ""
    asks_declared: bool = False
    asks_references: bool = False

    def parameters(self) -> tuple[str, ...]:
        """What the query takes."""
        if self.asks_references:
            return (declared_references(), *self.values)
        if not self.asks_declared:
            return self.values
        names = [
            key.name for key in declared_facts() if (key.kind, key.schema) == ("index", "public")
        ]
        return (*self.values, json.dumps(names))

    def found(self, records: Iterable[asyncpg.Record]) -> list[Finding]:
        """What its query answered."""
        return [self._finding(record) for record in records]

    def _finding(self, record: asyncpg.Record) -> Finding:
        alone = bool(record.get("alone", False))
        return Finding(
            check=self.name,
            severity=self.severity,
            about=record["about"],
            meaning=self.meaning if alone else self.meaning + self.by_hand,
            evidence=record["evidence"],
            fix=record["fix"],
            alone=alone,
        )


_NOT_ITS_TABLE = "; a person runs it, for the table is not one that mcp_heal maintains"


CHECKS = (
    Check(
        "wraparound",
        "critical",
        "transaction numbers run out, and PostgreSQL will stop taking writes: find what keeps "
        "vacuum from freezing (old transactions, slots), then VACUUM (FREEZE) as an administrator",
        # PostgreSQL itself warns at 98 %; autovacuum forces itself at 10 %.
        ("0.25",),
    ),
    Check(
        "connections", "critical", "connections run out: end idle ones, or use a pool", ("0.85",)
    ),
    Check(
        "archiving",
        "critical",
        "the write-ahead log is not archived: see archive_command and its disk",
    ),
    Check(
        "slot",
        "critical",
        "a replication slot keeps log that nobody reads, until the disk is full, or was given up "
        "for that: start its reader, or drop it",
        ("3600",),
    ),
    Check(
        "sequence",
        "critical",
        "numbers run out, and rows cannot be added then: make the column bigint, and the sequence "
        "with it",
        ("0.8",),
    ),
    Check(
        "prepared_transaction",
        "critical",
        "it keeps its locks and stops vacuum until somebody ends it: ask who prepared it, then "
        "commit or roll it back as that login or an administrator",
        ("3600",),
    ),
    Check(
        "long_transaction",
        "warning",
        "it keeps its locks, and vacuum removes no row that is newer: ask its owner, or end it as "
        "an administrator",
        # The platform's own limits are five minutes for a statement, and as much for doing nothing.
        ("900", "300"),
    ),
    Check(
        "idle_sessions",
        "warning",
        "connections that nobody uses or closes: dispose of engines and pools, or set "
        "idle_session_timeout for the login",
        ("1800", "10"),
    ),
    Check(
        "replica",
        "warning",
        "a replica is behind: what is read there is old, and little of it would survive a switch",
        (str(64 << 20), "60"),
    ),
    Check(
        "invalid_index",
        "warning",
        "an index that a failed build left behind",
        by_hand="; a person rebuilds it, for it is unique and refuses rows even so, or is held by "
        "somebody who may be building it, or is not one that mcp_heal maintains",
    ),
    Check(
        "missing_fk_index",
        "warning",
        "deleting a parent row reads the whole table",
        ("1000",),
        by_hand=_NOT_ITS_TABLE,
    ),
    Check(
        "orphans",
        "warning",
        "rows refer to a parent that is not there, and their foreign key is missing or was never "
        "validated: a person writes the parents, or postgres_heal with orphans moves the rows to "
        "quarantine or makes the parents, and puts the key back (rows null: the tables are too "
        "large to be counted here)",
        (str(1 << 30), "10000"),
        asks_references=True,
    ),
    Check(
        "quarantined_rows",
        "warning",
        "rows wait in migration.quarantine: those that fit by now as they are can go back",
        by_hand="; a person repairs and replays them: python -m migration quarantine list",
    ),
    # Twice what autovacuum waits for, so that it is behind, not on its way.
    Check(
        "dead_rows",
        "warning",
        "scans read rows that are gone: vacuum is behind",
        ("10000", "0.4"),
        by_hand=_NOT_ITS_TABLE,
    ),
    Check(
        "stale_statistics",
        "warning",
        "the planner guesses",
        ("1000", "0.3"),
        by_hand=_NOT_ITS_TABLE,
    ),
    Check(
        "slow_statement",
        "warning",
        "a statement takes long each time, and much of the server's time altogether",
        # An agent waits for it; and a minute's work is not worth an index.
        ("200", "60000"),
        by_hand="; a person looks at it, for it is more than a query",
    ),
    Check(
        "bloat",
        "notice",
        "the table is mostly empty space, which costs every scan: rewrite it when nobody needs it, "
        "for VACUUM FULL locks it; pg_repack does not",
        (str(256 << 20), "0.5"),
    ),
    Check(
        "cache",
        "notice",
        "much is read from disk: shared_buffers is small, or queries read much",
        ("1000000", "0.9"),
    ),
    Check(
        "duplicate_index",
        "notice",
        "an index that is the same as another costs every write",
        by_hand="; a person drops it: where sql/ declares it, it is taken out there first",
        asks_declared=True,
    ),
    Check(
        "unused_index",
        "notice",
        "an index that no query used costs every write",
        (str(1 << 20), "7"),
        by_hand="; a person drops it, for healing has not built it, or a replica may use it",
        asks_declared=True,
    ),
)


async def findings(sessions: Sessions, caller: Caller) -> tuple[list[Finding], dict[str, str]]:
    """All findings, the severest first; and the checks that could not be made, with the reason."""
    found: list[Finding] = []
    failed: dict[str, str] = {}
    for check in CHECKS:
        try:
            found += await look(sessions, caller, check)
        except Failure as failure:
            failed[check.name] = failure.error
    return sorted(found, key=lambda entry: _ORDER.index(entry["severity"])), failed


async def look(sessions: Sessions, caller: Caller, check: Check) -> list[Finding]:
    """What one check finds.

    Raises:
        Failure: it cannot be made.
    """
    records = await sessions.catalogue(caller, f"health_{check.name}", *check.parameters())
    return check.found(records)


def check_named(name: str) -> Check:
    """A check.

    Raises:
        Failure: 22023, there is none of that name.
    """
    for check in CHECKS:
        if check.name == name:
            return check
    names = ", ".join(check.name for check in CHECKS)
    raise Failure(
        f"There is no check {name}.",
        sqlstate="22023",
        hint=f"There are {names}.",
        refused_by="gate",
    )
