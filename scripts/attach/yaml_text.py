"""One value in a YAML text is set; every other character, comments too, stays as it was.

PyYAML says where each node begins and ends; the text is cut there. The result is read again, and
has to mean what the old text meant, with the one value changed.
"""

import json

import yaml

from database.errors import UsageError

_ADVICE = "Correct the file, then try again."


def set_value(text: str, path: tuple[str, ...], value: str | bool) -> str:
    """The text with `value` at `path`; mappings on the way are added where they are missing.

    Raises:
        UsageError: it is no YAML of one mapping, a key stands there twice, or what is on the way
            is written in a way that cannot be edited safely (an alias, a list).
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    body = text.removeprefix(mark)
    try:
        before = yaml.safe_load(body)
        root: yaml.Node | None = yaml.compose(body, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        said = str(error).replace("\n", " ")
        raise UsageError(f"This is no YAML: {said}", _ADVICE) from None
    wanted = _changed(before, path, value)
    if wanted == before:
        return text
    newline = "\r\n" if "\r\n" in text else "\n"
    edited = _edit(body, root, path, value, newline)
    if not _means(edited, wanted):
        raise UsageError(
            f"{'.'.join(path)} cannot be set here without changing something else.",
            "Set it by hand.",
        )
    return mark + edited


def _means(text: str, wanted: object) -> bool:
    try:
        return bool(yaml.safe_load(text) == wanted)
    except yaml.YAMLError:
        return False


def _changed(document: object, path: tuple[str, ...], value: object) -> dict[object, object]:
    if document is not None and not isinstance(document, dict):
        raise UsageError(f"What should hold {path[0]} is no mapping.", _ADVICE)
    known: dict[object, object] = document or {}
    rest = path[1:]
    return {**known, path[0]: _changed(known.get(path[0]), rest, value) if rest else value}


def _edit(
    text: str, node: yaml.Node | None, path: tuple[str, ...], value: str | bool, newline: str
) -> str:
    if not isinstance(node, yaml.MappingNode) or not node.value:
        if node is None or node.start_mark.index == node.end_mark.index:
            return _append(text, path, value, newline)
        raise UsageError(f"What should hold {path[0]} is not a mapping with entries.", _ADVICE)
    found = [pair for pair in node.value if pair[0].value == path[0]]
    if len(found) > 1:
        raise UsageError(f"The key {path[0]} stands there twice.", "Remove one of them.")
    if not found:
        return _insert(text, node, path, value, newline)
    key, current = found[0]
    start, end = current.start_mark.index, current.end_mark.index
    if start < key.end_mark.index:
        raise UsageError(f"The value of {path[0]} is an alias.", "Write it out, then try again.")
    if len(path) == 1:
        space = " " if text[start - 1] == ":" else ""
        # The end of a block of text is the beginning of the next line.
        old = text[start:end]
        kept = old[len(old.rstrip()) :]
        return f"{text[:start]}{space}{json.dumps(value, ensure_ascii=False)}{kept}{text[end:]}"
    if start == end:
        indent = " " * (key.start_mark.column + 2)
        at = text.index(":", int(key.end_mark.index)) + 1
        return f"{text[:at]}{newline}{indent}{_flow(path[1:], value)}{text[at:]}"
    return _edit(text, current, path[1:], value, newline)


def _insert(
    text: str, node: yaml.MappingNode, path: tuple[str, ...], value: str | bool, newline: str
) -> str:
    first = node.value[0][0].start_mark
    if first.column == 0 and not node.flow_style:
        # Not between the first section and the comments above it.
        return _append(text, path, value, newline)
    between = ", " if node.flow_style else newline + " " * first.column
    return text[: first.index] + _flow(path, value) + between + text[first.index :]


def _append(text: str, path: tuple[str, ...], value: str | bool, newline: str) -> str:
    gap = "" if not text or text.endswith("\n") else newline
    return text + gap + _flow(path, value) + newline


def _flow(path: tuple[str, ...], value: str | bool) -> str:
    inner = json.dumps(value, ensure_ascii=False)
    for key in reversed(path[1:]):
        inner = f"{{ {key}: {inner} }}"
    return f"{path[0]}: {inner}"
