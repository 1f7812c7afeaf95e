"""FROM: tables, subqueries, VALUES, and how they are joined."""

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlglot import exp

from migration.quoting import fold
from migration.translate.comparison import compare
from migration.translate.errors import UntranslatableError
from migration.translate.nodes import Node
from migration.translate.relations import Output, Relation, derived, stored
from migration.translate.scope import quote_identifier
from migration.translate.values import Kind, Value, as_condition, unify

if TYPE_CHECKING:
    from migration.translate.query import Query

_JOIN_PARTS = ("this", "on", "using", "side", "kind", "method")
_TABLE_PARTS = ("this", "alias", "db")


def sources(query: "Query", node: Node) -> str:
    """The text after FROM; the relations go to the query's names, in their order."""
    sql = _source(query, node.args["from_"].this)
    for join in node.args.get("joins") or []:
        sql += _join(query, join)
    return sql


def _source(query: "Query", node: Node, merged: frozenset[str] = frozenset()) -> str:
    sql, relation = _read(query, node)
    if any(fold(one.alias) == fold(relation.alias) for one in query.names.relations):
        raise UntranslatableError(f"two relations named {relation.alias}")
    query.names.relations.append(replace(relation, merged=merged))
    return sql


def _read(query: "Query", node: Node) -> tuple[str, Relation]:
    if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Select | exp.SetOperation):
        if node.args.get("alias") and node.args["alias"].args.get("columns"):
            raise UntranslatableError("a subquery with a list of column names")
        sql, outputs = query.inner().render(node.this)
        alias = node.alias or _unnamed(query)
        return f"({sql}) AS {quote_identifier(alias)}", derived(alias, outputs)
    if isinstance(node, exp.Values):
        return _values(query, node)
    if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
        raise UntranslatableError(f"FROM {node.sql(dialect='sqlite')[:60]}")
    if any(part for name, part in node.args.items() if part and name not in _TABLE_PARTS):
        raise UntranslatableError(f"FROM {node.sql(dialect='sqlite')[:60]}")
    if node.db and fold(node.db) != "main":
        raise UntranslatableError(f"a table of another database, {node.db}")
    alias = node.alias or node.name
    if not node.db and fold(node.name) in query.ctes:
        return f"{quote_identifier(fold(node.name))} AS {quote_identifier(alias)}", derived(
            alias, query.ctes[fold(node.name)]
        )
    scope = query.tables.get(fold(node.name))
    if scope is None:
        raise UntranslatableError(f"there is no table {quote_identifier(node.name)}")
    name = f"{quote_identifier(scope.schema)}.{quote_identifier(scope.name)}"
    return f"{name} AS {quote_identifier(alias)}", stored(alias, scope)


def _unnamed(query: "Query") -> str:
    taken = {relation.alias for relation in query.names.relations}
    return next(name for number in range(1, 999) if (name := f"unnamed_{number}") not in taken)


def _values(query: "Query", node: Node) -> tuple[str, Relation]:
    rows = [query.translator.values(row.expressions) for row in node.expressions]
    columns = [unify(list(column)) for column in zip(*rows, strict=True)]
    for column, model in columns:
        if model.kind is Kind.INTEGER:
            column[0] += "::bigint"
    texts = zip(*(column[0] for column in columns), strict=True)
    listed = ", ".join(f"({', '.join(row)})" for row in texts)
    outputs = [
        Output(f"column{number}", replace(model, small=False, literal=None))
        for number, (_, model) in enumerate(columns, 1)
    ]
    alias = node.alias if node.alias not in ("", "_values") else _unnamed(query)
    names = ", ".join(quote_identifier(output.name) for output in outputs)
    sql = f"(VALUES {listed}) AS {quote_identifier(alias)} ({names})"
    return sql, derived(alias, outputs)


def _join(query: "Query", node: Node) -> str:
    if any(part for name, part in node.args.items() if part and name not in _JOIN_PARTS):
        raise UntranslatableError("a join with more than ON or USING")
    side, kind = str(node.side).upper(), str(node.kind).upper()
    method = str(node.args.get("method") or "").upper()
    known = side in ("", "LEFT", "RIGHT", "FULL") and kind in ("", "CROSS", "INNER", "OUTER")
    if not known or method not in ("", "NATURAL"):
        raise UntranslatableError(f"{method} {side} {kind} JOIN")
    before = list(query.names.relations)
    using = [one.name for one in node.args.get("using") or []]
    if method:
        right = _read(query, node.this)[1]
        using = [name for name in right.columns if any(name in one.columns for one in before)]
    if using and side in ("RIGHT", "FULL"):
        raise UntranslatableError(f"{side} JOIN with USING")
    sql = _source(query, node.this, frozenset(fold(name) for name in using))
    on = node.args.get("on")
    tests = [_same(query, name, before) for name in using]
    if on is not None:
        tests.append(as_condition(query.translator.value(on)))
    if not tests and not side:
        return f" CROSS JOIN {sql}"
    word = f"{side} JOIN" if side else "JOIN"
    return f" {word} {sql} ON {' AND '.join(tests) or 'true'}"


def _same(query: "Query", name: str, before: list[Relation]) -> str:
    """A column of USING is equal on both sides."""
    key = fold(name)
    left: list[Value] = [
        one.columns[key].value for one in before if key in one.columns and key not in one.merged
    ]
    right = query.names.relations[-1].columns.get(key)
    if not left or right is None:
        raise UntranslatableError(f"no column {name} on both sides of the join")
    return compare("=", left[0], right.value).wrapped
