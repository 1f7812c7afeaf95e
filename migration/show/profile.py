"""What the values of a source are, for people."""

from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape

from migration.facts import ColumnProfile
from migration.profile import Profile, TableProfile
from migration.show.grid import make_grid

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


def profile(console: Console, facts: Profile) -> None:
    """The source's facts, a line per column."""
    counted = ("rows", "null", "integer", "real", "text", "blob")
    grid = make_grid(
        *("table", "column", "declared", *counted, "range, forms and faults"), numbers=counted
    )
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
                escape(", ".join(_remarks(found))),
            )
    console.print(grid)
    for entry in facts.tables:
        for what in _key_remarks(entry):
            console.print(f"[yellow]{escape(entry.table.name)}: {escape(what)}[/]")


def _remarks(facts: ColumnProfile) -> Iterator[str]:
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


def _key_remarks(entry: TableProfile) -> Iterator[str]:
    if entry.null_keys:
        yield f"{entry.null_keys} rows with NULL in the primary key"
    if entry.duplicate_keys:
        yield f"{entry.duplicate_keys} rows with a key that another row has"
    yield from (f"{rows} orphans: {key}" for key, rows in entry.orphans.items())
