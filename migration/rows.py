"""A source row on its way: each value converted for its column, or the whole row refused."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from migration.batches import read_rows
from migration.convert import Converted, RefusedValueError
from migration.plan import TablePlan
from migration.repair import conversion_for
from migration.source import Row, Value


@dataclass(frozen=True)
class RefusedRow:
    """A row that PostgreSQL cannot take as it is, and why. It goes to quarantine, whole."""

    table: TablePlan
    row: Row
    column: str | None
    reason: str
    sqlstate: str


class RowConverter:
    """The conversions of one table's columns, looked up once.

    `repairs` counts by (column, policy) what policies changed.
    """

    def __init__(self, table: TablePlan) -> None:
        self.table = table
        self.repairs: Counter[tuple[str, str]] = Counter()
        self._changed: list[tuple[str, str]] = []
        self._columns = [
            (column, conversion_for(column, partial(self._note, column.target)), column.not_null)
            for column in table.columns
        ]

    def _note(self, column: str, policy: str) -> None:
        self._changed.append((column, policy))

    def convert(self, row: Row) -> list[Converted] | RefusedRow:
        """The row's values for PostgreSQL in the order of the plan's columns, or its refusal."""
        if self.table.impossible:
            return RefusedRow(self.table, row, None, self.table.impossible, "54011")
        converted: list[Converted] = []
        self._changed.clear()
        for value, (column, conversion, not_null) in zip(row.values, self._columns, strict=True):
            if value is None:
                if not_null:
                    reason = "NULL in a column that must have a value"
                    return RefusedRow(self.table, row, column.source, reason, "23502")
                converted.append(None)
                continue
            try:
                converted.append(conversion(value))
            except RefusedValueError as refusal:
                return RefusedRow(self.table, row, column.source, refusal.reason, refusal.sqlstate)
        # Only now: the values of a row that is refused are not changed by anything.
        self.repairs.update(self._changed)
        return converted


def rows_at(snapshot: Path, table: TablePlan, positions: set[int]) -> Iterator[Row]:
    """The source rows at these positions of the reading order."""
    last = max(positions, default=-1)
    for row in read_rows(snapshot, table.table, start=min(positions, default=0)):
        if row.position in positions:
            yield row
        if row.position >= last:
            return


def storage_class(value: Value) -> str:
    """SQLite's name for the kind of a value."""
    names = {int: "integer", float: "real", str: "text", bytes: "blob"}
    return "null" if value is None else names[type(value)]
