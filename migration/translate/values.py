"""A translated expression and what is known about it; turning one kind of value into another."""

import re
from dataclasses import dataclass, replace
from enum import Enum

from migration.translate.errors import UntranslatableError
from migration.translate.scope import ScopeColumn, quote_identifier


class Kind(Enum):
    """What an expression yields in PostgreSQL, and what it was in SQLite."""

    INTEGER = "integer"
    #: A double that SQLite stores as a REAL, for sure.
    REAL = "real"
    #: A double that SQLite may store as an INTEGER where it is whole.
    NUMBER = "number"
    NUMERIC = "numeric"
    #: 0 or 1 in SQLite.
    BOOLEAN = "boolean"
    TEXT = "text"
    BYTES = "bytea"
    TIMESTAMP = "timestamp without time zone"
    INSTANT = "timestamp with time zone"
    DATE = "date"
    TIME = "time without time zone"
    UUID = "uuid"
    JSON = "jsonb"
    #: What json_extract yields: of SQLite's types any, in PostgreSQL a jsonb.
    JSON_VALUE = "a value from JSON"
    NULL = "NULL"
    MIXED = "values of several types"


DOUBLES = (Kind.REAL, Kind.NUMBER)
NUMBERS = (Kind.INTEGER, Kind.REAL, Kind.NUMBER, Kind.NUMERIC)

Literal = int | float | str | bytes | None

_BY_TYPE = {
    "bigint": Kind.INTEGER,
    "double precision": Kind.NUMBER,
    **{kind.value: kind for kind in Kind if kind.value not in ("integer", "real", "number")},
}
PG_TYPES = {
    Kind.INTEGER: "bigint",
    Kind.REAL: "double precision",
    Kind.NUMBER: "double precision",
    Kind.JSON_VALUE: "text",
    Kind.NULL: "text",
    Kind.MIXED: "text",
}
_FORMS = {
    Kind.DATE: "YYYY-MM-DD",
    Kind.TIMESTAMP: "YYYY-MM-DD HH24:MI:SS",
    Kind.TIME: "HH24:MI:SS",
}
_REAL_AFFINITY = re.compile("REAL|FLOA|DOUB")
_OTHER_AFFINITY = re.compile("INT|CHAR|CLOB|TEXT|BLOB")


@dataclass(frozen=True)
class Value:
    """An expression in PostgreSQL's SQL. `atom`: it binds as tightly as a name."""

    sql: str
    kind: Kind
    literal: Literal = None
    atom: bool = True
    collation: str | None = None
    #: The collation stands in the expression rather than on the column.
    explicit: bool = False
    column: bool = False
    #: A whole number that fits 31 bits; PostgreSQL computes it as an `integer`.
    small: bool = False
    #: A date or time whose text form is SQLite's own, because a function made it.
    canonical: bool = False
    #: Of a text: the bigint that it spells, as SQL.
    number: str | None = None
    #: Of what is made from 'now': the UTC timestamp that it spells, as SQL.
    moment: str | None = None

    @property
    def wrapped(self) -> str:
        """The SQL as an operand of anything."""
        return self.sql if self.atom else f"({self.sql})"

    def cast(self, pg_type: str) -> str:
        """The SQL, cast."""
        return f"{self.wrapped}::{pg_type}"


def operator(sql: str, kind: Kind, *, small: bool = False) -> Value:
    """A value that needs parentheses as an operand."""
    return Value(sql, kind, atom=False, small=small)


def column_value(column: ScopeColumn, qualifier: str = "") -> Value:
    """A column by its target name."""
    kind = _BY_TYPE.get(column.pg_type)
    if kind is None:
        raise UntranslatableError(f"type {column.pg_type} is not known here")
    declared = column.declared.upper()
    if not column.uniform:
        kind = Kind.MIXED
    elif kind is Kind.NUMBER and "INT" not in declared:
        affine = _REAL_AFFINITY.search(declared) and not _OTHER_AFFINITY.search(declared)
        kind = Kind.REAL if affine else Kind.NUMBER
    collation = column.collation.upper() if kind is Kind.TEXT else None
    name = qualifier + quote_identifier(column.name)
    return Value(name, kind, collation=collation, column=True)


def null() -> Value:
    """NULL, of no type."""
    return Value("NULL", Kind.NULL)


def integer(number: int) -> Value:
    """A whole number as a literal; beyond 64 bits SQLite reads it as a REAL."""
    if not -(2**63) <= number < 2**63:
        return real(float(number))
    sql = str(number) if number >= 0 else f"'{number}'::bigint"
    if -(2**31) < number < 0:
        sql = f"({number})"
    return Value(sql, Kind.INTEGER, literal=number, small=abs(number) < 2**31)


def real(number: float) -> Value:
    """A double as a literal."""
    text = {"inf": "Infinity", "-inf": "-Infinity"}.get(repr(number), repr(number))
    return Value(f"'{text}'::double precision", Kind.REAL, literal=number)


