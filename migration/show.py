"""What the verbs print for people."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from migration.facts import ColumnProfile
from migration.profile import Profile, TableProfile
from migration.quoting import printable
from migration.report.report import Report
from migration.run import Outcome
from migration.verify import VerifiedTable

_COLOURS = {"verified": "green", "quarantined": "yellow", "salvaged": "yellow", "failed": "red"}
_LISTED = 10
_OF_A_KIND = 5


def profile(console: Console, facts: Profile) -> None:
    """The source's facts, a line per column."""
    grid = _grid("table", "column", "declared", "rows", "null", "integer", "real", "text", "blob")
    grid.add_column("range, forms and faults")
    for entry in facts.tables:
        for column in entry.table.columns:
            found = entry.columns[column.name]
            counts = (found.nulls, found.integers, found.reals, found.texts, found.blobs)
            grid.add_row(
                escape(entry.table.name),
                escape(column.name),
                escape(column.declared),
                str(entry.rows),
                *(str(count) if count else "" for count in counts),
                escape(", ".join(remarks(found))),
            )
    console.print(grid)
    for entry in facts.tables:
        for what in _key_remarks(entry):
            console.print(f"[yellow]{escape(entry.table.name)}: {escape(what)}[/]")


def remarks(facts: ColumnProfile) -> Iterator[str]:
    """What there is to say about a column beyond the counts of its storage classes."""
    if facts.smallest is not None:
        yield f"{facts.smallest} … {facts.largest}"
    if facts.smallest_real is not None:
        yield f"{facts.smallest_real!r} … {facts.largest_real!r}"
    if facts.longest:
        yield f"up to {facts.longest} bytes"
    counted = {
        "with NUL": facts.with_nul,
        "not UTF-8": facts.bad_utf8,
        "JSON": facts.json_valid,
        "UUID": facts.uuids,
        "UUID in another form": facts.uuids_other,
    }
    forms = facts.date_forms.model_dump() if facts.date_forms else {}
    counted |= {_FORMS[name]: count for name, count in forms.items() if name in _FORMS}
    yield from (f"{count} {what}" for what, count in counted.items() if count)


#: Numbers are only hinted at: an id looks like a time, too.
_FORMS = {
    "with_blank": "YYYY-MM-DD HH:MM:SS",
    "with_t": "YYYY-MM-DDTHH:MM:SS",
    "with_offset": "times with an offset",
    "date_only": "dates",
    "time_only": "times of day",
    "zero": "0000-00-00",
    "empty": "empty",
    "epoch_s": "like seconds since 1970",
    "epoch_ms": "like milliseconds since 1970",
    "epoch_us": "like microseconds since 1970",
    "julian": "like julian days",
}


def _key_remarks(entry: TableProfile) -> Iterator[str]:
    if entry.null_keys:
        yield f"{entry.null_keys} rows with NULL in the primary key"
    if entry.duplicate_keys:
        yield f"{entry.duplicate_keys} rows with a key that another row has"
    yield from (f"{rows} orphans: {key}" for key, rows in entry.orphans.items())


def not_carried(console: Console, entries: Sequence[Mapping[str, Any]]) -> None:
    """What does not arrive as such: a few of a kind, and how many more of that kind there are."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        kinds.setdefault(entry["kind"], []).append(entry)
    for kind, some in kinds.items():
        for entry in some[:_OF_A_KIND]:
            line = f"not carried: {kind} {entry['name']}: {entry['why']}"
            console.print(f"[yellow]{escape(line)}[/]")
        if len(some) > _OF_A_KIND:
            more = f"not carried: {len(some) - _OF_A_KIND} more of kind {kind}"
            console.print(f"[yellow]{escape(more)}; the report and --json list all[/]")


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


def _already_there(report: Report) -> str:
    rows = report.count("rows_already_there")
    return f" + {rows} already there" if rows else ""


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


def _grid(*headings: str) -> Grid:
    grid = Grid(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        numeric = heading in ("rows", "null", "integer", "real", "source", "loaded", "quarantined")
        grid.add_column(heading, justify="right" if numeric and len(headings) != 5 else "left")
    return grid
