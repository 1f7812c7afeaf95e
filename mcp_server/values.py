"""PostgreSQL's values as JSON, without loss.

| type | JSON |
|---|---|
| integers, boolean, text | as they are |
| real, double precision | number; "NaN", "Infinity", "-Infinity" |
| numeric | number where a double holds it exactly, else its digits as text |
| json, jsonb | as it is; numbers that a double or a 64-bit integer cannot hold become text |
| timestamp, timestamptz | PostgreSQL's text, with T between date and time |
| date, interval, uuid, bytea (\\x…), inet, … | PostgreSQL's text |
| arrays | lists |
| composites, ranges, enums, types of extensions | PostgreSQL's text |

Most types are asked for as text, PostgreSQL's own rendering: nothing is lost on the way through
Python's types (infinity, years before Christ), and nothing has to be converted per row.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any

import asyncpg
import orjson

_LONG_NUMBER = re.compile(r"\d{16}|\d[eE]\+?\d{2}")
_INT64 = 2**63

_AS_TEXT = (
    "uuid", "date", "time", "timetz", "interval", "bytea", "money", "bit", "varbit", "inet",
    "cidr", "macaddr", "macaddr8", "point", "line", "lseg", "box", "path", "polygon", "circle",
    "tid", "xid", "xid8", "cid", "pg_lsn", "pg_snapshot", "txid_snapshot", "regclass", "regtype",
    "tsvector", "tsquery", "xml", "jsonpath",
)  # fmt: skip
# Types that asyncpg takes apart in binary form, which does not go together with parts that are
# asked for as text. It has no public way to say so; the numbers are PostgreSQL's, fixed for ever.
_WHOLE_AS_TEXT = {
    18: "char", 22: "int2vector", 30: "oidvector", 1033: "aclitem", 2249: "record",
    2277: "anyarray", 2287: "record[]",
    3904: "int4range", 3906: "numrange", 3908: "tsrange", 3910: "tstzrange", 3912: "daterange",
    3926: "int8range", 3905: "int4range[]", 3907: "numrange[]", 3909: "tsrange[]",
    3911: "tstzrange[]", 3913: "daterange[]", 3927: "int8range[]", 4451: "int4multirange",
    4532: "nummultirange", 4533: "tsmultirange", 4534: "tstzmultirange", 4535: "datemultirange",
    4536: "int8multirange",
}  # fmt: skip


def _float(text: str) -> float | str:
    value = float(text)
    return value if math.isfinite(value) else text


def _numeric(text: str) -> int | float | str:
    try:
        value = int(text) if "." not in text else float(text)
    except ValueError:  # NaN, Infinity
        return text
    if isinstance(value, int):
        return value if abs(value) <= 2**53 else text
    # 15 significant digits survive a double; compared as text, since 1.10 is to stay 1.10.
    return value if repr(value) == text else text


def _timestamp(text: str) -> str:
    return text.replace(" ", "T", 1)


def _json(text: str) -> Any:  # noqa: ANN401 - a JSON value
    if _LONG_NUMBER.search(text):
        return json.loads(text, parse_float=_numeric, parse_int=_integer)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # deeper than orjson goes, or a lone surrogate in json
        return text


def _integer(text: str) -> int | str:
    value = int(text)
    return value if -_INT64 <= value < _INT64 else text


_DECODERS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(_AS_TEXT, str),
    "float4": _float,
    "float8": _float,
    "numeric": _numeric,
    "timestamp": _timestamp,
    "timestamptz": _timestamp,
    "json": _json,
    "jsonb": _json,
}


async def set_codecs(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Make a connection deliver JSON values; once, when it has been made."""
    for name, decoder in _DECODERS.items():
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=str, decoder=decoder, format="text"
        )
    for oid, name in _WHOLE_AS_TEXT.items():
        add_text_codec(connection, oid, name)


def add_text_codec(connection: Any, oid: int, name: str) -> None:  # noqa: ANN401 - see below
    """Make a connection deliver values of one type as PostgreSQL's text."""
    # asyncpg has no public way; the type checker would not let a private one pass.
    settings = connection._protocol.get_settings()
    settings.add_python_codec(oid, name, "pg_catalog", [], "scalar", str, str, "text")
