"""Differences as people read them, without the secrets that stand in these files."""

import difflib
import re

_URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^@\s]+@")
_NAMED_SECRET = re.compile(
    r"((?:password|passwd|token|secret|api_?key|_key)\w*[\"']?\s*[:=]\s*)(?!\s*$)[^\s,}]+", re.I
)


def difference(name: str, before: bytes | None, after: bytes | None) -> str:
    """A unified diff without context lines: those beside ours may hold other people's keys."""
    lines = difflib.unified_diff(
        _lines(before),
        _lines(after),
        name if before is not None else "/dev/null",
        name if after is not None else "/dev/null",
        n=0,
        lineterm="",
    )
    return "\n".join(masked(line) for line in lines)


def masked(line: str) -> str:
    """The line, with what looks like a secret replaced by ***."""
    return _NAMED_SECRET.sub(r"\1***", _URL_PASSWORD.sub(r"\1***@", line))


def _lines(content: bytes | None) -> list[str]:
    return (content or b"").decode("utf-8", "replace").splitlines()
