"""What is known of each SQLSTATE, as sqlstates.toml says."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Kind = Literal[
    "schema",
    "query",
    "data",
    "performance",
    "transient",
    "capacity",
    "permission",
    "corruption",
    "unknown",
]


@dataclass(frozen=True)
class Knowledge:
    """What an SQLSTATE means for healing.

    Attributes:
        kind: the `class` of sqlstates.toml.
        alone: healing may act without a person, where it has found out exactly what to do.
        alert: a person must be told at once.
    """

    kind: Kind
    cause: str
    advice: str
    risk: str
    alone: bool
    alert: bool = False


UNKNOWN = Knowledge(
    "unknown",
    "This error is not known here.",
    "Nothing is done about it. Look its SQLSTATE up in PostgreSQL's manual, appendix A.",
    "none",
    False,
)


def knowledge(sqlstate: str | None) -> Knowledge:
    """What is known of a SQLSTATE; `UNKNOWN` where nothing is."""
    states, classes, _ = _tables()
    if sqlstate is None:
        return UNKNOWN
    return states.get(sqlstate) or classes.get(sqlstate[:2]) or UNKNOWN


def known_states() -> frozenset[str]:
    """The SQLSTATEs that are known one by one."""
    return frozenset(_tables()[0])


def recognised(message: str) -> tuple[str, dict[str, str]] | None:
    """The SQLSTATE of a message of PostgreSQL's, and the names in it; None for an unknown one."""
    for pattern, state in _tables()[2]:
        if found := pattern.search(message):
            return state, {name: text for name, text in found.groupdict().items() if text}
    return None


def names_in(message: str, sqlstate: str) -> dict[str, str]:
    """The names (table, column, constraint, …) in a message whose SQLSTATE is known."""
    for pattern, state in _tables()[2]:
        if state == sqlstate and (found := pattern.search(message)):
            return {name: text for name, text in found.groupdict().items() if text}
    return {}


@cache
def _tables() -> tuple[
    Mapping[str, Knowledge], Mapping[str, Knowledge], tuple[tuple[re.Pattern[str], str], ...]
]:
    path = Path(__file__).parent / "sqlstates.toml"
    text = tomllib.loads(path.read_text(encoding="utf-8"))

    def entries(part: str) -> dict[str, Knowledge]:
        return {code: _entry(fields) for code, fields in text[part].items()}

    messages = tuple(
        (re.compile(entry["pattern"], re.MULTILINE), entry["state"]) for entry in text["message"]
    )
    return entries("state"), entries("class"), messages


def _entry(fields: dict[str, Any]) -> Knowledge:
    return Knowledge(kind=fields.pop("class"), **fields)
