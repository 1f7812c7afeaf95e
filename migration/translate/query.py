"""SELECT: written anew for PostgreSQL clause by clause, or refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sqlglot import exp

from migration.quoting import fold
from migration.translate import joins
from migration.translate.aggregates import HANDLERS as AGGREGATES
from migration.translate.aggregates import distinguishable, order_key
from migration.translate.comparison import json_text
from migration.translate.errors import UntranslatableError
from migration.translate.expression import Handlers, Translator
from migration.translate.nodes import Node
from migration.translate.relations import Output, QueryNames, derived
from migration.translate.scope import RelationScope, quote_identifier, quote_text
from migration.translate.values import PG_TYPES, Kind, Value, as_condition, as_number

_SETS = {exp.Union: "UNION", exp.Except: "EXCEPT", exp.Intersect: "INTERSECT"}
_SELECT_PARTS = frozenset(
    {"with_", "distinct", "expressions", "from_", "joins", "where", "group", "having", "order"}
    | {"limit", "offset"}
)
_SET_PARTS = frozenset(("with_", "this", "expression", "distinct", "order", "limit", "offset"))
#: Text of an expression without an alias → the name of its column.
Namer = Callable[[int, exp.Expression], str]


@dataclass(frozen=True)
class Rendered:
    """A query in three pieces, so that a set operation can still align its column types."""

    head: str
    outputs: list[Output]
    tail: str

    @property
    def sql(self) -> str:
        """The whole query."""
        items = [
            f"{output.value.sql} AS {quote_identifier(output.name)}" for output in self.outputs
        ]
        return f"{self.head}{', '.join(items)}{self.tail}"


class Query:
    """Renders one query; `tables` are the database's by folded name, `ctes` those around it."""

    def __init__(
        self,
        tables: Mapping[str, RelationScope],
        ctes: Mapping[str, list[Output]],
        outer: QueryNames | None = None,
    ) -> None:
        self.tables = tables
        self.ctes = dict(ctes)
        self.names = QueryNames(outer)
        handlers: Handlers = {
            exp.Subquery: self._scalar,
            exp.Exists: self._exists,
            exp.In: self._in,
        }
        self.translator = Translator(self.names, AGGREGATES | handlers)

    def render(self, node: Node, namer: Namer | None = None) -> tuple[str, list[Output]]:
        """The SQL and the columns of a SELECT or of a set operation, with its WITH."""
        parts = (_SETS.get(type(node)) and _SET_PARTS) or _SELECT_PARTS
        if not isinstance(node, exp.Select | exp.SetOperation):
            raise UntranslatableError(f"{type(node).__name__} is not a query")
        unknown = [name for name, part in node.args.items() if part and name not in parts]
        if unknown:
            raise UntranslatableError(f"the clause {unknown[0].strip('_').upper()}")
        prefix = self._with(node.args["with_"]) if node.args.get("with_") else ""
        if isinstance(node, exp.Select):
            rendered = self._select(node, namer or _plain_name)
            if not node.args.get("distinct") or not node.args.get("order"):
                return prefix + rendered.sql + self._end(node), rendered.outputs
        else:
            rendered = self._set(node, namer or _plain_name)
        return self._ordered(prefix, rendered, node), rendered.outputs

    def inner(self) -> "Query":
        """A query within this one, which sees its CTEs."""
        return Query(self.tables, self.ctes)

    def _with(self, node: Node) -> str:
        pieces, recursive = [], False
        for cte in node.expressions:
            name = cte.alias
            columns = [one.name for one in cte.args["alias"].args.get("columns") or []]
            query, inside = cte.this, self.inner()
            if any(fold(table.name) == fold(name) for table in query.find_all(exp.Table)):
                recursive = True
                if not isinstance(query, exp.Union):
                    raise UntranslatableError(f"{name} reads itself without UNION")
                first = self.inner().render(query.this)[1]
                inside.ctes[fold(name)] = _renamed(first, columns)
            sql, outputs = inside.render(query)
            outputs = _renamed(outputs, columns)
            self.ctes[fold(name)] = outputs
            listed = ", ".join(quote_identifier(output.name) for output in outputs)
            pieces.append(f"{quote_identifier(fold(name))} ({listed}) AS ({sql})")
        return f"WITH {'RECURSIVE ' * recursive}{', '.join(pieces)} "

    def _select(self, node: Node, namer: Namer) -> Rendered:
        tail = ""
        if node.args.get("from_"):
            tail += " FROM " + joins.sources(self, node)
        outputs: list[Output] = []
        for position, item in enumerate(node.expressions):
            outputs += self._items(position, item, namer)
        if not outputs:
            raise UntranslatableError("a SELECT of nothing")
        plain = {fold(output.name): output.value for output in outputs}
        self.names.aliases.update(plain)
        outputs = [Output(output.name, _presentable(output.value)) for output in outputs]
        if where := node.args.get("where"):
            tail += f" WHERE {as_condition(self.translator.value(where.this))}"
        if group := node.args.get("group"):
            if any(part for name, part in group.args.items() if part and name != "expressions"):
                raise UntranslatableError("GROUP BY with more than expressions")
            keys = [self._term(one, list(plain.values())) for one in group.expressions]
            tail += " GROUP BY " + ", ".join(distinguishable(key).sql for key in keys)
        if having := node.args.get("having"):
            tail += f" HAVING {as_condition(self.translator.value(having.this))}"
        head = "SELECT "
        if distinct := node.args.get("distinct"):
            if distinct.args.get("on"):
                raise UntranslatableError("DISTINCT ON is not SQLite's")
            head += "DISTINCT "
            for output in outputs:
                distinguishable(output.value)
        if (order := node.args.get("order")) and not distinct:
            values = list(plain.values())
            names = list(plain)
            terms = [
                order_key(self._term(one.this, values, names), one) for one in order.expressions
            ]
            tail += f" ORDER BY {', '.join(terms)}"
        return Rendered(head, outputs, tail)

    def _items(self, position: int, item: Node, namer: Namer) -> list[Output]:
        if isinstance(item, exp.Star):
            if any(item.args.values()):
                raise UntranslatableError("* with exceptions is not SQLite's")
            return self.names.everything(None)
        if isinstance(item, exp.Column) and isinstance(item.this, exp.Star):
            return self.names.everything(item.table)
        if isinstance(item, exp.Alias):
            return [Output(item.alias, self.translator.value(item.this))]
        value = self.translator.value(item)
        if isinstance(item, exp.Column) and value.column:
            columns = self.names.everything(None) if self.names.relations else []
            stored = [one.name for one in columns if one.value.sql == value.sql]
            return [Output(stored[0] if stored else item.name, value)]
        return [Output(namer(position, item), value)]

    def _term(self, node: Node, values: list[Value], names: list[str] | None = None) -> Value:
        """A term of GROUP BY or ORDER BY, which may be a column's position or (`names`) name."""
        if isinstance(node, exp.Literal) and not node.is_string:
            position = int(node.this) if str(node.this).isdigit() else 0
            if not 1 <= position <= len(values):
                raise UntranslatableError("ordering or grouping by a constant")
            return values[position - 1]
        plain = isinstance(node, exp.Column) and not node.table
        if names is not None and plain and fold(node.name) in names:
            return values[names.index(fold(node.name))]
        return self.translator.value(node)

    def _set(self, node: Node, namer: Namer) -> Rendered:
        """UNION, EXCEPT, INTERSECT; both sides get the types that hold both."""
        left, right = self._side(node.this, namer), self._side(node.expression, _plain_name)
        if len(left.outputs) != len(right.outputs):
            raise UntranslatableError("both sides of a set operation with as many columns")
        word = _SETS[type(node)]
        pairs = [
            _aligned(one, other) for one, other in zip(left.outputs, right.outputs, strict=True)
        ]
        if node.args.get("distinct"):
            for one, _ in pairs:
                distinguishable(one.value)
        else:
            word += " ALL"
        left = replace(left, outputs=[one for one, _ in pairs])
        right = replace(right, outputs=[other for _, other in pairs])
        first = f"({left.sql})" if isinstance(node.this, exp.SetOperation) else left.sql
        outputs = [replace(one, value=replace(one.value, literal=None)) for one, _ in pairs]
        # The pieces are joined already; the outputs are those of the whole.
        return Rendered(f"{first} {word} {right.sql}", outputs, "")

    def _side(self, node: Node, namer: Namer) -> Rendered:
        inner = self.inner()
        if isinstance(node, exp.Select):
            clauses = [name for name in ("with_", "order", "limit") if node.args.get(name)]
            if clauses:
                raise UntranslatableError("a side of a set operation with clauses of its own")
            return inner._select(node, namer)
        if isinstance(node, exp.SetOperation):
            sql, outputs = inner.render(node, namer)
            named = derived("set", outputs)
            columns = [Output(one.name, one.value) for one in named.columns.values()]
            return Rendered("SELECT ", columns, f' FROM ({sql}) AS "set"')
        raise UntranslatableError(f"{type(node).__name__} in a set operation")

    def _ordered(self, prefix: str, rendered: Rendered, node: Node) -> str:
        """ORDER BY over a finished result, whose terms name or count its columns."""
        whole = rendered.head if isinstance(node, exp.SetOperation) else rendered.sql
        order = node.args.get("order")
        if order is None:
            return prefix + whole + self._end(node)
        relation = derived("all", rendered.outputs)
        names = list(relation.columns)
        values = [output.value for output in relation.columns.values()]
        keys = []
        for one in order.expressions:
            found = Query(self.tables, {})
            found.names.relations.append(relation)
            keys.append(order_key(found._term(one.this, values, names), one))
        ordered = f'SELECT * FROM ({whole}) AS "all" ORDER BY {", ".join(keys)}'  # noqa: S608
        return prefix + ordered + self._end(node)

    def _end(self, node: Node) -> str:
        end = ""
        for name in ("limit", "offset"):
            if not (part := node.args.get(name)):
                continue
            number = self.translator.value(part.expression).literal
            if not isinstance(number, int):
                raise UntranslatableError(f"{name.upper()} by anything but a literal number")
            if name == "limit" and number < 0:
                continue  # no limit
            end += f" {name.upper()} {max(number, 0)}"
        return end

    def _nested(self, node: Node) -> tuple[str, list[Output]]:
        inner = Query(self.tables, self.ctes, self.names)
        return inner.render(node.unnest() if isinstance(node, exp.Subquery) else node)

    def _scalar(self, _: Translator, node: Node) -> Value:
        sql, outputs = self._nested(node)
        if len(outputs) != 1:
            raise UntranslatableError("a row of several columns as a value")
        # Of several rows SQLite takes the first.
        query = node.unnest()
        limit = "" if query.args.get("limit") else " LIMIT 1"
        value = replace(outputs[0].value, literal=None, column=False, collation=None, small=False)
        return replace(value, sql=f"({sql}{limit})", atom=True)

    def _exists(self, _: Translator, node: Node) -> Value:
        return Value(f"EXISTS ({self._nested(node.this)[0]})", Kind.BOOLEAN)

    def _in(self, translator: Translator, node: Node) -> Value:
        query = node.args.get("query")
        if query is None:
            plain: Value = Translator(self.names).handlers[exp.In](translator, node)
            return plain
        left = translator.value(node.this)
        sql, outputs = self._nested(query)
        right = outputs[0].value
        if left.kind is Kind.BOOLEAN and right.kind is Kind.INTEGER:
            left = as_number(left)
        alike = left.kind is right.kind and left.kind is not Kind.MIXED
        if len(outputs) != 1 or not alike or left.collation not in (None, "BINARY"):
            raise UntranslatableError(f"{left.kind.value} IN (SELECT {right.kind.value})")
        return Value(f"{left.wrapped} IN ({sql})", Kind.BOOLEAN, atom=False)


