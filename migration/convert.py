"""From a SQLite value to the value that PostgreSQL is given, one named conversion per column.

A conversion never guesses: what it cannot carry over without loss it refuses, and the refused
row is quarantined with its value and reason.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from migration.source import Value

#: What psycopg writes and what `canonical` digests.
Converted = Value | datetime | bool

_DIGITS = re.compile(r"[+-]?\d+", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MICROSECONDS = re.compile(r"\.(\d{6})(\d+)", re.ASCII)
_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "n", "no", "off"})
_EXACT_INTEGER = 2**53


@dataclass(frozen=True)
class RefusedValueError(Exception):
    """A value that the target type cannot hold; `sqlstate` is the one PostgreSQL would give."""

    reason: str
    sqlstate: str = "22P02"


def to_text(value: Value) -> Converted:
    """Text as it is; blobs that are text; numbers as SQLite prints them, but exactly."""
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            raise RefusedValueError("a blob in a text column") from None
        if "\0" in text:
            raise RefusedValueError("a blob in a text column")
        return text
    if isinstance(value, str):
        if "\0" in value:
            raise RefusedValueError("text holds a NUL character (0x00)", "22021")
        if not value.isascii() and not is_unicode(value):
            raise RefusedValueError("text is not valid UTF-8", "22021")
        return value
    return float_text(value) if isinstance(value, float) else str(value)


def to_integer(value: Value) -> Converted:
    """Whole numbers; also reals without a fraction and text made of digits alone."""
    if isinstance(value, int):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    raise RefusedValueError(f"not a whole number: {_shown(value)}")


def to_float(value: Value) -> Converted:
    """Reals, and integers that a double holds exactly."""
    if isinstance(value, float):
        return value
    if isinstance(value, int):
        if abs(value) > _EXACT_INTEGER and int(float(value)) != value:
            raise RefusedValueError(f"{value} has no exact double", "22003")
        return float(value)
    raise RefusedValueError(f"not a number: {_shown(value)}")


def to_numeric(value: Value) -> Converted:
    """Integers exactly, reals by their shortest exact text."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return float_text(value)
    raise RefusedValueError(f"not a number: {_shown(value)}")


def to_boolean(value: Value) -> Converted:
    """0 and 1, and the words that PostgreSQL's boolean knows."""
    text = (
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    ).lower()
    if isinstance(value, bytes) or text not in _TRUE | _FALSE:
        raise RefusedValueError(f"not a boolean: {_shown(value)}")
    return text in _TRUE


def to_timestamp(value: Value) -> Converted:
    """ISO 8601 text as a UTC time without zone; an offset is converted, never dropped."""
    if not isinstance(value, str):
        raise RefusedValueError(f"not a date and time: {_shown(value)}", "22007")
    digits = _MICROSECONDS.search(value)
    if digits and digits[2].strip("0"):
        raise RefusedValueError(f"finer than a microsecond: {_shown(value)}", "22008")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise RefusedValueError(f"not a date and time: {_shown(value)}", "22007") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return moment


def to_timestamp_utc(value: Value) -> Converted:
    """ISO 8601 text that says its offset, as the same moment in UTC."""
    if isinstance(value, str) and (value.endswith("Z") or "+" in value or "-" in value[10:]):
        moment = to_timestamp(value)
        assert isinstance(moment, datetime)
        return moment.replace(tzinfo=UTC)
    raise RefusedValueError(f"not a time with its offset: {_shown(value)}", "22007")


def to_date(value: Value) -> Converted:
    """`YYYY-MM-DD` text."""
    if isinstance(value, str) and _DATE.fullmatch(value):
        return value
    raise RefusedValueError(f"not a date: {_shown(value)}", "22007")


def to_bytes(value: Value) -> Converted:
    """Blobs as they are; text and numbers as the bytes of their text."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return (float_text(value) if isinstance(value, float) else str(value)).encode()


def float_text(value: float) -> str:
    """A double in the shortest digits that read back as the same double."""
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return repr(value)


def text_of(value: Converted) -> str | None:
    """A converted value as the text that the input function of its type reads."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, float):
        return float_text(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


#: PostgreSQL type → conversion. Types that are not listed are given the text.
CONVERSIONS: dict[str, Callable[[Value], Converted]] = {
    "smallint": to_integer,
    "integer": to_integer,
    "bigint": to_integer,
    "double precision": to_float,
    "real": to_float,
    "numeric": to_numeric,
    "boolean": to_boolean,
    "timestamp without time zone": to_timestamp,
    "timestamp with time zone": to_timestamp_utc,
    "date": to_date,
    "bytea": to_bytes,
}


def base_conversion(pg_type: str) -> Callable[[Value], Converted]:
    """The conversion of a column of this type, named as `format_type` names it."""
    return CONVERSIONS.get(pg_type, to_text)


def is_unicode(text: str) -> bool:
    """Whether the text has no bytes that were not UTF-8 (they are surrogate escapes here)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
