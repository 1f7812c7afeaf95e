"""The page of the documentation, written out of the kept figures alone."""

from pathlib import Path

from benchmarks.migration import tables
from benchmarks.migration.charts import name_of, write_charts
from benchmarks.migration.figures import slope
from benchmarks.migration.goals import outcomes
from benchmarks.migration.results import Comparison, Conditions, Growth, Results
from benchmarks.migration.shapes import DESCRIPTIONS

PAGE = Path("reference/benchmarks.md")
IMAGES = Path("images")

_HEAD = """\
# Benchmarks

Written by `make bench`; [how it measures](../how-to/benchmark.md), and how to repeat it, is a page
of its own. Times are medians, with the shortest and the longest in brackets; *÷ COPY* is the ratio
to server-side COPY of ready files with the same rebuild of keys, indexes and foreign keys, which is
the limit for any loader. Memory is that of all processes but PostgreSQL's at their worst moment.
Machines drift: only the ratios within one table mean anything.
"""


def write_page(results: Results, docs: Path) -> None:
    """Write the page and its charts below the folder `docs`."""
    write_charts(results, docs / IMAGES)
    page = docs / PAGE
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(results), encoding="utf-8")


def render(results: Results) -> str:
    """The page as Markdown."""
    parts = [_HEAD]
    if found := outcomes(results):
        parts += ["## Goals\n", _table(tables.GOALS, tables.goals(found))]
    parts += [_comparison(entry) for entry in results.comparisons]
    parts += [_growth(entry) for entry in results.growths]
    return "\n".join(parts)


def _comparison(entry: Comparison) -> str:
    title = f"{entry.shape}, {entry.size}"
    return _section(
        f"{entry.shape.capitalize()}, {entry.size}",
        f"{DESCRIPTIONS[entry.shape]}: {entry.rows:,} rows in {entry.tables} tables.",
        f"Seconds of each way, {title}",
        entry,
        _table(tables.COMPARED, tables.compared(entry)) + _spent(entry),
    )


def _spent(entry: Comparison) -> str:
    rows = tables.spent(entry)
    if not rows:
        return ""
    head = (
        "\nWhere the time of ours goes (medians; CPU seconds are of all cores, so that their share "
        "can be more than 100 %; [why](../explanation/speed.md)):\n\n"
    )
    return head + _table(tables.SPENT, rows)


def _growth(entry: Growth) -> str:
    exponent = slope(entry)
    grows = f"Time grows with size to the power of {exponent:.2f}." if exponent is not None else ""
    return _section(
        f"Growth: {entry.shape}, {entry.engine} engine",
        f"{DESCRIPTIONS[entry.shape]}. {grows}".rstrip(),
        f"Time and memory against size, {entry.engine} engine",
        entry,
        _table(tables.GROWN, tables.grown(entry)),
    )


def _section(title: str, text: str, alt: str, entry: Comparison | Growth, table: str) -> str:
    chart = f"![{alt}](../{IMAGES}/{name_of(entry)})"
    return f"## {title}\n\n{text}\n\n{chart}\n\n{table}\n{_made(entry.conditions)}\n"


def _made(conditions: Conditions) -> str:
    return f'{conditions.day}, {conditions.machine}: `make bench BENCH="{conditions.options}"`.'


def _table(headings: list[str], rows: tables.Rows) -> str:
    # A pipe would end the cell.
    lines = [headings, ["---"] * len(headings), *rows]
    cells = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)
