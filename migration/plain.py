"""Rows by the hundred, column by column: the fast way, for values in the usual form of their type.

Python is slow by the call. So a batch is checked and converted by a few calls per column that
loop in C; where any value is not plain, its batch goes row by row (`rows`).
Invariant: a plain value is one that the row's own conversion takes, and both ways mean the same
value. A test compares them.
"""

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import orjson

from migration.batches import Batch
from migration.canonical import canonical_lines, canonical_of, framed, is_fixed
from migration.convert import float_text, is_unicode
from migration.plan import ColumnPlan, TablePlan
from migration.policies import InvalidJson, NulText, OverLong
from migration.source import Value

#: A column's values as text; None is NULL.
Texts = Sequence[str | None]
#: Values of the storage classes of a kind, which is checked before anything is done to them.
_Values = Sequence[Any]
#: Characters that texts must not hold, each with what stands for it.
Escapes = Sequence[tuple[str, str]]
#: The texts of a column that is plain; the second argument stands for NULL.
_Print = Callable[[_Values, str | None], Texts]

#: Makes a 9 of every digit.
_TO_NINES = bytes.maketrans(b"012345678", b"9" * 9)
_DATE = "9999-99-99"
#: Times with up to six digits of a second, all digits being 9.
_TIMES = [
    f"{_DATE}{separator}99:99:99{fraction}"
    for separator in " T"
    for fraction in ("", *(f".{'9' * digits}" for digits in range(1, 7)))
]
_TIMES_UTC = [time + mark for time in _TIMES for mark in ("Z", "+99:99")]
#: Characters of a time without a fraction.
_WITHOUT_FRACTION = len("2026-01-01 00:00:00")


class NotPlainError(Exception):
    """A batch has a value that has to be looked at by itself."""


@dataclass(frozen=True)
class _Kind:
    """What is plain for a type.

    Attributes:
        classes: the storage classes, as Python's types.
        check: of values that are not NULL, characters that hold all escapes of their texts; None
            where one of them is not plain. Without it, all values of these classes are.
        sent: the texts for PostgreSQL; None: as the values stand.
        canonical: the canonical texts; None: as the values stand.
        prefix: what the texts for PostgreSQL begin with, all of them.
    """

    classes: frozenset[type]
    check: Callable[[_Values], str | None] | None = None
    sent: _Print | None = None
    canonical: _Print | None = None
    prefix: str = ""


class PlainTable:
    """The plain conversions of one table's columns."""

    def __init__(self, table: TablePlan) -> None:
        self._columns = [_Column(column) for column in table.columns]
        self._possible = not table.impossible and all(map(_is_left_alone, table.columns))

    def sent(self, batch: Batch, null: str | None = None, escapes: Escapes = ()) -> list[Texts]:
        """By column, the texts that PostgreSQL's input functions read.

        Args:
            batch: the rows.
            null: what stands for NULL.
            escapes: backslash, tab and ends of lines may have some.

        Raises:
            NotPlainError: not every value is plain.
        """
        return [column.sent(values, null, escapes) for column, values in self._paired(batch)]

    def lines(self, batch: Batch) -> list[str]:
        """The canonical line of each row.

        Raises:
            NotPlainError: not every value is plain.
        """
        return list(
            canonical_lines([column.fields(values) for column, values in self._paired(batch)])
        )

    def _paired(self, batch: Batch) -> list[tuple["_Column", tuple[Value, ...]]]:
        if not (self._possible and (batch.is_unicode or _is_unicode(batch))):
            raise NotPlainError
        return list(zip(self._columns, batch.columns(), strict=True))


class _Column:
    """The plain conversion of one column."""

    def __init__(self, column: ColumnPlan) -> None:
        self._column = column
        self._kind = _KINDS.get(column.pg_type, _TEXT)
        self._is_fixed = is_fixed(column)

    def sent(self, values: Sequence[Value], null: str | None, escapes: Escapes) -> Texts:
        characters = self._check(values)
        printed = self._kind.sent or _as_they_stand
        if self._kind.prefix:
            # Escaped once: what follows it is long, and needs no look.
            prefix = escaped(self._kind.prefix, escapes)
            texts = printed(values, None)
            return [null if text is None else prefix + text for text in texts]
        needed = [pair for pair in escapes if pair[0] in characters]
        if not needed:
            return printed(values, null)
        return [null if text is None else escaped(text, needed) for text in printed(values, None)]

    def fields(self, values: Sequence[Value]) -> Sequence[str]:
        characters = self._check(values)
        if self._kind.canonical is None:
            return framed(self._column, _as_they_stand(values, None), characters)
        if self._is_fixed:
            # With a text for NULL, all are texts.
            return cast("Sequence[str]", self._kind.canonical(values, ""))
        return framed(self._column, self._kind.canonical(values, None))

    def _check(self, values: Sequence[Value]) -> str:
        """Characters that hold all escapes; a NotPlainError where anything is not plain."""
        classes = set(map(type, values))
        has_null = type(None) in classes
        if has_null:
            if self._column.not_null:
                raise NotPlainError
            classes.discard(type(None))
        if not classes <= self._kind.classes:
            raise NotPlainError
        if self._kind.check is None:
            return ""
        present = [value for value in values if value is not None] if has_null else values
        characters = self._kind.check(present)
        if characters is None:
            raise NotPlainError
        return characters


def escaped(text: str, escapes: Escapes) -> str:
    """A text with what stands for some of its characters."""
    for character, escape in escapes:
        text = text.replace(character, escape)
    return text


