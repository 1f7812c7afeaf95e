"""The check for people: the verdict first, then what it rests on."""

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from scripts.database_size.check import Check
from scripts.database_size.triggers import LIMIT_BYTES
from scripts.demo_data.size import format_size

_VERDICTS = {
    "stay": ("green", "Stay with SQLite", "No trigger of the plan is met, and none is near."),
    "plan": ("yellow", "Plan the migration", "No trigger of the plan is met, but one is near."),
    "migrate": ("red", "Migrate to PostgreSQL", "At least one trigger of the plan is met."),
}
_MARKS = {
    "met": "[red]● met[/]",
    "near": "[yellow]◐ near[/]",
    "not met": "[green]○ not met[/]",
    "unknown": "[dim]? unknown[/]",
}
_BAR_WIDTH = 16
_TABLES_SHOWN = 30


def show(console: Console, found: Check) -> None:
    """Print the whole check."""
    colour, title, reason = _VERDICTS[found.verdict]
    lines = [f"[bold {colour}]{title}[/]", reason, _duration(found)]
    console.print(Panel(Group(*lines), border_style=colour, expand=False))
    console.print(_triggers(found))
    console.print(_database(found))
    console.print(_tables(found))
    if found.neighbours:
        console.print(_neighbours(found))


def _duration(found: Check) -> str:
    parts = [
        f"{entry.engine} {_seconds(entry.low)} to {_seconds(entry.high)}"
        for entry in found.migration
    ]
    return f"The migration will take about: {'; '.join(parts)} (a rough estimate, on this machine)."


def _seconds(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _triggers(found: Check) -> Table:
    grid = Table(box=SIMPLE_HEAD, title="Triggers of the plan", title_justify="left")
    for heading in ("trigger", "", "evidence", "basis"):
        grid.add_column(heading, no_wrap=heading == "")
    for entry in found.triggers:
        grid.add_row(entry.name, _MARKS[entry.status], escape(entry.evidence), entry.basis)
    return grid


def _database(found: Check) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    note = f", {found.note}" if found.note else ""
    free = found.pages.free * found.pages.size
    grid.add_row("database", escape(str(found.path)))
    grid.add_row("size", f"{format_size(found.size_bytes)}, of which {format_size(free)} free")
    grid.add_row("journal", f"{found.journal_mode}{note}")
    activity = found.activity
    for window in activity.growth:
        known = f" (from {window.history_days:.1f} days of history)"
        grid.add_row(
            f"growth, {window.days} days",
            f"{window.rows_per_day:,.0f} rows and {format_size(window.bytes_per_day)} a day"
            + (known if window.history_days < window.days else ""),
        )
    if activity.newest:
        grid.add_row("newest row", f"{activity.newest} UTC")
    else:
        grid.add_row("growth", "unknown: no table says when its rows were written")
    if found.limit_reached_on:
        text = f"about {found.limit_reached_on}, if it grows on like this"
        grid.add_row(f"{format_size(LIMIT_BYTES)} reached", text)
    if not activity.complete:
        grid.add_row("", "[yellow]reading was cut short: growth and load are lower bounds[/]")
    return grid


def _tables(found: Check) -> Table:
    grid = Table(box=SIMPLE_HEAD, title="Tables, indexes included", title_justify="left")
    grid.add_column("table")
    for heading in ("rows", "bytes"):
        grid.add_column(heading, justify="right")
    grid.add_column("")
    largest = max((entry.bytes or 0 for entry in found.tables), default=0)
    for entry in found.tables[:_TABLES_SHOWN]:
        size = "?" if entry.bytes is None else format_size(entry.bytes)
        rows = "?" if entry.rows is None else f"{entry.rows:,}"
        grid.add_row(
            escape(entry.name),
            rows if entry.rows_exact or entry.rows is None else f"≤ {rows}",
            size if entry.bytes_exact or entry.bytes is None else f"≈ {size}",
            f"[cyan]{'█' * _bar(entry.bytes or 0, largest)}[/] [dim]{escape(entry.note)}[/]",
        )
    rest = len(found.tables) - _TABLES_SHOWN
    if rest > 0:
        grid.add_row(f"… and {rest} more", "", "", "[dim]--json lists all[/]")
    if any(not entry.bytes_exact for entry in found.tables):
        grid.caption = "≈ estimated from a sample of rows"
    return grid


def _bar(size: int, largest: int) -> int:
    return round(_BAR_WIDTH * size / largest) if largest else 0


def _neighbours(found: Check) -> Table:
    grid = Table(box=SIMPLE_HEAD, title="Beside it", title_justify="left")
    for heading in ("file", "kind", "size", "modified"):
        grid.add_column(heading, justify="right" if heading == "size" else "left")
    for entry in found.neighbours:
        modified = entry.modified.replace("T", " ")[:16]
        grid.add_row(escape(entry.name), entry.kind, format_size(entry.size_bytes), modified)
    return grid
