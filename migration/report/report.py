"""Everything that a run did, as one JSON document; `docs/reference/report.md` describes it."""

import json
import platform
import sqlite3
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import psycopg

from database.settings import Server
from migration.load import EngineName, LoadedTable
from migration.plan import Plan, TablePlan
from migration.progress import Steps
from migration.quarantine import key_of
from migration.report.render_html import render
from migration.rows import RefusedRow
from migration.schema import LeftOut
from migration.snapshot import Snapshot
from migration.verify import VerifiedTable

SCHEMA_VERSION = 1
#: Rows of quarantine that the report lists; all of them are in `migration.quarantine`.
_LISTED = 200


@dataclass
class RunFacts:
    """What the steps of a run found out, in the order in which they do."""

    server: Server
    server_version: str
    engine: EngineName
    snapshot: Snapshot
    plan: Plan
    steps: Steps
    loaded: list[LoadedTable] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    #: Rows that were there before and were replaced, by table.
    thrown_away: dict[str, int] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    verified: list[VerifiedTable] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """The document, ready to be written."""

    data: dict[str, Any]

    @classmethod
    def make(cls, facts: RunFacts) -> Self:
        """Put a run's facts together; before the verification its figures are zero."""
        tables = [_table(facts, number) for number in range(len(facts.plan.tables))]
        left_out = (*facts.plan.not_carried, *facts.left_out)
        return cls(
            {
                "schema_version": SCHEMA_VERSION,
                "verdict": _verdict(facts, tables),
                # Passwords never come by the command line, so it can be shown as it was.
                "command": " ".join(
                    Path(part).name if n == 0 else part for n, part in enumerate(sys.argv)
                ),
                "engine": facts.engine.value,
                "started_at": facts.steps.started_at.isoformat(timespec="seconds"),
                "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "seconds": round(facts.steps.total_seconds, 3),
                "phases": [
                    {"name": name, "seconds": round(seconds, 3)}
                    for name, seconds in facts.steps.seconds.items()
                ],
                "source": _source(facts.snapshot),
                "target": {
                    "host": facts.server.host,
                    "port": facts.server.port,
                    "database": facts.server.database,
                    "server_version": facts.server_version,
                },
                "versions": _versions(),
                "tables": tables,
                "not_carried": [entry.model_dump() for entry in left_out],
                "quarantine": [_refused(entry) for entry in facts.refused[:_LISTED]],
                "differences": [
                    {
                        "table": entry.table,
                        "key": entry.key,
                        "column": entry.column,
                        "source": entry.source,
                        "target": entry.target,
                    }
                    for table in facts.verified
                    for entry in table.differences
                ],
                "policies": [
                    f"{table.target}.{column}, which the source lacks, has sql/'s value"
                    for table in facts.plan.tables
                    for column in table.backfilled
                ],
            }
        )

    def write(self, directory: Path) -> None:
        """Write `report.json` and `report.html` into the snapshot's folder."""
        text = json.dumps(self.data, ensure_ascii=False, indent=2)
        (directory / "report.json").write_text(
            text + "\n", encoding="utf-8", errors="backslashreplace"
        )
        (directory / "report.html").write_text(render(self.data), encoding="utf-8")

    def count(self, name: str) -> int:
        """The sum of a row count (`rows_source`, `rows_loaded`, …) over all tables."""
        # A report that an older version left in the target lacks the newer counts.
        return sum(table.get(name, 0) for table in self.data["tables"])


def _verdict(facts: RunFacts, tables: list[dict[str, Any]]) -> str:
    complete = len(facts.verified) == len(tables)
    if not complete or not all(table["verified"] for table in tables):
        return "failed"
    if any(entry.loses_rows for entry in facts.plan.not_carried):
        return "salvaged"
    return "quarantined" if facts.refused else "verified"


def _table(facts: RunFacts, number: int) -> dict[str, Any]:
    table = facts.plan.tables[number]
    loaded = facts.loaded[number] if facts.loaded else LoadedTable(table)
    verified = facts.verified[number] if facts.verified else None
    refused = sum(entry.table.target == table.target for entry in facts.refused)
    arrived = loaded.rows + len(loaded.refused) - refused
    equal = verified is not None and verified.verified and verified.rows == table.rows - refused
    return {
        "source": table.table.name,
        "target": table.target,
        "known": table.known,
        "rows_source": table.rows,
        "rows_loaded": arrived,
        "rows_quarantined": refused,
        "rows_already_there": loaded.already_there,
        "rows_thrown_away": facts.thrown_away.get(table.target, 0),
        "rows_verified": verified.rows if verified and equal else 0,
        "bytes": loaded.bytes,
        "seconds": round(loaded.seconds, 3),
        "digest_source": verified.digest_source if verified else None,
        "digest_target": verified.digest_target if verified else None,
        "verified": equal,
        "columns": _columns(table),
    }


def _columns(table: TablePlan) -> list[dict[str, Any]]:
    return [
        {
            "source": column.source,
            "target": column.target,
            "declared": column.declared,
            "pg_type": column.pg_type,
            "why": column.why,
        }
        for column in table.columns
    ]


def _refused(entry: RefusedRow) -> dict[str, Any]:
    return {
        "table": entry.table.target,
        "key": key_of(entry) or {"row": entry.row.position + 1},
        "column": entry.column,
        "reason": entry.reason,
        "sqlstate": entry.sqlstate,
    }


def _source(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "path": str(snapshot.source),
        "size_bytes": snapshot.size_bytes,
        "sha256": snapshot.sha256,
        "snapshot_path": str(snapshot.path),
        "sqlite_version": sqlite3.sqlite_version,
        "journal_mode": snapshot.journal_mode,
    }


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "psycopg": version("psycopg"),
        "libpq": str(psycopg.pq.version()),
    }
