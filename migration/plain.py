"""Rows by the hundred, column by column: the fast way, for values in the usual form of their type.

Python is slow by the call. So a batch is checked and converted by a few calls per column that
loop in C; where any value is not plain, its batch goes row by row (`rows`).
Invariant: a plain value is one that the row's own conversion takes, and both ways give the same
text. A test compares them.
"""

import math
import re
import sys
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from migration.canonical import canonical_lines, canonical_of, framed
from migration.convert import float_text, is_unicode
from migration.plan import ColumnPlan, TablePlan
from migration.policies import InvalidJson, NulText, OverLong
from migration.source import Batch, Value

#: A column's values as text; None is NULL.
Texts = Sequence[str | None]
#: The texts of some values of a column that are plain and not NULL.
_Print = Callable[[Sequence[Value]], Sequence[str]]

_DAY = (
    r"(?!0000)\d{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])"
    r"|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,6})?"
# The 29th of February is not here: whether a year has it is not said by its digits alone.
_TIMES = re.compile(rf"(?:{_DAY}[ T]{_TIME}\n)*", re.ASCII)
_TIMES_UTC = re.compile(rf"(?:{_DAY}[ T]{_TIME}(?:Z|\+00:00)\n)*", re.ASCII)
#: Characters of a time without a fraction.
_WITHOUT_FRACTION = len("2026-01-01 00:00:00")
_DATES = re.compile(r"(?:\d{4}-\d\d-\d\d\n)*", re.ASCII)


class NotPlainError(Exception):
    """A batch has a value that has to be looked at by itself."""


@dataclass(frozen=True)
class _Kind:
    """What is plain for a type.

    Attributes:
        classes: the storage classes, as Python's types.
        check: of the values that are not NULL, whether all are plain.
        sent: the texts for PostgreSQL; None: as the values stand.
        canonical: the canonical texts; None: as the values stand.
        free: whether the text for PostgreSQL may hold any character.
    """

    classes: frozenset[type]
    check: Callable[[Sequence[Value]], bool]
    sent: _Print | None = None
    canonical: _Print | None = None
    free: bool = False


class PlainTable:
    """The plain conversions of one table's columns."""

    def __init__(self, table: TablePlan) -> None:
        self._columns = [_Column(column) for column in table.columns]
        self._possible = not table.impossible and all(map(_is_left_alone, table.columns))
        #: By column, whether the texts of `sent` may hold any character.
        self.free = [column.free for column in self._columns]

    def sent(self, batch: Batch) -> list[Texts]:
        """By column, the texts that PostgreSQL's input functions read.

        Raises:
            NotPlainError: not every value is plain.
        """
        return [column.sent(values) for column, values in self._paired(batch)]

    def lines(self, batch: Batch) -> list[str]:
        """The canonical line of each row.

        Raises:
            NotPlainError: not every value is plain.
        """
        return list(
            canonical_lines([column.fields(values) for column, values in self._paired(batch)])
        )

    def _paired(self, batch: Batch) -> list[tuple["_Column", tuple[Value, ...]]]:
        if not self._possible:
            raise NotPlainError
        return list(zip(self._columns, batch.columns(), strict=True))


class _Column:
    """The plain conversion of one column."""

    def __init__(self, column: ColumnPlan) -> None:
        self._column = column
        self._kind = _KINDS.get(column.pg_type, _TEXT)
        self.free = self._kind.free

    def sent(self, values: Sequence[Value]) -> Texts:
        has_null = self._check(values)
        return _mapped(self._kind.sent, values, has_null=has_null)

    def fields(self, values: Sequence[Value]) -> Sequence[str]:
        has_null = self._check(values)
        return framed(self._column, _mapped(self._kind.canonical, values, has_null=has_null))

    def _check(self, values: Sequence[Value]) -> bool:
        """Whether there are NULLs; a NotPlainError where anything is not plain."""
        classes = set(map(type, values))
        has_null = type(None) in classes
        if has_null:
            if self._column.not_null:
                raise NotPlainError
            classes.discard(type(None))
            values = [value for value in values if value is not None]
        if not (classes <= self._kind.classes and self._kind.check(values)):
            raise NotPlainError
        return has_null


def _mapped(function: _Print | None, values: Sequence[Value], *, has_null: bool) -> Texts:
    if function is None:
        return values  # type: ignore[return-value]  # checked: text or NULL
    if not has_null:
        return function(values)
    texts = iter(function([value for value in values if value is not None]))
    return [None if value is None else next(texts) for value in values]


def _is_left_alone(column: ColumnPlan) -> bool:
    """Whether no policy of this column changes a plain value."""
    policy = column.policy
    if policy.over_long is OverLong.TRUNCATE:
        return False
    # Whether a document is plain is not known before it is read.
    return column.pg_type != "jsonb" or (
        policy.nul is NulText.QUARANTINE and policy.invalid_json is InvalidJson.QUARANTINE
    )


def _anything(_: Sequence[Value]) -> bool:
    return True


def _is_text(values: Sequence[Value]) -> bool:
    joined = "".join(values)  # type: ignore[arg-type]  # checked: text
    return "\0" not in joined and (joined.isascii() or is_unicode(joined))


def _all_match(pattern: re.Pattern[str]) -> Callable[[Sequence[Value]], bool]:
    def check(values: Sequence[Value]) -> bool:
        lines = "\n".join(values) + "\n"  # type: ignore[arg-type]  # checked: text
        return pattern.fullmatch(lines) is not None and lines.count("\n") == len(values)

    return check


def _is_bit(values: Sequence[Value]) -> bool:
    return set(values) <= {0, 1}


def _each(function: Callable[[Value], str]) -> _Print:
    """Value by value."""

    def texts(values: Sequence[Value]) -> Sequence[str]:
        return list(map(function, values))

    return texts


def _canonical(pg_type: str) -> _Print:
    """The canonical texts of a type, value by value, from plain values as from converted ones."""
    return _each(canonical_of(pg_type))


def _boolean_texts(values: Sequence[Value]) -> Sequence[str]:
    return list(map("ft".__getitem__, values))  # type: ignore[arg-type]  # checked: 0 or 1


def _number_text(value: Value) -> str:
    return float_text(value) if isinstance(value, float) else str(value)


def _double_texts(values: Sequence[Value]) -> Sequence[str]:
    if any(map(math.isinf, values)):  # type: ignore[arg-type]  # checked: floats
        return list(map(_number_text, values))
    return list(map(repr, values))


def _double_bits(values: Sequence[Value]) -> Sequence[str]:
    """The bytes of each double in hexadecimal, the most significant first."""
    doubles = array("d", values)  # type: ignore[type-var]  # checked: floats
    if sys.byteorder == "little":
        doubles.byteswap()
    digits = doubles.tobytes().hex()
    return [digits[start : start + 16] for start in range(0, len(digits), 16)]


def _hexadecimal(value: Value) -> str:
    assert isinstance(value, bytes)
    return "\\x" + value.hex()


def _times(values: Sequence[Value]) -> list[str]:
    """Times as PostgreSQL prints them: a blank, and no zeros at the end of a fraction."""
    joined = "\n".join(values)  # type: ignore[arg-type]  # checked: text
    return [
        text.rstrip("0").rstrip(".") if text[-1:] == "0" and len(text) > _WITHOUT_FRACTION else text
        for text in joined.replace("T", " ").split("\n")
    ]


def _times_utc(values: Sequence[Value]) -> list[str]:
    joined = "\n".join(values)  # type: ignore[arg-type]  # checked: text
    bare = joined.replace("Z", "").replace("+00:00", "").split("\n")
    return [text + "+00" for text in _times(bare)]


_INTEGER = _Kind(frozenset({int}), _anything, _each(str), _each(str))
_TEXT = _Kind(frozenset({str}), _is_text, free=True)
_KINDS = {
    "smallint": _INTEGER,
    "integer": _INTEGER,
    "bigint": _INTEGER,
    "double precision": _Kind(frozenset({float}), _anything, _double_texts, _double_bits),
    "numeric": _Kind(
        frozenset({int, float}), _anything, _each(_number_text), _canonical("numeric")
    ),
    "boolean": _Kind(frozenset({int}), _is_bit, _boolean_texts, _each(str)),
    "timestamp without time zone": _Kind(frozenset({str}), _all_match(_TIMES), None, _times),
    "timestamp with time zone": _Kind(frozenset({str}), _all_match(_TIMES_UTC), None, _times_utc),
    "date": _Kind(frozenset({str}), _all_match(_DATES)),
    "uuid": _Kind(frozenset({str}), _is_text, None, _canonical("uuid"), free=True),
    "jsonb": _Kind(frozenset({str}), _is_text, None, _canonical("jsonb"), free=True),
    "bytea": _Kind(
        frozenset({bytes}), _anything, _each(_hexadecimal), _canonical("bytea"), free=True
    ),
}
