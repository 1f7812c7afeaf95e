"""SQLite's scalar functions."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from migration.translate import dates, json
from migration.translate.comparison import collation_of, compare
from migration.translate.errors import UntranslatableError
from migration.translate.nodes import Node
from migration.translate.operators import case_when, comparison
from migration.translate.scope import quote_text
from migration.translate.values import (
    DOUBLES,
    Kind,
    Value,
    as_double,
    as_number,
    as_text,
    null,
    operator,
    unify,
)

if TYPE_CHECKING:
    from migration.translate.expression import Translator

#: What typeof() says of a kind, where that is certain.
_CLASSES = {
    Kind.INTEGER: "integer",
    Kind.BOOLEAN: "integer",
    Kind.REAL: "real",
    Kind.TEXT: "text",
    Kind.BYTES: "blob",
}


def _typeof(translator: "Translator", node: Node) -> Value:
    value = translator.value(node.this)
    if value.kind is Kind.NULL:
        return Value("'null'", Kind.TEXT, literal="null")
    if value.kind not in _CLASSES:
        raise UntranslatableError(f"typeof of {value.kind.value}")
    return case_when(
        [f"{value.wrapped} IS NULL"],
        [_text("null"), _text(_CLASSES[value.kind])],
    )


def _compare_typeof(translator: "Translator", node: Node) -> Value | None:
    """typeof(x) = 'integer', as what it asks: whether there is a value."""
    for one, other in ((node.this, node.expression), (node.expression, node.this)):
        if isinstance(one, exp.Typeof):
            value = translator.value(one.this)
            if _CLASSES.get(value.kind, "") == translator.value(other).literal:
                word = "IS NOT NULL" if isinstance(node, exp.EQ) else "IS NULL"
                return operator(f"{value.wrapped} {word}", Kind.BOOLEAN)
    return None


def _equality(translator: "Translator", node: Node) -> Value:
    return _compare_typeof(translator, node) or comparison(translator, node)


def _text(text: str) -> Value:
    return Value(quote_text(text), Kind.TEXT, literal=text)


def _length(translator: "Translator", node: Node) -> Value:
    value = translator.value(node.this)
    name = "octet_length" if value.kind is Kind.BYTES else "length"
    operand = value.sql if value.kind is Kind.BYTES else as_text(value)
    return Value(f"{name}({operand})", Kind.INTEGER, small=True)


def _letters(name: str) -> Callable[["Translator", Any], Value]:
    def handler(translator: "Translator", node: Node) -> Value:
        # Only ASCII letters have a case in SQLite.
        return Value(f'{name}({as_text(translator.value(node.this))} COLLATE "C")', Kind.TEXT)

    return handler


def _substring(translator: "Translator", node: Node) -> Value:
    text = as_text(translator.value(node.this))
    start, length = translator.value(node.args["start"]), node.args.get("length")
    position = start.literal
    if isinstance(position, int) and -(2**31) < position < 0 and length is None:
        return Value(f"right({text}, {-position})", Kind.TEXT)
    if isinstance(position, int) and position >= 0:
        first = _whole(start)
    elif isinstance(position, int):
        first = f"length({text}) - {-position} + 1"
    else:
        counted = _whole(start)
        first = f"CASE WHEN {counted} < 0 THEN length({text}) + {counted} + 1 ELSE {counted} END"
    parts = [text, first]
    if length is not None:
        amount = translator.value(length)
        if isinstance(amount.literal, int) and amount.literal < 0:
            raise UntranslatableError("substr with a negative length")
        parts.append(_whole(amount))
    return Value(f"substr({', '.join(parts)})", Kind.TEXT)


def _whole(value: Value) -> str:
    if value.kind is not Kind.INTEGER:
        raise UntranslatableError("substr by anything but whole numbers")
    return value.wrapped if value.small else value.cast("integer")


def _trim(translator: "Translator", node: Node) -> Value:
    names = {None: "btrim", "LEADING": "ltrim", "TRAILING": "rtrim"}
    position = node.args.get("position")
    if position not in names:
        raise UntranslatableError(f"TRIM {position} is not SQLite's")
    parts = [as_text(translator.value(node.this))]
    letters = node.args.get("expression")
    parts.append(as_text(translator.value(letters)) if letters is not None else "' '")
    return Value(f"{names[position]}({', '.join(parts)})", Kind.TEXT)


def _instr(translator: "Translator", node: Node) -> Value:
    if node.args.get("position") or node.args.get("occurrence"):
        raise UntranslatableError("instr with more than two arguments")
    value, wanted = translator.value(node.this), translator.value(node.args["substr"])
    sql = f"strpos({as_text(value)}, {as_text(wanted)})"
    return Value(sql, Kind.INTEGER, small=True)


def _replace(translator: "Translator", node: Node) -> Value:
    if node.args.get("replacement") is None:
        raise UntranslatableError("replace with two arguments")
    parts = translator.values([node.this, node.expression, node.args["replacement"]])
    text, wanted, other = (as_text(part) for part in parts)
    sql = f"replace({text}, {wanted}, {other})"
    if not parts[1].literal and parts[2].literal is None:
        # Where there is nothing to look for, SQLite does not look at a NULL either.
        sql = f"CASE WHEN {wanted} = '' THEN {text} ELSE {sql} END"
    return Value(sql, Kind.TEXT)


def _coalesce(translator: "Translator", node: Node) -> Value:
    values = translator.values([node.this, *node.expressions])
    texts, model = unify(values)
    if model.kind is Kind.NULL:
        return null()
    return replace(model, sql=f"coalesce({', '.join(texts)})")


def _nullif(translator: "Translator", node: Node) -> Value:
    left, right = translator.value(node.this), translator.value(node.expression)
    if left.kind is Kind.NULL:
        return left
    equal = compare("=", left, right)
    if left.kind is right.kind and collation_of(left, right) == "BINARY":
        plain = replace(left, collation=None, column=False, literal=None, atom=True)
        return replace(plain, sql=f"nullif({left.sql}, {right.sql})")
    return case_when([equal.sql], [null(), left])


def _abs(translator: "Translator", node: Node) -> Value:
    value = translator.value(node.this)
    if value.kind is Kind.NULL:
        return value
    number = as_number(value)
    return Value(f"abs({number.sql})", number.kind, small=number.small)


def _round(translator: "Translator", node: Node) -> Value:
    value, decimals = translator.value(node.this), node.args.get("decimals")
    if value.kind is Kind.NULL:
        return value
    number = as_double(value).wrapped
    if decimals is None:
        # Halves go away from zero, where PostgreSQL's round() of a double goes to even.
        half = f"CASE WHEN {number} < 0 THEN -0.5 ELSE 0.5 END"
        sql = f"CASE WHEN abs({number}) > 4503599627370496 THEN {number} ELSE "
        return Value(f"{sql}trunc({number} + {half}) + 0 END", Kind.REAL)
    digits = translator.value(decimals).literal
    if not isinstance(digits, int) or not 0 <= digits <= 15:
        raise UntranslatableError("round to anything but 0 to 15 digits")
    sql = f"round({number}::text::numeric, {digits})::double precision"
    # From there on a double has no fraction.
    return Value(
        f"CASE WHEN abs({number}) > 4503599627370496 THEN {number} ELSE {sql} END", Kind.REAL
    )


def _extreme(translator: "Translator", node: Node) -> Value:
    """min(a, b) and max(a, b), which are NULL as soon as one of them is."""
    values = translator.values([node.this, *node.expressions])
    name = "greatest" if isinstance(node, exp.Greatest) else "least"
    if any(value.kind is Kind.NULL for value in values):
        return null()
    texts, model = unify(values)
    if any(value.collation not in (None, "BINARY") for value in values):
        raise UntranslatableError(f"{name} of texts that ignore case")
    if model.kind is Kind.TEXT:
        texts[0] = f'{values[0].wrapped} COLLATE "C"'
    elif model.kind not in (Kind.INTEGER, *DOUBLES, Kind.NUMERIC, Kind.DATE, Kind.TIMESTAMP):
        raise UntranslatableError(f"{name} of {model.kind.value}")
    tests = [f"{value.wrapped} IS NULL" for value in values if value.literal is None]
    sql = f"{name}({', '.join(texts)})"
    if tests:
        sql = f"CASE WHEN {' OR '.join(tests)} THEN NULL ELSE {sql} END"
    return replace(model, sql=sql)


def _hex(translator: "Translator", node: Node) -> Value:
    value = translator.value(node.this)
    text = value.kind is not Kind.BYTES
    octets = f"convert_to({as_text(value)}, 'UTF8')" if text else value.sql
    # hex(NULL) is '' in SQLite.
    return Value(f"coalesce(upper(encode({octets}, 'hex')), '')", Kind.TEXT)


def _lower_hex(translator: "Translator", node: Node) -> Value:
    upper = _hex(translator, node)
    return replace(upper, sql=f"lower({upper.sql})")


def _unicode(translator: "Translator", node: Node) -> Value:
    return Value(
        f"nullif(ascii({as_text(translator.value(node.this))}), 0)", Kind.INTEGER, small=True
    )


def _char(translator: "Translator", node: Node) -> Value:
    codes = [translator.value(part).literal for part in node.expressions]
    if not all(isinstance(code, int) and 0 < code < 0xD800 for code in codes):
        raise UntranslatableError("char of anything but literal letters")
    return _text("".join(chr(code) for code in codes if isinstance(code, int)))


def _sign(translator: "Translator", node: Node) -> Value:
    value = translator.value(node.this)
    if value.kind is Kind.NULL:
        return value
    return Value(f"sign({as_number(value).sql})::integer", Kind.INTEGER, small=True)


def _format(values: list[Value]) -> Value:
    """printf of texts and whole numbers, with %s, %d, %05d and %%."""
    template = values[0].literal if values else None
    if not isinstance(template, str):
        raise UntranslatableError("printf without a literal format")
    rest, pieces, text, position = values[1:], [], "", 0
    while position < len(template):
        letter = template[position]
        position += 1
        if letter != "%":
            text += letter
            continue
        end = next((n for n in range(position, len(template)) if template[n] in "sd%"), -1)
        directive = template[position : end + 1] if end >= 0 else ""
        position = end + 1
        if directive == "%":
            text += "%"
            continue
        if not rest or directive not in ("s", "d"):
            raise UntranslatableError(f"printf with %{directive or '?'}")
        value = rest.pop(0)
        if directive == "d" and value.kind not in (Kind.INTEGER, Kind.BOOLEAN):
            raise UntranslatableError(f"printf with %d of {value.kind.value}")
        pieces += [quote_text(text)] if text else []
        pieces.append(f"coalesce({as_text(value)}, '{'0' if directive == 'd' else ''}')")
        text = ""
    pieces += [quote_text(text)] if text or not pieces else []
    return Value(" || ".join(pieces), Kind.TEXT, atom=len(pieces) == 1)


def _same(values: list[Value]) -> Value:
    return values[0]


#: Functions that sqlglot has no node for, by lower-case name.
_NAMED: dict[str, tuple[range, Callable[[list[Value]], Value]]] = {
    "likely": (range(1, 2), _same),
    "unlikely": (range(1, 2), _same),
    "likelihood": (range(2, 3), _same),
    "printf": (range(1, 20), _format),
    "format": (range(1, 20), _format),
    **json.NAMED,
    **dates.NAMED,
}


def _anonymous(translator: "Translator", node: Node) -> Value:
    name = str(node.this).lower()
    arguments, handler = _NAMED.get(name, (range(0), None))
    if handler is None:
        raise UntranslatableError(f"function {name} is not translated")
    if len(node.expressions) not in arguments:
        raise UntranslatableError(f"{name} with {len(node.expressions)} arguments")
    return handler(translator.values(node.expressions))


def _format_node(translator: "Translator", node: Node) -> Value:
    return _format(translator.values([node.this, *node.expressions]))


HANDLERS: dict[type[exp.Expression], Node] = {
    exp.EQ: _equality,
    exp.NEQ: _equality,
    exp.Typeof: _typeof,
    exp.Length: _length,
    exp.Lower: _letters("lower"),
    exp.Upper: _letters("upper"),
    exp.Substring: _substring,
    exp.Trim: _trim,
    exp.StrPosition: _instr,
    exp.Replace: _replace,
    exp.Coalesce: _coalesce,
    exp.Nullif: _nullif,
    exp.Abs: _abs,
    exp.Round: _round,
    exp.Least: _extreme,
    exp.Greatest: _extreme,
    exp.Hex: _hex,
    exp.LowerHex: _lower_hex,
    exp.Unicode: _unicode,
    exp.Chr: _char,
    exp.Sign: _sign,
    exp.Format: _format_node,
    exp.Anonymous: _anonymous,
    **json.HANDLERS,
    **dates.HANDLERS,
}
