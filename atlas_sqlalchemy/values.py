"""Values as the platform binds them, for drivers that know PostgreSQL's types better than it does.

SQLite took any value in any column. So the platform binds aware times to columns without a zone,
integers to texts, and 0 and 1 to booleans. What is meant is plain; the drivers refuse it.
Times are stored without a zone and mean UTC, as in SQLite.
"""

import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

#: PostgreSQL counts from here.
_EPOCH = datetime(2000, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
#: How PostgreSQL sends infinity and -infinity; asyncpg's own codec gives the ends of datetime.
_INFINITE = {2**63 - 1: datetime.max, -(2**63): datetime.min}
_TRUE = frozenset({"1", "t", "true", "y", "yes", "on"})
_FALSE = frozenset({"0", "f", "false", "n", "no", "off"})


def utc_without_zone(value: object) -> datetime:
    """A time as it is stored; texts in ISO form, as SQLite kept them, and dates are times too.

    Raises:
        TypeError, ValueError: it is no time.
    """
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise TypeError(f"a time is needed, not {type(value).__name__}")
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value


def encode_timestamp(value: object) -> tuple[int]:
    """Microseconds since 2000, as asyncpg's binary form wants them."""
    moment = utc_without_zone(value)
    for count, end in _INFINITE.items():
        if moment == end:
            return (count,)
    return ((moment - _EPOCH) // _MICROSECOND,)


def decode_timestamp(value: tuple[int]) -> datetime:
    """The time of so many microseconds since 2000."""
    return _INFINITE.get(value[0]) or _EPOCH + timedelta(microseconds=value[0])


def encode_boolean(value: object) -> str:
    """PostgreSQL's text of a boolean; 0, 1 and their likes (of NumPy too) are meant as such.

    Raises:
        ValueError: it is neither true nor false.
    """
    word = str(value).lower()
    if word in _TRUE:
        return "t"
    if word in _FALSE:
        return "f"
    raise ValueError(f"a boolean is needed, not {value!r}")


def decode_boolean(value: str) -> bool:
    """The boolean of PostgreSQL's text."""
    return value == "t"


async def teach_asyncpg(connection: Any) -> None:
    """Set the codecs of one asyncpg connection."""

    async def teach(name: str, form: str, encode: object, decode: object) -> None:
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=encode, decoder=decode, format=form
        )

    await teach("timestamp", "tuple", encode_timestamp, decode_timestamp)
    await teach("bool", "text", encode_boolean, decode_boolean)
    for name in ("text", "varchar", "bpchar"):
        await teach(name, "text", str, str)


def teach_psycopg(connection: Any) -> None:
    """Set the dumpers of one psycopg connection, sync or async.

    Numbers, times and UUIDs go as untyped literals: PostgreSQL reads them as what the column is.
    """
    # Imported late: with asyncpg alone there is no psycopg.
    from psycopg.adapt import Dumper  # noqa: PLC0415

    class Untyped(Dumper):
        """Text without a type."""

        def dump(self, obj: object) -> bytes:
            return str(obj).encode()

    class Moment(Untyped):
        """A time in UTC, without a zone."""

        def dump(self, obj: object) -> bytes:
            return utc_without_zone(obj).isoformat(sep=" ").encode()

    for kind in (int, uuid.UUID):
        connection.adapters.register_dumper(kind, Untyped)
    connection.adapters.register_dumper(datetime, Moment)
