"""One variable of a `.env` is set; every other character stays as it was."""

import re


def set_value(text: str, name: str, value: str) -> str:
    """The text with `name=value`, in place of the last line that sets it, else at the end.

    `value` is URL-safe text, so it needs no quotes.
    """
    line = re.compile(rf"^([ \t]*(?:export[ \t]+)?){re.escape(name)}[ \t]*=[^\r\n]*", re.MULTILINE)
    found = list(line.finditer(text))
    if found:
        last = found[-1]
        return f"{text[: last.start()]}{last[1]}{name}={value}{text[last.end() :]}"
    newline = "\r\n" if "\r\n" in text else "\n"
    gap = "" if not text or text.endswith("\n") else newline
    return f"{text}{gap}{name}={value}{newline}"
