"""How long the migration will take here: a short reading probe, and ratios measured once.

The ratios come from `make bench` on made-up databases of 1 to 300 MB; see
docs/how-to/check-size.md. PostgreSQL's own speed here is not probed, so the range is wide.
"""

import sqlite3
from dataclasses import dataclass
from time import monotonic

from migration.quoting import quote_name
from scripts.database_size.reading import Reader, raise_if_unreadable
from scripts.database_size.tables import TableSize

_SECONDS_PER_TABLE = 0.2
_CHUNK_ROWS = 200
#: Seconds before and after the rows: snapshot, plan, constraints, report.
_BASE_SECONDS = {"copy": 0.9, "pgloader": 3.2}
#: Seconds of migration per second of plain reading.
_FACTOR = {"copy": 22.0, "pgloader": 28.0}
_LOW, _HIGH = 0.5, 2.0


@dataclass(frozen=True)
class Estimate:
    """Seconds that the migration will take; most likely between `low` and `high`."""

    engine: str
    seconds: float
    low: float
    high: float


@dataclass(frozen=True)
class ReadingProbe:
    """How fast rows were read, and how long reading all of them would take."""

    rows: int
    rows_per_second: float
    seconds_for_all: float


def probe_reading(reader: Reader, tables: list[TableSize]) -> ReadingProbe:
    """Read the first rows of every table for a fraction of a second each."""
    rows = 0
    spent = whole = 0.0
    for table in tables:
        if not table.rows:
            continue
        try:
            count, seconds = _read(reader, table.name)
        except sqlite3.OperationalError as error:
            raise_if_unreadable(error)
            continue
        rows, spent = rows + count, spent + seconds
        whole += seconds * table.rows / count if count else 0.0
    return ReadingProbe(rows, rows / spent if spent else 0.0, whole)


def estimates(probe: ReadingProbe) -> list[Estimate]:
    """The estimate for each engine."""
    return [
        Estimate(engine, round(seconds, 1), round(seconds * _LOW, 1), round(seconds * _HIGH, 1))
        for engine, base in _BASE_SECONDS.items()
        for seconds in [base + _FACTOR[engine] * probe.seconds_for_all]
    ]


def _read(reader: Reader, table: str) -> tuple[int, float]:
    began = monotonic()
    count = 0
    cursor = reader.connection.execute(f"select * from {quote_name(table)}")  # noqa: S608
    try:
        while monotonic() - began < _SECONDS_PER_TABLE:
            rows = cursor.fetchmany(_CHUNK_ROWS)
            count += len(rows)
            if len(rows) < _CHUNK_ROWS:
                break
    finally:
        # An open cursor is a lock.
        cursor.close()
    return count, monotonic() - began
