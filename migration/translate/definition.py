"""What only the text of CREATE TABLE says: checks, generated columns, collations, deferral."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from migration.translate.lexer import Kind, Token, closing, span, split_at_commas, tokenize, unquote

_TABLE_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")
#: Words that end what CONSTRAINT names: the name belongs to the constraint right after it.
_UNNAMED = ("NOT", "NULL", "UNIQUE", "PRIMARY", "FOREIGN", "REFERENCES", "DEFAULT", "COLLATE")


@dataclass(frozen=True)
class Check:
    """A CHECK constraint: its name, if it has one, and the expression as written."""

    name: str | None
    expression: str


@dataclass(frozen=True)
class TableDefinition:
    """What a CREATE TABLE declares beyond the pragmas; column names are as written there."""

    checks: tuple[Check, ...] = ()
    #: Column → the expression that computes it.
    generated: dict[str, str] = field(default_factory=dict)
    #: Column → collation, in upper case, as declared on the column.
    collations: dict[str, str] = field(default_factory=dict)
    #: The referencing columns of every foreign key that is DEFERRABLE INITIALLY DEFERRED.
    deferred: frozenset[tuple[str, ...]] = frozenset()
    #: The pieces of the text that made no sense here.
    not_understood: tuple[str, ...] = ()


def read_definition(create_table_sql: str) -> TableDefinition:
    """Read a CREATE TABLE. Never raises; a virtual table's text declares nothing here."""
    tokens = tokenize(create_table_sql)
    head = [token.text.upper() for token in tokens[:3]]
    if "VIRTUAL" in head:
        return TableDefinition()
    opening = next((n for n, token in enumerate(tokens) if token.is_sign("(")), None)
    if opening is None or "TABLE" not in head:
        return TableDefinition(not_understood=(create_table_sql,))
    end = closing(tokens, opening)
    if end is None:
        return TableDefinition(not_understood=(create_table_sql[tokens[opening].start :],))
    reader = _Reader(create_table_sql)
    for part in split_at_commas(tokens[opening + 1 : end]):
        reader.read(part)
    return TableDefinition(
        tuple(reader.checks),
        reader.generated,
        reader.collations,
        frozenset(reader.deferred),
        tuple(reader.not_understood),
    )


class _Reader:
    """Collects from one column or table constraint after another."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.checks: list[Check] = []
        self.generated: dict[str, str] = {}
        self.collations: dict[str, str] = {}
        self.deferred: set[tuple[str, ...]] = set()
        self.not_understood: list[str] = []
        self._name: str | None = None

    def read(self, tokens: Sequence[Token]) -> None:
        """One piece between commas: a column, or table constraints."""
        if not tokens or not tokens[0].names:
            self.not_understood.append(span(self.text, tokens))
            return
        self._name = None
        if tokens[0].is_word(*_TABLE_CONSTRAINTS):
            self._constraints(tokens, 0, None)
        else:
            self._constraints(tokens, 1, unquote(tokens[0]))

    def _constraints(self, tokens: Sequence[Token], position: int, column: str | None) -> None:
        key: tuple[str, ...] = (column,) if column else ()
        while position < len(tokens):
            token = tokens[position]
            after = tokens[position + 1] if position + 1 < len(tokens) else None
            if token.is_word("CONSTRAINT") and after is not None and after.names:
                self._name = unquote(after)
                position += 2
            elif token.is_word("CHECK", "AS", "KEY") and after is not None and after.is_sign("("):
                end = closing(tokens, position + 1)
                if end is None:
                    self.not_understood.append(span(self.text, tokens[position:]))
                    return
                inner = tokens[position + 2 : end]
                if token.is_word("KEY"):
                    key = tuple(unquote(one) for one in inner if one.names)
                else:
                    self._expression(token, inner, column)
                position = end + 1
            elif token.is_word("COLLATE") and after is not None:
                if column:
                    self.collations[column] = unquote(after).upper()
                position += 2
            elif token.is_word("DEFAULT"):
                position = _after_default(tokens, position + 1)
            else:
                if _deferred(tokens, position):
                    self.deferred.add(key)
                position = _skip(tokens, position)
            if token.is_word(*_UNNAMED):
                self._name = None

    def _expression(self, keyword: Token, inner: Sequence[Token], column: str | None) -> None:
        expression = span(self.text, inner)
        if not inner or (keyword.is_word("AS") and column is None):
            self.not_understood.append(f"{keyword.text} ({expression})")
        elif keyword.is_word("CHECK"):
            self.checks.append(Check(self._name, expression))
        elif column:
            self.generated[column] = expression
        self._name = None


def _deferred(tokens: Sequence[Token], position: int) -> bool:
    words = [token.text.upper() for token in tokens[position : position + 3]]
    negated = position > 0 and tokens[position - 1].is_word("NOT")
    return words == ["DEFERRABLE", "INITIALLY", "DEFERRED"] and not negated


def _skip(tokens: Sequence[Token], position: int) -> int:
    """Past the token at `position`, and past the whole bracket if it opens one."""
    if tokens[position].is_sign("("):
        end = closing(tokens, position)
        return len(tokens) if end is None else end + 1
    return position + 1


def _after_default(tokens: Sequence[Token], position: int) -> int:
    """Past DEFAULT's value, which may spell a keyword."""
    while position < len(tokens) and tokens[position].kind is Kind.SIGN:
        if tokens[position].is_sign("("):
            return _skip(tokens, position)
        position += 1
    return position + 1
