"""`quarantine.jsonl` beside the report: every refused row in full, one JSON document a line."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from migration.quarantine import read
from migration.quarantine.values import encode, key_of
from migration.rows import RefusedRow
from migration.statements import Connection

FILE = "quarantine.jsonl"


def export_run(connection: Connection, directory: Path, run_id: int) -> None:
    """Write the rows that a run left in quarantine, with the ids that `replay` takes."""
    rows = read.page(connection, read.Chosen(run=run_id, replayed=True), None)
    _write(directory, read.documents(connection, [row["id"] for row in rows]))


def export_refused(directory: Path, refused: Iterable[RefusedRow]) -> None:
    """Write the rows of a run that changed nothing: they are in no quarantine, and have no id."""
    _write(directory, map(_document, refused))


def _document(entry: RefusedRow) -> dict[str, Any]:
    names = (column.source for column in entry.table.columns)
    return {
        "id": None,
        "table": entry.table.target,
        "key": key_of(entry),
        "position": entry.row.position,
        "column": entry.column,
        "reason": entry.reason,
        "sqlstate": entry.sqlstate,
        "values": {
            name: encode(value) for name, value in zip(names, entry.row.values, strict=True)
        },
    }


def _write(directory: Path, documents: Iterable[Mapping[str, Any]]) -> None:
    """One at a time, so that no more than a row is in memory; nothing to write, no file."""
    draft = directory / f".{FILE}"
    count = 0
    with draft.open("w", encoding="utf-8") as file:
        for count, document in enumerate(documents, 1):  # noqa: B007 (used after the loop)
            file.write(json.dumps(document) + "\n")
    if count:
        draft.replace(directory / FILE)
    else:
        draft.unlink()
        (directory / FILE).unlink(missing_ok=True)
