"""One canonical form of a row, made on both sides: by Python from the source, by SQL in the target.

Invariant: two rows have the same canonical bytes exactly when every value is the same: doubles
to the last bit, times to the microsecond, blobs byte for byte, JSON by meaning. The form is
injective: fields of free length carry their length, the others use a fixed alphabet.
A row's digest is the MD5 of its canonical bytes: a fingerprint that both sides compute in C.
"""

import hashlib
import json
import struct
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from psycopg import sql

from migration.convert import Converted
from migration.plan import ColumnPlan
from migration.statements import statement

_NULL = b"~"
_SEPARATOR = b";"
#: PostgreSQL counts microseconds from here.
_EPOCH = datetime(2000, 1, 1)
_CACHED_JSON = 2048

Field = Callable[[Converted], bytes]


def row_digest(fields: list[Field], values: list[Converted]) -> bytes:
    """The 16-byte digest of a converted row."""
    parts = [
        _NULL if value is None else field(value)
        for field, value in zip(fields, values, strict=True)
    ]
    return hashlib.md5(_SEPARATOR.join(parts), usedforsecurity=False).digest()


def field_of(column: ColumnPlan) -> Field:
    """The Python side's canonical form for a column."""
    return _FIELDS.get(column.pg_type, _text)


def canonical_value(column: ColumnPlan, value: Converted) -> str | None:
    """A converted value as `sql_field` gives it: equal text, equal value."""
    if value is None:
        return None
    field = field_of(column)(value).decode("utf-8", "replace")
    return field if column.pg_type in _SQL_FIELDS else field.partition(":")[2]


def sql_field(column: ColumnPlan) -> sql.Composable:
    """The SQL side's canonical form for a column; NULL stays NULL."""
    name = sql.Identifier(column.target)
    template = _SQL_FIELDS.get(column.pg_type)
    if template is not None:
        return template.format(column=name)
    return sql.SQL("{column}::text").format(column=name)


def sql_digest(columns: tuple[ColumnPlan, ...], relation: sql.Composable) -> sql.Composed:
    """A query for `row_id` (the ctid) and `digest` of every row of a relation."""
    fields = [sql.Identifier(f"f{number}") for number in range(len(columns))]
    rendered = [
        sql.SQL("{} as {}").format(sql_field(column), field)
        for column, field in zip(columns, fields, strict=True)
    ]
    parts = [
        sql.SQL("coalesce({}, '~')").format(
            field
            if column.pg_type in _SQL_FIELDS
            else sql.SQL("octet_length({0}) || ':' || {0}").format(field)
        )
        for column, field in zip(columns, fields, strict=True)
    ]
    return statement("row_digests").format(
        line=sql.SQL(" || ';' || ").join(parts),
        rendered=sql.SQL(", ").join(rendered),
        relation=relation,
    )


def _text(value: Converted) -> bytes:
    raw = str(value).encode("utf-8", "surrogateescape")
    return b"%d:%b" % (len(raw), raw)


def _integer(value: Converted) -> bytes:
    return str(value).encode()


def _float(value: Converted) -> bytes:
    assert isinstance(value, float)
    return struct.pack(">d", value).hex().encode()


def _numeric(value: Converted) -> bytes:
    return _plain_number(str(value), trim=True).encode()


def _boolean(value: Converted) -> bytes:
    return b"1" if value else b"0"


def _timestamp(value: Converted) -> bytes:
    assert isinstance(value, datetime)
    microseconds = (value.replace(tzinfo=None) - _EPOCH) // timedelta(microseconds=1)
    return struct.pack(">q", microseconds).hex().encode()


def _uuid(value: Converted) -> bytes:
    return str(value).replace("-", "").strip("{}").lower().encode()


def _bytes(value: Converted) -> bytes:
    assert isinstance(value, bytes)
    return hashlib.md5(value, usedforsecurity=False).hexdigest().encode()


def _jsonb(value: Converted) -> bytes:
    text = str(value)
    canonical = _cached_json(text) if len(text) <= _CACHED_JSON else canonical_json(text)
    # A document may spell half of a pair, "\\ud800": jsonb refuses it, but it is digested before.
    raw = canonical.encode("utf-8", "surrogatepass")
    return b"%d:%b" % (len(raw), raw)


def canonical_json(text: str) -> str:
    """JSON text as PostgreSQL prints the same document from jsonb.

    Keys by length, then bytes; the last of duplicate keys; numbers in plain decimal digits.
    Text that is no JSON is returned as it is, and so never equals a document.
    """
    try:
        document = json.loads(text, parse_int=_Number, parse_float=_Number)
    except (ValueError, RecursionError):
        return text
    parts: list[str] = []
    _print_json(document, parts)
    return "".join(parts)


class _Number(str):
    """A number's digits as they stand in the document; Python's float would lose some."""

    __slots__ = ()


@lru_cache(maxsize=8192)
def _cached_json(text: str) -> str:
    return canonical_json(text)


def _print_json(node: object, parts: list[str]) -> None:
    if isinstance(node, dict):
        opening = "{"
        for key in sorted(node, key=_key_order):
            parts.append(f"{opening}{_quoted(key)}: ")
            _print_json(node[key], parts)
            opening = ", "
        parts.append("}" if node else "{}")
    elif isinstance(node, list):
        opening = "["
        for item in node:
            parts.append(opening)
            _print_json(item, parts)
            opening = ", "
        parts.append("]" if node else "[]")
    elif isinstance(node, _Number):
        parts.append(_plain_number(node, trim=False))
    elif isinstance(node, str):
        parts.append(_quoted(node))
    else:
        parts.append({True: "true", False: "false", None: "null"}.get(node, str(node)))  # type: ignore[call-overload]


def _key_order(key: str) -> tuple[int, bytes]:
    raw = key.encode("utf-8", "surrogatepass")
    return len(raw), raw


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _plain_number(digits: str, *, trim: bool) -> str:
    """As PostgreSQL's numeric prints it: no exponent, no minus on zero."""
    number = Decimal(digits)
    if not number.is_finite():
        return digits
    if number == 0:
        number = abs(number)
    plain = format(number, "f")
    if trim and "." in plain:
        plain = plain.rstrip("0").rstrip(".")
    return plain


_FIELDS: dict[str, Field] = {
    "smallint": _integer,
    "integer": _integer,
    "bigint": _integer,
    "double precision": _float,
    "numeric": _numeric,
    "boolean": _boolean,
    "timestamp without time zone": _timestamp,
    # Moments with a zone are converted to UTC before they come here.
    "timestamp with time zone": _timestamp,
    "uuid": _uuid,
    "bytea": _bytes,
    "jsonb": _jsonb,
}

# Only forms of a fixed alphabet stand here; all others are length-prefixed text.
_SQL_FIELDS: dict[str, sql.SQL] = {
    "smallint": sql.SQL("{column}::text"),
    "integer": sql.SQL("{column}::text"),
    "bigint": sql.SQL("{column}::text"),
    "double precision": sql.SQL("encode(float8send({column}), 'hex')"),
    "numeric": sql.SQL("trim_scale({column})::text"),
    "boolean": sql.SQL("{column}::int::text"),
    "timestamp without time zone": sql.SQL("encode(timestamp_send({column}), 'hex')"),
    "timestamp with time zone": sql.SQL("encode(timestamptz_send({column}), 'hex')"),
    "uuid": sql.SQL("replace({column}::text, '-', '')"),
    "bytea": sql.SQL("md5({column})"),
}
