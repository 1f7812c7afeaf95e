"""Values for $1, $2, …: JSON, bound by the extended protocol, never put into the text.

PostgreSQL says which type each parameter has. A JSON string may stand for a value of any type in
PostgreSQL's own notation; what cannot be a value of the type is refused with PostgreSQL's code.

| type | JSON |
|---|---|
| integers | number, or its digits as a string |
| real, double precision | number, or "NaN", "Infinity", "-Infinity" |
| boolean | true, false, or such a word as a string |
| text | string; numbers and booleans become their text, objects and lists their JSON |
| json, jsonb | object, list, number, boolean as they are; a string is JSON text |
| arrays | list, nested as deep as the array |
| all others | string; a number becomes its digits |
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from mcp_server.failure import Failure

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.prepared_stmt import PreparedStatement

Parameters = Sequence[Any]

_INTEGER_BITS = {"int2": 16, "int4": 32, "int8": 64}
_BOOLEANS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}
# asyncpg names array types as PostgreSQL prints them, and the others as pg_type does.
_PRINTED = {
    "smallint": "int2", "integer": "int4", "bigint": "int8", "real": "float4",
    "double precision": "float8", "boolean": "bool", "character varying": "text",
}  # fmt: skip


def bound(prepared: "PreparedStatement[Record]", parameters: Parameters) -> list[Any]:
    """The parameters as asyncpg takes them.

    Raises:
        Failure: 42P02 where there are too few, 08P01 where too many; 22003, 22P02, 22021 or 42804
            where one is no value of its type.
    """
    types = prepared.get_parameters()
    if len(types) != len(parameters):
        few = len(parameters) < len(types)
        raise Failure(
            f"The statement has {len(types)} parameters, and params has {len(parameters)} values.",
            sqlstate="42P02" if few else "08P01",
            hint="Give params a value for each of $1, $2, …",
        )
    return [
        _value(value, type_.name, type_.kind == "array", f"${number}")
        for number, (type_, value) in enumerate(zip(types, parameters, strict=True), 1)
    ]


def _value(value: object, type_: str, is_array: bool, place: str) -> object:
    if value is None:
        return None
    if is_array:
        return _list(value, type_.removesuffix("[]"), place)
    name = _PRINTED.get(type_, type_)
    return _CONVERSIONS.get(name, _text)(value, name, place)


def _list(value: object, type_: str, place: str) -> list[object]:
    if not isinstance(value, list):
        raise _wrong(value, f"{type_}[]", place, "42804", "Give an array as a JSON list.")
    return [
        _list(item, type_, place) if isinstance(item, list) else _value(item, type_, False, place)
        for item in value
    ]


def _integer(value: object, type_: str, place: str) -> int:
    if isinstance(value, bool | list | dict):
        raise _wrong(value, type_, place, "42804")
    try:
        number = int(str(value)) if not isinstance(value, float) else _whole(value)
    except ValueError:
        raise _wrong(value, type_, place) from None
    if not -(2 ** (_INTEGER_BITS[type_] - 1)) <= number < 2 ** (_INTEGER_BITS[type_] - 1):
        raise _wrong(value, type_, place, "22003")
    return number


def _whole(value: float) -> int:
    if not value.is_integer():
        raise ValueError
    return int(value)


def _float(value: object, type_: str, place: str) -> str:
    if isinstance(value, bool | list | dict):
        raise _wrong(value, type_, place, "42804")
    try:
        number = float(str(value))
    except ValueError:
        raise _wrong(value, type_, place) from None
    if math.isinf(number) and "inf" not in str(value).lower():
        raise _wrong(value, type_, place, "22003")
    return str(value)


def _boolean(value: object, type_: str, place: str) -> bool:
    if isinstance(value, str) and value.strip().lower() in _BOOLEANS:
        return _BOOLEANS[value.strip().lower()]
    if not isinstance(value, bool):
        raise _wrong(
            value,
            type_,
            place,
            "22P02" if isinstance(value, str) else "42804",
            "Use true or false.",
        )
    return value


def _json(value: object, _type: str, place: str) -> str:
    return _text(value, _type, place) if isinstance(value, str) else _dumped(value, place)


def _text(value: object, _type: str, place: str) -> str:
    if not isinstance(value, str):
        return _dumped(value, place)
    if "\0" in value:
        raise _unstorable(place, "a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _unstorable(place, "a lone surrogate") from None
    return value


def _dumped(value: object, place: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # too deep, a number beyond 64 bits inside, a lone surrogate
        raise Failure(
            f"The value of {place} cannot be written as JSON.",
            sqlstate="22P02",
            hint="Pass it as a string of JSON text.",
        ) from None


_CONVERSIONS: dict[str, Callable[[object, str, str], object]] = {
    **dict.fromkeys(_INTEGER_BITS, _integer),
    "oid": lambda value, _type, place: _integer(value, "int8", place),
    "float4": _float,
    "float8": _float,
    "bool": _boolean,
    "json": _json,
    "jsonb": _json,
}


def _wrong(
    value: object, type_: str, place: str, sqlstate: str = "22P02", hint: str = ""
) -> Failure:
    shown = ascii(value)
    return Failure(
        f"The value of {place}, {shown[:80]}, is no {type_}"
        + (": it is out of range." if sqlstate == "22003" else "."),
        sqlstate=sqlstate,
        hint=hint or f"Give {place} a value of the type {type_}, or cast it: {place}::text.",
    )


def _unstorable(place: str, what: str) -> Failure:
    return Failure(
        f"The value of {place} contains {what}.", sqlstate="22021", hint="Remove it from the text."
    )
