"""A table in pieces that can be read at the same time: ranges of rowids."""

import sqlite3
from dataclasses import dataclass

from migration.quoting import quote_name
from migration.schema import Table

#: A table whose rowids span less than this is one piece.
_SMALLEST_SPAN = 20_000


@dataclass(frozen=True)
class Range:
    """Rows of start ≤ rowid < stop; None: from the first one, or to the last one."""

    start: int | None = None
    stop: int | None = None

    def condition(self, table: Table) -> str:
        """The WHERE clause for it, with a blank before it; empty where it is all rows."""
        bounds = []
        if self.start is not None:
            bounds.append(f"{table.key_expressions[0]} >= {self.start}")
        if self.stop is not None:
            bounds.append(f"{table.key_expressions[0]} < {self.stop}")
        return f" where {' and '.join(bounds)}" if bounds else ""


#: The whole of any table.
WHOLE = Range()


def ranges_of(connection: sqlite3.Connection, table: Table, pieces: int) -> list[Range]:
    """Ranges that hold every row once, in order of rowids; one, where that does not pay.

    They are equal parts of the rowids, so they have as many rows as each other only where no
    rowids are missing.

    Args:
        connection: the snapshot.
        table: which table.
        pieces: how many ranges, at most.
    """
    if table.virtual or table.without_rowid or not table.key_expressions:
        return [WHOLE]
    first, last = extremes(connection, table)
    if first is None or last is None or last - first < _SMALLEST_SPAN:
        return [WHOLE]
    bounds = [first + (last - first) * piece // pieces for piece in range(1, pieces)]
    return [Range(*pair) for pair in zip([None, *bounds], [*bounds, None], strict=True)]


def extremes(connection: sqlite3.Connection, table: Table) -> tuple[int | None, int | None]:
    """The smallest and the largest rowid of a table that has rowids; None where it has no rows."""
    key, name = table.key_expressions[0], quote_name(table.name)
    # By two queries: SQLite looks one extreme up, but scans for both at once.
    first, last = (
        connection.execute(f"select {extreme}({key}) from {name}").fetchone()[0]  # noqa: S608
        for extreme in ("min", "max")
    )
    return first, last
