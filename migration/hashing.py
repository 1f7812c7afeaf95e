"""The source's digests, computed by other processes while the load runs."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread

from migration.digest import TableDigest, source_digest
from migration.plan import Plan, TablePlan
from migration.ranges import WHOLE, Range, ranges_of
from migration.source import open_source

#: Bytes of a source that is hashed sooner than a process for it is started.
_SMALL_SOURCE = 4_000_000
#: Rows of a table without rowids that are not worth a process of their own: a part of it begins
#: by skipping those before it.
_FEWEST_ROWS = 100_000
#: Of other tables, parts have at least so many rows, ...
_FEWEST_IN_RANGE = 5_000
#: ... and each process has so many of them, so that all are done at about the same time.
_PARTS = 8
#: How far these processes step back for others that want a core (nice: 0 to 19).
_NICENESS = 19
#: More processes than this wait for the load, which has one stream.
_MOST_PROCESSES = 4

Digests = dict[str, TableDigest]


@dataclass(frozen=True)
class _Part:
    """Some rows of a table: positions start ≤ n < stop of a range."""

    table: TablePlan
    #: About how many.
    rows: int
    start: int = 0
    stop: int | None = None
    range: Range = WHOLE


@contextmanager
def hashing(snapshot: Path, plan: Plan, jobs: int) -> Iterator[Callable[[], Digests]]:
    """Begin to hash; what is yielded waits for the digests by target table.

    Args:
        snapshot: the source, which nobody writes to.
        plan: which tables, and how their values are converted.
        jobs: how many processes may work, the caller's among them.
    """
    if snapshot.stat().st_size < _SMALL_SOURCE:
        # Starting a process takes longer: this is done when it is asked for.
        yield lambda: _merged((part, _hash(snapshot, part)) for part in _parts(snapshot, plan, 1))
        return
    processes = max(1, min(jobs - 1, _MOST_PROCESSES))
    # Spawned, not forked: a child must not share the connection's socket.
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin) as pool:
        work = {
            part: pool.submit(_hash, snapshot, part) for part in _parts(snapshot, plan, processes)
        }
        try:
            yield lambda: _merged(_finished(snapshot, work))
        except BaseException:
            for future in work.values():
                future.cancel()
            for process in pool._processes.values():
                process.terminate()
            raise


def _begin() -> None:
    # The load goes first: while keys and indexes are made, a core is free for the digests.
    os.nice(_NICENESS)
    # Ctrl-C reaches the whole process group: the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A parent that was killed tells nobody: its processes would wait for work for ever.
    Thread(target=_end_with, args=(parent_process(),), daemon=True).start()


def _end_with(parent: BaseProcess | None) -> None:
    if parent is not None:
        parent.join()
        os._exit(1)


def _finished(
    snapshot: Path, work: dict[_Part, Future[TableDigest]]
) -> Iterator[tuple[_Part, TableDigest]]:
    """All digests. Instead of waiting, this process does what no other one has begun."""
    for part, future in reversed(work.items()):
        if future.cancel():
            yield part, _hash(snapshot, part)
    for part, future in work.items():
        if not future.cancelled():
            yield part, future.result()


def _parts(snapshot: Path, plan: Plan, processes: int) -> list[_Part]:
    """All rows, the largest parts first, none so large that the others wait for it."""
    with closing(open_source(snapshot, immutable=True)) as connection:
        parts = [
            part
            for table in plan.tables
            for part in _parts_of(connection, table, processes, plan.rows)
        ]
    return sorted(parts, key=lambda part: -part.rows)


def _parts_of(
    connection: sqlite3.Connection, table: TablePlan, processes: int, rows: int
) -> list[_Part]:
    most = max(_FEWEST_IN_RANGE, rows // (processes * _PARTS))
    ranges = ranges_of(connection, table.table, -(-table.rows // most) or 1)
    if len(ranges) > 1:
        return [_Part(table, table.rows // len(ranges), range=part) for part in ranges]
    most = max(_FEWEST_ROWS, -(-rows // processes))
    return [
        _Part(table, min(most, table.rows - start), start, min(start + most, table.rows))
        for start in range(0, max(table.rows, 1), most)
    ]


def _hash(snapshot: Path, part: _Part) -> TableDigest:
    return source_digest(snapshot, part.table, part.start, part.stop, part.range)


def _merged(parts: Iterable[tuple[_Part, TableDigest]]) -> Digests:
    digests: Digests = {}
    for part, digest in parts:
        digests.setdefault(part.table.target, TableDigest()).merge(digest)
    return digests
