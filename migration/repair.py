"""A column's conversion with its policies: the repairs that the user asked for, then the type.

Every repair is counted, so that the report can say what was changed and how often.
"""

import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from migration.convert import Converted, RefusedValueError, base_conversion, is_unicode
from migration.plan.model import ColumnPlan
from migration.policies import BadText, Booleans, Epoch, InvalidJson, NulText, OverLong
from migration.source import Value

Conversion = Callable[[Value], Converted]
#: Is told the name of each policy that changed a value.
Note = Callable[[str], None]

_JSON_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_START = datetime(1970, 1, 1)
#: Microseconds per unit.
_UNITS = {Epoch.SECONDS: 10**6, Epoch.MILLISECONDS: 10**3, Epoch.MICROSECONDS: 1}
#: The julian day of 1970-01-01.
_JULIAN_START = 2440587.5
_DAY = 86_400 * 10**6


def conversion_for(column: ColumnPlan, note: Note) -> Conversion:
    """The conversion of a column; that of its type alone where no policy is set."""
    policy = column.policy
    convert = base_conversion(column.pg_type)
    if policy.epoch and column.pg_type.startswith("timestamp"):
        convert = _with_epoch(convert, policy.epoch, column.pg_type, note)
    if policy.booleans is Booleans.NONZERO and column.pg_type == "boolean":
        convert = _with_nonzero(convert, note)
    if policy.invalid_json is InvalidJson.STRING and column.pg_type == "jsonb":
        convert = _with_json_strings(convert, note)
    if policy.over_long is OverLong.TRUNCATE and column.length:
        convert = _truncating(convert, column.length, note)
    if policy.nul is not NulText.QUARANTINE and column.pg_type != "bytea":
        convert = _without_nul(convert, policy.nul, column.pg_type, note)
    if policy.bad_utf8 is not BadText.QUARANTINE and column.pg_type != "bytea":
        convert = _with_valid_text(convert, policy.bad_utf8, note)
    return convert


def _with_epoch(convert: Conversion, epoch: Epoch, pg_type: str, note: Note) -> Conversion:
    zone = UTC if "with time zone" in pg_type else None

    def repaired(value: Value) -> Converted:
        if not isinstance(value, int | float):
            return convert(value)
        try:
            moment = _START + timedelta(microseconds=_microseconds(value, epoch))
        except (OverflowError, ValueError):
            reason = f"{value} is no time when it counts as {epoch}"
            raise RefusedValueError(reason, "22008") from None
        note("epoch")
        return moment.replace(tzinfo=zone)

    return repaired


def _microseconds(value: float, epoch: Epoch) -> int:
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError
    if epoch is Epoch.JULIAN:
        # A julian day as a double is exact to 40 µs; SQLite itself rounds it to milliseconds.
        return round((value - _JULIAN_START) * _DAY / 1000) * 1000
    if isinstance(value, int):
        return value * _UNITS[epoch]
    return round(value * _UNITS[epoch])


def _with_nonzero(convert: Conversion, note: Note) -> Conversion:
    def repaired(value: Value) -> Converted:
        if isinstance(value, int | float) and value not in (0, 1):
            note("booleans")
            return True
        return convert(value)

    return repaired


def _with_json_strings(convert: Conversion, note: Note) -> Conversion:
    def repaired(value: Value) -> Converted:
        text = convert(value)
        if isinstance(text, str) and not _is_json(text):
            note("invalid_json")
            return json.dumps(text, ensure_ascii=False)
        return text

    return repaired


def _is_json(text: str) -> bool:
    def refuse(token: str) -> None:
        raise ValueError(token)

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _truncating(convert: Conversion, length: int, note: Note) -> Conversion:
    def repaired(value: Value) -> Converted:
        text = convert(value)
        if isinstance(text, str) and len(text) > length:
            note("over_long")
            return text[:length]
        return text

    return repaired


def _without_nul(convert: Conversion, policy: NulText, pg_type: str, note: Note) -> Conversion:
    plain, escaped = ("", r"\1") if policy is NulText.STRIP else (r"\u0000", r"\1\\\\u0000")

    def repaired(value: Value) -> Converted:
        if isinstance(value, str):
            text = value.replace("\0", plain)
            if pg_type == "jsonb":
                text = _JSON_NUL.sub(escaped, text)
            if text != value:
                note("nul")
            value = text
        return convert(value)

    return repaired


def _with_valid_text(convert: Conversion, policy: BadText, note: Note) -> Conversion:
    def repaired(value: Value) -> Converted:
        if isinstance(value, str) and not value.isascii() and not is_unicode(value):
            raw = value.encode("utf-8", "surrogateescape")
            note("bad_utf8")
            # Windows-1252 leaves five bytes undefined; they become U+FFFD.
            encoding = "cp1252" if policy is BadText.CP1252 else "utf-8"
            value = raw.decode(encoding, "replace")
        return convert(value)

    return repaired
