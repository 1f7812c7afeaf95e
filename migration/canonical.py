"""One canonical form of a row, made on both sides: by Python from the source, by SQL in the target.

Invariant: two rows have the same canonical line exactly when every value is the same: doubles
to the last bit, times to the microsecond, blobs byte for byte, JSON by meaning. The line is
injective: a mark, which hardly any text holds and which is doubled where one does, begins what
stands between fields and what stands for NULL. Fields of other types use an alphabet without it
and are never empty, so that an empty one is NULL.
A row's digest is the SHA-256 of its canonical line, which both sides compute in C.
"""

import hashlib
import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from psycopg import sql

from migration.canonical_json import canonical_json
from migration.convert import Converted
from migration.plan import ColumnPlan
from migration.statements import statement

#: A character that texts hardly ever hold: most columns go into their lines as they are.
_MARK = "\x1f"
#: Between fields.
_SEPARATOR = f"{_MARK};"
#: NULL in a column of free text.
_NULL_TEXT = f"{_MARK}0"
#: PostgreSQL's functions take a hundred arguments; a field is one, and has a separator.
_FIELDS_AT_ONCE = 50

Canonical = Callable[[Converted], str]


def row_digest(columns: Iterable[ColumnPlan], values: Iterable[Converted]) -> bytes:
    """The 32-byte digest of a converted row."""
    fields = [
        framed(column, [canonical_value(column, value)])[0]
        for column, value in zip(columns, values, strict=True)
    ]
    return line_digest(_SEPARATOR.join(fields))


def line_digest(line: str) -> bytes:
    """The digest of a canonical line."""
    # A document may spell half of a pair, "\\ud800": jsonb refuses it, but it is digested before.
    return hashlib.sha256(line.encode("utf-8", "surrogatepass")).digest()


def canonical_lines(columns: Sequence[Sequence[str]]) -> Iterable[str]:
    """The lines of many rows, from their framed fields by column."""
    return map(_SEPARATOR.join, zip(*columns, strict=True))


def canonical_of(pg_type: str) -> Canonical:
    """What gives the canonical text of a converted value of a type."""
    return _CANONICAL.get(pg_type, str)


def framed(
    column: ColumnPlan, texts: Sequence[str | None], characters: str | None = None
) -> Sequence[str]:
    """Canonical texts of a column as fields of their lines.

    Args:
        column: whose texts they are.
        texts: None is NULL.
        characters: all that are in the texts, where that is known.
    """
    if is_fixed(column):
        return ["" if text is None else text for text in texts]
    if characters is None:
        characters = "".join(filter(None, texts))
    if _MARK in characters:
        return [_NULL_TEXT if text is None else text.replace(_MARK, _MARK * 2) for text in texts]
    return [_NULL_TEXT if text is None else text for text in texts]


def is_fixed(column: ColumnPlan) -> bool:
    """Whether canonical texts of this column have a fixed alphabet, without the separator."""
    return column.pg_type in _SQL_FIELDS


def canonical_value(column: ColumnPlan, value: Converted) -> str | None:
    """A converted value as `sql_field` gives it: equal text, equal value."""
    return None if value is None else canonical_of(column.pg_type)(value)


def sql_field(column: ColumnPlan) -> sql.Composable:
    """The SQL side's canonical text for a column; NULL stays NULL."""
    template = _SQL_FIELDS.get(column.pg_type, _SQL_TEXT)
    return template.format(column=sql.Identifier(column.target))


def sql_digest(columns: tuple[ColumnPlan, ...], relation: sql.Composable) -> sql.Composed:
    """A query for `row_id` (the ctid) and `digest` of every row of a relation."""
    names = [sql.Identifier(f"f{number}") for number in range(len(columns))]
    rendered = [
        sql.SQL("{} as {}").format(sql_field(column), name)
        for column, name in zip(columns, names, strict=True)
    ]
    fields = [
        name if is_fixed(column) else _SQL_FREE_TEXT.format(name, **_MARKS)
        for column, name in zip(columns, names, strict=True)
    ]
    return statement("row_digests").format(
        line=_concatenated(fields),
        rendered=sql.SQL(", ").join(rendered),
        relation=relation,
    )


def _concatenated(fields: Sequence[sql.Composable]) -> sql.Composable:
    """concat() of many fields with separators; it leaves NULL out."""
    separator = sql.SQL(f", '{_SEPARATOR}', ")
    parts = [
        sql.SQL("concat({})").format(separator.join(fields[start : start + _FIELDS_AT_ONCE]))
        for start in range(0, len(fields), _FIELDS_AT_ONCE)
    ]
    return parts[0] if len(parts) == 1 else _concatenated(parts)


def _float(value: Converted) -> str:
    assert isinstance(value, float)
    return struct.pack(">d", value).hex()


def _numeric(value: Converted) -> str:
    """As PostgreSQL prints it, without zeros at the end of a fraction."""
    number = Decimal(str(value))
    plain = format(abs(number) if number == 0 else number, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def _boolean(value: Converted) -> str:
    return "1" if value else "0"


def _timestamp(value: Converted) -> str:
    assert isinstance(value, datetime)
    text = value.replace(tzinfo=None).isoformat(" ")
    return text.rstrip("0") if value.microsecond else text


def _timestamp_utc(value: Converted) -> str:
    # Moments with a zone are converted to UTC before they come here.
    return _timestamp(value) + "+00"


def _uuid(value: Converted) -> str:
    return str(value).replace("-", "").strip("{}").lower()


def _bytes(value: Converted) -> str:
    assert isinstance(value, bytes)
    return hashlib.sha256(value).hexdigest()


def _jsonb(value: Converted) -> str:
    return canonical_json(str(value))


_CANONICAL: dict[str, Canonical] = {
    "double precision": _float,
    "numeric": _numeric,
    "boolean": _boolean,
    "timestamp without time zone": _timestamp,
    "timestamp with time zone": _timestamp_utc,
    "uuid": _uuid,
    "bytea": _bytes,
    "jsonb": _jsonb,
}

_SQL_FREE_TEXT = sql.SQL("coalesce(replace({}, {mark}, {doubled}), {null})")
_MARKS = {
    "mark": sql.Literal(_MARK),
    "doubled": sql.Literal(_MARK * 2),
    "null": sql.Literal(_NULL_TEXT),
}

_SQL_TEXT = sql.SQL("{column}::text")
# Only forms of a fixed alphabet stand here; all others are free text.
_SQL_FIELDS: dict[str, sql.SQL] = {
    "smallint": _SQL_TEXT,
    "integer": _SQL_TEXT,
    "bigint": _SQL_TEXT,
    "double precision": sql.SQL("encode(float8send({column}), 'hex')"),
    "numeric": sql.SQL("trim_scale({column})::text"),
    "boolean": sql.SQL("{column}::int::text"),
    "timestamp without time zone": _SQL_TEXT,
    "timestamp with time zone": _SQL_TEXT,
    "uuid": sql.SQL("replace({column}::text, '-', '')"),
    "bytea": sql.SQL("encode(sha256({column}), 'hex')"),
}
