"""The whole check, in the order in which it happens."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from migration.source import check_source
from scripts.database_size.activity import Activity, read_activity
from scripts.database_size.estimate import Estimate, ReadingProbe, estimates, probe_reading
from scripts.database_size.evidence import read_evidence
from scripts.database_size.files import Neighbour, database_bytes, neighbours
from scripts.database_size.locks import LockProbe, probe_write_lock
from scripts.database_size.reading import Reader, journal_mode, open_reader
from scripts.database_size.tables import Pages, TableSize, read_pages, table_sizes
from scripts.database_size.triggers import (
    LIMIT_BYTES,
    Facts,
    Stated,
    Trigger,
    Verdict,
    projection_days,
    verdict,
    weigh,
)

SCHEMA_VERSION = 1
_FURTHEST_PROJECTION_DAYS = 36_500


@dataclass(frozen=True)
class Check:
    """Everything that was found; `as_json` is documented in docs/reference/scripts.md."""

    path: Path
    verdict: Verdict
    triggers: list[Trigger]
    size_bytes: int
    journal_mode: str
    note: str
    pages: Pages
    tables: list[TableSize]
    neighbours: list[Neighbour]
    activity: Activity
    limit_reached_in_days: float | None
    limit_reached_on: str | None
    lock_probe: LockProbe | None
    reading_probe: ReadingProbe
    migration: list[Estimate]

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "schema_version": SCHEMA_VERSION,
            **asdict(self),
            "path": str(self.path),
            "limit_bytes": LIMIT_BYTES,
        }


def check_database(path: Path, *, probe_seconds: float | None, stated: Stated) -> Check:
    """Look at a database.

    Args:
        path: an existing SQLite file.
        probe_seconds: how long to look at the write lock; None: not at all.
        stated: what the user says about agents, queries and load.

    Raises:
        SourceError: missing, empty, no database, encrypted, damaged or locked.
    """
    check_source(path)
    probe = None
    if probe_seconds is not None:
        # Before the database is opened: see locks.py.
        probe = probe_write_lock(path, journal_mode(path), probe_seconds)
    while True:
        with open_reader(path) as reader:
            found = _check(path, reader, probe, probed=probe_seconds is not None, stated=stated)
        if not reader.was_opened_meanwhile(path):
            return found


def _check(
    path: Path, reader: Reader, probe: LockProbe | None, *, probed: bool, stated: Stated
) -> Check:
    now = datetime.now(UTC)
    pages = read_pages(reader)
    tables = table_sizes(reader, pages)
    activity = read_activity(reader, tables, now)
    size = database_bytes(path)
    facts = Facts(size, activity, read_evidence(reader, tables), probe, probed, stated)
    triggers = weigh(facts)
    reading = probe_reading(reader, tables)
    days = projection_days(size, activity.growth)
    reached = None
    if days is not None and 0 < days < _FURTHEST_PROJECTION_DAYS:
        reached = (now + timedelta(days=days)).date().isoformat()
    return Check(
        path=path,
        verdict=verdict(triggers),
        triggers=triggers,
        size_bytes=size,
        journal_mode=reader.journal_mode,
        note=reader.note,
        pages=pages,
        tables=tables,
        neighbours=neighbours(path),
        activity=activity,
        limit_reached_in_days=None if days is None else round(days, 1),
        limit_reached_on=reached,
        lock_probe=probe,
        reading_probe=reading,
        migration=estimates(reading),
    )
