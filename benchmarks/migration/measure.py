"""One contender, once, into a fresh target: its time, its memory, and whether every row arrived."""

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from benchmarks.migration.contenders import Contender
from benchmarks.migration.ours import loading_seconds
from benchmarks.migration.prepare import Prepared, check_counts, contents, fresh_database
from benchmarks.migration.results import Run
from database.apply import ADMIN, apply_schema, run_psql
from database.connect import connect
from database.settings import Server

#: Looking takes time of a core, which those who use all cores would pay for: it is done so often at
#: first, ...
_SAMPLE_SECONDS = 0.03
#: ... and then after this share of the time that has passed.
_SAMPLE_SHARE = 0.07
_TARGET = "bench_target"


def measure(contender: Contender, prepared: Prepared, folder: Path) -> Run:
    """Load the source once, by one contender.

    Args:
        contender: what loads.
        prepared: the source and the templates of targets.
        folder: to work in; it is made, and removed at the end.

    Raises:
        BundleError: it failed, or not every row arrived.
    """
    with working_folder(folder), _fresh_target(contender, prepared) as target:
        with Watch(target) as watch:
            phases = contender.load(prepared, target, folder)
            if not contender.ours:
                run_psql(target, prepared.rebuild)
        check_counts(target, prepared.tables)
        exact = contents(target, prepared.tables) == prepared.digests
        return watch.run(phases, exact=exact)


@contextmanager
def declared_target(declared: Server) -> Iterator[Server]:
    """A fresh database with sql/ applied, with nothing left to write of what came before."""
    with fresh_database(declared, _TARGET) as target:
        # A copy does not inherit the privileges on the database itself.
        apply_schema(target)
        _settle(target)
        yield target


@contextmanager
def working_folder(folder: Path) -> Iterator[None]:
    """A new folder, removed at the end: snapshots are as large as the source."""
    folder.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(folder)


@contextmanager
def _fresh_target(contender: Contender, prepared: Prepared) -> Iterator[Server]:
    if contender.ours:
        with declared_target(prepared.declared) as target:
            yield target
    else:
        with fresh_database(prepared.bare, _TARGET) as target:
            _settle(target)
            yield target


class Watch:
    """The time, and the peak of the memory of all processes that this one starts.

    PostgreSQL's are counted apart. Shared pages count once (PSS). The server is none of the
    processes started here: pg_ctl leaves it behind as a daemon.
    """

    def __init__(self, target: Server) -> None:
        self.peak = 0
        self.server_peak = 0
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.server_cpu_seconds = 0.0
        self._started = 0.0
        self._server = _postmaster(target)
        self._ended = threading.Event()
        self._watcher = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        self._looking = self._watcher.submit(self._look)
        self.cpu_seconds -= cpu_of_children(psutil.Process())
        self.server_cpu_seconds -= cpu_of_children(self._server)
        self._started = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.seconds = time.monotonic() - self._started
        self.cpu_seconds += cpu_of_children(psutil.Process())
        self.server_cpu_seconds += cpu_of_children(self._server)
        self._ended.set()
        # Whatever went wrong there is raised here: a peak of nothing would be a lie.
        with self._watcher:
            self._looking.result()

    def run(self, phases: dict[str, float] | None, *, exact: bool) -> Run:
        """The figures; all of the time was loading unless there are steps that say how much was."""
        return Run(
            seconds=self.seconds,
            loading=self.seconds if phases is None else loading_seconds(phases),
            phases=phases or {},
            cpu_seconds=self.cpu_seconds,
            server_cpu_seconds=self.server_cpu_seconds,
            peak_bytes=self.peak,
            server_bytes=self.server_peak,
            exact=exact,
        )

    def _look(self) -> None:
        here, started, pause = psutil.Process(), time.monotonic(), _SAMPLE_SECONDS
        while not self._ended.wait(pause):
            self.peak = max(self.peak, sum(map(_memory, here.children(recursive=True))))
            backends = [self._server, *self._server.children()]
            self.server_peak = max(self.server_peak, sum(map(_memory, backends)))
            pause = max(_SAMPLE_SECONDS, _SAMPLE_SHARE * (time.monotonic() - started))


def _memory(process: psutil.Process) -> int:
    """Bytes; 0 for a process that has just ended."""
    try:
        full = process.memory_full_info()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0
    # Linux alone knows how shared pages are shared.
    return int(getattr(full, "pss", full.uss))


def cpu_of_children(parent: psutil.Process) -> float:
    """CPU seconds of the children of a process, those that have ended included."""
    while True:
        ended = _of_ended(parent)
        try:
            living = [child.cpu_times() for child in parent.children()]
        except psutil.NoSuchProcess:
            continue
        # A child that ended meanwhile would be counted twice, or not at all.
        if _of_ended(parent) == ended:
            return ended + sum(float(times.user + times.system) for times in living)


def _of_ended(parent: psutil.Process) -> float:
    times = parent.cpu_times()
    return float(times.children_user + times.children_system)


def _postmaster(target: Server) -> psutil.Process:
    with connect(target, ADMIN, autocommit=True) as connection:
        row = connection.execute("select pg_backend_pid()").fetchone()
        assert row is not None
        parent = psutil.Process(int(str(row[0]))).parent()
        assert parent is not None
        return parent


def _settle(target: Server) -> None:
    """Nobody shall pay for writing what the contender before has changed."""
    with connect(target, ADMIN, autocommit=True) as connection:
        connection.execute("checkpoint")
