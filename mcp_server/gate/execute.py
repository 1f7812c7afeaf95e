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
    if isinstance(condition, ast.BoolExpr) and condition.boolop == BoolExprType.AND_EXPR:
        return any(_alternatives_restrict(part) for part in condition.args)
    return _alternatives_restrict(condition)


def _alternatives_restrict(part: ast.Node | None) -> bool:
    if isinstance(part, ast.BoolExpr) and part.boolop == BoolExprType.OR_EXPR:
        return all(_part_restricts(alternative) for alternative in part.args)
    return _part_restricts(part)


def _part_restricts(part: ast.Node | None) -> bool:
    """Whether a part mentions a column in another way than comparing it with itself."""
    if part is None:
        return False
    if (
        isinstance(part, ast.A_Expr)
        and part.kind == A_Expr_Kind.AEXPR_OP
        and isinstance(part.lexpr, ast.ColumnRef)
        and isinstance(part.rexpr, ast.ColumnRef)
    ):
        return _column(part.lexpr) != _column(part.rexpr)
    return any(isinstance(node, ast.ColumnRef | ast.CurrentOfExpr) for node in nodes(part))


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
