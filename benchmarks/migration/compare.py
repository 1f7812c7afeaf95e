"""All contenders on one database, in turn, round after round."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from benchmarks.migration.contenders import Contender
from benchmarks.migration.measure import measure
from benchmarks.migration.prepare import Prepared, prepared
from benchmarks.migration.results import Comparison, Conditions, Entry
from benchmarks.migration.shapes import Shape, make_database
from database.errors import BundleError, InterruptedRunError
from database.settings import Server
from scripts.demo_data.size import parse_size


def compare(
    server: Server,
    shape: Shape,
    size: str,
    runs: int,
    *,
    contenders: list[Contender],
    folder: Path,
    conditions: Conditions,
    console: Console,
) -> Comparison:
    """Measure the contenders `runs` times each.

    One that fails is left out of later rounds, and its entry says why: a benchmark of hours shall
    not be lost to it. The caller has to tell.

    Args:
        server: the database with sql/ applied.
        shape: of the source.
        size: of the source, as people write it.
        runs: rounds.
        contenders: who takes part.
        folder: that the server's own user can enter.
        conditions: when and where.
        console: is told of every run.
    """
    source = folder / "source.db"
    make_database(source, shape, parse_size(size))
    with prepared(server, source, folder) as ready:
        entries = [Entry(contender=one.name, problem=one.missing()) for one in contenders]
        field = list(zip(contenders, entries, strict=True))
        for number in range(runs):
            # Nobody is always the first, or always after the same other one.
            start = number % len(field)
            for contender, entry in field[start:] + field[:start]:
                if entry.problem is None:
                    _run(contender, entry, ready, folder, console)
        return Comparison(
            shape=shape,
            size=size,
            bytes=source.stat().st_size,
            tables=len(ready.tables),
            rows=ready.rows,
            entries=entries,
            conditions=conditions,
        )


def _run(
    contender: Contender, entry: Entry, ready: Prepared, folder: Path, console: Console
) -> None:
    try:
        run = measure(contender, ready, folder / contender.name)
    except InterruptedRunError:
        raise
    except BundleError as error:
        entry.runs, entry.failed, entry.problem = [], True, error.message
        console.print(f"  [red]✗[/] {contender.name}: {escape(error.message)}")
    else:
        entry.runs.append(run)
        console.print(f"  [green]✓[/] {contender.name:<16} [dim]{run.seconds:8.2f} s[/]")
