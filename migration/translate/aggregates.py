"""Aggregate and window functions, which only a query may use."""

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from migration.translate.comparison import collated
from migration.translate.errors import UntranslatableError
from migration.translate.functions import HANDLERS as FUNCTIONS
from migration.translate.nodes import Node
from migration.translate.values import (
    DOUBLES,
    Kind,
    Value,
    as_condition,
    as_double,
    as_number,
    as_text,
)

if TYPE_CHECKING:
    from migration.translate.expression import Translator

_RANKS = {exp.RowNumber: "row_number", exp.Rank: "rank", exp.DenseRank: "dense_rank"}
_NEIGHBOURS = {
    exp.Lag: "lag",
    exp.Lead: "lead",
    exp.FirstValue: "first_value",
    exp.LastValue: "last_value",
}
_SIDES = ("PRECEDING", "FOLLOWING")


def order_key(value: Value, node: Node) -> str:
    """One term of ORDER BY; SQLite sorts by bytes, and NULL before everything."""
    if value.kind in (Kind.MIXED, Kind.JSON_VALUE, Kind.JSON):
        raise UntranslatableError(f"ORDER BY of {value.kind.value}")
    sql = value.wrapped
    if value.kind is Kind.TEXT:
        sql = collated(sql, value.collation or "BINARY") + ' COLLATE "C"'
    direction = " DESC" if node.args.get("desc") else ""
    return f"{sql}{direction} NULLS {'FIRST' if node.args.get('nulls_first') else 'LAST'}"


def distinguishable(value: Value) -> Value:
    """The value, if PostgreSQL takes the same ones for equal as SQLite."""
    if value.kind is Kind.MIXED or value.collation not in (None, "BINARY"):
        raise UntranslatableError("texts that ignore case, or values of several types, made one")
    return value


def aggregate(translator: "Translator", node: Node, suffix: str = "") -> Value:
    """A call of an aggregate; `suffix` is its FILTER and its OVER."""
    if isinstance(node, exp.Count):
        return _count(translator, node, suffix)
    if isinstance(node, exp.GroupConcat):
        return _concatenation(translator, node, suffix)
    if isinstance(node, exp.Anonymous):
        if str(node.this).lower() != "total" or len(node.expressions) != 1:
            raise UntranslatableError(f"function {node.this} is not translated")
        distinct, value = _argument(translator, node.expressions[0])
        sql = f"sum({distinct}{as_double(value).sql}){suffix}"
        return Value(f"coalesce({sql}, 0)", Kind.REAL)
    if node.expressions:
        raise UntranslatableError("an aggregate with several arguments")
    distinct, value = _argument(translator, node.this)
    if isinstance(node, exp.Avg):
        return Value(f"avg({distinct}{as_double(value).sql}){suffix}", Kind.REAL)
    if isinstance(node, exp.Sum):
        number = as_number(value)
        cast = "::bigint" if number.kind is Kind.INTEGER else ""
        return Value(f"sum({distinct}{number.sql}){suffix}{cast}", number.kind)
    return _extreme(node, value, suffix)


def _argument(translator: "Translator", node: Node) -> tuple[str, Value]:
    if isinstance(node, exp.Distinct):
        if len(node.expressions) != 1:
            raise UntranslatableError("DISTINCT over several arguments")
        return "DISTINCT ", distinguishable(translator.value(node.expressions[0]))
    return "", translator.value(node)


def _count(translator: "Translator", node: Node, suffix: str) -> Value:
    if node.this is None or isinstance(node.this, exp.Star):
        sql = "count(*)"
    else:
        distinct, value = _argument(translator, node.this)
        sql = f"count({distinct}{value.sql})"
    return Value(sql + suffix, Kind.INTEGER)


def _concatenation(translator: "Translator", node: Node, suffix: str) -> Value:
    distinct, value = _argument(translator, node.this)
    separator = node.args.get("separator")
    between = as_text(translator.value(separator)) if separator is not None else "','"
    return Value(f"string_agg({distinct}{as_text(value)}, {between}){suffix}", Kind.TEXT)


