"""What postgres_query takes: one statement that reads."""

from functools import lru_cache

from pglast import ast

from mcp_server.failure import Failure, refuse
from mcp_server.gate.functions import calls_of
from mcp_server.gate.parse import nodes, parse_one
from mcp_server.gate.statement import Statement

WRITES = (ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)
_READ_ONLY = "25006"  # PostgreSQL's own code for a write in a READ ONLY transaction


def judge_query(text: str) -> Statement:
    """The statement, where it only reads: SELECT, VALUES, TABLE, WITH, EXPLAIN of them, SHOW.

    Raises:
        Failure: with what to use instead.
    """
    # The same few texts come again and again, and parsing is the dearest part of judging.
    return _remembered(text) if len(text) <= 4_096 else _judge(text)


def _judge(text: str) -> Statement:
    tree = parse_one(text)
    operation = _operation(tree)
    check_reading(tree)
    return Statement(text, operation, calls=calls_of(tree))


_remembered = lru_cache(maxsize=512)(_judge)


def check_reading(tree: ast.Node) -> None:
    """Refuse whatever writes or locks, anywhere in the tree.

    Raises:
        Failure: 25006.
    """
    for node in nodes(tree):
        if isinstance(node, WRITES):
            raise _no_write("A query may not contain a write, not even in WITH or EXPLAIN.")
        if isinstance(node, ast.SelectStmt):
            if node.intoClause is not None:
                raise _no_write("SELECT INTO creates a table.")
            if node.lockingClause:
                raise refuse(
                    "A query may not lock rows.", "Leave FOR UPDATE or FOR SHARE out.", _READ_ONLY
                )


def _operation(tree: ast.Node) -> str:
    if isinstance(tree, ast.SelectStmt):
        return "SELECT"
    if isinstance(tree, ast.VariableShowStmt):
        return "SHOW"
    if isinstance(tree, ast.ExplainStmt):
        if isinstance(tree.query, ast.SelectStmt):
            return "EXPLAIN"
        raise refuse(
            "Only queries can be explained.",
            "Explain the SELECT that finds the rows which the write would touch.",
            _READ_ONLY,
        )
    if isinstance(tree, WRITES):
        raise _no_write("This statement writes.")
    raise refuse(
        f"{statement_name(tree)} is not a query.",
        "Use SELECT, VALUES, TABLE, WITH, EXPLAIN or SHOW; for schema changes "
        "postgres_schema_alter.",
        _READ_ONLY,
    )


def statement_name(tree: ast.Node) -> str:
    """The kind of a statement in words: `TruncateStmt` → `TRUNCATE`."""
    name = type(tree).__name__.removesuffix("Stmt")
    words = "".join(f" {letter}" if letter.isupper() else letter for letter in name)
    return words.strip().upper()


def _no_write(error: str) -> Failure:
    return refuse(error, "Use postgres_execute for INSERT, UPDATE, DELETE and MERGE.", _READ_ONLY)
