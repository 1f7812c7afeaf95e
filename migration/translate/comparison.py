"""Comparisons: SQLite's storage classes, affinities and collations against PostgreSQL's types."""

import re
from datetime import datetime
from decimal import Decimal

from migration.translate.errors import UntranslatableError
from migration.translate.scope import quote_text
from migration.translate.values import (
    DOUBLES,
    NUMBERS,
    Kind,
    Value,
    as_condition,
    as_number,
    operator,
)

_EQUALITY = ("=", "<>", "IS NOT DISTINCT FROM", "IS DISTINCT FROM")
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
#: Kinds whose values compare with each other as they do in SQLite.
_ORDERED = (
    Kind.BOOLEAN,
    Kind.BYTES,
    Kind.TIMESTAMP,
    Kind.INSTANT,
    Kind.DATE,
    Kind.TIME,
)
_NEGATIVE = ("<>", "IS DISTINCT FROM")
_TIME = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?")
_ZONE = re.compile(r"(Z|[+-]\d\d:\d\d)$")
#: Texts that a JSON number, boolean, array or object may look like.
_JSON_LIKE = re.compile(r"\s*([-+\d\[{\"]|true$|false$|null$)")
_EXACT = 2**53


def compare(op: str, left: Value, right: Value) -> Value:
    """`left op right`; op is =, <>, <, <=, >, >=, IS DISTINCT FROM or IS NOT DISTINCT FROM."""
    for one in (left, right):
        if one.kind is Kind.MIXED:
            raise UntranslatableError(f"{one.sql} holds values of several types")
    if Kind.NULL in (left.kind, right.kind):
        return _with_null(op, left, right)
    if Kind.JSON_VALUE in (left.kind, right.kind):
        return _json_value(op, left, right)
    if (short := _truth(op, left, right)) is not None:
        return short
    op, left_sql, right_sql = _align(op, left, right)
    return operator(f"{left_sql} {op} {right_sql}", Kind.BOOLEAN)


def _with_null(op: str, left: Value, right: Value) -> Value:
    other = right if left.kind is Kind.NULL else left
    if "DISTINCT" not in op:
        return Value("NULL::boolean", Kind.BOOLEAN)
    return operator(f"{other.wrapped} IS {'NOT ' * (op in _NEGATIVE)}NULL", Kind.BOOLEAN)


def _truth(op: str, left: Value, right: Value) -> Value | None:
    """A boolean against 0 or 1, which SQLite writes for false and true."""
    if left.kind is not Kind.BOOLEAN:
        left, right = right, left
    if left.kind is not Kind.BOOLEAN or op not in ("=", "<>"):
        return None
    if right.literal not in (0, 1) or not isinstance(right.literal, int | float):
        return None
    wanted = bool(right.literal) == (op == "=")
    return left if wanted else operator(f"NOT {left.wrapped}", Kind.BOOLEAN)


def _align(op: str, left: Value, right: Value) -> tuple[str, str, str]:
    """The operator and both sides, made comparable."""
    kinds = {left.kind, right.kind}
    if len(kinds) == 1 and (left.kind in _ORDERED or (left.kind is Kind.UUID and op in _EQUALITY)):
        return op, left.wrapped, right.wrapped
    if kinds <= {*NUMBERS, Kind.BOOLEAN}:
        return op, *_numbers(left, right)
    if kinds == {Kind.TEXT}:
        return op, *_texts(op, left, right)
    if isinstance(right.literal, str):
        return _time_literal(op, left, right.literal)
    if isinstance(left.literal, str):
        turned, right_sql, left_sql = _time_literal(_TURNED.get(op, op), right, left.literal)
        return _TURNED.get(turned, turned), left_sql, right_sql
    raise UntranslatableError(f"{left.kind.value} compared with {right.kind.value}")


def _numbers(left: Value, right: Value) -> tuple[str, str]:
    """Two numbers: SQLite compares whole numbers and reals without rounding either."""
    if Kind.BOOLEAN in (left.kind, right.kind):
        left, right = (as_number(one) if one.kind is Kind.BOOLEAN else one for one in (left, right))
    for one, other in ((left, right), (right, left)):
        if one.kind in DOUBLES and other.kind not in DOUBLES:
            if one.literal is None and not _fits_double(other):
                raise UntranslatableError("a real compared with a whole number that may be large")
            break
    return _number(left, right), _number(right, left)


def _fits_double(value: Value) -> bool:
    return value.small or (isinstance(value.literal, int) and abs(value.literal) <= _EXACT)


def _number(value: Value, other: Value) -> str:
    number = value.literal
    if isinstance(number, float) and other.kind not in DOUBLES and abs(number) != float("inf"):
        # A numeric column holds the shortest decimal of each double, a bigint its exact value.
        exact = other.kind is Kind.INTEGER
        return f"{Decimal(number) if exact else Decimal(repr(number)):f}"
    if isinstance(number, int) and other.kind in DOUBLES:
        return f"{value.sql}::double precision"
    return value.wrapped


def collation_of(left: Value, right: Value) -> str:
    """The collation by which SQLite compares these two: the left one's unless only one is said."""
    for one in (left, right):
        if one.explicit and one.collation:
            return one.collation
    for one in (left, right):
        if one.column and one.collation:
            return one.collation
    return "BINARY"


