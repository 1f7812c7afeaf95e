"""How a run or a verification ended, for people."""

from rich.console import Console
from rich.markup import escape

from migration.quoting import printable
from migration.report.report import Report
from migration.run import Outcome
from migration.show.grid import make_grid
from migration.show.not_carried import not_carried
from migration.verify import VerifiedTable

_COLOURS = {"verified": "green", "quarantined": "yellow", "salvaged": "yellow", "failed": "red"}
_LISTED = 10


def outcome(console: Console, result: Outcome) -> None:
    """The verdict first, then the tables, then where the report is."""
    if result.already_done:
        console.print("[green]Already migrated and verified:[/] this source has not changed since.")
    report = result.report
    verdict = report.data["verdict"]
    console.print(
        f"[bold {_COLOURS[verdict]}]{verdict.upper()}[/]  "
        f"{report.count('rows_source')} rows in the source = "
        f"{report.count('rows_loaded')} loaded + {report.count('rows_quarantined')} quarantined"
        f"{_already_there(report)}, "
        f"{report.count('rows_verified')} verified value by value, "
        f"{report.data['seconds']:.1f} s, {report.data['engine']} engine"
    )
    thrown_away = report.count("rows_thrown_away")
    if thrown_away:
        console.print(f"[yellow]{thrown_away} rows that were there before were replaced[/]")
    _tables(console, report)
    _losses(console, report)
    console.print(f"report: {escape(printable(result.directory / 'report.html'))}")


def verification(console: Console, tables: list[VerifiedTable]) -> None:
    """The outcome of `verify`, with the differences that were located."""
    grid = make_grid("table", "rows", "digest", "verdict", numbers=("rows",))
    for entry in tables:
        verdict = "[green]equal[/]" if entry.verified else "[red]differs[/]"
        grid.add_row(escape(entry.table.target), str(entry.rows), entry.digest_target, verdict)
    console.print(grid)
    for entry in tables:
        for found in entry.differences:
            place = f"{found.table} [{found.key}] {found.column or ''}".strip()
            console.print(
                f"[red]{escape(place)}[/]: source {escape(found.source)}, "
                f"target {escape(found.target)}"
            )


def _already_there(report: Report) -> str:
    rows = report.count("rows_already_there")
    return f" + {rows} already there" if rows else ""


def _tables(console: Console, report: Report) -> None:
    grid = make_grid(
        *("table", "source", "loaded", "quarantined", "verified"),
        numbers=("source", "loaded", "quarantined"),
    )
    for table in report.data["tables"]:
        grid.add_row(
            escape(table["target"]),
            str(table["rows_source"]),
            str(table["rows_loaded"]),
            str(table["rows_quarantined"] or ""),
            "[green]✓[/]" if table["verified"] else "[red]✗[/]",
        )
    console.print(grid)


def _losses(console: Console, report: Report) -> None:
    not_carried(console, report.data["not_carried"])
    for entry in report.data["quarantine"][:_LISTED]:
        key = ", ".join(f"{name} {value}" for name, value in entry["key"].items())
        column = f".{entry['column']}" if entry["column"] else ""
        line = f"{entry['table']}{column} ({key}): {entry['reason']} ({entry['sqlstate']})"
        console.print(f"[yellow]refused: {escape(line)}[/]")
    for entry in report.data["differences"][:_LISTED]:
        line = f"{entry['table']}.{entry['column']} ({entry['key']}): "
        line += f"source {entry['source']}, target {entry['target']}"
        console.print(f"[red]differs: {escape(line)}[/]")
