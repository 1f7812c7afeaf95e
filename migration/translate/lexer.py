"""SQLite's tokens, by the rules of its own tokenizer.

sqlglot parses expressions and queries, but not all that SQLite lets people write in a CREATE
statement; those are cut into pieces here, with nothing but quotes, comments and parentheses.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

_PATTERN = re.compile(
    r"""(?P<space>[\s\ufeff]+|--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<blob>[xX]'[^']*')
    |(?P<string>'(?:[^']|'')*')
    |(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    |(?P<number>0[xX][0-9a-fA-F]+|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<word>[^\W\d][\w$]*|[^\x00-\x7f][\w$]*)
    |(?P<sign>->>|->|\|\||==|<>|!=|<=|>=|<<|>>|.)""",
    re.VERBOSE | re.DOTALL,
)


class Kind(Enum):
    """What a token is."""

    WORD = "word"
    NAME = "name"
    STRING = "string"
    BLOB = "blob"
    NUMBER = "number"
    SIGN = "sign"


@dataclass(frozen=True)
class Token:
    """A token and where it stands in the text, as [start, end) in characters."""

    kind: Kind
    text: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        """Whether it is one of these (upper-case) bare words."""
        return self.kind is Kind.WORD and self.text.upper() in words

    def is_sign(self, sign: str) -> bool:
        """Whether it is this operator or bracket."""
        return self.kind is Kind.SIGN and self.text == sign

    @property
    def names(self) -> bool:
        """Whether SQLite takes it for an identifier where one is expected."""
        return self.kind in (Kind.WORD, Kind.NAME, Kind.STRING)


def tokenize(text: str) -> list[Token]:
    """The tokens without white space and comments. Takes any text."""
    return [
        Token(Kind(match.lastgroup), match.group(), match.start(), match.end())
        for match in _PATTERN.finditer(text)
        if match.lastgroup != "space"
    ]


def unquote(token: Token) -> str:
    """The identifier that a token spells."""
    text = token.text
    if token.kind is Kind.WORD or len(text) < 2:
        return text
    quote, inner = text[0], text[1:-1]
    return inner if quote == "[" else inner.replace(quote * 2, quote)


def closing(tokens: Sequence[Token], opening: int) -> int | None:
    """The position of the parenthesis that closes the one at `opening`, or None."""
    depth = 0
    for position in range(opening, len(tokens)):
        if tokens[position].is_sign("("):
            depth += 1
        elif tokens[position].is_sign(")"):
            depth -= 1
            if depth == 0:
                return position
    return None


def split_at_commas(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """The token runs between commas that stand outside of every parenthesis."""
    parts, depth, start = [], 0, 0
    for position, token in enumerate(tokens):
        if token.is_sign("("):
            depth += 1
        elif token.is_sign(")"):
            depth -= 1
        elif token.is_sign(",") and depth == 0:
            parts.append(tokens[start:position])
            start = position + 1
    parts.append(tokens[start:])
    return parts


def span(text: str, tokens: Sequence[Token]) -> str:
    """The text from the first token to the last, as written."""
    return text[tokens[0].start : tokens[-1].end] if tokens else ""
