"""The source's digests, computed by other processes while the load runs."""

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from migration.digest import TableDigest, source_digest
from migration.plan import Plan, TablePlan

#: Bytes of a source that is hashed sooner than a process for it is started.
_SMALL_SOURCE = 4_000_000
#: Rows that are not worth a process of their own: a part begins by skipping those before it.
_FEWEST_ROWS = 100_000
#: More processes than this wait for the load, which has one stream.
_MOST_PROCESSES = 4

Digests = dict[str, TableDigest]


@dataclass(frozen=True)
class _Part:
    """Some rows of a table: positions start ≤ n < stop."""

    table: TablePlan
    start: int
    stop: int


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
        yield lambda: _merged((part, _hash(snapshot, part)) for part in _parts(plan, 1))
        return
    processes = max(1, min(jobs - 1, _MOST_PROCESSES))
    # Spawned, not forked: a child must not share the connection's socket.
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_begin) as pool:
        parts = _parts(plan, processes)
        futures = [pool.submit(_hash, snapshot, part) for part in parts]
        try:
            yield lambda: _merged(zip(parts, (future.result() for future in futures), strict=True))
        except BaseException:
            for future in futures:
                future.cancel()
            for process in pool._processes.values():
                process.terminate()
            raise


def _begin() -> None:
    # Ctrl-C reaches the whole process group: the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _parts(plan: Plan, processes: int) -> list[_Part]:
    """All rows, the largest parts first, none so large that the others wait for it."""
    largest = max(_FEWEST_ROWS, -(-plan.rows // processes))
    parts = [
        _Part(table, start, min(start + largest, table.rows))
        for table in plan.tables
        for start in range(0, max(table.rows, 1), largest)
    ]
    return sorted(parts, key=lambda part: part.start - part.stop)


def _hash(snapshot: Path, part: _Part) -> TableDigest:
    return source_digest(snapshot, part.table, part.start, part.stop)


def _merged(parts: Iterable[tuple[_Part, TableDigest]]) -> Digests:
    digests: Digests = {}
    for part, digest in parts:
        digests.setdefault(part.table.target, TableDigest()).merge(digest)
    return digests
