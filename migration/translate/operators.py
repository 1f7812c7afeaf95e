"""Literals, columns, operators, CASE, CAST: the nodes that are no function calls."""

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from migration.translate import comparison as compared
from migration.translate.errors import UntranslatableError
from migration.translate.nodes import Node
from migration.translate.patterns import glob, like
from migration.translate.scope import quote_identifier, quote_text
from migration.translate.values import (
    DOUBLES,
    NUMBERS,
    Kind,
    Value,
    as_bigint,
    as_condition,
    as_double,
    as_number,
    as_text,
    condition,
    integer,
    null,
    operator,
    real,
    unify,
)

if TYPE_CHECKING:
    from migration.translate.expression import Translator

_ARITHMETIC: dict[type[exp.Expression], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}
_COMPARISONS: dict[type[exp.Expression], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
_BITS: dict[type[exp.Expression], str] = {exp.BitwiseAnd: "&", exp.BitwiseOr: "|"}
_SHIFTS: dict[type[exp.Expression], str] = {exp.BitwiseLeftShift: "<<", exp.BitwiseRightShift: ">>"}
_Type = exp.DataType.Type
_INTEGER_TYPES = (_Type.INT, _Type.BIGINT, _Type.SMALLINT, _Type.TINYINT)
_TEXT_TYPES = (_Type.TEXT, _Type.VARCHAR, _Type.CHAR, _Type.NVARCHAR, _Type.NCHAR)


def _literal(_: "Translator", node: Node) -> Value:
    text = str(node.this)
    if node.is_string:
        return Value(quote_text(text), Kind.TEXT, literal=text)
    return integer(int(text)) if text.isdigit() else real(float(text))


def _hex_string(_: "Translator", node: Node) -> Value:
    digits = str(node.this)
    return Value(f"'\\x{digits}'::bytea", Kind.BYTES, literal=bytes.fromhex(digits))


def _boolean(_: "Translator", node: Node) -> Value:
    return Value(str(node.this).lower(), Kind.BOOLEAN, literal=int(node.this))


def _column(translator: "Translator", node: Node) -> Value:
    name, quoted = node.this, bool(node.this.args.get("quoted"))
    if isinstance(name, exp.Star) or node.args.get("db"):
        raise UntranslatableError(f"{node.sql(dialect='sqlite')} is not a column")
    found = translator.names.column(node.table or None, name.name, quoted=quoted)
    if found is not None:
        return found
    if quoted and not node.table:
        # SQLite reads "text" as a literal where there is no such column.
        return Value(quote_text(name.name), Kind.TEXT, literal=name.name)
    raise UntranslatableError(f"there is no column {quote_identifier(name.name)}")


def _paren(translator: "Translator", node: Node) -> Value:
    return translator.value(node.this)


def _connector(translator: "Translator", node: Node) -> Value:
    word = "AND" if isinstance(node, exp.And) else "OR"
    # sqlglot nests a chain to the left; a long one is walked rather than recursed into.
    parts, rest = [], node
    while type(rest) is type(node):
        parts.append(rest.expression)
        rest = rest.this
    parts.append(rest)
    texts = [condition(translator.value(part)).wrapped for part in reversed(parts)]
    return operator(f" {word} ".join(texts), Kind.BOOLEAN)


def _not(translator: "Translator", node: Node) -> Value:
    inner = node.this
    if isinstance(inner, exp.Is):
        return _is(translator, inner, negated=True)
    if isinstance(inner, exp.In) and not inner.args.get("query"):
        return _in(translator, inner, negated=True)
    return operator(f"NOT {condition(translator.value(inner)).wrapped}", Kind.BOOLEAN)


def _is(translator: "Translator", node: Node, *, negated: bool = False) -> Value:
    left, right = translator.value(node.this), node.expression
    if isinstance(right, exp.Null):
        return operator(f"{left.wrapped} IS {'NOT ' * negated}NULL", Kind.BOOLEAN)
    if isinstance(right, exp.Boolean):
        return compared.is_truth(left, truth=bool(right.this), negated=negated)
    op = "IS DISTINCT FROM" if negated else "IS NOT DISTINCT FROM"
    return compared.compare(op, left, translator.value(right))


def comparison(translator: "Translator", node: Node) -> Value:
    """One of the comparison operators."""
    left, right = translator.value(node.this), translator.value(node.expression)
    return compared.compare(_COMPARISONS[type(node)], left, right)


def _between(translator: "Translator", node: Node) -> Value:
    parts = translator.values([node.this, node.args["low"], node.args["high"]])
    if node.args.get("symmetric"):
        raise UntranslatableError("BETWEEN SYMMETRIC is not SQLite's")
    return compared.between(*parts)


def _in(translator: "Translator", node: Node, *, negated: bool = False) -> Value:
    if any(part for name, part in node.args.items() if part and name not in _IN_PARTS):
        raise UntranslatableError("IN (SELECT ...)")
    items = translator.values(node.expressions)
    return compared.among(translator.value(node.this), items, negated=negated)


_IN_PARTS = ("this", "expressions")


def _arithmetic(translator: "Translator", node: Node) -> Value:
    left, right = translator.value(node.this), translator.value(node.expression)
    if Kind.NULL in (left.kind, right.kind):
        return null()
    left, right = as_number(left), as_number(right)
    sign = _ARITHMETIC[type(node)]
    if left.kind is right.kind is Kind.INTEGER:
        if left.small and right.small:
            left = as_bigint(left)
        return operator(f"{left.wrapped} {sign} {right.wrapped}", Kind.INTEGER)
    surely = Kind.REAL in (left.kind, right.kind)
    left, right = as_double(left), as_double(right)
    return operator(f"{left.wrapped} {sign} {right.wrapped}", Kind.REAL if surely else Kind.NUMBER)


def _divide(translator: "Translator", node: Node) -> Value:
    left, right = translator.value(node.this), translator.value(node.expression)
    if Kind.NULL in (left.kind, right.kind):
        return null()
    left, right = as_number(left), as_number(right)
    whole = left.kind is right.kind is Kind.INTEGER
    if whole:
        left = as_bigint(left)
    elif Kind.REAL in (left.kind, right.kind) and not isinstance(node, exp.Mod):
        left, right = as_double(left), as_double(right)
    else:
        raise UntranslatableError("a division that is whole or not by how each value is stored")
    sign = "%" if isinstance(node, exp.Mod) else "/"
    divisor = right.wrapped if right.literal else f"nullif({right.sql}, 0)"
    return operator(f"{left.wrapped} {sign} {divisor}", Kind.INTEGER if whole else Kind.REAL)


def _bits(translator: "Translator", node: Node) -> Value:
    left, right = translator.value(node.this), translator.value(node.expression)
    if Kind.NULL in (left.kind, right.kind):
        return null()
    left, right = as_bigint(left), as_bigint(right)
    if type(node) in _BITS:
        sign = _BITS[type(node)]
        return operator(f"{left.wrapped} {sign} {right.wrapped}", Kind.INTEGER)
    amount = translator.value(node.expression).literal
    if not isinstance(amount, int) or not 0 <= amount < 64:
        raise UntranslatableError("a shift by anything but a number from 0 to 63")
    return operator(f"{left.wrapped} {_SHIFTS[type(node)]} {amount}", Kind.INTEGER)


def _unary(translator: "Translator", node: Node) -> Value:
    value = translator.value(node.this)
    if isinstance(node, exp.BitwiseNot):
        whole = as_bigint(value) if value.kind is not Kind.NULL else value
        return null() if value.kind is Kind.NULL else operator(f"~ {whole.wrapped}", Kind.INTEGER)
    if isinstance(value.literal, int) and value.kind is Kind.INTEGER:
        return integer(-value.literal)
    if isinstance(value.literal, float):
        if value.literal == 2.0**63:
            return integer(-(2**63)) if str(node.this.this).isdigit() else real(-(2.0**63))
        return real(-value.literal)
    if value.kind is Kind.NULL:
        return value
    number = as_number(value)
    return operator(f"- {number.wrapped}", number.kind)


def _concatenation(translator: "Translator", node: Node) -> Value:
    parts, rest = [], node
    while isinstance(rest, exp.DPipe):
        parts.append(rest.expression)
        rest = rest.this
    texts = [as_text(translator.value(part)) for part in (rest, *reversed(parts))]
    if all(text.startswith("'") for text in texts[:2]):
        texts[0] += "::text"
    return operator(" || ".join(texts), Kind.TEXT)


def _collate(translator: "Translator", node: Node) -> Value:
    value, name = translator.value(node.this), node.expression.name.upper()
    if name not in ("BINARY", "NOCASE", "RTRIM"):
        raise UntranslatableError(f"collation {name} is not known here")
    # COLLATE says nothing about numbers and blobs; the innermost of several holds.
    if value.kind is not Kind.TEXT or value.explicit:
        return value
    return replace(value, collation=name, explicit=True)


def _case(translator: "Translator", node: Node) -> Value:
    subject = translator.value(node.this) if node.this else None
    tests, results = [], []
    for branch in node.args["ifs"]:
        test = translator.value(branch.this)
        if subject is not None:
            test = compared.compare("=", subject, test)
        tests.append(as_condition(test))
        results.append(translator.value(branch.args["true"]))
    default = node.args.get("default")
    results.append(translator.value(default) if default is not None else null())
    return case_when(tests, results)


def case_when(tests: list[str], results: list[Value]) -> Value:
    """CASE WHEN ... END; `results` has one more, for ELSE."""
    texts, model = unify(results)
    if model.kind is Kind.NULL:
        return null()
    whens = " ".join(f"WHEN {test} THEN {text}" for test, text in zip(tests, texts, strict=False))
    otherwise = "" if texts[-1] == "NULL" else f" ELSE {texts[-1]}"
    return replace(model, sql=f"CASE {whens}{otherwise} END")


def _if(translator: "Translator", node: Node) -> Value:
    test = as_condition(translator.value(node.this))
    otherwise = node.args.get("false")
    results = [
        translator.value(node.args["true"]),
        translator.value(otherwise) if otherwise is not None else null(),
    ]
    return case_when([test], results)


def _cast(translator: "Translator", node: Node) -> Value:
    value, to = translator.value(node.this), node.args["to"].this
    if value.kind is Kind.NULL:
        return value
    whole = value.kind in (Kind.INTEGER, Kind.BOOLEAN) or value.number is not None
    if to in _INTEGER_TYPES and (whole or value.kind in DOUBLES):
        return as_number(value) if whole else Value(f"trunc({value.sql})::bigint", Kind.INTEGER)
    if to in (_Type.DOUBLE, _Type.FLOAT) and value.kind in (*NUMBERS, Kind.BOOLEAN):
        return replace(as_double(value), kind=Kind.REAL)
    if to is _Type.DECIMAL and value.kind in (*NUMBERS, Kind.BOOLEAN):
        number = as_number(value)
        return replace(number, kind=Kind.NUMBER) if number.kind in DOUBLES else number
    if to in _TEXT_TYPES:
        return value if value.kind is Kind.TEXT else Value(as_text(value), Kind.TEXT)
    raise UntranslatableError(f"CAST of {value.kind.value} to {node.args['to'].sql('sqlite')}")


def _like(translator: "Translator", node: Node) -> Value:
    escape = None
    if isinstance(node, exp.Escape):
        escape = translator.value(node.expression)
        node = node.this
        if not isinstance(node, exp.Like):
            raise UntranslatableError("ESCAPE without LIKE")
    left, right = translator.value(node.this), translator.value(node.expression)
    return like(left, right, escape, negated=bool(node.args.get("negate")))


def _glob(translator: "Translator", node: Node) -> Value:
    return glob(translator.value(node.this), translator.value(node.expression))


HANDLERS: dict[type[exp.Expression], Node] = {
    exp.Literal: _literal,
    exp.HexString: _hex_string,
    exp.Boolean: _boolean,
    exp.Null: lambda *_: null(),
    exp.Column: _column,
    exp.Paren: _paren,
    exp.And: _connector,
    exp.Or: _connector,
    exp.Not: _not,
    exp.Is: _is,
    **dict.fromkeys(_COMPARISONS, comparison),
    exp.Between: _between,
    exp.In: _in,
    **dict.fromkeys(_ARITHMETIC, _arithmetic),
    exp.Div: _divide,
    exp.Mod: _divide,
    **dict.fromkeys((*_BITS, *_SHIFTS), _bits),
    exp.BitwiseNot: _unary,
    exp.Neg: _unary,
    exp.DPipe: _concatenation,
    exp.Collate: _collate,
    exp.Case: _case,
    exp.If: _if,
    exp.Cast: _cast,
    exp.Like: _like,
    exp.Escape: _like,
    exp.Glob: _glob,
}
