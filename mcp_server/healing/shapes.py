"""Which indexes a statement asks for by how it is written: pure, from its parse tree.

Invariant: a proposal only. Nothing here says that an index helps; the planner judges that. Of a
statement that joins tables only what it compares by equality or range is understood.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pglast import ast
from pglast.enums import A_Expr_Kind, BoolExprType, NullTestType, SortByDir, SortByNulls

from database.catalogue.facts import quoted
from mcp_server.gate.parse import parse_one

_MOST_NAME = 63
#: So many columns more in an index cost less than the rows that need not be read.
_MOST_INCLUDED = 3
_METHODS = {"trigram": "gin"}
_OPERATORS = {"gin": " jsonb_path_ops", "trigram": " ops.gin_trgm_ops"}
#: Three letters or digits in a row: what a trigram can be made of.
_TRIGRAM = re.compile(r"\w{3}")


@dataclass(frozen=True)
class Candidate:
    """An index that may help.

    Attributes:
        columns: those that the scan compares, equality before ranges or the order.
        kind: btree, gin where a document is asked what it contains, or trigram where a text is.
        where: the condition of a partial index; empty where all rows are in it.
        include: columns that are only returned, so that the table itself need not be read.
    """

    table: str
    columns: tuple[str, ...]
    kind: str = "btree"
    where: str = ""
    include: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """As sql/ would call it, cut where PostgreSQL would cut it."""
        end = "_partial" if self.where else "_covering" if self.include else ""
        end = end or ("_trigram" if self.kind == "trigram" else "")
        start = f"ix_{self.table}_{'_'.join(self.columns)}"
        return start.encode()[: _MOST_NAME - len(end)].decode(errors="ignore") + end

    @property
    def method(self) -> str:
        """PostgreSQL's name of the kind."""
        return _METHODS.get(self.kind, self.kind)

    @property
    def definition(self) -> str:
        """The statement that builds it while others write."""
        return f"create index concurrently {self._rest}"

    @property
    def supposed(self) -> str:
        """The statement for hypopg, which builds nothing."""
        return f"create index {self._rest}"

    @property
    def _rest(self) -> str:
        columns = ", ".join(map(quoted, self.columns)) + _OPERATORS.get(self.kind, "")
        include = f" include ({', '.join(map(quoted, self.include))})" if self.include else ""
        where = f" where {self.where}" if self.where else ""
        return (
            f"{quoted(self.name)} on public.{quoted(self.table)} "
            f"using {self.method} ({columns}){include}{where}"
        )


