"""The first rows of a result, and no more than the caps allow."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import asyncpg
import orjson

from mcp_server.failure import Failure
from mcp_server.hints import hint_for

# The first chunk is small, since nothing is known of the width of the rows yet.
_FIRST_CHUNK = 16
_LARGEST_CHUNK = 1_000
# MOVE takes a 32-bit count.
_MOVE = 2**31 - 1


class Cursor(Protocol):
    """The part of asyncpg's cursor that is used here."""

    async def fetch(self, n: int, /) -> list[asyncpg.Record]:
        """The next rows."""

    async def forward(self, n: int, /) -> int:
        """Skip rows; how many there were."""


@dataclass
class Rows:
    """Rows as JSON objects, and the same as JSON text.

    Attributes:
        columns: name and type of each column; names are unique.
        rows: one dict per row.
        text: the same rows as a JSON array.
        truncated: there were more rows than these.
        total: rows of the result, as far as they were counted.
    """

    columns: list[dict[str, str]]
    rows: list[dict[str, Any]] = field(default_factory=list)
    text: bytes = b"[]"
    truncated: bool = False
    total: int = 0


async def read_rows(
    cursor: Cursor, columns: list[tuple[str, str]], limit: int, max_bytes: int
) -> Rows:
    """Fetch in chunks until the result, the row limit or the byte limit ends.

    Raises:
        Failure: 54000 where already the first row is larger than `max_bytes`.
    """
    names = unique_names([name for name, _ in columns])
    result = Rows(
        [{"name": name, "type": type_} for name, (_, type_) in zip(names, columns, strict=True)]
    )
    encoded: list[bytes] = []
    size = 0
    chunk = _FIRST_CHUNK
    while not result.truncated:
        # One row more than is asked for, to know whether there are more.
        wanted = min(chunk, limit + 1 - len(encoded))
        records = await cursor.fetch(wanted)
        result.total += len(records)
        for record in records:
            row = dict(zip(names, record, strict=True))
            text = _encode(row)
            size += len(text) + 1
            if len(encoded) == limit or size > max_bytes:
                result.truncated = True
                break
            result.rows.append(row)
            encoded.append(text)
        if len(records) < wanted:
            break
        chunk = min(_LARGEST_CHUNK, (max_bytes - size) * len(encoded) // max(size, 1) + 1)
    if result.truncated and not encoded:
        raise Failure(
            f"The first row alone is larger than {max_bytes} bytes.",
            sqlstate="54000",
            hint=hint_for("54000", ""),
        )
    result.text = b"[" + b",".join(encoded) + b"]"
    return result


async def count_rest(cursor: Cursor) -> int:
    """Run a cursor to its end without fetching; how many rows there were."""
    total = 0
    while True:
        moved = await cursor.forward(_MOVE)
        total += moved
        if moved < _MOVE:
            return total


def unique_names(names: list[str]) -> list[str]:
    """Column names with repeated ones numbered (`id`, `id_2`), so that none hides another."""
    taken: set[str] = set()
    unique = []
    for name in names:
        candidate = name
        number = 1
        while candidate in taken or (number > 1 and candidate in names):
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        unique.append(candidate)
    return unique


def _encode(row: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(row)
    except TypeError:
        # JSON deeper than orjson writes (254 levels), or a type of asyncpg's that is none of
        # JSON's: such a value goes out as text.
        for name, value in row.items():
            row[name] = _as_text(value)
        return orjson.dumps(row)


def _as_text(value: object) -> object:
    try:
        orjson.dumps(value)
    except TypeError:
        return str(value)
    return value
