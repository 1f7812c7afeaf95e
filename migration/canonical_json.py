"""JSON text as PostgreSQL prints the same document from jsonb.

Keys by length, then bytes; the last of duplicate keys; numbers in plain decimal digits.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache

#: Documents up to this many characters are remembered: small ones are often repeated.
_REMEMBERED_CHARACTERS = 256
#: Python refuses to read whole numbers of many more digits.
_LONG = 4_000
#: What stands in the place of a number, printed.
_PLACE = re.compile(r'"\\u0000(\d+)"')


def canonical_json(text: str) -> str:
    """The canonical text of a document.

    Text that is no JSON is returned as it is, and so never equals a document.
    """
    return _remembered(text) if len(text) <= _REMEMBERED_CHARACTERS else _canonical(text)


class _UnusualNumberError(Exception):
    """A number that Python may not print as PostgreSQL does."""


def _canonical(text: str) -> str:
    # Both ways read and print in C; the second also knows what to do with unusual numbers.
    try:
        return _PRINT(_read(_DECODER, text))
    except (_UnusualNumberError, ValueError, RecursionError):
        pass
    try:
        return _with_unusual_numbers(text)
    except (ValueError, RecursionError):
        return text


_remembered = lru_cache(maxsize=8192)(_canonical)


def _read(decoder: json.JSONDecoder, text: str) -> object:
    try:
        document, end = decoder.raw_decode(text)
    except json.JSONDecodeError:
        # It may begin with blanks, which only this skips.
        return decoder.decode(text)
    return document if end == len(text) else decoder.decode(text)


def _with_unusual_numbers(text: str) -> str:
    """Numbers stand aside while the rest is read and printed.

    In their places are texts with a NUL, which no document has that jsonb takes.
    """
    aside: dict[str, str] = {}

    def put_aside(digits: str) -> str:
        place = str(len(aside))
        aside[place] = _plain_number(digits)
        return f"\0{place}"

    def whole(digits: str) -> int | str:
        return int(digits) if len(digits) < _LONG else put_aside(digits)

    def fraction(digits: str) -> float | str:
        number = float(digits)
        return number if _is_ordinary(number, digits) else put_aside(digits)

    decoder = json.JSONDecoder(
        object_hook=_ordered,
        parse_int=whole,
        parse_float=fraction,
        parse_constant=_refuse_constant,
    )
    return _PLACE.sub(lambda found: aside.get(found[1], found[0]), _PRINT(_read(decoder, text)))


def _ordered(members: dict[str, object]) -> dict[str, object]:
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
    if not _is_ordinary(number, digits):
        raise _UnusualNumberError
    return number


def _is_ordinary(number: float, digits: str) -> bool:
    # Zeros at the end stay in jsonb, exponents do not, and a double has 17 digits.
    return repr(number) == digits and "e" not in digits and number != 0


def _refuse_constant(token: str) -> object:
    raise ValueError(token)


def _plain_number(digits: str) -> str:
    """As PostgreSQL's numeric prints it: no exponent, no minus on zero."""
    number = Decimal(digits)
    return format(abs(number) if number == 0 else number, "f")


_DECODER = json.JSONDecoder(
    object_hook=_ordered, parse_float=_ordinary_float, parse_constant=_refuse_constant
)
_PRINT: Callable[[object], str] = json.JSONEncoder(
    ensure_ascii=False, separators=(", ", ": "), check_circular=False
).encode
