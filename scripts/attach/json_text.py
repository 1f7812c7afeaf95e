"""One value in a JSON text is set; every other character stays as it was."""

import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from database.errors import UsageError

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class Member(NamedTuple):
    """One member of an object; places are offsets into the text."""

    key: str
    key_start: int
    start: int
    end: int


def set_value(text: str, path: tuple[str, ...], value: object) -> str:
    """The text with `value` at `path`; objects on the way are added where they are missing.

    Raises:
        UsageError: it is no JSON, what is on the way is no object, or a key stands there twice.
    """
    try:
        before = json.loads(text)
    except ValueError as error:
        raise UsageError(
            f"This is no JSON: {error}.", "Correct the file, then try again."
        ) from None
    if _at(before, path) == value:
        return text
    newline = "\r\n" if "\r\n" in text else "\n"
    start, unit = _skip(text, 0), _unit(text)
    for depth, key in enumerate(path):
        members = list(_members(text, start))
        found = [member for member in members if member.key == key]
        if len(found) > 1:
            raise UsageError(f"The key {key} stands there twice.", "Remove one of them.")
        inner = unit * (depth + 1)
        if not found:
            rest: object = value
            for name in reversed(path[depth + 1 :]):
                rest = {name: rest}
            added = f"{json.dumps(key)}: {_rendered(rest, inner, unit, newline)}"
            return _insert(text, start, members, added, (inner, unit * depth, newline))
        start = found[0].start
        if depth == len(path) - 1:
            rendered = _rendered(value, inner, unit, newline)
            return text[:start] + rendered + text[found[0].end :]
    raise AssertionError("a path has at least one key")


def _at(document: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(document, dict) or key not in document:
            return None
        document = document[key]
    return document


def _members(text: str, start: int) -> Iterator[Member]:
    if text[start] != "{":
        raise UsageError("What should be an object is none.", "Correct the file, then try again.")
    at = _skip(text, start + 1)
    while text[at] != "}":
        key, after = _DECODER.raw_decode(text, at)
        value = _skip(text, _skip(text, after) + 1)
        _, end = _DECODER.raw_decode(text, value)
        yield Member(key, at, value, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)


def _insert(
    text: str, start: int, members: list[Member], added: str, layout: tuple[str, str, str]
) -> str:
    inner, outer, newline = layout
    if members:
        end = members[-1].end
        return f"{text[:end]},{newline}{inner}{added}{text[end:]}"
    closing = _skip(text, start + 1)
    return f"{text[: start + 1]}{newline}{inner}{added}{newline}{outer}{text[closing:]}"


def _rendered(value: object, indent: str, unit: str, newline: str) -> str:
    text = json.dumps(value, indent=unit, ensure_ascii=False)
    return text.replace("\n", newline + indent)


def _unit(text: str) -> str:
    found = re.search(r"\{\r?\n([ \t]+)\"", text)
    return found[1] if found else "  "


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