def as_condition(value: Value) -> str:
    """As something for WHERE, CHECK, AND: SQLite takes any number but 0 for true."""
    if value.kind is Kind.BOOLEAN:
        return value.sql
    if value.kind is Kind.NULL:
        return "NULL::boolean"
    if isinstance(value.literal, int | float):
        return "true" if value.literal else "false"
    if value.kind in NUMBERS:
        return f"{value.wrapped} <> 0"
    raise UntranslatableError(f"{value.kind.value} used as a condition")


def condition(value: Value) -> Value:
    """`as_condition`, ready to be an operand."""
    if value.kind is Kind.BOOLEAN:
        return value
    sql = as_condition(value)
    return Value(sql, Kind.BOOLEAN, atom=" " not in sql)


def as_number(value: Value) -> Value:
    """As an operand of arithmetic: a bigint or a double."""
    if value.kind is Kind.BOOLEAN:
        return Value(value.cast("integer"), Kind.INTEGER, small=True)
    if value.kind is Kind.NUMERIC:
        return Value(value.cast("double precision"), Kind.NUMBER)
    if value.kind in NUMBERS:
        return value
    if value.number is not None:
        return Value(value.number, Kind.INTEGER)
    raise UntranslatableError(f"{value.kind.value} used as a number")


def as_double(value: Value) -> Value:
    """As a double precision; only where the number surely fits one."""
    number = as_number(value)
    if number.kind in DOUBLES:
        return number
    if isinstance(number.literal, int):
        return real(float(number.literal))
    return Value(number.cast("double precision"), Kind.REAL)


def as_bigint(value: Value) -> Value:
    """As a whole number of 64 bits."""
    number = as_number(value)
    if number.kind is not Kind.INTEGER:
        raise UntranslatableError("a number that may have a fraction where a whole one is needed")
    return replace(number, sql=number.cast("bigint"), small=False) if number.small else number


def as_text(value: Value) -> str:
    """As the text that SQLite would make of it, ready to be an operand."""
    if isinstance(value.literal, int):
        return f"'{value.literal}'"
    if value.kind is Kind.TEXT:
        return value.wrapped
    casts = {Kind.INTEGER: "text", Kind.BOOLEAN: "integer::text", Kind.NULL: "text"}
    if value.kind in casts:
        return value.cast(casts[value.kind])
    if value.kind in _FORMS and (value.canonical or value.kind is Kind.DATE):
        return f"to_char({value.sql}, '{_FORMS[value.kind]}')"
    raise UntranslatableError(f"the text form of {value.kind.value} differs in PostgreSQL")


def into(value: Value, pg_type: str) -> str:
    """As a value of that column type, with no change of meaning."""
    if pg_type == "boolean":
        return as_condition(value)
    if value.kind is Kind.NULL or PG_TYPES.get(value.kind, value.kind.value) == pg_type:
        return value.sql
    if value.kind is Kind.BOOLEAN and pg_type == "bigint":
        return value.cast("integer")
    if pg_type == "text":
        return as_text(value)
    if pg_type in ("double precision", "numeric") and value.kind in (*NUMBERS, Kind.BOOLEAN):
        return f"{as_number(value).wrapped}::{pg_type}"
    raise UntranslatableError(f"{value.kind.value} where the column is {pg_type}")


def unify(values: list[Value]) -> tuple[list[str], Value]:
    """The branches of one CASE or COALESCE, made one type; the second is a model of the result.

    SQLite would give each branch its own type. Raises where that would be seen.
    """
    kinds = {value.kind for value in values} - {Kind.NULL}
    if len(kinds) <= 1:
        kind = kinds.pop() if kinds else Kind.NULL
        texts = [value.sql for value in values]
        if kind in (Kind.MIXED, Kind.JSON_VALUE):
            raise UntranslatableError(f"{kind.value} among the branches")
        if kind is Kind.TEXT and values[0].kind is not Kind.TEXT:
            texts[0] = values[0].cast("text")
        small = all(value.small for value in values if value.kind is Kind.INTEGER)
        canonical = all(value.canonical for value in values if value.kind is not Kind.NULL)
        return texts, Value("", kind, small=small and kind is Kind.INTEGER, canonical=canonical)
    if kinds == {Kind.BOOLEAN, Kind.INTEGER}:
        return [
            value.sql if value.kind is Kind.NULL else as_number(value).sql for value in values
        ], Value("", Kind.INTEGER)
    if kinds <= {*NUMBERS, Kind.BOOLEAN}:
        for value in values:
            if value.kind is Kind.INTEGER and not value.small:
                raise UntranslatableError("large whole numbers and reals among the branches")
        return [
            value.sql if value.kind is Kind.NULL else as_double(value).sql for value in values
        ], Value("", Kind.NUMBER)
    names = " and ".join(sorted(kind.value for kind in kinds))
    raise UntranslatableError(f"{names} among the branches of one expression")
