"""One statement from a text, by PostgreSQL's own parser; and every node below it.

Invariant: what is parsed is what is sent. So nothing is trimmed, normalised or rewritten here,
and a text that parser and server could read differently (a NUL ends the parser's view) is refused.
"""

from collections.abc import Iterator

from pglast import ast, parser

from mcp_server.failure import Failure, refuse
from mcp_server.hints import hint_for

#: Longest statement, in bytes: parsing it takes a third of a second, during which nobody else is
#: served.
MAX_BYTES = 262_144
# A chain such as 1+1+1… becomes a tree as deep as it is long, and the C code that turns the tree
# into Python objects recurses: 30 000 UNIONs or 100 000 additions overflow an 8 MB stack and end
# the process. Bounded by counting tokens with the scanner, which does not recurse. Brackets are
# not counted: the grammar itself stops at 10 000.
_MAX_NESTING_TOKENS = 5_000
_MAX_TOKENS = 60_000
_SHORT = 8_192
_FLAT_TOKENS = frozenset(
    {"ICONST", "FCONST", "SCONST", "IDENT", "ASCII_44", "ASCII_40", "ASCII_41", "ASCII_46"}
)


def parse_one(text: str) -> ast.Node:
    """The tree of the only statement in `text`.

    Raises:
        Failure: 42601 where it is none, or not exactly one; 54000 or 54001 where it is too large.
    """
    _check_text(text)
    try:
        if len(text) > _SHORT:
            _check_size(text)
        statements = parser.parse_sql(text)
    except parser.ParseError as error:
        message = str(error.args[0])
        hint = hint_for("42601", message, text)
        if not hint and ("/*" in text or "--" in text):
            # The parser looks one word ahead from WITH, NOT, NULLS and FORMAT, and finds a comment
            # where PostgreSQL finds the word.
            hint = "Leave comments out."
        raise Failure(
            f"Syntax error: {message}",
            sqlstate="42601",
            hint=hint,
            refused_by="gate",
        ) from None
    except (RecursionError, MemoryError):
        raise _too_deep() from None
    if not statements:
        raise refuse("There is no statement in it.", "Send one SQL statement.", "42601")
    if len(statements) > 1:
        raise refuse(
            f"These are {len(statements)} statements; one call takes one.",
            "Send them one by one, or join them into one statement by WITH.",
            "42601",
        )
    statement: ast.Node = statements[0].stmt
    return statement


def nodes(root: ast.Node) -> Iterator[ast.Node]:
    """Every node below `root`, itself included; without recursion, however deep the tree is."""
    stack: list[object] = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, tuple):
            stack.extend(item)
        elif isinstance(item, ast.Node):
            yield item
            for member in item:
                value = getattr(item, member)
                if isinstance(value, ast.Node | tuple):
                    stack.append(value)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise refuse("The text contains a NUL character.", "Remove it.", "22021")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise refuse("The text is not valid Unicode.", "Remove lone surrogates.", "22021") from None
    if size > MAX_BYTES:
        raise refuse(
            f"The statement has {size} bytes; the limit is {MAX_BYTES}.",
            "Split it into several calls.",
            "54000",
        )


def _check_size(text: str) -> None:
    tokens = parser.scan(text)
    if len(tokens) > _MAX_TOKENS:
        raise _too_deep()
    if sum(token.name not in _FLAT_TOKENS for token in tokens) > _MAX_NESTING_TOKENS:
        raise _too_deep()


def _too_deep() -> Failure:
    return refuse(
        "The statement has too many parts.",
        "Split it into several calls; for many values use one list, or unnest of an array.",
        "54001",
    )