def asked_by(statement: str) -> list[Candidate]:
    """Indexes that a query asks for by how it is written, the narrowest first.

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
        return _asked_by_join(select)
    return _asked_by_table(select, table)


def _asked_by_table(select: ast.SelectStmt, table: str) -> list[Candidate]:
    compared = _compared(_terms(select.whereClause))
    equal, ranged = compared.equal, compared.ranged
    order = _order(select) if select.limitCount is not None else []
    # An order is of use after columns that are the same in every row; a range would break it.
    columns = tuple(dict.fromkeys([*equal, *(order or ranged[:1])]))
    found = [Candidate(table, columns)] if columns and order else []
    if columns and compared.nulls:
        found.insert(0, Candidate(table, columns, where=" and ".join(compared.nulls)))
    if constants := compared.constants:
        # What is the same in all rows of the index need not be in it.
        rest = tuple(name for name in columns if name not in constants)
        where = " and ".join([*compared.nulls, *constants.values()])
        if rest:
            found.insert(0, Candidate(table, rest, where=where))
    returned = _returned(select)
    include = tuple(name for name in returned if name not in columns)
    if columns and include and len(include) <= _MOST_INCLUDED:
        found.append(Candidate(table, columns, include=include))
    return found + [Candidate(table, (name,), "trigram") for name in compared.contained]


def _asked_by_join(select: ast.SelectStmt) -> list[Candidate]:
    """For each table of a join: what it is joined by, then what else is compared."""
    tables: dict[str, str] = {}
    terms = list(_terms(select.whereClause))
    waiting = list(select.fromClause or ())
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, ast.JoinExpr):
            waiting[:0] = [item.larg, item.rarg]
            terms += _terms(item.quals)
        elif isinstance(item, ast.RangeVar) and item.schemaname in (None, "public"):
            alias = item.alias.aliasname if item.alias is not None else item.relname
            tables[str(alias)] = str(item.relname)
    found = []
    for alias, table in tables.items() if len(tables) > 1 else ():
        compared = _compared(terms, alias)
        # By another table's column, as by a value: for each of its rows anew.
        rest = tuple(dict.fromkeys([*compared.equal, *compared.ranged[:1]]))
        columns = tuple(dict.fromkeys([*compared.joined, *rest]))
        if compared.joined and rest and len(columns) > 1:
            found += [Candidate(table, columns)]
            found += [Candidate(table, tuple(dict.fromkeys([*compared.equal, *columns])))]
    return list(dict.fromkeys(found))


def _only_table(select: ast.SelectStmt) -> str | None:
    """The table of public that a query reads row by row; None where it is not one."""
    tables: list[ast.Node] = list(select.fromClause or ())
    if len(tables) != 1 or select.groupClause or select.distinctClause or select.withClause:
        return None
    (table,) = tables
    if not isinstance(table, ast.RangeVar) or table.schemaname not in (None, "public"):
        return None
    return str(table.relname)


@dataclass
class _Compared:
    """What the terms of a condition compare columns by.

    Attributes:
        equal, ranged: by equality, by a range.
        joined: by equality with another table's column.
        contained: by what is somewhere in a text.
        constants: column → its comparison with a value that the statement has, as SQL.
        nulls: tests for NULL as SQL.
    """

    equal: list[str] = field(default_factory=list)
    ranged: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    contained: list[str] = field(default_factory=list)
    constants: dict[str, str] = field(default_factory=dict)
    nulls: list[str] = field(default_factory=list)


def _compared(terms: Iterable[ast.Node], alias: str | None = None) -> _Compared:
    """What is compared of the only table; of a join, of that with this alias."""
    found = _Compared()
    for term in terms:
        if isinstance(term, ast.NullTest) and (name := _column(term.arg, alias)):
            is_null = term.nulltesttype == NullTestType.IS_NULL
            found.nulls.append(f"{quoted(name)} is {'null' if is_null else 'not null'}")
        elif isinstance(term, ast.A_Expr):
            _compare(term, alias, found)
    return found


def _compare(term: ast.A_Expr, alias: str | None, found: _Compared) -> None:
    left, right = _column(term.lexpr, alias), _column(term.rexpr, alias)
    operator = term.name[-1].sval
    if term.kind in _LIKES:
        if left is not None and not operator.startswith("!") and _has_trigram(term.rexpr):
            found.contained.append(left)
        return
    # A column compared with a column of the same table is a question to each row.
    if term.kind != A_Expr_Kind.AEXPR_OP or (left is None) == (right is None):
        return
    name, other = (left, term.rexpr) if left is not None else (right, term.lexpr)
    assert name is not None
    if isinstance(other, ast.ColumnRef):
        if operator == "=" and alias is not None and len(other.fields) > 1:
            found.joined.append(name)
    elif operator == "=":
        found.equal.append(name)
        if (value := _constant(other)) is not None:
            found.constants[name] = f"{quoted(name)} = {value}"
    elif operator in ("<", "<=", ">", ">="):
        found.ranged.append(name)


_LIKES = (A_Expr_Kind.AEXPR_LIKE, A_Expr_Kind.AEXPR_ILIKE)


def _constant(node: ast.Node) -> str | None:
    """A text or a truth value as SQL; a number is an identity more often than a state."""
    if not isinstance(node, ast.A_Const) or node.isnull:
        return None
    if isinstance(node.val, ast.String):
        value = str(node.val.sval)
        # Backslashes are plain characters: standard_conforming_strings is on since PostgreSQL 9.1.
        return "'" + value.replace("'", "''") + "'"
    if isinstance(node.val, ast.Boolean):
        return "true" if node.val.boolval else "false"
    return None


def _has_trigram(pattern: ast.Node) -> bool:
    """Whether a pattern may hold three characters in a row; a parameter may."""
    if not isinstance(pattern, ast.A_Const):
        return True
    return isinstance(pattern.val, ast.String) and bool(_TRIGRAM.search(str(pattern.val.sval)))


def _returned(select: ast.SelectStmt) -> list[str]:
    """The columns that a query returns; none where it returns anything else as well."""
    names = [_column(target.val) for target in select.targetList or ()]
    return [] if None in names else [name for name in names if name is not None]


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


def _column(node: ast.Node | None, alias: str | None = None) -> str | None:
    """The name of a column; of a join only where the table is named by this alias."""
    if not isinstance(node, ast.ColumnRef) or not isinstance(node.fields[-1], ast.String):
        return None
    if alias is not None and [part.sval for part in node.fields[:-1]] != [alias]:
        return None
    return str(node.fields[-1].sval)
