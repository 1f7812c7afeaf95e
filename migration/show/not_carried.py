"""What does not arrive as such, for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

_OF_A_KIND = 5


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
