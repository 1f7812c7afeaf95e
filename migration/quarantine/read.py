"""Read `migration.quarantine`: counts by cause, pages of rows, whole rows in full."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from database.errors import UsageError
from migration.convert import Converted
from migration.quarantine.values import Cell, decode, encode, from_bytes
from migration.statements import Connection, fetch, statement


@dataclass(frozen=True)
class Chosen:
    """Which quarantined rows are meant; None is any."""

    run: int | None = None
    table: str | None = None
    column: str | None = None
    sqlstate: str | None = None
    ids: list[int] | None = None
    #: Also those that were replayed.
    replayed: bool = False

    def filters(self) -> dict[str, object]:
        """The values of the statements' placeholders."""
        values = {f"only_{name}": value for name, value in asdict(self).items()}
        return values | {"also_replayed": self.replayed}


def counts(connection: Connection, chosen: Chosen) -> list[dict[str, Any]]:
    """By table, column, reason and SQLSTATE: `rows`, and how many of them were `replayed`."""
    return fetch(connection, "quarantined_counts", **chosen.filters())


def page(
    connection: Connection, chosen: Chosen, limit: int | None, offset: int = 0
) -> list[dict[str, Any]]:
    """Rows in the order of their ids, with `refused_value` as a cell and no other value."""
    values = chosen.filters() | {"page_size": limit, "skipped": offset}
    return fetch(connection, "quarantined_list", **values)


def chosen_rows(connection: Connection, chosen: Chosen) -> list[dict[str, Any]]:
    """All the chosen rows, as `page` gives them.

    Raises:
        UsageError: an id that was asked for does not exist.
    """
    found = page(connection, chosen, None)
    missing = sorted(set(chosen.ids or ()) - {row["id"] for row in found})
    if missing:
        raise UsageError(
            f"Not in quarantine: {', '.join(map(str, missing[:20]))}.",
            "'python -m migration quarantine list --all' shows what is.",
        )
    return found


def row(connection: Connection, entry_id: int) -> dict[str, Any]:
    """One row with all its columns; long values are still references."""
    return fetch(connection, "quarantined_row", id=entry_id)[0]


def values_of(
    connection: Connection, entry_id: int, cells: dict[str, Cell]
) -> dict[str, Converted]:
    """A row's values by column name, long ones read from their pieces."""
    return {name: value_of(connection, entry_id, cell) for name, cell in cells.items()}


def value_of(connection: Connection, entry_id: int, cell: Cell) -> Converted:
    """The value of one cell."""
    if cell.get("encoding") != "pieces":
        return decode(cell)
    wanted = {"id": entry_id, "sha256": cell["sha256"]}
    with connection.cursor(binary=True) as cursor:
        pieces = cursor.execute(statement("quarantined_pieces"), wanted)
        # Joined piece by piece: a long value is in memory once.
        raw = bytearray()
        for (piece,) in pieces:
            assert isinstance(piece, bytes)
            raw += piece
    return from_bytes(cell["class"], bytes(raw))


def documents(connection: Connection, entry_ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Whole rows as JSON documents, one at a time: every value in full, and so lossless."""
    for entry_id in entry_ids:
        found = row(connection, entry_id)
        replayed = found["replayed_values"]
        yield {
            "id": entry_id,
            "run": found["run_id"],
            "table": found["table_name"],
            "key": found["source_key"],
            "position": found["source_position"],
            "column": found["column_name"],
            "reason": found["reason"],
            "sqlstate": found["sqlstate"],
            "created_at": found["created_at"].isoformat(),
            "replayed_at": found["replayed_at"].isoformat() if found["replayed_at"] else None,
            "values": _in_full(connection, entry_id, found["row_values"]),
            "replayed_values": _in_full(connection, entry_id, replayed) if replayed else None,
        }


def _in_full(connection: Connection, entry_id: int, cells: dict[str, Cell]) -> dict[str, Cell]:
    return {
        name: encode(value_of(connection, entry_id, cell))
        if cell.get("encoding") == "pieces"
        else cell
        for name, cell in cells.items()
    }