def _is_left_alone(column: ColumnPlan) -> bool:
    """Whether no policy of this column changes a plain value."""
    policy = column.policy
    if policy.over_long is OverLong.TRUNCATE:
        return False
    # Whether a document is plain is not known before it is read.
    return column.pg_type != "jsonb" or (
        policy.nul is NulText.QUARANTINE and policy.invalid_json is InvalidJson.QUARANTINE
    )


def _is_unicode(batch: Batch) -> bool:
    texts = [value for row in batch.rows for value in row if isinstance(value, str)]
    return is_unicode("".join(texts))


def _check_text(values: _Values) -> str | None:
    joined = "".join(values)
    return None if "\0" in joined else joined


def _check_moments(forms: Iterable[str]) -> Callable[[_Values], str | None]:
    """A check that all values exist and have one of these forms, in which 9 is any digit.

    An offset is that of UTC.
    """
    known = frozenset(form.encode() for form in forms)

    def check(values: _Values) -> str | None:
        joined = "\n".join(values)
        found = joined.encode("utf-8", "surrogatepass").translate(_TO_NINES).split(b"\n")
        if values and not (known.issuperset(found) and len(found) == len(values)):
            return None
        if "+" in joined and joined.count("+") > joined.count("+00:00"):
            return None
        if _READS_HOUR_24 and (" 24:" in joined or "T24:" in joined):
            return None
        try:
            list(map(datetime.fromisoformat, values))
        except ValueError:
            return None
        return ""

    return check


def _reads_hour_24() -> bool:
    """Whether midnight at the end of a day is read here, as the next day: by newer Pythons."""
    try:
        datetime.fromisoformat("2026-01-01 24:00:00")
    except ValueError:
        return False
    return True


_READS_HOUR_24 = _reads_hour_24()


def _check_bits(values: _Values) -> str | None:
    return "" if {0, 1}.issuperset(values) else None


def _as_they_stand(values: _Values, null: str | None) -> Texts:
    if null is None or None not in values:
        return values
    return [null if value is None else value for value in values]


def _each(function: Callable[[Any], str]) -> _Print:
    """Value by value."""

    def texts(values: _Values, null: str | None) -> Texts:
        return [null if value is None else function(value) for value in values]

    return texts


def _canonical(pg_type: str) -> _Print:
    """The canonical texts of a type, value by value, from plain values as from converted ones."""
    return _each(canonical_of(pg_type))


def _numbers(values: _Values, null: str | None) -> Texts:
    """Integers and doubles, the shortest digits that read back as the same number."""
    printed = orjson.dumps(values).decode()
    texts = printed[1:-1].split(",")
    if "null" not in printed:
        return texts
    if texts.count("null") != values.count(None):
        # Infinity is one more thing that JSON has no text for.
        return [null if value is None else _number_text(value) for value in values]
    return [null if text == "null" else text for text in texts]


def _number_text(value: Value) -> str:
    return float_text(value) if isinstance(value, float) else str(value)


def _named(false: str, true: str) -> _Print:
    """Booleans by these names."""

    def texts(values: _Values, null: str | None) -> Texts:
        names = {0: false, 1: true, None: null}
        return [names[value] for value in values]

    return texts


def _double_bits(values: _Values, null: str | None) -> Texts:
    """The bytes of each double in hexadecimal, the most significant first."""
    doubles = array("d", [value for value in values if value is not None])
    if sys.byteorder == "little":
        doubles.byteswap()
    digits: list[str | None] = [*doubles.tobytes().hex("\n", 8).split("\n")] if doubles else []
    if len(digits) < len(values):
        for place, value in enumerate(values):
            if value is None:
                digits.insert(place, null)
    return digits


def _times(values: _Values, null: str | None) -> Texts:
    """Times as PostgreSQL prints them: a blank, and no zeros at the end of a fraction."""
    return [
        null
        if text is None
        else text.replace("T", " ").rstrip("0").rstrip(".")
        if text[-1] == "0" and len(text) > _WITHOUT_FRACTION
        else text.replace("T", " ")
        for text in values
    ]


def _times_utc(values: _Values, null: str | None) -> Texts:
    bare = [
        None if text is None else text.replace("Z", "").replace("+00:00", "") for text in values
    ]
    return [null if text is None else text + "+00" for text in _times(bare, None)]


_INTEGER = _Kind(frozenset({int}), None, _numbers, _numbers)
_TEXT = _Kind(frozenset({str}), _check_text)
_KINDS = {
    "smallint": _INTEGER,
    "integer": _INTEGER,
    "bigint": _INTEGER,
    "double precision": _Kind(frozenset({float}), None, _numbers, _double_bits),
    "numeric": _Kind(frozenset({int, float}), None, _each(_number_text), _canonical("numeric")),
    "boolean": _Kind(frozenset({int}), _check_bits, _named("f", "t"), _named("0", "1")),
    "timestamp without time zone": _Kind(frozenset({str}), _check_moments(_TIMES), None, _times),
    "timestamp with time zone": _Kind(
        frozenset({str}), _check_moments(_TIMES_UTC), None, _times_utc
    ),
    "date": _Kind(frozenset({str}), _check_moments([_DATE])),
    "uuid": _Kind(frozenset({str}), _check_text, None, _canonical("uuid")),
    "jsonb": _Kind(frozenset({str}), _check_text, None, _canonical("jsonb")),
    "bytea": _Kind(frozenset({bytes}), None, _each(bytes.hex), _canonical("bytea"), "\\x"),
}
