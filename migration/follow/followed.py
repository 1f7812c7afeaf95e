"""What is followed: a run of the migration, its tables, and how far the target is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from database.errors import SourceError, TargetError
from migration.capture.install import Capture
from migration.capture.keys import CapturedTable, key_of_table
from migration.plan import Plan, TablePlan
from migration.statements import Connection, fetch, statement


@dataclass(frozen=True)
class Followed:
    """A followed run; `applied` is the last entry of the changelog that the target has."""

    run_id: int
    capture: Capture
    plan: Plan
    applied: int
    #: SQLite's counter of schema changes at that entry.
    schema_version: int
    #: By number in the changelog.
    captured: Mapping[int, CapturedTable]
    tables: Mapping[int, TablePlan]

    @classmethod
    def find(cls, connection: Connection, capture: Capture) -> "Followed | None":
        """The run that the capture was made for, as far as it is; None where it never came about.

        Raises:
            SourceError: the run has tables that are not captured.
        """
        rows = fetch(connection, "follow_find", token=capture.token)
        return cls._of(rows[0], capture) if rows else None

    @classmethod
    def _of(cls, row: dict[str, Any], capture: Capture) -> "Followed":
        plan = Plan.model_validate(row["plan"])
        by_source = {table.table.name: table for table in plan.tables}
        uncaptured = sorted(set(by_source) - set(capture.names))
        if uncaptured:
            raise SourceError(
                f"Changes of {', '.join(uncaptured)} are not captured.",
                "'python -m migration follow --replace' starts over.",
            )
        tables = {n: by_source[name] for n, name in enumerate(capture.names) if name in by_source}
        return cls(
            row["run_id"],
            capture,
            plan,
            row["applied"],
            row["schema_version"],
            {number: _captured(number, table) for number, table in tables.items()},
            tables,
        )

    def advance(self, connection: Connection, upto: int, schema_version: int) -> "Followed":
        """Note how far the target is, inside the transaction that brings it there."""
        values = {
            "run_id": self.run_id,
            "token": self.capture.token,
            "applied": self.applied,
            "upto": upto,
            "schema_version": schema_version,
        }
        if connection.execute(statement("follow_advance"), values).fetchone() is None:
            raise TargetError(
                "Another program follows the same source into this target.",
                "Stop one of the two.",
            )
        return replace(self, applied=upto, schema_version=schema_version)


def _captured(number: int, table: TablePlan) -> CapturedTable:
    """As the triggers log it; without a key where the target has not all of its columns."""
    return CapturedTable(number, table.table, key_of_table(table.table))
