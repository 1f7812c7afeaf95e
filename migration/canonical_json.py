"""JSON text as PostgreSQL prints the same document from jsonb.

Keys by length, then bytes; the last of duplicate keys; numbers in plain decimal digits.
"""

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache

#: Documents up to this many characters are remembered: small ones are often repeated.
_REMEMBERED_CHARACTERS = 256


def canonical_json(text: str) -> str:
    """The canonical text of a document.

    Text that is no JSON is returned as it is, and so never equals a document.
    """
    return _remembered(text) if len(text) <= _REMEMBERED_CHARACTERS else _canonical(text)


class _NotOrdinaryError(Exception):
    """A fraction that Python may not print as PostgreSQL does."""


class _Number(str):
    """A number's digits as they stand in the document; Python's float would lose some."""

    __slots__ = ()


def _canonical(text: str) -> str:
    # Both ways read and print the same; the first is all in C but for each object and each
    # fraction, the second prints in Python.
    try:
        return _PRINT(_READ(text))
    except (_NotOrdinaryError, ValueError, RecursionError):
        pass
    try:
        return "".join(_printed(_READ_DIGITS(text)))
    except (ValueError, RecursionError):
        return text


_remembered = lru_cache(maxsize=8192)(_canonical)


def _ordered(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < 2:
        return members
    names = tuple(members)
    keys = _order(names)
    return members if keys == names else {key: members[key] for key in keys}


# Most objects of a column have the keys of the one before.
@lru_cache(maxsize=1024)
def _order(names: tuple[str, ...]) -> tuple[str, ...]:
    # Characters sort like their bytes in UTF-8.
    keys = sorted(names)
    keys.sort(key=len if "".join(keys).isascii() else _byte_length)
    return tuple(keys)


def _byte_length(key: str) -> int:
    return len(key.encode("utf-8", "surrogatepass"))


def _ordinary_float(digits: str) -> float:
    number = float(digits)
    # Zeros at the end stay in jsonb, exponents do not, and a double has 17 digits.
    if repr(number) != digits or "e" in digits or number == 0:
        raise _NotOrdinaryError
    return number


def _refuse_constant(token: str) -> object:
    raise ValueError(token)


_READ: Callable[[str], object] = json.JSONDecoder(
    object_pairs_hook=_ordered, parse_float=_ordinary_float, parse_constant=_refuse_constant
).decode
_PRINT: Callable[[object], str] = json.JSONEncoder(
    ensure_ascii=False, separators=(", ", ": "), check_circular=False
).encode
_READ_DIGITS: Callable[[str], object] = json.JSONDecoder(
    object_pairs_hook=_ordered,
    parse_int=_Number,
    parse_float=_Number,
    parse_constant=_refuse_constant,
).decode


def _printed(node: object) -> list[str]:
    parts: list[str] = []
    if isinstance(node, dict):
        for key, value in node.items():
            parts += [", " if parts else "{", _PRINT(key), ": ", *_printed(value)]
        parts.append("}" if parts else "{}")
    elif isinstance(node, list):
        for value in node:
            parts += [", " if parts else "[", *_printed(value)]
        parts.append("]" if parts else "[]")
    else:
        parts.append(_plain_number(node) if isinstance(node, _Number) else _PRINT(node))
    return parts


def _plain_number(digits: str) -> str:
    """As PostgreSQL's numeric prints it: no exponent, no minus on zero."""
    number = Decimal(digits)
    return format(abs(number) if number == 0 else number, "f")