def collated(sql: str, collation: str) -> str:
    """A text as a key that is equal and ordered bytewise as SQLite's collation has it."""
    if collation == "BINARY":
        return sql
    if collation == "NOCASE":
        return f'lower({sql} COLLATE "C")'
    if collation == "RTRIM":
        return f"rtrim({sql}, ' ')"
    raise UntranslatableError(f"collation {collation} is not known here")


def _texts(op: str, left: Value, right: Value) -> tuple[str, str]:
    collation = collation_of(left, right)
    left_sql = collated(left.wrapped, collation)
    right_sql = collated(right.wrapped, collation)
    if op not in _EQUALITY and collation != "NOCASE":
        left_sql += ' COLLATE "C"'
    return left_sql, right_sql


def _time_literal(op: str, value: Value, text: str) -> tuple[str, str, str]:
    """A date or time against a text, which SQLite compares letter by letter."""
    refused = UntranslatableError(f"{value.kind.value} compared with {quote_text(text)}")
    timed = value.kind in (Kind.TIMESTAMP, Kind.INSTANT, Kind.DATE)
    if not timed or not is_time(text, value.kind.value):
        raise refused
    if value.kind is Kind.DATE:
        return op, value.wrapped, f"{quote_text(text)}::date"
    if len(text) == 10:
        # 2024-05-01 00:00:00 is longer, and so greater, than 2024-05-01.
        op = {"<=": "<", ">": ">="}.get(op, op)
        if op in _EQUALITY:
            raise refused
    if value.kind is Kind.INSTANT:
        text = text if has_zone(text) else text + "+00:00"
    return op, value.wrapped, f"{quote_text(text)}::{value.kind.value}"


def has_zone(text: str) -> bool:
    """Whether a date and time says its offset from UTC."""
    return _ZONE.search(text[10:]) is not None


def is_time(text: str, pg_type: str) -> bool:
    """Whether the text is a date, or a date and time, that the type takes as it is."""
    zone = _ZONE.search(text)
    bare = text[: zone.start()] if zone and len(text) > 10 else text
    if not _TIME.fullmatch(bare) or (pg_type == "date" and len(text) != 10):
        return False
    if zone and len(text) > 10 and pg_type != Kind.INSTANT.value:
        return False
    try:
        datetime.fromisoformat(bare)
    except ValueError:
        return False
    return True


def _json_value(op: str, left: Value, right: Value) -> Value:
    """What json_extract yields against a literal: equality only, of texts or of numbers."""
    value, other = (left, right) if left.kind is Kind.JSON_VALUE else (right, left)
    if op in _EQUALITY:
        if isinstance(other.literal, str) and not _JSON_LIKE.match(other.literal):
            return operator(f"{json_text(value)} {op} {other.wrapped}", Kind.BOOLEAN)
        if isinstance(other.literal, int) and other.literal not in (0, 1):
            wanted = f"'{other.literal}'::jsonb"
            return operator(f"nullif({value.sql}, 'null') {op} {wanted}", Kind.BOOLEAN)
    raise UntranslatableError("what json_extract yields compared with anything but a plain literal")


def json_text(value: Value) -> str:
    """What json_extract yields, as text: true and false are 1 and 0, as in SQLite."""
    return (
        f"(CASE {value.sql} WHEN 'true' THEN '1' WHEN 'false' THEN '0' "
        f"ELSE {value.wrapped} #>> '{{}}' END)"
    )


def among(left: Value, items: list[Value], *, negated: bool = False) -> Value:
    """`left [NOT] IN (items)`."""
    word = "NOT IN" if negated else "IN"
    if not items:
        return Value("true" if negated else "false", Kind.BOOLEAN)
    if left.kind is Kind.TEXT and not left.collation:
        left = _with_binary(left)
    if left.kind is Kind.BOOLEAN and all(item.literal in (0, 1) for item in items):
        listed = ", ".join("true" if item.literal else "false" for item in items)
        return operator(f"{left.wrapped} {word} ({listed})", Kind.BOOLEAN)
    plain = {left.kind, *(item.kind for item in items)}
    if plain & {Kind.NULL, Kind.MIXED, Kind.JSON_VALUE, Kind.BOOLEAN}:
        return _any_of(left, items, negated=negated)
    pairs = [_align("=", left, item)[1:] for item in items]
    if len({pair[0] for pair in pairs}) == 1:
        listed = ", ".join(pair[1] for pair in pairs)
        return operator(f"{pairs[0][0]} {word} ({listed})", Kind.BOOLEAN)
    return _any_of(left, items, negated=negated)


def _with_binary(left: Value) -> Value:
    """IN takes the left side's collation alone."""
    return Value(
        left.sql, left.kind, left.literal, atom=left.atom, collation="BINARY", explicit=True
    )


def _any_of(left: Value, items: list[Value], *, negated: bool) -> Value:
    parts = [compare("<>" if negated else "=", left, item) for item in items]
    word = " AND " if negated else " OR "
    return operator(word.join(part.wrapped for part in parts), Kind.BOOLEAN)


def between(value: Value, low: Value, high: Value) -> Value:
    """`value BETWEEN low AND high`, as the two comparisons that it is in SQLite."""
    parts = (compare(">=", value, low), compare("<=", value, high))
    return operator(" AND ".join(part.wrapped for part in parts), Kind.BOOLEAN)


def is_truth(value: Value, *, truth: bool, negated: bool) -> Value:
    """`value IS [NOT] TRUE` or FALSE."""
    word = "TRUE" if truth else "FALSE"
    tested = as_condition(value)
    return operator(f"({tested}) IS {'NOT ' * negated}{word}", Kind.BOOLEAN)
