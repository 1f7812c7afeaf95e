"""What the quarantine's verbs print: for people, and as JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from migration.convert import Converted
from migration.quarantine.hints import hint
from migration.quarantine.replay import Replay
from migration.quarantine.values import visible, visible_cell
from migration.rows import storage_class
from migration.show.grid import make_grid

_SHORT = 60
_LISTED = 50


def listing(
    causes: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], offset: int
) -> dict[str, Any]:
    """`list --json`: `causes` with counts, `rows`, and how many `more` there are."""
    total = sum(cause["rows"] for cause in causes)
    return {
        "total": total,
        "causes": [
            {
                "table": cause["table_name"],
                "column": cause["column_name"],
                "reason": cause["cause"],
                "sqlstate": cause["sqlstate"],
                "rows": cause["rows"],
                "replayed": cause["replayed"],
            }
            for cause in causes
        ],
        "rows": [
            {
                "id": row["id"],
                "run": row["run_id"],
                "table": row["table_name"],
                "key": row["source_key"],
                "column": row["column_name"],
                "reason": row["reason"],
                "sqlstate": row["sqlstate"],
                "replayed_at": row["replayed_at"].isoformat() if row["replayed_at"] else None,
                "refused_value": row["refused_value"],
            }
            for row in rows
        ],
        "more": max(total - offset - len(rows), 0),
    }


def listed(
    console: Console,
    causes: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    offset: int,
) -> None:
    """`list`: causes with their counts, then the rows."""
    if not causes:
        console.print("nothing is in quarantine")
        return
    grid = make_grid("rows", "table", "column", "sqlstate", "reason", numbers=("rows",))
    for cause in causes[:_LISTED]:
        grid.add_row(
            _count(cause),
            _safe(cause["table_name"]),
            _safe(cause["column_name"] or "(row)"),
            cause["sqlstate"] or "",
            _safe(cause["cause"]),
        )
    console.print(grid)
    if len(causes) > _LISTED:
        console.print(f"… and {len(causes) - _LISTED} more causes")
    console.print()
    grid = make_grid("id", "table", "key", "column", "refused value", "", numbers=("id",))
    for row in rows:
        cell = row["refused_value"]
        grid.add_row(
            str(row["id"]),
            _safe(row["table_name"]),
            _safe(_key(row)),
            _safe(row["column_name"] or "(row)"),
            escape(visible_cell(cell, _SHORT)) if cell else "",
            "[green]replayed[/]" if row["replayed_at"] else "",
        )
    console.print(grid)
    total = sum(cause["rows"] for cause in causes)
    left = total - offset - len(rows)
    if left > 0:
        console.print(f"… and {left} more: --offset {offset + len(rows)}, or a filter")


def row(console: Console, found: Mapping[str, Any], values: Mapping[str, Converted]) -> None:
    """`show`: one row."""
    column = found["column_name"]
    whence = "taken out by healing" if found["run_id"] is None else f"run {found['run_id']}"
    console.print(
        f"[bold]{found['id']}[/]  {_safe(found['table_name'])} ({_safe(_key(found))}), {whence}"
    )
    state = f" ({found['sqlstate']})" if found["sqlstate"] else ""
    place = f"{_safe(column)}: " if column else ""
    console.print(f"  [yellow]{place}{_safe(found['reason'])}{state}[/]")
    if found["replayed_at"]:
        console.print(f"  [green]replayed at {found['replayed_at']:%Y-%m-%d %H:%M:%S %Z}[/]")
    else:
        console.print(f"  → {escape(hint(found['sqlstate'], column))}")
    grid = make_grid("", "column", "class", "value")
    for name, value in values.items():
        mark = "[yellow]✕[/]" if name == column else ""
        shown = escape(visible(value))
        grid.add_row(mark, _safe(name), storage_class(value), shown)  # type: ignore[arg-type]
    console.print(grid)
    console.print()


def as_json(documents: Iterable[Mapping[str, Any]]) -> None:
    """`show --json`: a list of rows, written one at a time."""
    separator = "["
    for document in documents:
        typer.echo(separator + "\n" + json.dumps(document, ensure_ascii=False, indent=2), nl=False)
        separator = ","
    typer.echo("\n]")


def outcome(result: Replay, *, dry_run: bool) -> dict[str, Any]:
    """`replay --json`."""
    return {
        "dry_run": dry_run,
        "replayed": result.replayed,
        "replayed_before": result.earlier,
        "failed": [
            {"id": entry["entry_id"], **{k: v for k, v in entry.items() if k != "entry_id"}}
            for entry in map(asdict, result.failed)
        ],
    }


def replayed(console: Console, result: Replay, *, dry_run: bool) -> None:
    """`replay`: what became of the rows."""
    if not result.replayed and not result.failed:
        before = f"; {_rows(len(result.earlier))} replayed before" if result.earlier else ""
        console.print(f"nothing to do{before}")
        return
    verb = "would be replayed" if dry_run else "replayed and verified"
    console.print(f"[green]{_rows(len(result.replayed))} {verb}[/]")
    for failure in result.failed[:_LISTED]:
        place = failure.table + (f".{failure.column}" if failure.column else "")
        state = f" ({failure.sqlstate})" if failure.sqlstate else ""
        console.print(
            f"[yellow]{failure.entry_id}: {_safe(place)}: {_safe(failure.reason)}{state}[/]"
        )
        console.print(f"  → {escape(hint(failure.sqlstate, failure.column))}")
    if len(result.failed) > _LISTED:
        console.print(f"… and {len(result.failed) - _LISTED} more")


def _key(found: Mapping[str, Any]) -> str:
    key = found["source_key"] or {}
    if not key:
        return f"row {found['source_position'] + 1}" if found["source_position"] is not None else ""
    return ", ".join(f"{name} {_short(value)}" for name, value in key.items())


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHORT else text[: _SHORT - 1] + "…"


def _safe(text: object) -> str:
    """Text of the database, which must not act on the terminal."""
    return escape(visible(str(text))[1:-1])


def _count(cause: Mapping[str, Any]) -> str:
    done = cause["replayed"]
    return f"{cause['rows']} ({done} replayed)" if done else str(cause["rows"])


def _rows(count: int) -> str:
    return f"{count} row{'' if count == 1 else 's'}"
