"""Rows that PostgreSQL refuses are kept whole in `migration.quarantine`, byte for byte."""

from collections.abc import Iterable
from typing import Any

from psycopg.types.json import Jsonb

from migration.rows import RefusedRow, storage_class
from migration.source import Value
from migration.statements import Connection, statement


def keep(connection: Connection, run_id: int, refused: Iterable[RefusedRow]) -> None:
    """Write refused rows into the quarantine of a run."""
    with connection.cursor() as cursor:
        cursor.executemany(
            statement("add_quarantined"),
            [
                {
                    "run_id": run_id,
                    "table_name": entry.table.target,
                    "source_key": Jsonb(source_key(entry)),
                    "row_values": Jsonb(_row_values(entry)),
                    "column_name": entry.column,
                    "reason": entry.reason,
                    "sqlstate": entry.sqlstate,
                }
                for entry in refused
            ],
        )


def source_key(entry: RefusedRow) -> dict[str, Any]:
    """What identifies the row in the source: its key columns, and its place in reading order."""
    names = entry.table.table.key_names
    values = zip(names, entry.row.key, strict=True)
    return {
        "position": entry.row.position,
        **{name: _lossless(value)["value"] for name, value in values},
    }


def _row_values(entry: RefusedRow) -> dict[str, Any]:
    return {
        column.source: _lossless(value)
        for column, value in zip(entry.table.columns, entry.row.values, strict=True)
    }


def _lossless(value: Value) -> dict[str, Any]:
    """Storage class and value; bytes, and text that JSON cannot hold, as hexadecimal digits."""
    kind = storage_class(value)
    if isinstance(value, bytes):
        return {"class": kind, "encoding": "hex", "value": value.hex()}
    if isinstance(value, float):
        return {"class": kind, "value": repr(value)}
    if isinstance(value, str):
        raw = value.encode("utf-8", "surrogateescape")
        if "\0" in value or raw != value.encode("utf-8", "replace"):
            return {"class": kind, "encoding": "hex", "value": raw.hex()}
    return {"class": kind, "value": value}
