"""Which indexes a statement asks for by how it is written: pure, from its parse tree.

Invariant: a proposal only. Nothing here says that an index helps; the planner judges that. Only a
statement that reads one table is understood; of any other nothing is proposed here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType, NullTestType, SortByDir, SortByNulls

from database.catalogue.facts import quoted
from mcp_server.gate.parse import parse_one

_MOST_NAME = 63


@dataclass(frozen=True)
class Candidate:
    """An index that may help.

    Attributes:
        columns: those that the scan compares, equality before ranges or the order.
        kind: btree, or gin where a document is asked what it contains.
        where: the condition of a partial index; empty where all rows are in it.
    """

    table: str
    columns: tuple[str, ...]
    kind: str = "btree"
    where: str = ""

    @property
    def name(self) -> str:
        """As sql/ would call it, cut where PostgreSQL would cut it."""
        end = "_partial" if self.where else ""
        start = f"ix_{self.table}_{'_'.join(self.columns)}"
        return start.encode()[: _MOST_NAME - len(end)].decode(errors="ignore") + end

    @property
    def definition(self) -> str:
        """The statement that builds it while others write."""
        columns = ", ".join(map(quoted, self.columns))
        if self.kind == "gin":
            columns += " jsonb_path_ops"
        where = f" where {self.where}" if self.where else ""
        return (
            f"create index concurrently {quoted(self.name)} on public.{quoted(self.table)} "
            f"using {self.kind} ({columns}){where}"
        )


def asked_by(statement: str) -> list[Candidate]:
    """Indexes for the order and the NULLs that a query of one table asks for, the narrowest first.

    Raises:
        Failure: it is not one statement.
    """
    select = parse_one(statement)
    if isinstance(select, ast.RawStmt):
        select = select.stmt
    if not isinstance(select, ast.SelectStmt):
        return []
    table = _only_table(select)
    if table is None:
        return []
    equal, ranged, nulls = _compared(select.whereClause)
    order = _order(select) if select.limitCount is not None else []
    # An order is of use after columns that are the same in every row; a range would break it.
    columns = tuple(dict.fromkeys([*equal, *(order or ranged[:1])]))
    if not columns:
        return []
    found = [Candidate(table, columns)] if order else []
    if nulls:
        found.insert(0, Candidate(table, columns, where=" and ".join(nulls)))
    return found


def _only_table(select: ast.SelectStmt) -> str | None:
    """The table of public that a query reads row by row; None where it is not one."""
    tables: list[ast.Node] = list(select.fromClause or ())
    if len(tables) != 1 or select.groupClause or select.distinctClause or select.withClause:
        return None
    (table,) = tables
    if not isinstance(table, ast.RangeVar) or table.schemaname not in (None, "public"):
        return None
    return str(table.relname)


def _compared(condition: ast.Node | None) -> tuple[list[str], list[str], list[str]]:
    """Columns compared by equality, columns compared by a range, and tests for NULL as SQL."""
    equal: list[str] = []
    ranged: list[str] = []
    nulls: list[str] = []
    for term in _terms(condition):
        if isinstance(term, ast.NullTest) and (name := _column(term.arg)):
            is_null = term.nulltesttype == NullTestType.IS_NULL
            nulls.append(f"{quoted(name)} is {'null' if is_null else 'not null'}")
        elif isinstance(term, ast.A_Expr) and term.kind == A_Expr_Kind.AEXPR_OP:
            left, right = _column(term.lexpr), _column(term.rexpr)
            # A column compared with a column is a question to each row.
            if (left is None) == (right is None):
                continue
            operator, name = term.name[-1].sval, left or right
            assert name is not None
            if operator == "=":
                equal.append(name)
            elif operator in ("<", "<=", ">", ">="):
                ranged.append(name)
    return equal, ranged, nulls


def _terms(condition: ast.Node | None) -> Iterator[ast.Node]:
    if isinstance(condition, ast.BoolExpr) and condition.boolop == BoolExprType.AND_EXPR:
        for part in condition.args:
            yield from _terms(part)
    elif condition is not None:
        yield condition


def _order(select: ast.SelectStmt) -> list[str]:
    """The columns of ORDER BY, where one b-tree can be read in that order; else none."""
    keys = select.sortClause or ()
    columns = [_column(key.node) for key in keys]
    down = {key.sortby_dir == SortByDir.SORTBY_DESC for key in keys}
    plain = all(
        key.sortby_dir != SortByDir.SORTBY_USING
        and key.sortby_nulls == SortByNulls.SORTBY_NULLS_DEFAULT
        for key in keys
    )
    if len(down) != 1 or not plain or None in columns:
        return []
    return [name for name in columns if name is not None]


def _column(node: ast.Node | None) -> str | None:
    if not isinstance(node, ast.ColumnRef) or not isinstance(node.fields[-1], ast.String):
        return None
    return str(node.fields[-1].sval)
