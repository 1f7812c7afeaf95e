"""Write refused rows into `migration.quarantine`, whole, inside the run's transaction."""

from collections.abc import Iterable, Mapping
from typing import Any

from psycopg.types.json import Jsonb

from migration.convert import Converted
from migration.quarantine.values import Cell, as_bytes, encode_short, is_long, key_of
from migration.rows import RefusedRow
from migration.source import Value
from migration.statements import Connection, statement

_ROWS_AT_ONCE = 500
#: Bytes of a long value that go to the server in one statement.
_PIECE = 8 * 1024 * 1024


def keep(connection: Connection, run_id: int, refused: Iterable[RefusedRow]) -> None:
    """Write refused rows into the quarantine of a run, in their order."""
    waiting: list[dict[str, Any]] = []
    for entry in refused:
        values = dict(_values(entry))
        waiting.append(_row(run_id, entry, values))
        if any(map(is_long, values.values())):
            # Its pieces need its id, so this row is written by itself.
            _insert(connection, waiting[:-1])
            _insert_long(connection, waiting[-1], values)
            waiting.clear()
        elif len(waiting) == _ROWS_AT_ONCE:
            _insert(connection, waiting)
            waiting.clear()
    _insert(connection, waiting)


def keep_pieces(connection: Connection, entry_id: int, values: Mapping[str, Converted]) -> None:
    """Write the long ones among a row's values beside it; what is already there stays."""
    for value in values.values():
        if isinstance(value, str | bytes) and is_long(value):
            raw = memoryview(as_bytes(value))
            sha256 = encode_short(value)["sha256"]
            for part, start in enumerate(range(0, len(raw), _PIECE)):
                piece = bytes(raw[start : start + _PIECE])
                connection.execute(
                    statement("add_quarantined_piece"),
                    {"id": entry_id, "sha256": sha256, "part": part, "piece": piece},
                )


def cells(values: Mapping[str, Converted]) -> dict[str, Cell]:
    """A row's values as they stand in `row_values` and `replayed_values`."""
    return {name: encode_short(value) for name, value in values.items()}


def _values(entry: RefusedRow) -> Iterable[tuple[str, Value]]:
    columns = (column.source for column in entry.table.columns)
    return zip(columns, entry.row.values, strict=True)


def _row(run_id: int, entry: RefusedRow, values: Mapping[str, Value]) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "table_name": entry.table.target,
        "source_key": Jsonb(key_of(entry)),
        "row_values": Jsonb(cells(values)),
        "column_name": entry.column,
        "reason": entry.reason,
        "sqlstate": entry.sqlstate,
        # A row of a source that is written to has no place to be found at.
        "source_position": None if entry.row.position < 0 else entry.row.position,
    }


def _insert(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(statement("add_quarantined"), rows)


def _insert_long(connection: Connection, row: dict[str, Any], values: Mapping[str, Value]) -> None:
    found = connection.execute(statement("add_quarantined"), row).fetchone()
    assert found is not None
    keep_pieces(connection, int(str(found[0])), values)
