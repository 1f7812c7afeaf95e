"""`python -m benchmarks.migration`: measure, keep the figures, show them, write the page."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.migration.compare import compare
from benchmarks.migration.contenders import CONTENDERS, Name
from benchmarks.migration.growth import measure_point
from benchmarks.migration.page import write_page
from benchmarks.migration.results import Comparison, Conditions, Growth, read_results
from benchmarks.migration.shapes import Shape, make_database
from benchmarks.migration.show import show
from database import cli
from database.embedded.temporary import temporary_server
from database.errors import TargetError
from database.settings import Server
from migration.load import EngineName
from scripts.demo_data.size import parse_size

#: Our run is one transaction, which autovacuum cannot see; after the others' load it would lock
#: their tables against the rebuild. The compression is what our roles have: so all have it.
_SERVER_OPTIONS = {"autovacuum": "off", "default_toast_compression": "lz4"}
app = cli.application("Time the migration beside the other ways from SQLite to PostgreSQL.")
#: Where nobody looks, lines are long enough for the tables.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 140)


@app.command(no_args_is_help=False)
def main(
    *,
    shape: Annotated[Shape, typer.Option(help="What the rows are like.")] = Shape.PLATFORM,
    size: Annotated[str, typer.Option(help="Size of the database.")] = "50MB",
    runs: Annotated[int, typer.Option(min=0, help="Rounds; 0 measures nothing.")] = 3,
    only: Annotated[
        list[Name] | None, typer.Option(help="Who takes part; may be repeated (default: all).")
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(help="Growth instead: one engine of ours on each size, as 10MB,50MB."),
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="The engine that grows.")] = EngineName.COPY,
    results: Annotated[Path, typer.Option(help="Where the figures are kept and merged.")] = Path(
        "var/benchmarks/migration.json"
    ),
    write: Annotated[
        bool, typer.Option("--write", help="Write the page and its charts out of the figures.")
    ] = False,
    docs: Annotated[Path, typer.Option(help="The folder that --write writes to.")] = Path("docs"),
) -> None:
    """Measure one shape, keep the figures, print them; `--write` renders all that are kept."""
    if sizes is not None:
        told = f"--shape {shape} --sizes {sizes} --runs {runs} --engine {engine}"
        work = _Work(results, Conditions(options=told))
        if runs:
            work.grow(shape, sizes.split(","), runs, engine)
    else:
        chosen = "".join(f" --only {name}" for name in only or ())
        told = f"--shape {shape} --size {size} --runs {runs}{chosen}"
        work = _Work(results, Conditions(options=told))
        if runs:
            work.compare(shape, size, runs, set(only or Name))
    show(out, work.measured)
    if write:
        write_page(work.results, docs)
    work.check()


class _Work:
    """What an invocation measures, added to what is kept as soon as it is there."""

    def __init__(self, path: Path, conditions: Conditions) -> None:
        self.results = read_results(path)
        self.measured: list[Comparison | Growth] = []
        self._path = path
        self._conditions = conditions

    def compare(self, shape: Shape, size: str, runs: int, chosen: set[Name]) -> None:
        """All chosen contenders on one database."""
        contenders = [contender for contender in CONTENDERS if contender.name in chosen]
        with _server() as (server, folder):
            self._keep(
                compare(
                    server,
                    shape,
                    size,
                    runs,
                    contenders=contenders,
                    folder=folder,
                    conditions=self._conditions,
                    console=out,
                )
            )

    def grow(self, shape: Shape, sizes: list[str], runs: int, engine: EngineName) -> None:
        """One engine on one database after another."""
        growth = Growth(shape=shape, engine=engine, points=[], conditions=self._conditions)
        for size in sizes:
            with _server() as (server, folder):
                source = folder / "source.db"
                make_database(source, shape, parse_size(size))
                point = measure_point(
                    server, source, size=size.strip(), engine=engine, runs=runs, folder=folder
                )
            out.print(f"  [green]✓[/] {size:<16} [dim]{point.runs[-1].seconds:8.2f} s[/]")
            growth.points.append(point)
            self._keep(growth)

    def check(self) -> None:
        """Raise where a contender did not load every row: its figures are missing."""
        failed = [
            f"{entry.contender}: {entry.problem}"
            for comparison in self.measured
            if isinstance(comparison, Comparison)
            for entry in comparison.entries
            if entry.failed
        ]
        if failed:
            raise TargetError("; ".join(failed), "The other figures were kept.")

    def _keep(self, entry: Comparison | Growth) -> None:
        if entry not in self.measured:
            self.measured.append(entry)
        self.results.add(entry)
        self.results.write(self._path)


@contextmanager
def _server() -> Iterator[tuple[Server, Path]]:
    """A server of its own, and a folder that its user can enter."""
    with (
        temporary_server(options=_SERVER_OPTIONS) as server,
        tempfile.TemporaryDirectory(prefix="benchmark-") as name,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        yield server, folder


if __name__ == "__main__":
    cli.run(app)
