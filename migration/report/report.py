"""Everything that a run did, as one JSON document; `docs/reference/report.md` describes it."""

import json
import platform
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

import psycopg

from database.settings import Server
from migration.load import EngineName, LoadedTable
from migration.load.pgloader_command import program_version
from migration.plan import Plan, TablePlan
from migration.policies import Orphans
from migration.progress import Steps
from migration.quarantine import key_of
from migration.quarantine.export import FILE
from migration.quarantine.values import cause_of
from migration.quoting import printable
from migration.report import model
from migration.report.render_html import render
from migration.rows import RefusedRow
from migration.schema import LeftOut
from migration.snapshot import Snapshot
from migration.verify import VerifiedTable

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
    #: Of `migration.run`; None while nothing was recorded.
    run_id: int | None = None
    #: By target table: the values that policies changed, by (column, policy).
    repairs: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)

    def loaded_of(self, table: TablePlan) -> LoadedTable:
        """What the load of a table came to; nothing yet, where it did not begin."""
        found = (entry for entry in self.loaded if entry.table.target == table.target)
        return next(found, LoadedTable(table))


@dataclass(frozen=True)
class Report:
    """The document, ready to be written."""

    data: dict[str, Any]

    @classmethod
    def make(cls, facts: RunFacts) -> Self:
        """Put a run's facts together; before the verification its figures are zero."""
        tables = tuple(_table(facts, table) for table in facts.plan.tables)
        document = model.Document(
            schema_version=model.SCHEMA_VERSION,
            verdict=_verdict(facts, tables),
            # Passwords never come by the command line, so it can be shown as it was.
            command=" ".join([_program(), *map(printable, sys.argv[1:])]),
            engine=facts.engine.value,
            started_at=facts.steps.started_at.isoformat(timespec="seconds"),
            finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(facts.steps.total_seconds, 3),
            phases=tuple(
                model.Phase(name=name, seconds=round(seconds, 3))
                for name, seconds in facts.steps.seconds.items()
            ),
            source=_source(facts.snapshot),
            target=model.Target(
                host=facts.server.host,
                port=facts.server.port,
                database=facts.server.database,
                schema_name=facts.plan.schema_name,
                server_version=facts.server_version,
            ),
            versions=_versions(facts.engine),
            tables=tables,
            not_carried=tuple(
                model.NotCarried(**entry.model_dump(), loses_rows=entry.loses_rows)
                for entry in (*facts.plan.not_carried, *facts.left_out)
            ),
            quarantine_causes=_causes(facts.refused),
            quarantine=tuple(map(_refused, facts.refused[:_LISTED])),
            quarantine_file=FILE if facts.refused else None,
            differences=tuple(
                model.Differing(**asdict(entry))
                for table in facts.verified
                for entry in table.differences
            ),
            policies=tuple(_policies(facts)),
        )
        return cls(document.model_dump(mode="json"))

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


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "python -m migration" if name == "__main__.py" else printable(name)


def _verdict(
    facts: RunFacts, tables: Sequence[model.Table]
) -> Literal["verified", "quarantined", "salvaged", "failed"]:
    if not all(table.verified for table in tables):
        return "failed"
    if any(entry.loses_rows for entry in facts.plan.not_carried):
        return "salvaged"
    return "quarantined" if facts.refused else "verified"


def _table(facts: RunFacts, table: TablePlan) -> model.Table:
    loaded = facts.loaded_of(table)
    verified = next((entry for entry in facts.verified if entry.table.target == table.target), None)
    refused = sum(entry.table.target == table.target for entry in facts.refused)
    arrived = loaded.rows + len(loaded.refused) - refused
    equal = verified is not None and verified.verified and verified.rows == table.rows - refused
    return model.Table(
        source=table.table.name,
        target=table.target,
        known=table.known,
        rows_source=table.rows,
        rows_loaded=arrived,
        rows_quarantined=refused,
        rows_already_there=loaded.already_there,
        rows_thrown_away=facts.thrown_away.get(table.target, 0),
        rows_verified=verified.rows if verified and equal else 0,
        bytes=loaded.bytes,
        seconds=round(loaded.seconds, 3),
        digest_source=verified.digest_source if verified else None,
        digest_target=verified.digest_target if verified else None,
        verified=equal,
        columns=tuple(
            model.Column(
                source=column.source,
                target=column.target,
                declared=column.declared,
                pg_type=column.pg_type,
                why=column.why,
                policy=column.policy.chosen,
            )
            for column in table.columns
        ),
    )


def _refused(entry: RefusedRow) -> model.Refused:
    return model.Refused(
        table=entry.table.target,
        key=key_of(entry) or {"row": entry.row.position + 1},
        column=entry.column,
        reason=entry.reason,
        sqlstate=entry.sqlstate,
    )


def _causes(refused: Sequence[RefusedRow]) -> tuple[model.Cause, ...]:
    found = Counter(
        (row.table.target, row.column, cause_of(row.reason), row.sqlstate) for row in refused
    )
    return tuple(
        model.Cause(table=table, column=column, reason=reason, sqlstate=sqlstate, rows=rows)
        for (table, column, reason, sqlstate), rows in found.most_common()
    )


def _policies(facts: RunFacts) -> Iterator[model.Applied]:
    """What was decided by the user, or by sql/ for columns that the source lacks."""
    for table in facts.plan.tables:
        changed = facts.repairs.get(table.target)
        for column in table.columns:
            for name, choice in column.policy.chosen.items():
                rows = None if name == "type" or changed is None else changed[column.target, name]
                yield model.Applied(
                    table=table.target, column=column.target, policy=name, choice=choice, rows=rows
                )
        if table.orphans is not Orphans.QUARANTINE:
            yield model.Applied(
                table=table.target, column=None, policy="orphans", choice=table.orphans, rows=None
            )
        for name in table.backfilled:
            yield model.Applied(
                table=table.target,
                column=name,
                policy="backfill",
                choice="the source lacks it: sql/'s value",
                rows=facts.loaded_of(table).rows,
            )


def _source(snapshot: Snapshot) -> model.Source:
    return model.Source(
        path=printable(snapshot.source),
        size_bytes=snapshot.size_bytes,
        sha256=snapshot.sha256,
        snapshot_path=printable(snapshot.path),
        sqlite_version=sqlite3.sqlite_version,
        journal_mode=snapshot.journal_mode,
    )


def _versions(engine: EngineName) -> dict[str, str]:
    found = {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "psycopg": version("psycopg"),
        "libpq": str(psycopg.pq.version()),
    }
    if engine is EngineName.PGLOADER:
        found["pgloader"] = program_version()
    return found
