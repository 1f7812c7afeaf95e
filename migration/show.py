"""What the verbs print for people."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from migration.plan import Plan
from migration.profile import Profile
from migration.report.report import Report
from migration.run import Outcome
from migration.verify import VerifiedTable

_COLOURS = {"verified": "green", "quarantined": "yellow", "failed": "red"}
_LISTED = 10


def profile(console: Console, facts: Profile) -> None:
    """The source's facts, a line per column."""
    grid = _grid("table", "column", "declared", "rows", "null", "integer", "real", "text", "blob")
    for entry in facts.tables:
        for column, found in zip(entry.table.columns, entry.columns, strict=True):
            counts = (found.nulls, found.integers, found.reals, found.texts, found.blobs)
            grid.add_row(
                escape(entry.table.name),
                escape(column.name),
                escape(column.declared),
                str(entry.rows),
                *(str(count) if count else "" for count in counts),
            )
    console.print(grid)


def plan(console: Console, decided: Plan) -> None:
    """What becomes of every column, and what is not carried."""
    grid = _grid("source", "target", "type", "rows", "why")
    for table in decided.tables:
        for column in table.columns:
            grid.add_row(
                escape(f"{table.table.name}.{column.source}"),
                escape(f"{table.target}.{column.target}"),
                column.pg_type,
                str(table.rows),
                escape(column.why),
            )
    console.print(grid)
    for entry in decided.not_carried:
        line = f"not carried: {entry.kind} {entry.name}: {entry.why}"
        console.print(f"[yellow]{escape(line)}[/]")
    for problem in decided.problems:
        console.print(f"[red]problem: {escape(problem)}[/]")


def outcome(console: Console, result: Outcome) -> None:
    """The verdict first, then the tables, then where the report is."""
    if result.already_done:
        console.print("[green]Already migrated and verified:[/] this source has not changed since.")
    report = result.report
    verdict = report.data["verdict"]
    console.print(
        f"[bold {_COLOURS[verdict]}]{verdict.upper()}[/]  "
        f"{report.count('rows_source')} rows in the source = "
        f"{report.count('rows_loaded')} loaded + {report.count('rows_quarantined')} quarantined, "
        f"{report.count('rows_verified')} verified value by value, "
        f"{report.data['seconds']:.1f} s, {report.data['engine']} engine"
    )
    _tables(console, report)
    _losses(console, report)
    console.print(f"report: {escape(str(result.directory / 'report.html'))}")


def verification(console: Console, tables: list[VerifiedTable]) -> None:
    """The outcome of `verify`, with the differences that were located."""
    grid = _grid("table", "rows", "digest", "verdict")
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


def _tables(console: Console, report: Report) -> None:
    grid = _grid("table", "source", "loaded", "quarantined", "verified")
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
    for entry in report.data["not_carried"][:_LISTED]:
        line = f"not carried: {entry['kind']} {entry['name']}: {entry['why']}"
        console.print(f"[yellow]{escape(line)}[/]")
    for entry in report.data["quarantine"][:_LISTED]:
        key = ", ".join(f"{name} {value}" for name, value in entry["key"].items())
        column = f".{entry['column']}" if entry["column"] else ""
        line = f"{entry['table']}{column} ({key}): {entry['reason']} ({entry['sqlstate']})"
        console.print(f"[yellow]refused: {escape(line)}[/]")
    for entry in report.data["differences"][:_LISTED]:
        line = f"{entry['table']}.{entry['column']} ({entry['key']}): "
        line += f"source {entry['source']}, target {entry['target']}"
        console.print(f"[red]differs: {escape(line)}[/]")


def _grid(*headings: str) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        numeric = heading in ("rows", "null", "integer", "real", "source", "loaded", "quarantined")
        grid.add_column(heading, justify="right" if numeric and len(headings) != 5 else "left")
    return grid
