"""One of our engines on databases of growing size: time and memory against bytes."""

from pathlib import Path

from benchmarks.migration import ours
from benchmarks.migration.measure import Watch, declared_target, working_folder
from benchmarks.migration.prepare import check_counts, tables_of
from benchmarks.migration.results import Point, Run
from database.settings import Server


def measure_point(
    server: Server, source: Path, *, size: str, engine: str, runs: int, folder: Path
) -> Point:
    """Migrate a source `runs` times.

    Raises:
        BundleError: a run failed, or not every row arrived.
    """
    measured = [_measure(server, source, engine, folder / f"{engine}-{n}") for n in range(runs)]
    rows = measured[0][1]
    taken = [run for run, _ in measured]
    return Point(size=size, bytes=source.stat().st_size, rows=rows, runs=taken)


def _measure(server: Server, source: Path, engine: str, folder: Path) -> tuple[Run, int]:
    with working_folder(folder), declared_target(server) as target:
        with Watch(target) as watch:
            report = ours.migrate(target, source, engine, folder)
            phases = ours.phases_of(report)
        tables = tables_of(report, source)
        check_counts(target, tables)
        run = watch.run(phases, exact=report["verdict"] == "verified")
        return run, sum(table.rows for table in tables)
