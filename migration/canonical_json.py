"""JSON text as PostgreSQL prints the same document from jsonb.

Keys by length, then bytes; the last of duplicate keys; numbers in plain decimal digits.
"""

import json
import re
from decimal import Decimal
from functools import lru_cache

import msgspec

#: Documents up to this many characters are remembered: small ones are often repeated.
_REMEMBERED_CHARACTERS = 256
#: What stands in the place of a number, printed.
_PLACE = re.compile(r'"\\u0000(\d+)"')


def canonical_json(text: str) -> str:
    """The canonical text of a document.

    Text that is no JSON is returned as it is, and so never equals a document.
    """
    return _remembered(text) if len(text) <= _REMEMBERED_CHARACTERS else _canonical(text)


def _canonical(text: str) -> str:
    try:
        document = _in_order(_DECODER.decode(text))
        return msgspec.json.format(_ENCODER.encode(document), indent=0).decode()
    except (ValueError, RecursionError):
        pass
    try:
        return _by_python(text)
    except (ValueError, RecursionError):
        return text


_remembered = lru_cache(maxsize=8192)(_canonical)


def _in_order(document: object) -> object:
    """A document with the members of all its objects in order. It may be changed itself."""
    if type(document) is dict:
        return _ordered(document)
    if type(document) is list:
        _put_in_order(document)
    return document


def _ordered(members: dict[str, object]) -> dict[str, object]:
    ordered = {}
    for name in _order(tuple(members)):
        value = members[name]
        # This runs for every value of every document: nothing is faster than to ask so.
        if type(value) is dict:
            value = _ordered(value)
        elif type(value) is list:
            _put_in_order(value)
        ordered[name] = value
    return ordered


def _put_in_order(values: list[object]) -> None:
    for place, value in enumerate(values):
        if type(value) is dict:
            values[place] = _ordered(value)
        elif type(value) is list:
            _put_in_order(value)


# Most objects of a column have the keys of the one before.
@lru_cache(maxsize=1024)
def _order(names: tuple[str, ...]) -> tuple[str, ...]:
    # Characters sort like their bytes in UTF-8.
    keys = sorted(names)
    keys.sort(key=len if "".join(keys).isascii() else _byte_length)
    return tuple(keys)


def _byte_length(key: str) -> int:
    return len(key.encode("utf-8", "surrogatepass"))


def _fraction(digits: str) -> float | msgspec.Raw:
    """A number with a fraction or an exponent, as itself or as the digits to be printed."""
    number = float(digits)
    return number if _is_ordinary(number, digits) else msgspec.Raw(_plain_number(digits).encode())


def _is_ordinary(number: float, digits: str) -> bool:
    # Zeros at the end stay in jsonb, exponents do not, and a double has 17 digits.
    return repr(number) == digits and "e" not in digits and number != 0


def _plain_number(digits: str) -> str:
    """As PostgreSQL's numeric prints it: no exponent, no minus on zero."""
    number = Decimal(digits)
    return format(abs(number) if number == 0 else number, "f")


_DECODER = msgspec.json.Decoder(float_hook=_fraction)
_ENCODER = msgspec.json.Encoder()


def _by_python(text: str) -> str:
    """What msgspec refuses: whole numbers of thousands of digits, and halves of pairs.

    Long numbers stand aside while the rest is read and printed. In their places are texts with a
    NUL, which no document has that jsonb takes.
    """
    aside: dict[str, str] = {}

    def put_aside(digits: str) -> str:
        place = str(len(aside))
        aside[place] = _plain_number(digits)
        return f"\0{place}"

    decoder = json.JSONDecoder(
        parse_int=put_aside,
        parse_float=put_aside,
        parse_constant=_refuse_constant,
    )
    printed = json.dumps(_in_order(decoder.decode(text)), ensure_ascii=False)
    return _PLACE.sub(lambda found: aside.get(found[1], found[0]), printed)


def _refuse_constant(token: str) -> object:
    raise ValueError(token)
