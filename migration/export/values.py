"""A value of PostgreSQL as the platform writes it into SQLite.

PostgreSQL renders what has a form of its own (times, UUIDs, JSON); Python makes the numbers.
"""

from collections.abc import Callable
from decimal import Decimal

from psycopg import sql

from migration.source import Value
from migration.statements import trusted

#: SQLAlchemy's form of a time in SQLite: always with microseconds. What SQLAlchemy could not read
#: (infinity, years before 1 or after 9999) stays as PostgreSQL prints it.
_MOMENT = (
    "case when isfinite({column}) and extract(year from {column}) between 1 and 9999"
    " then to_char({moment}, 'YYYY-MM-DD HH24:MI:SS.US'){zone} else {column}::text end"
)
_TEXT = "{column}::text"
_RENDERED = {
    "smallint": "{column}",
    "integer": "{column}",
    "bigint": "{column}",
    "double precision": "{column}",
    "bytea": "{column}",
    "text": "{column}",
    "character varying": "{column}",
    "boolean": "{column}::int",
    "timestamp without time zone": _MOMENT.replace("{moment}", "{column}").replace("{zone}", ""),
    "timestamp with time zone": _MOMENT.replace("{moment}", "{column} at time zone 'UTC'").replace(
        "{zone}", " || '+00:00'"
    ),
}
_MOST_INTEGER = 2**63


def rendered(column: str, pg_type: str, *, as_text: bool) -> sql.Composed:
    """The SQL expression whose result `finisher` takes.

    Args:
        column: its name.
        pg_type: its type.
        as_text: as PostgreSQL prints it, for values that SQLite has no form of its own for.
    """
    template = trusted(_TEXT if as_text else _RENDERED.get(pg_type, _TEXT))
    return template.format(column=sql.Identifier(column))


def finisher(pg_type: str) -> Callable[[Value], Value] | None:
    """What makes SQLite's value of the rendered one; None where it is that already."""
    return {"numeric": _number, "real": _real}.get(pg_type)


def _number(value: Value) -> Value:
    """Digits as the integer or the double that they are; text where they are neither."""
    if value is None:
        return None
    exact = Decimal(str(value))
    if exact.is_nan():
        return value  # SQLite makes NULL of the number
    if exact.is_infinite():
        return float(exact)
    if exact == exact.to_integral_value() and abs(exact) < _MOST_INTEGER:
        return int(exact)
    return float(exact) if Decimal(repr(float(exact))) == exact else value


def _real(value: Value) -> Value:
    return None if value is None else float(str(value))
