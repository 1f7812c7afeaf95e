"""Values as JSON and back, without any loss: the storage class, and the value.

Invariant: `decode(encode(value))` is the same value of the same class, to the last bit and byte.
Numbers keep their digits, text that JSON cannot hold and bytes are hexadecimal, and values that
are too long for a JSON document are referred to by their SHA-256 (`quarantine_piece` holds them).
"""

import hashlib
import re
import unicodedata
from datetime import datetime
from typing import Any, cast

from database.errors import UsageError
from migration.convert import Converted
from migration.rows import RefusedRow
from migration.source import Value

#: `{"class": …, "value": …}`, with `"encoding"` where the value is not written as it is.
Cell = dict[str, Any]

#: Bytes of the longest value that stands in `row_values`. jsonb holds 256 MB, and a table 1600
#: columns: even if each were this long and in hexadecimal, the row would fit.
LONG = 64 * 1024

_CLASSES = {type(None): "null", bool: "boolean", int: "integer", str: "text"}
_SHOWN = 2000
#: They act on the text around them, or cannot be seen.
_INVISIBLE = ("Cc", "Cf", "Cs", "Zl", "Zp")
_NAMED = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "\0": "\\0"}
#: How reasons quote values: "value", or as a number at the beginning.
_QUOTED = re.compile(r'"[^"]*"')
_LEADING = re.compile(r"^-?[0-9]\S* ")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*", re.ASCII)


def encode(value: Converted) -> Cell:
    """The value with its class; `decode` gives it back."""
    if isinstance(value, bytes) or (isinstance(value, str) and not _fits_json(value)):
        kind = "blob" if isinstance(value, bytes) else "text"
        return {"class": kind, "encoding": "hex", "value": as_bytes(value).hex()}
    if isinstance(value, datetime):
        return {"class": "timestamp", "value": value.isoformat()}
    if isinstance(value, float):
        return {"class": "real", "value": repr(value)}
    return {"class": _CLASSES[type(value)], "value": value}


def decode(cell: Cell) -> Converted:
    """The value that `encode` was given. Long values are read by `read.value_of`."""
    kind, value = cell["class"], cell["value"]
    if cell.get("encoding") == "hex":
        return from_bytes(kind, bytes.fromhex(value))
    if kind == "real":
        return float(value)
    if kind == "timestamp":
        return datetime.fromisoformat(value)
    return cast("Converted", value)


def decode_given(column: str, cell: object) -> Value:
    """A value that somebody wrote into a file: as `encode` writes it, or as plain JSON.

    Raises:
        UsageError: it is neither.
    """
    given = cell if isinstance(cell, dict) else {"value": cell}
    kind, encoding, value = (given.get(name) for name in ("class", "encoding", "value"))
    # JSON's true and false are SQLite's 1 and 0.
    value = int(value) if isinstance(value, bool) else value
    if kind == "null" or (kind is None and value is None):
        return None
    if kind is None and isinstance(value, int | float | str):
        return value
    if kind in ("text", "blob") and encoding == "hex" and _is_hex(value):
        return from_bytes(kind, bytes.fromhex(str(value)))
    expected = {"text": str, "integer": int}.get(str(kind))
    if expected and isinstance(value, expected):
        return cast("Value", value)
    if kind == "real" and isinstance(value, int | float | str) and _is_number(value):
        return float(value)
    raise UsageError(
        f"The file gives {column} as {str(cell)[:80]}, which is no value.",
        "Write it as 'quarantine show --json' does, or as plain JSON: text, a number or null.",
    )


def is_long(value: Converted) -> bool:
    """Whether the value is kept in pieces, beside its row."""
    if isinstance(value, str):
        return len(value) > LONG or (len(value) * 4 > LONG and len(as_bytes(value)) > LONG)
    return isinstance(value, bytes) and len(value) > LONG


def reference(value: str | bytes) -> Cell:
    """What stands in a row for a long value."""
    raw = as_bytes(value)
    return {
        "class": "blob" if isinstance(value, bytes) else "text",
        "encoding": "pieces",
        "bytes": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
    }


def encode_short(value: Converted) -> Cell:
    """`encode`, or the reference where the value is long."""
    if isinstance(value, str | bytes) and is_long(value):
        return reference(value)
    return encode(value)


def as_bytes(value: str | bytes) -> bytes:
    """A text's bytes, bad ones included; a blob as it is."""
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def from_bytes(kind: str, raw: bytes) -> str | bytes:
    """The text or blob of these bytes."""
    return raw if kind == "blob" else raw.decode("utf-8", "surrogateescape")


def key_of(entry: RefusedRow) -> dict[str, Any]:
    """The source's key columns with their values; text that JSON cannot hold in hexadecimal."""
    names = entry.table.table.key_names
    cells = {name: encode_short(v) for name, v in zip(names, entry.row.key, strict=True)}
    return {name: cell.get("value", cell) for name, cell in cells.items()}


def cause_of(reason: str) -> str:
    """A reason without the value that it quotes, as `quarantined_counts.sql` has it too."""
    return _QUOTED.sub('"…"', _LEADING.sub("… ", reason.partition(": ")[0]))


def visible(value: Converted, longest: int = _SHOWN) -> str:
    """A value as a person can read it exactly: what cannot be seen is spelt out.

    Text stands in quotes, with `\\0`, `\\x9f` (a byte that is not UTF-8) and `\\u202e`; blobs are
    written x'00ff'. Beyond `longest` characters it is cut, and says how long it is.
    """
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        cut = value[: longest // 2].hex()
        return f"x'{cut}'" if len(value) * 2 <= longest else f"x'{cut}…' ({len(value):,} bytes)"
    if isinstance(value, str):
        cut = "".join(map(_visible, value[:longest]))
        return f"'{cut}'" if len(value) <= longest else f"'{cut}…' ({len(value):,} characters)"
    return str(value)


def visible_cell(cell: Cell, longest: int) -> str:
    """A value as it stands in a row, cut short for a list."""
    if cell.get("encoding") == "pieces":
        return f"({cell['class']}, {cell['bytes']:,} bytes)"
    return visible(decode(cell), longest)


def _visible(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    if unicodedata.category(character) in _INVISIBLE:
        return character.encode("unicode_escape").decode("ascii")
    return character


def _fits_json(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _is_hex(value: object) -> bool:
    return isinstance(value, str) and _HEX.fullmatch(value) is not None


def _is_number(value: float | str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
