"""What a statement calls, and which functions a definition may.

Whether a call is allowed is for the catalogue to say (catalogue.py), since only it knows what a
name means. Inside a definition (a default, a check, an index) a function runs later and as somebody
else: there only those of functions.toml's list.
"""

from collections.abc import Iterator

from pglast import ast

from mcp_server.failure import refuse
from mcp_server.gate.parse import nodes
from mcp_server.gate.policy import policy
from mcp_server.gate.statement import Call, Kind

_TRUSTED_SCHEMAS = (None, "pg_catalog")


def calls_of(tree: ast.Node) -> frozenset[Call]:
    """Every name below `tree` that may stand for a function, as it is written there."""
    return frozenset(call for node in nodes(tree) for call in _calls(node))


def check_definition(node: ast.Node) -> None:
    """Refuse a node of a definition that calls anything but a few harmless built-in functions.

    Raises:
        Failure: 42501.
    """
    for call in _calls(node):
        trusted = call.schema in _TRUSTED_SCHEMAS
        if call.kind is Kind.FUNCTION and not (trusted and call.name in policy().in_definitions):
            raise refuse(
                f"Function {call.name} may not be part of a definition: it would run later, "
                "as whoever reads or writes the table.",
                "Allowed are " + ", ".join(sorted(policy().in_definitions)) + ".",
                "42501",
            )
        if call.kind is Kind.ATTRIBUTE or (call.kind is Kind.OPERATOR and not trusted):
            raise refuse(
                f"{call.name} may call a function, and would do so later, as whoever reads or "
                "writes the table.",
                "Write a column without its table, and operators without a schema.",
                "42501",
            )


def _calls(node: ast.Node) -> Iterator[Call]:
    match node:
        case ast.FuncCall():
            yield _function(node)
        case ast.ColumnRef():
            # The first part names a relation, if there is a second.
            yield from _attributes(node.fields[1:])
        case ast.A_Indirection():
            yield from _attributes(node.indirection)
        case ast.A_Expr():
            yield Call(Kind.OPERATOR, *_parts(node.name))
        case ast.SubLink() if node.operName:
            yield Call(Kind.OPERATOR, *_parts(node.operName))
        case ast.SortBy() if node.useOp:
            yield Call(Kind.OPERATOR, *_parts(node.useOp))
        case ast.TypeName() if node.names:
            yield Call(Kind.TYPE, *_parts(node.names))
        case _:
            return


def _function(call: ast.FuncCall) -> Call:
    count: int | None = len(call.args or ())
    if call.func_variadic:
        count = None
    elif call.agg_within_group:
        # Of percentile_cont(0.5) WITHIN GROUP (ORDER BY x) both are arguments.
        count = len(call.args or ()) + len(call.agg_order or ())
    return Call(Kind.FUNCTION, *_parts(call.funcname), count)


def _attributes(fields: tuple[ast.Node, ...]) -> Iterator[Call]:
    for field in fields:
        if isinstance(field, ast.String):
            yield Call(Kind.ATTRIBUTE, None, str(field.sval), 1)


def _parts(names: tuple[ast.String, ...]) -> tuple[str | None, str]:
    parts = [str(name.sval) for name in names]
    return ".".join(parts[:-1]) or None, parts[-1]
