"""CREATE INDEX: its parts and its WHERE."""

from collections.abc import Sequence
from dataclasses import dataclass

from migration.translate.comparison import collated, json_text
from migration.translate.errors import UntranslatableError
from migration.translate.expression import evaluate
from migration.translate.lexer import Token, closing, span, split_at_commas, tokenize, unquote
from migration.translate.scope import Scope
from migration.translate.values import Kind


@dataclass(frozen=True)
class IndexPart:
    """One key of an index: the column or expression as written, without COLLATE and DESC."""

    text: str
    #: In upper case; None where the column's own holds.
    collation: str | None
    descending: bool


@dataclass(frozen=True)
class IndexDefinition:
    """The keys of an index, and the condition of a partial one as written."""

    parts: tuple[IndexPart, ...]
    where: str | None


def read_index(create_index_sql: str) -> IndexDefinition:
    """Read a CREATE INDEX as sqlite_master has it. Raises UntranslatableError."""
    tokens = tokenize(create_index_sql)
    start = next((n for n, token in enumerate(tokens) if token.is_word("ON")), len(tokens))
    opening = next((n for n in range(start, len(tokens)) if tokens[n].is_sign("(")), None)
    end = None if opening is None else closing(tokens, opening)
    if opening is None or end is None:
        raise UntranslatableError("it is not a CREATE INDEX")
    parts = split_at_commas(tokens[opening + 1 : end])
    rest = tokens[end + 1 :]
    if rest and not rest[0].is_word("WHERE"):
        raise UntranslatableError(f"what follows the keys: {span(create_index_sql, rest)}")
    where = span(create_index_sql, rest[1:]) or None
    return IndexDefinition(tuple(_part(create_index_sql, part) for part in parts), where)


def _part(text: str, tokens: Sequence[Token]) -> IndexPart:
    descending, collation = False, None
    if tokens and tokens[-1].is_word("ASC", "DESC"):
        descending = tokens[-1].is_word("DESC")
        tokens = tokens[:-1]
    if len(tokens) > 2 and tokens[-2].is_word("COLLATE"):
        collation = unquote(tokens[-1]).upper()
        tokens = tokens[:-2]
    if not tokens:
        raise UntranslatableError("an index key is missing")
    return IndexPart(span(text, tokens), collation, descending)


def index_part(
    text: str, scope: Scope, collation: str | None = None, *, descending: bool = False
) -> str:
    """One key for PostgreSQL's CREATE INDEX, of a column's (quoted) name or an expression.

    `collation` is the index's own (pragma index_xinfo's `coll`, or IndexPart's); NOCASE becomes
    lower() over the C collation, which folds ASCII letters only, as SQLite does. Raises
    UntranslatableError.
    """
    value = evaluate(text, scope)
    if value.kind is Kind.MIXED and not value.column:
        raise UntranslatableError("an index over values of several types")
    sql, bare = value.sql, value.column
    if value.kind is Kind.JSON_VALUE:
        sql, bare = json_text(value), False
    key = (collation or value.collation or "BINARY").upper()
    if value.kind is Kind.TEXT and key != "BINARY":
        sql, bare = collated(value.wrapped, key), False
    if value.kind is Kind.NULL or value.literal is not None:
        raise UntranslatableError("an index over a literal")
    return f"{sql if bare else f'({sql})'}{' DESC' * descending}"
