"""What postgres_execute takes: one INSERT, UPDATE, DELETE or MERGE."""

from functools import lru_cache
from typing import Any

from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType, CmdType, MergeMatchKind

from mcp_server.failure import Failure, refuse
from mcp_server.gate.functions import calls_of
from mcp_server.gate.parse import nodes, parse_one
from mcp_server.gate.query import WRITES, statement_name
from mcp_server.gate.statement import Statement

_BETWEEN = (A_Expr_Kind.AEXPR_BETWEEN, A_Expr_Kind.AEXPR_BETWEEN_SYM)
_OPERATIONS = {
    ast.InsertStmt: "INSERT",
    ast.UpdateStmt: "UPDATE",
    ast.DeleteStmt: "DELETE",
    ast.MergeStmt: "MERGE",
}


def judge_execute(text: str, confirm: bool = False) -> Statement:
    """The statement, where it is one write.

    Args:
        confirm: a write that reaches every row of its table is meant.

    Raises:
        Failure: with what to use instead.
    """
    return _remembered(text, confirm) if len(text) <= 4_096 else _judge(text, confirm)


def _judge(text: str, confirm: bool) -> Statement:
    tree: Any = parse_one(text)
    operation = _OPERATIONS.get(type(tree))
    if operation is None:
        raise _not_a_write(tree)
    for node in nodes(tree):
        if isinstance(node, WRITES) and node is not tree:
            raise refuse(
                "A second write is hidden in WITH; one call takes one write.",
                "Send the two writes as two calls.",
            )
    _check_target(tree.relation)
    if not confirm:
        _check_restricted(tree)
    return Statement(text, operation, calls=calls_of(tree))


_remembered = lru_cache(maxsize=512)(_judge)


def restricts(condition: ast.Node | None) -> bool:
    """Whether a condition can tell one row from another, as far as its form shows.

    Constants and `x = x` cannot, nor can an OR with such a part. What only the data shows
    (`id in (select id …)`) is left to the database's limits.
    """
    try:
        return _restricts(condition, negated=False)
    except RecursionError:  # nobody writes a condition so deep to name a row
        return False


def _restricts(part: ast.Node | None, *, negated: bool) -> bool:
    if isinstance(part, ast.BoolExpr):
        if part.boolop == BoolExprType.NOT_EXPR:
            return _restricts(part.args[0], negated=not negated)
        # NOT (a OR b) is NOT a AND NOT b: of that one part is enough.
        enough = any if (part.boolop == BoolExprType.AND_EXPR) is not negated else all
        return enough(_restricts(arg, negated=negated) for arg in part.args)
    if part is None or (isinstance(part, ast.A_Expr) and _compares_with_itself(part)):
        return False
    return any(isinstance(node, ast.ColumnRef | ast.CurrentOfExpr) for node in nodes(part))


def _compares_with_itself(comparison: ast.A_Expr) -> bool:
    left, right = _bare(comparison.lexpr), comparison.rexpr
    if left is None:
        return False
    # `x in (x, …)` and `x between x and x` have several right sides.
    sides = [_bare(side) for side in (right if isinstance(right, tuple) else (right,))]
    if comparison.kind in _BETWEEN:
        return all(side == left for side in sides)
    return left in sides


def _bare(side: Any) -> str | None:  # noqa: ANN401 - a node or None
    """A side of a comparison as text, without casts; None where it is none that repeats."""
    while isinstance(side, ast.TypeCast):
        side = side.arg
    if isinstance(side, ast.ColumnRef):
        return ".".join(_column(side))
    if isinstance(side, ast.RowExpr):
        parts = [_bare(part) for part in side.args or ()]
        return None if None in parts else repr(parts)
    return None


def _column(reference: ast.ColumnRef) -> list[str]:
    return [getattr(field, "sval", "*") for field in reference.fields]


def _check_restricted(tree: ast.Node) -> None:
    if isinstance(tree, ast.UpdateStmt | ast.DeleteStmt):
        unrestricted = not restricts(tree.whereClause)
    elif isinstance(tree, ast.MergeStmt):
        changes = [
            clause
            for clause in tree.mergeWhenClauses
            if clause.commandType in (CmdType.CMD_UPDATE, CmdType.CMD_DELETE)
        ]
        unrestricted = bool(changes) and (
            not restricts(tree.joinCondition)
            or any(
                clause.matchKind == MergeMatchKind.MERGE_WHEN_NOT_MATCHED_BY_SOURCE
                and not restricts(clause.condition)
                for clause in changes
            )
        )
    else:
        unrestricted = False
    if unrestricted:
        raise refuse(
            "This would change every row: its condition is missing, or holds for all rows.",
            "Add a WHERE that names the rows, or pass confirm=true if every row is meant.",
            "21000",
        )


def _check_target(relation: ast.RangeVar) -> None:
    if relation.schemaname in ("pg_catalog", "information_schema", "pg_toast") or (
        relation.schemaname is None and relation.relname.startswith("pg_")
    ):
        raise refuse(
            f"{relation.relname} is part of PostgreSQL's own catalogue.",
            "Write to the platform's tables only; see postgres_list_tables.",
            "42501",
        )


def _not_a_write(tree: ast.Node) -> Failure:
    if isinstance(tree, ast.SelectStmt):
        return refuse("This statement reads.", "Use postgres_query for it.")
    if isinstance(tree, ast.TruncateStmt):
        return refuse(
            "TRUNCATE is not available.", "Use DELETE with confirm=true to empty a table."
        )
    return refuse(
        f"{statement_name(tree)} is not a write to rows.",
        "Use INSERT, UPDATE, DELETE or MERGE; for schema changes postgres_schema_alter.",
    )
