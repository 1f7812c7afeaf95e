"""CREATE VIEW."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from migration.quoting import fold
from migration.translate.errors import PARSER_ERRORS, UntranslatableError, first_line
from migration.translate.expression import RESERVED, refuse_unary_plus
from migration.translate.lexer import Kind, Token, closing, span, split_at_commas, tokenize, unquote
from migration.translate.query import Query
from migration.translate.relations import Output
from migration.translate.scope import RelationScope, ScopeColumn, quote_identifier
from migration.translate.values import PG_TYPES

_NAME_BYTES = 63
_ENDS = (
    *("FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT"),
    *("UNION", "EXCEPT", "INTERSECT"),
)


#: Words of a SELECT, which a column of that name does not stand for where they are bare.
_WORDS = RESERVED | frozenset(
    """
    ASC BY CROSS CURRENT DESC EXCEPT FALSE FILTER FIRST FOLLOWING FROM FULL GROUP GROUPS HAVING
    INDEXED INNER INTERSECT JOIN LAST LEFT LIMIT MATERIALIZED NATURAL NULLS OFFSET ON ORDER OUTER
    OVER PARTITION PRECEDING RANGE RECURSIVE RIGHT ROW ROWS TRUE UNBOUNDED UNION USING VALUES WHERE
    WINDOW WITH
    """.split()  # noqa: SIM905 (words read better as words)
)


@dataclass(frozen=True)
class ViewDefinition:
    """A view for PostgreSQL: `CREATE VIEW schema.name (columns) AS select`."""

    #: The names of the result's columns, as the target shall have them; and their types.
    columns: tuple[str, ...]
    types: tuple[str, ...]
    select: str

    def as_relation(self, schema: str, name: str) -> RelationScope:
        """The view, for views that read it."""
        pairs = zip(self.columns, self.types, strict=True)
        columns = {fold(column): ScopeColumn(column, pg_type) for column, pg_type in pairs}
        return RelationScope(schema, name, columns)


def view(create_view_sql: str, tables: Mapping[str, RelationScope]) -> ViewDefinition:
    """Translate a CREATE VIEW as sqlite_master has it; `tables` by folded source name.

    Every table is qualified by its schema and every column by its table. Where a result column
    has no alias its name is SQLite's: the text as written. What PostgreSQL itself would refuse
    (columns outside of GROUP BY) is left to it. Raises UntranslatableError.
    """
    tokens = tokenize(create_view_sql)
    names, body = _head(tokens)
    refuse_unary_plus(list(body))
    names_of_columns = {fold(name) for scope in tables.values() for name in scope.columns}
    text = _plain_text(body, names_of_columns)
    spans = _item_texts(create_view_sql, body)
    try:
        tree = sqlglot.parse_one(text, read="sqlite")
    except PARSER_ERRORS as error:
        raise UntranslatableError(f"it could not be parsed: {first_line(error)}") from None

    def written(position: int, node: exp.Expression) -> str:
        return spans[position] if position < len(spans) else node.sql(dialect="sqlite")

    try:
        folded = {fold(name): scope for name, scope in tables.items()}
        sql, outputs = Query(folded, {}).render(tree, written)
    except RecursionError:
        raise UntranslatableError("the query is nested too deep") from None
    columns = names or _distinct_names(outputs)
    if len(columns) != len(outputs):
        raise UntranslatableError(f"{len(columns)} names for {len(outputs)} columns")
    kinds = [output.value.kind for output in outputs]
    types = tuple(PG_TYPES.get(kind, kind.value) for kind in kinds)
    return ViewDefinition(tuple(columns), types, sql)


def _head(tokens: Sequence[Token]) -> tuple[list[str], Sequence[Token]]:
    """The column names after the view's name, if any, and the tokens of its SELECT."""
    at = next((n for n, token in enumerate(tokens) if token.is_word("AS")), None)
    start = next((n for n, token in enumerate(tokens) if token.is_word("VIEW")), None)
    if at is None or start is None or start > at:
        raise UntranslatableError("it is not a CREATE VIEW")
    opening = next((n for n in range(start, at) if tokens[n].is_sign("(")), None)
    names = []
    if opening is not None:
        end = closing(tokens, opening)
        names = [unquote(one) for one in tokens[opening + 1 : end] if one.names]
    body = tokens[at + 1 :]
    while body and body[-1].is_sign(";"):
        body = body[:-1]
    return names, body


def _plain_text(tokens: Sequence[Token], columns: set[str]) -> str:
    """The SELECT without INDEXED BY and NOT INDEXED, and with bare column names in quotes."""
    pieces, position = [], 0
    while position < len(tokens):
        token = tokens[position]
        following = tokens[position + 1] if position + 1 < len(tokens) else None
        if token.is_word("INDEXED") and following is not None and following.is_word("BY"):
            position += 3
        elif token.is_word("NOT") and following is not None and following.is_word("INDEXED"):
            position += 2
        else:
            called = following is not None and following.is_sign("(")
            after_as = position > 0 and tokens[position - 1].is_word("AS")
            bare = token.kind is Kind.WORD and not called and not after_as
            column = bare and token.text.upper() not in _WORDS and fold(token.text) in columns
            pieces.append(quote_identifier(token.text) if column else token.text)
            position += 1
    return " ".join(pieces)


def _item_texts(text: str, tokens: Sequence[Token]) -> list[str]:
    """The items of the (first) SELECT list as written."""
    depth, start = 0, None
    for position, token in enumerate(tokens):
        depth += token.is_sign("(") - token.is_sign(")")
        if depth == 0 and start is None and token.is_word("SELECT"):
            start = position + 1
            if start < len(tokens) and tokens[start].is_word("DISTINCT", "ALL"):
                start += 1
        elif depth == 0 and start is not None and token.is_word(*_ENDS):
            return [span(text, part) for part in split_at_commas(tokens[start:position])]
    if start is None:
        return []
    return [span(text, part) for part in split_at_commas(tokens[start:])]


def _distinct_names(outputs: list[Output]) -> list[str]:
    """The names, cut to PostgreSQL's length; a repeated one is numbered, as SQLite does."""
    taken: set[str] = set()
    names = []
    for output in outputs:
        name = _cut(output.name, _NAME_BYTES)
        number = 0
        while fold(name) in taken:
            number += 1
            suffix = f":{number}"
            name = _cut(output.name, _NAME_BYTES - len(suffix)) + suffix
        taken.add(fold(name))
        names.append(name)
    return names


def _cut(name: str, size: int) -> str:
    return name.encode()[:size].decode(errors="ignore")
