"""What an invocation measured, in the terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks.migration import tables
from benchmarks.migration.goals import outcomes
from benchmarks.migration.results import Comparison, Growth, Results


def show(console: Console, measured: list[Comparison | Growth]) -> None:
    """The tables of what was measured now, and the goals."""
    fresh = Results()
    for entry in measured:
        fresh.add(entry)
        if isinstance(entry, Comparison):
            title = f"{entry.shape}, {entry.size}: {entry.rows:,} rows"
            _print(console, title, tables.COMPARED, tables.compared(entry))
        else:
            title = f"{entry.engine} engine, {entry.shape}, growing"
            _print(console, title, tables.GROWN, tables.grown(entry))
    if found := outcomes(fresh):
        _print(console, "goals", tables.GOALS, tables.goals(found))


def _print(console: Console, title: str, headings: list[str], rows: tables.Rows) -> None:
    grid = Table(*headings, title=title)
    for row in rows:
        grid.add_row(*map(escape, row))
    console.print(grid)
