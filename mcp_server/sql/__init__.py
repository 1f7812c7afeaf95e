"""The SQL that the server runs on its own account, one file each."""

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def sql_text(name: str) -> str:
    """The text of `name`.sql, read once."""
    return (_FOLDER / f"{name}.sql").read_text(encoding="utf-8")


def quoted(value: str) -> str:
    """A string literal, for the places that take no parameters (several statements at once)."""
    escaped = value.replace("'", "''")
    return f"'{escaped}'"
