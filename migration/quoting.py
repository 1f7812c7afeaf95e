"""Names: in SQL text, and where people read them."""

import os


def quote_name(name: str) -> str:
    """An identifier as SQLite and PostgreSQL both read it."""
    return '"' + name.replace('"', '""') + '"'


def printable(name: object) -> str:
    """A path or an argument as text that can be stored and printed, whatever its bytes are."""
    return os.fsencode(str(name)).decode(errors="backslashreplace")


def fold(name: str) -> str:
    """A name as SQLite compares names: ASCII letters in lower case."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)
