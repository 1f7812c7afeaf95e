"""The report for people: one page, with everything in it."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_UNITS = ("B", "kB", "MB", "GB", "TB")
#: Verdict → what it means, in a sentence for somebody who was not there.
_MEANING = {
    "verified": "Every value of every row was compared in both databases and is the same.",
    "quarantined": "All rows but those in quarantine were compared and are the same. "
    "The others are kept whole, with the reason.",
    "failed": "The target was not changed. Below is what stood in the way.",
}


def render(report: dict[str, Any]) -> str:
    """The HTML page of a report, without any reference to the outside."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": _size, "number": _number, "duration": _duration}
    tables = report["tables"]
    return environment.get_template("template.html.j2").render(
        report=report,
        meaning=_MEANING[report["verdict"]],
        totals={
            name: sum(table[name] for table in tables)
            for name in (
                "rows_source",
                "rows_loaded",
                "rows_quarantined",
                "rows_verified",
                "bytes",
            )
        },
        charts=[
            _chart("Rows", tables, "rows_source", _number),
            _chart("Bytes in PostgreSQL", tables, "bytes", _size),
            _chart("Seconds to load", tables, "seconds", _duration),
        ],
    )


def _chart(title: str, tables: list[dict[str, Any]], name: str, label: Any) -> dict[str, Any]:  # noqa: ANN401
    """Bars for the tables that have something to show, the longest first."""
    shown = sorted((table for table in tables if table[name]), key=lambda table: -table[name])
    longest = shown[0][name] if shown else 1
    return {
        "title": title,
        "bars": [
            {
                "table": table["target"],
                "label": label(table[name]),
                "percent": round(100 * table[name] / longest, 2),
            }
            for table in shown
        ],
    }


def _number(value: float) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _size(value: float) -> str:
    unit = 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{value:.0f} {_UNITS[unit]}" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
