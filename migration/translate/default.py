"""DEFAULT clauses, for a column of a given PostgreSQL type."""

import json
import re
import uuid
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from migration.translate.comparison import has_zone, is_time
from migration.translate.errors import UntranslatableError
from migration.translate.expression import TableNames, Translator, parse, translate_node
from migration.translate.lexer import Kind as TokenKind
from migration.translate.lexer import closing, tokenize, unquote
from migration.translate.nodes import Node
from migration.translate.scope import Scope, quote_text
from migration.translate.values import Kind, Value, as_text, integer, into

if TYPE_CHECKING:
    from collections.abc import Callable

_CONSTANTS = ("TRUE", "FALSE", "NULL", "CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME")
_WHOLE = re.compile(r"\s*[+-]?\d+\s*")
_DECIMAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_MOMENTS = ("timestamp without time zone", "timestamp with time zone")
_BOOLEANS = {"0": False, "1": True, "f": False, "t": True, "false": False, "true": True}


def default(text: str | None, pg_type: str) -> str | None:
    """The DEFAULT of a column of that type, from pragma table_xinfo's `dflt_value`.

    None where there is none or it is NULL. Raises UntranslatableError, also where the type
    would refuse the value.
    """
    if text is None or not (value := _read(text)) or value.kind is Kind.NULL:
        return None
    if isinstance(value.literal, str):
        return _of_text(value.literal, pg_type)
    if isinstance(value.literal, int | float):
        return _of_number(value.literal, pg_type)
    if isinstance(value.literal, bytes) and pg_type != "bytea":
        raise UntranslatableError(f"a blob as the default of a column of type {pg_type}")
    return _of_expression(value, pg_type)


def _read(text: str) -> Value | None:
    tokens = tokenize(text)
    while len(tokens) > 1 and tokens[0].is_sign("(") and closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    if not tokens:
        return None
    if len(tokens) == 1 and tokens[0].kind in (TokenKind.WORD, TokenKind.NAME):
        word = tokens[0]
        if not word.is_word(*_CONSTANTS):
            # SQLite takes a bare word for a text.
            return Value("", Kind.TEXT, literal=unquote(word))
    if [token.text for token in tokens[:1]] == ["+"] and len(tokens) == 2:
        tokens = tokens[1:]
    translator = Translator(TableNames(Scope({})), _EXTRA)
    return translate_node(parse(text[tokens[0].start : tokens[-1].end]), translator)


def _of_text(text: str, pg_type: str) -> str:
    refused = UntranslatableError(f"the default {quote_text(text)} is no {pg_type}")
    if pg_type == "text":
        return quote_text(text)
    if pg_type == "bytea":
        return f"'\\x{text.encode().hex()}'::bytea"
    if pg_type == "boolean" and text.lower() in _BOOLEANS:
        return str(_BOOLEANS[text.lower()]).lower()
    if pg_type == "bigint" and _WHOLE.fullmatch(text):
        return _of_number(int(text), pg_type)
    if (valid := _VALID.get(pg_type)) is not None and valid(text):
        return f"{quote_text(text)}::{pg_type}"
    if pg_type in ("date", *_MOMENTS) and is_time(text, pg_type):
        zone = "+00:00" if pg_type == _MOMENTS[1] and not has_zone(text) else ""
        return f"'{text}{zone}'::{pg_type}"
    raise refused


def _is_json(text: str) -> bool:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return "\\u0000" not in text


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _is_decimal(text: str) -> bool:
    return _DECIMAL.fullmatch(text) is not None


_VALID = {
    "jsonb": _is_json,
    "uuid": _is_uuid,
    "double precision": _is_decimal,
    "numeric": _is_decimal,
}


def _of_number(number: float, pg_type: str) -> str:
    whole = int(number) if number in (int(number),) else None
    if pg_type == "boolean" and number in (0, 1):
        return "true" if number else "false"
    if pg_type == "bigint" and whole is not None and -(2**63) <= whole < 2**63:
        return integer(whole).sql
    if pg_type in ("double precision", "numeric"):
        return repr(number) if number >= 0 else f"({number!r})"
    # SQLite writes a real with 15 digits.
    short = isinstance(number, int) or re.fullmatch(r"-?[\d.]{1,15}", repr(number))
    if pg_type == "text" and short:
        return quote_text(repr(number))
    raise UntranslatableError(f"the default {number!r} is no {pg_type}")


def _of_expression(value: Value, pg_type: str) -> str:
    if pg_type in _MOMENTS and value.moment is not None:
        if pg_type == _MOMENTS[0]:
            return value.moment
        return f"timezone('UTC', {value.moment})"
    if pg_type == _MOMENTS[0] and value.kind is Kind.DATE:
        return value.cast("timestamp")
    if pg_type == "bigint" and value.number is not None:
        return value.number
    if pg_type == "uuid" and value.kind is Kind.TEXT:
        return value.cast("uuid")
    if pg_type == "date" and value.kind is not Kind.DATE:
        raise UntranslatableError(f"{value.kind.value} as the default of a date")
    return as_text(value) if pg_type == "text" else into(value, pg_type)


def _random(*_: Node) -> Value:
    half = "floor(random() * 4294967296)::bigint"
    return Value(f"{half} << 32 | {half}", Kind.INTEGER, atom=False)


def _named(translator: Translator, node: Node) -> Value:
    """The functions that only a DEFAULT is given: of chance, and JSON's empty ones."""
    name, arguments = str(node.this).lower(), translator.values(node.expressions)
    if name == "randomblob" and len(arguments) == 1:
        length = arguments[0].literal
        if not isinstance(length, int) or not 0 < length <= 32:
            raise UntranslatableError("randomblob of anything but 1 to 32 bytes")
        source = "uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())"
        return Value(f"substr(sha256({source}), 1, {length})", Kind.BYTES)
    if name == "json" and len(arguments) == 1 and isinstance(arguments[0].literal, str):
        return arguments[0]
    if name in ("json_array", "json_object") and not arguments:
        text = "[]" if name == "json_array" else "{}"
        return Value(quote_text(text), Kind.TEXT, literal=text)
    handler: Callable[[Translator, Any], Value] = _anonymous
    return handler(translator, node)


def _json_object(_: Translator, node: Node) -> Value:
    if node.expressions:
        raise UntranslatableError("json_object with members")
    return Value("'{}'", Kind.TEXT, literal="{}")


_anonymous = Translator(TableNames(Scope({}))).handlers[exp.Anonymous]
_EXTRA: dict[type[exp.Expression], Node] = {
    exp.Anonymous: _named,
    exp.Rand: _random,
    exp.JSONObject: _json_object,
}
