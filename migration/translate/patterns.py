"""LIKE and GLOB."""

from migration.translate.errors import UntranslatableError
from migration.translate.scope import quote_text
from migration.translate.values import Kind, Value, as_text, operator

_REGEX_SPECIAL = frozenset("\\^$.|?*+()[]{}")


def like(value: Value, pattern: Value, escape: Value | None, *, negated: bool) -> Value:
    """LIKE, which takes ASCII letters for equal in either case, and knows no escape by itself."""
    text, wanted = as_text(value), as_text(pattern)
    sign = "''"
    if escape is not None:
        letter = escape.literal
        if not isinstance(letter, str) or len(letter) != 1 or letter.isalpha():
            raise UntranslatableError("ESCAPE by anything but one sign")
        literal = pattern.literal
        if letter in "%_" or (isinstance(literal, str) and _ends_escaping(literal, letter)):
            raise UntranslatableError("a pattern whose escape sign stands before nothing")
        sign = quote_text(letter)
    word = "NOT ILIKE" if negated else "ILIKE"
    return operator(f'{text} COLLATE "C" {word} {wanted} ESCAPE {sign}', Kind.BOOLEAN)


def _ends_escaping(pattern: str, letter: str) -> bool:
    return (len(pattern) - len(pattern.rstrip(letter))) % 2 == 1


def glob(value: Value, pattern: Value) -> Value:
    """GLOB with a literal pattern, as an anchored regular expression."""
    if pattern.kind is Kind.NULL:
        return Value("NULL::boolean", Kind.BOOLEAN)
    if not isinstance(pattern.literal, str):
        raise UntranslatableError("GLOB with a pattern that is not a literal")
    regex = f"^{_regex(pattern.literal)}$"
    return operator(f"{as_text(value)} ~ {quote_text(regex)}", Kind.BOOLEAN)


def _regex(pattern: str) -> str:
    pieces, position = [], 0
    while position < len(pattern):
        letter = pattern[position]
        position += 1
        if letter == "*":
            pieces.append(".*")
        elif letter == "?":
            pieces.append(".")
        elif letter == "[":
            piece, position = _letters(pattern, position)
            pieces.append(piece)
        else:
            pieces.append("\\" + letter if letter in _REGEX_SPECIAL else letter)
    return "".join(pieces)


def _letters(pattern: str, position: int) -> tuple[str, int]:
    """A [set] of letters, and where the pattern goes on after it."""
    refused = UntranslatableError(f"GLOB pattern {pattern!r}: a set of letters that never ends")
    negated = pattern[position : position + 1] == "^"
    position += negated
    # A ] that stands first is one of the letters.
    end = pattern.find("]", position + 1)
    if end < 0:
        raise refused
    inner, pieces, at = pattern[position:end], [], 0
    while at < len(inner):
        if inner[at + 1 : at + 2] == "-" and at + 2 < len(inner):
            low, high = inner[at], inner[at + 2]
            if low > high:
                raise UntranslatableError(f"GLOB pattern {pattern!r}: an empty range")
            pieces.append(f"{_escaped(low)}-{_escaped(high)}")
            at += 3
        else:
            pieces.append(_escaped(inner[at]))
            at += 1
    return f"[{'^' * negated}{''.join(pieces)}]", end + 1


def _escaped(letter: str) -> str:
    return letter if letter.isalnum() or not letter.isascii() else "\\" + letter
