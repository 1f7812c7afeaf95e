"""SQLite's expressions in PostgreSQL's words, with the same meaning or not at all.

What is translated is what is listed here and in the modules of its handlers; anything else
raises UntranslatableError, so nothing passes because it happens to look alike.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import sqlglot
from sqlglot import exp

from migration.quoting import fold
from migration.translate import functions, operators
from migration.translate.errors import PARSER_ERRORS, UntranslatableError, first_line
from migration.translate.lexer import Kind as TokenKind
from migration.translate.lexer import Token, tokenize
from migration.translate.nodes import Node
from migration.translate.scope import Scope, quote_identifier
from migration.translate.values import Kind, Value, column_value, into

# What sqlglot would print about a text is said by the error that ends in the report.
logging.getLogger("sqlglot").addHandler(logging.NullHandler())

#: Words that never are a bare column name where an expression is expected.
RESERVED = frozenset(
    """
    ALL AND AS BETWEEN CASE CAST COLLATE CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP DISTINCT
    ELSE END ESCAPE EXISTS FROM GLOB IN IS ISNULL LIKE MATCH NOT NOTNULL NULL OR REGEXP SELECT
    THEN WHEN
    """.split()  # noqa: SIM905 (words read better as words)
)


class Names(Protocol):
    """Where a column's name leads."""

    def column(self, table: str | None, name: str, *, quoted: bool) -> Value | None:
        """The column, or None if there is no such."""


class TableNames:
    """The columns of one table, as its own CHECKs and indexes may name them."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def column(self, table: str | None, name: str, *, quoted: bool) -> Value | None:  # noqa: ARG002
        """A column of the table; it may be qualified by the table's name."""
        found = self.scope.columns.get(fold(name))
        return None if found is None else column_value(found)


Handler = Callable[["Translator", Node], Value]
Handlers = dict[type[exp.Expression], Handler]


class Translator:
    """Translates sqlglot's nodes; `extra` adds handlers that only a query may use."""

    def __init__(self, names: Names, extra: Handlers | None = None) -> None:
        self.names = names
        self.handlers = HANDLERS | (extra or {})

    def value(self, node: exp.Expression | None) -> Value:
        """The translation of one node and all below it."""
        if node is None:
            raise UntranslatableError("an expression is missing")
        handler = self.handlers.get(type(node))
        if handler is None:
            raise UntranslatableError(f"{_shown(node)} is not translated")
        value = handler(self, node)
        if value.kind is Kind.TEXT and not value.explicit and (collation := _said_inside(node)):
            return replace(value, collation=collation, explicit=True)
        return value

    def values(self, nodes: list[exp.Expression]) -> list[Value]:
        """The translations of several."""
        return [self.value(node) for node in nodes]


def _said_inside(node: exp.Expression) -> str | None:
    """The COLLATE that stands first anywhere in an expression: it is that of the whole.

    So in `a || b COLLATE NOCASE < c`, although COLLATE binds to `b`; a subquery keeps its own.
    """
    if isinstance(node, exp.Query):
        return None
    inner = (found for child in node.iter_expressions() if (found := _said_inside(child)))
    own = node.expression.name.upper() if isinstance(node, exp.Collate) else None
    return next(inner, own)


def expression(text: str, scope: Scope, pg_type: str | None = None) -> str:
    """The expression over one table's columns, in PostgreSQL's SQL.

    `pg_type` says what it is for: 'boolean' makes a condition (for CHECK and WHERE), another
    type a value of such a column; None leaves the type to the expression. Raises
    UntranslatableError.
    """
    value = evaluate(text, scope)
    return value.sql if pg_type is None else into(value, pg_type)


def evaluate(text: str, scope: Scope) -> Value:
    """`expression` with what is known about its value."""
    return translate_node(parse(quote_columns(text, scope)), Translator(TableNames(scope)))


def translate_node(node: exp.Expression, translator: Translator) -> Value:
    """The translation of a tree of any depth."""
    try:
        return translator.value(node)
    except RecursionError:
        raise UntranslatableError("the expression is nested too deep") from None


def parse(text: str) -> exp.Expression:
    """sqlglot's tree of one expression."""
    refuse_unary_plus(tokenize(text))
    try:
        # In a SELECT, a trailing word would be an alias; here it is an error.
        tree = sqlglot.parse_one(f"SELECT ({text}\n)", read="sqlite")
    except PARSER_ERRORS as error:
        raise UntranslatableError(f"it could not be parsed: {first_line(error)}") from None
    if not isinstance(tree, exp.Select) or len(tree.expressions) != 1:
        raise UntranslatableError("it is not a single expression")
    if any(part for name, part in tree.args.items() if name != "expressions"):
        raise UntranslatableError("it is not a single expression")
    paren: exp.Expression = tree.expressions[0]
    if isinstance(paren, exp.Subquery):
        return paren
    if not isinstance(paren, exp.Paren):
        raise UntranslatableError("it is not a single expression")
    inner: exp.Expression = paren.this
    return inner


def quote_columns(text: str, scope: Scope) -> str:
    """The text with every bare column name in quotes, so that none is taken for a keyword."""
    tokens = tokenize(text)
    pieces, end = [], 0
    for position, token in enumerate(tokens):
        called = position + 1 < len(tokens) and tokens[position + 1].is_sign("(")
        bare = token.kind is TokenKind.WORD and token.text.upper() not in RESERVED
        if bare and not called and fold(token.text) in scope.columns:
            typed = position > 0 and tokens[position - 1].is_word("AS")
            collation = position > 0 and tokens[position - 1].is_word("COLLATE")
            if not typed and not collation:
                pieces += [text[end : token.start], quote_identifier(token.text)]
                end = token.end
    return "".join([*pieces, text[end:]])


def refuse_unary_plus(tokens: list[Token]) -> None:
    """Raise for it: `+column` takes the column's affinity away, and sqlglot does not tell of it."""
    for before, sign, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if not sign.is_sign("+") or after is None or after.kind is TokenKind.NUMBER:
            continue
        operand = before is not None and (
            before.kind is not TokenKind.SIGN and not before.is_word(*RESERVED - {"END", "NULL"})
        )
        if not operand and not (before is not None and before.is_sign(")")):
            raise UntranslatableError("a unary plus, which drops the affinity of its operand")


def _shown(node: exp.Expression) -> str:
    text = node.sql(dialect="sqlite")
    return text if len(text) <= 60 else f"{text[:57]}..."


HANDLERS: Handlers = {**operators.HANDLERS, **functions.HANDLERS}
