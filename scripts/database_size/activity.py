"""What the timestamps of the rows say: growth, writes per second, agents at work at once.

Rows are read backwards from the newest, some thousands at a time, so that no statement takes
long. Only columns that say when a row was *inserted* count; the others are a user's data.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic

from migration.quoting import quote_name
from scripts.database_size.reading import Reader, Value, raise_if_unreadable
from scripts.database_size.tables import TableSize

_INSERTED_AT = ("created_at", "timestamp", "started_at", "inserted_at")
_ACTOR_COLUMNS = ("from_agent", "to_agent", "agent", "source")
#: Parts of a platform that write under a name of their own and are no agents.
NOT_AGENTS = frozenset({"", "system", "orchestrator", "user", "human", "vibe", "server", "mcp"})
_CHUNK_ROWS = 10_000
_SECONDS_FOR_ALL = 20.0
DAY = 86_400
WINDOWS_DAYS = (7, 30)
_NAMES_KEPT = 64


@dataclass(frozen=True)
class Growth:
    """Growth over the `days` before the newest row; a shorter history counts as it is."""

    days: int
    history_days: float
    rows_per_day: float
    bytes_per_day: float


@dataclass
class Activity:
    """What the rows of the last 30 days say. Times are UTC; rates are rows per second."""

    newest: str | None = None
    growth: list[Growth] = field(default_factory=list)
    busiest_minute_rate: float = 0.0
    busiest_minute: str | None = None
    busiest_second_rows: int = 0
    agents_at_once: int = 0
    agents: list[str] = field(default_factory=list)
    agents_minute: str | None = None
    #: Tables whose insertion times were read.
    tables: list[str] = field(default_factory=list)
    #: False where reading was cut short.
    complete: bool = True


@dataclass
class _Seen:
    """One table's walk: rows by age in days before its newest, and the oldest row's time."""

    times: Counter[int] = field(default_factory=Counter)
    oldest: int | None = None


@dataclass(frozen=True)
class _Source:
    table: str
    time_column: str
    actor_columns: tuple[str, ...]


class _Walk:
    """Reads insertion times and actors of all tables, and keeps them by minute."""

    def __init__(self, reader: Reader, now: datetime) -> None:
        self._reader = reader
        self._deadline = monotonic() + _SECONDS_FOR_ALL
        # A clock may be wrong: what lies in the future says nothing.
        self._latest = now.timestamp() + DAY
        self.seen: dict[str, _Seen] = {}
        self.actors: dict[int, set[str]] = {}
        self.busiest_second = 0
        self.complete = True

    def walk(self, source: _Source) -> None:
        """Read a table from its newest row to 30 days before it."""
        seen = self.seen[source.table] = _Seen()
        newest: int | None = None
        second, rows_in_second = -1, 0
        for moment, actors in self._entries(source):
            if moment > self._latest:
                continue
            newest = moment if newest is None else max(newest, moment)
            if moment < newest - WINDOWS_DAYS[-1] * DAY:
                break
            seen.times[moment // 60] += 1
            rows_in_second = rows_in_second + 1 if moment == second else 1
            second = moment
            self.busiest_second = max(self.busiest_second, rows_in_second)
            if actors:
                self._add_actors(moment // 60, actors)
        seen.oldest = self._oldest(source)

    def _entries(self, source: _Source) -> Iterator[tuple[int, tuple[Value, ...]]]:
        columns = ", ".join(map(quote_name, (source.time_column, *source.actor_columns)))
        query = (
            f"select _rowid_, {columns} from {quote_name(source.table)} "  # noqa: S608
            f"where _rowid_ < ? order by _rowid_ desc limit {_CHUNK_ROWS}"
        )
        position = 2**63 - 1
        while True:
            rows = self._reader.rows(query, (position,))
            if rows is None or monotonic() > self._deadline:
                self.complete = False
                return
            for _, written, *actors in rows:
                moment = seconds_of(written)
                if moment is not None:
                    yield moment, tuple(actors)
            if len(rows) < _CHUNK_ROWS:
                return
            position = int(str(rows[-1][0]))

    def _oldest(self, source: _Source) -> int | None:
        column = quote_name(source.time_column)
        rows = self._reader.rows(
            f"select {column} from {quote_name(source.table)} order by _rowid_ limit 1"  # noqa: S608
        )
        return seconds_of(rows[0][0]) if rows else None

    def _add_actors(self, minute: int, actors: tuple[Value, ...]) -> None:
        names = self.actors.setdefault(minute, set())
        for actor in actors:
            if isinstance(actor, str) and len(names) < _NAMES_KEPT:
                name = actor.strip().lower()
                if name not in NOT_AGENTS:
                    names.add(name)


def read_activity(reader: Reader, tables: list[TableSize], now: datetime) -> Activity:
    """Walk all tables that know when their rows were inserted."""
    walk = _Walk(reader, now)
    sources = [source for entry in tables if (source := _source(reader, entry.name))]
    read = []
    for source in sources:
        try:
            walk.walk(source)
            read.append(source.table)
        except sqlite3.OperationalError as error:
            # A table without rowids, or a view in disguise.
            raise_if_unreadable(error)
            walk.seen.pop(source.table, None)
    activity = Activity(tables=read, complete=walk.complete)
    minutes: Counter[int] = Counter()
    for seen in walk.seen.values():
        minutes.update(seen.times)
    if not minutes:
        return activity
    newest = max(minutes)
    activity.newest = _minute_text(newest)
    activity.growth = [_growth(days, newest, walk.seen, tables) for days in WINDOWS_DAYS]
    minute, rows = max(minutes.items(), key=lambda entry: (entry[1], entry[0]))
    activity.busiest_minute, activity.busiest_minute_rate = _minute_text(minute), rows / 60
    activity.busiest_second_rows = walk.busiest_second
    if walk.actors:
        minute, names = max(walk.actors.items(), key=lambda entry: (len(entry[1]), entry[0]))
        activity.agents, activity.agents_at_once = sorted(names), len(names)
        activity.agents_minute = _minute_text(minute)
    return activity


def _source(reader: Reader, table: str) -> _Source | None:
    columns = {name.lower(): name for name, _ in reader.columns(table)}
    times = [columns[name] for name in _INSERTED_AT if name in columns]
    actors = tuple(columns[name] for name in _ACTOR_COLUMNS if name in columns)
    return _Source(table, times[0], actors) if times else None


def _growth(days: int, newest: int, seen: dict[str, _Seen], tables: list[TableSize]) -> Growth:
    """Tables without insertion times are taken to grow like the rest."""
    first = newest - days * DAY // 60
    oldest = min((entry.oldest for entry in seen.values() if entry.oldest), default=newest * 60)
    history = min(float(days), max((newest * 60 + 60 - oldest) / DAY, 0.0))
    divisor = max(history, 1.0)
    rows = size = 0.0
    timed_bytes = 0
    for table in tables:
        if table.name not in seen or not table.rows or table.bytes is None:
            continue
        recent = sum(count for minute, count in seen[table.name].times.items() if minute > first)
        rows += recent
        size += recent * table.bytes / table.rows
        timed_bytes += table.bytes
    all_bytes = sum(table.bytes or 0 for table in tables)
    others = all_bytes / timed_bytes if timed_bytes else 1.0
    return Growth(days, round(history, 2), rows / divisor, size / divisor * others)


def seconds_of(value: Value) -> int | None:
    """Seconds since 1970 that a stored time means, read as UTC; None where it is no time.

    Text is ISO 8601; numbers are seconds, milliseconds or microseconds by their magnitude.
    """
    if isinstance(value, str):
        try:
            return int(datetime.fromisoformat(value[:19]).replace(tzinfo=UTC).timestamp())
        except ValueError:
            return None
    if isinstance(value, int | float) and value > 0:
        for factor in (1, 1_000, 1_000_000):
            if 300_000_000 <= value / factor < 10_000_000_000:
                return int(value / factor)
    return None


def _minute_text(minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%d %H:%M")