def _plain_name(_: int, node: exp.Expression) -> str:
    return node.sql(dialect="sqlite")


def _renamed(outputs: list[Output], columns: list[str]) -> list[Output]:
    if not columns:
        return outputs
    if len(columns) != len(outputs):
        raise UntranslatableError("as many column names as columns")
    return [replace(output, name=name) for output, name in zip(outputs, columns, strict=True)]


def _presentable(value: Value) -> Value:
    """As a result: 0 and 1 rather than what a comparison yields, and of a definite type."""
    if value.kind is Kind.BOOLEAN and not value.column:
        value = as_number(value)
    if value.kind is Kind.JSON_VALUE:
        return Value(json_text(value), Kind.TEXT)
    if value.kind is Kind.INTEGER and value.small and not value.column:
        return replace(value, sql=value.cast("bigint"), atom=True, small=False)
    if value.kind is Kind.TEXT and isinstance(value.literal, str):
        return replace(value, sql=f"{quote_text(value.literal)}::text")
    if value.kind is Kind.NULL:
        return replace(value, sql="NULL::text")
    return value


def _aligned(one: Output, other: Output) -> tuple[Output, Output]:
    """Two columns that become one, in one type."""
    left, right = one.value, other.value
    if Kind.BOOLEAN in (left.kind, right.kind) and left.kind is not right.kind:
        left, right = (
            as_number(side) if side.kind is Kind.BOOLEAN else side for side in (left, right)
        )
    if Kind.NULL in (left.kind, right.kind):
        kind = left.kind if right.kind is Kind.NULL else right.kind
        pg_type = PG_TYPES.get(kind, kind.value)
        left, right = (
            Value(f"NULL::{pg_type}", kind) if side.kind is Kind.NULL else side
            for side in (left, right)
        )
    if left.kind is not right.kind:
        raise UntranslatableError(
            f"{left.kind.value} and {right.kind.value} in one column of a set operation"
        )
    if left.collation != right.collation and "NOCASE" in (left.collation, right.collation):
        raise UntranslatableError("texts of different collations in one column")
    return replace(one, value=left), replace(other, value=right)