def _extreme(node: Node, value: Value, suffix: str) -> Value:
    name = "max" if isinstance(node, exp.Max) else "min"
    if value.kind is Kind.BOOLEAN:
        value = as_number(value)
    elif value.kind is Kind.TEXT:
        value = replace(distinguishable(value), sql=f'{value.wrapped} COLLATE "C"')
    elif value.kind not in (Kind.INTEGER, *DOUBLES, Kind.NUMERIC, Kind.DATE, Kind.TIMESTAMP):
        raise UntranslatableError(f"{name} of {value.kind.value}")
    plain = Value("", value.kind, canonical=value.canonical, small=value.small)
    return replace(plain, sql=f"{name}({value.sql}){suffix}")


def _filtered(translator: "Translator", node: Node, suffix: str = "") -> Value:
    condition = as_condition(translator.value(node.expression.this))
    return aggregate(translator, node.this, f" FILTER (WHERE {condition}){suffix}")


def _window(translator: "Translator", node: Node) -> Value:
    if node.args.get("alias") or node.args.get("first") is False:
        raise UntranslatableError("a named window")
    parts = []
    if partition := node.args.get("partition_by"):
        keys = [distinguishable(translator.value(one)).sql for one in partition]
        parts.append(f"PARTITION BY {', '.join(keys)}")
    if order := node.args.get("order"):
        keys = [order_key(translator.value(one.this), one) for one in order.expressions]
        parts.append(f"ORDER BY {', '.join(keys)}")
    if spec := node.args.get("spec"):
        parts.append(_frame(spec))
    over, called = f" OVER ({' '.join(parts)})", node.this
    if type(called) in _RANKS:
        return Value(f"{_RANKS[type(called)]}(){over}", Kind.INTEGER)
    if type(called) in _NEIGHBOURS:
        return _neighbour(translator, called, over)
    if isinstance(called, exp.Filter):
        return _filtered(translator, called, over)
    return aggregate(translator, called, over)


def _neighbour(translator: "Translator", node: Node, over: str) -> Value:
    value = translator.value(node.this)
    offset, default = node.args.get("offset"), node.args.get("default")
    steps = translator.value(offset).literal if offset is not None else 1
    if default is not None or not isinstance(steps, int) or steps < 0:
        raise UntranslatableError("lag and lead with more than a literal offset")
    arguments = f"{value.sql}, {steps}" if offset is not None else value.sql
    return replace(value, sql=f"{_NEIGHBOURS[type(node)]}({arguments}){over}", literal=None)


def _frame(spec: Node) -> str:
    if spec.args.get("exclude") or str(spec.args.get("kind")).upper() not in (
        "ROWS",
        "RANGE",
        "GROUPS",
    ):
        raise UntranslatableError("a window frame with EXCLUDE")
    edges = []
    for name in ("start", "end"):
        edge = spec.args.get(name) or "CURRENT ROW"
        side = str(spec.args.get(f"{name}_side") or "").upper()
        if isinstance(edge, exp.Literal) and edge.is_int and side in _SIDES:
            edges.append(f"{edge.this} {side}")
        elif str(edge).upper() in ("CURRENT ROW", "UNBOUNDED"):
            edges.append(f"{edge} {side}".strip())
        else:
            raise UntranslatableError("a window frame whose edge is no literal")
    return f"{str(spec.args['kind']).upper()} BETWEEN {edges[0]} AND {edges[1]}"


def _anonymous(translator: "Translator", node: Node) -> Value:
    if str(node.this).lower() == "total":
        return aggregate(translator, node)
    found: Value = FUNCTIONS[exp.Anonymous](translator, node)
    return found


HANDLERS: dict[type[exp.Expression], Node] = {
    exp.Count: aggregate,
    exp.Sum: aggregate,
    exp.Avg: aggregate,
    exp.Min: aggregate,
    exp.Max: aggregate,
    exp.GroupConcat: aggregate,
    exp.Anonymous: _anonymous,
    exp.Filter: _filtered,
    exp.Window: _window,
}
