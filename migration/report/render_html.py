"""The report as one page for people: no font, no image, nothing from anywhere else.

Invariant: whatever stands in the database (names, values, errors) is shown as text. The template
escapes by default, and characters that would act on the page without being seen are spelt out.
The one script is the filter of `filter.js`; the page's policy allows it by its hash, and no other.
"""

import base64
import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup

from migration.quarantine.values import cause_of

#: Differences that the page lists; the JSON report holds more.
_LISTED = 50
#: Entries of one kind that are shown at once; the others unfold.
_SHOWN_AT_ONCE = 12
_CHARTED = 24
_CHARACTERS = 400
_MARKS = {"verified": "✓", "quarantined": "!", "salvaged": "!", "failed": "✕"}
_KINDS = {"verified": "good", "quarantined": "warn", "salvaged": "warn", "failed": "bad"}
#: They act on the text around them, or cannot be seen.
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_THIN_SPACE = "\u202f"
_JOINERS = "\u200c\u200d"


def render(report: Mapping[str, Any]) -> str:
    """The page for a report (docs/reference/report.md); the text can always be written as UTF-8."""
    script = (Path(__file__).parent / "filter.js").read_text(encoding="utf-8")
    page = _template().render(
        report=report,
        view=_view(report),
        listed=_LISTED,
        at_once=_SHOWN_AT_ONCE,
        script=Markup(script),  # noqa: S704 (our own file)
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


@cache
def _template() -> Template:
    """Compiled once in a process: that takes longer than many a migration."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": _count,
        "size": _size,
        "duration": _duration,
        "moment": _moment,
        "shown": _shown,
        "pairs": _pairs,
        "plural": _plural,
    }
    return environment.get_template("template.html.j2")


def _view(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows and the report does not say in so many words."""
    tables = report["tables"]
    totals = {
        # Reports of older versions lack the newer counts.
        name: sum(table.get(name, 0) for table in tables)
        for name in (
            "rows_source",
            "rows_loaded",
            "rows_quarantined",
            "rows_already_there",
            "rows_verified",
            "bytes",
        )
    }
    verdict = str(report["verdict"])
    seconds = report["seconds"]
    return {
        "mark": _MARKS[verdict],
        "kind": _KINDS[verdict],
        "sentence": _sentence(report, totals),
        "totals": totals,
        "balanced": totals["rows_source"]
        == totals["rows_loaded"] + totals["rows_quarantined"] + totals["rows_already_there"],
        "known": sum(bool(table["known"]) for table in tables),
        "rate": totals["rows_loaded"] / seconds if seconds else 0,
        "source_name": Path(report["source"]["path"]).name,
        "chart": _chart(tables),
        "uncharted": max(len(tables) - _CHARTED, 0),
        "phases": _with_shares(report["phases"], "seconds"),
        "causes": _with_shares(report.get("quarantine_causes", ()), "rows"),
        "refused": _with_causes(report),
        "loses": any(entry.get("loses_rows") for entry in report["not_carried"]),
        "left_out": _by_kind(report["not_carried"]),
    }


def _sentence(report: Mapping[str, Any], totals: Mapping[str, int]) -> str:
    """What the verdict means, for somebody who was not there."""
    tables = _plural(len(report["tables"]), "table")
    verified = _plural(totals["rows_verified"], "row")
    refused = _plural(totals["rows_quarantined"], "row")
    if report["verdict"] == "verified":
        return (
            f"Every value of {verified} in {tables} was compared, and is the same in SQLite "
            "and in PostgreSQL."
        )
    if report["verdict"] == "quarantined":
        return (
            f"Every value of {verified} was compared, and is the same on both sides. {refused} "
            "could not be carried over as they are, and are kept whole in migration.quarantine."
        )
    if report["verdict"] == "salvaged":
        aside = (
            f" {refused} more are in migration.quarantine." if totals["rows_quarantined"] else ""
        )
        return (
            f"The source is damaged. Every value of {verified} that could be read was compared, "
            f"and is the same on both sides.{aside} What could not be read is listed below."
        )
    if report["differences"]:
        differing = sum(not table["verified"] for table in report["tables"])
        return f"The target was not changed: the two sides would differ in {differing} of {tables}."
    if totals["rows_quarantined"]:
        return (
            f"The target was not changed: {refused} cannot be carried over as they are. Correct "
            "them in SQLite, or keep them aside with --quarantine."
        )
    return "The target was not changed: the run did not reach its end."


def _chart(tables: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The largest tables, with each figure's share of the largest such figure in per cent."""
    chosen = sorted(tables, key=lambda table: (-table["bytes"], -table["rows_source"]))[:_CHARTED]
    rows = [dict(table) for table in chosen]
    for name in ("rows_source", "bytes", "seconds"):
        rows = _with_shares(rows, name)
    return rows


def _with_causes(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The listed rows, each with the number of its cause (from 1; 0: not known)."""
    numbers = {
        (cause["table"], cause["column"], cause["reason"], cause["sqlstate"]): number
        for number, cause in enumerate(report.get("quarantine_causes", ()), 1)
    }
    return [
        {
            **row,
            "cause": numbers.get(
                (row["table"], row["column"], cause_of(row["reason"]), row["sqlstate"]), 0
            ),
        }
        for row in report["quarantine"]
    ]


def _by_kind(entries: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """What is not carried, the most frequent kind first."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for entry in entries:
        kinds.setdefault(str(entry["kind"]), []).append(entry)
    return sorted(kinds.items(), key=lambda kind: (-len(kind[1]), kind[0]))


def _with_shares(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    largest = max((row[name] for row in rows), default=0) or 1
    return [{**row, f"{name}_share": round(100 * row[name] / largest, 2)} for row in rows]


def _count(number: int) -> str:
    return f"{number:,}".replace(",", _THIN_SPACE)


def _plural(number: int, noun: str) -> str:
    return f"{_count(number)} {noun}{'' if number == 1 else 's'}"


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.1f}".removesuffix(".0") + f" {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def _duration(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _moment(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S %Z")


def _pairs(value: object) -> str:
    """A key or a policy, whatever its form, on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_pairs(entry)}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_pairs, value))
    return "NULL" if value is None else str(value)


def _shown(value: object) -> str:
    """Text of the database: invisible characters spelt out, and not longer than fits."""
    text = str(value)
    cut = text[:_CHARACTERS]
    visible = "".join(
        character.encode("unicode_escape").decode("ascii")
        if unicodedata.category(character) in _INVISIBLE and character not in _JOINERS
        else character
        for character in cut
    )
    return visible + ("…" if len(text) > len(cut) else "")
