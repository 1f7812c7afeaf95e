"""What a file is that is no SQLite database, and how to make one of it."""

import re
from dataclasses import dataclass

#: How much of a file's beginning is looked at.
HEAD = 4096
_MAGIC = b"SQLite format 3\x00"
_SQL = re.compile(
    rb"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:pragma|begin|create|insert|drop|set|commit|update|delete)\b",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Kind:
    """A kind of file: its first bytes from `offset` on, what it is, and what to do with it."""

    magic: bytes
    name: str
    advice: str
    offset: int = 0


_UNPACK = "Unpack it first, and name the database that is in it."
_BESIDE = "It belongs to a database file beside it: name that one, and keep this one beside it."
_KINDS = (
    Kind(b"\x1f\x8b", "a gzip file", "Unpack it first: 'gunzip FILE'."),
    Kind(b"PK\x03\x04", "a zip file", _UNPACK),
    Kind(b"PK\x05\x06", "an empty zip file", _UNPACK),
    Kind(b"BZh", "a bzip2 file", _UNPACK),
    Kind(b"\xfd7zXZ\x00", "an xz file", _UNPACK),
    Kind(b"\x28\xb5\x2f\xfd", "a zstd file", _UNPACK),
    Kind(b"7z\xbc\xaf\x27\x1c", "a 7-Zip file", _UNPACK),
    Kind(b"ustar", "a tar file", _UNPACK, 257),
    Kind(b"\x37\x7f\x06\x82", "the write-ahead log of a SQLite database", _BESIDE),
    Kind(b"\x37\x7f\x06\x83", "the write-ahead log of a SQLite database", _BESIDE),
    Kind(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", "the rollback journal of a SQLite database", _BESIDE),
    Kind(
        b"** This file contains an SQLite 2",
        "a database of SQLite 2",
        "Convert it with the old program: 'sqlite OLD .dump | sqlite3 NEW'.",
    ),
    Kind(b"DUCK", "a DuckDB database", "Attach it in DuckDB and copy it into a SQLite file.", 8),
    Kind(b"PGDMP", "a dump of PostgreSQL", "Restore it with pg_restore: no migration is needed."),
    Kind(b"Standard Jet DB", "a Microsoft Access database", "Export it to SQLite first.", 4),
    Kind(b"Standard ACE DB", "a Microsoft Access database", "Export it to SQLite first.", 4),
)


def is_sqlite(head: bytes) -> bool:
    """Whether a file that begins so is a SQLite 3 database that is not encrypted."""
    return head.startswith(_MAGIC)


def what_it_is(head: bytes) -> tuple[str, str]:
    """What a file is that begins with `head` and is no SQLite database, and what to do."""
    for kind in _KINDS:
        if head[kind.offset :].startswith(kind.magic):
            return f"it is {kind.name}", kind.advice
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _SQL.match(text):
        return "it is SQL text", "Make a database of it first: 'sqlite3 NEW.db < FILE'."
    if not head.strip(b"\0"):
        return "it is a file of zeros", "Restore it from a backup: nothing is left in it."
    if _is_text(text):
        return "it is a text file", "Name the database file that the platform writes."
    return (
        "or it is encrypted",
        "Name an unencrypted SQLite 3 file; decrypt an encrypted one with its own tool first.",
    )


def _is_text(head: bytes) -> bool:
    # The last character may be cut in two.
    decoded = head.decode(errors="replace").rstrip("\ufffd")
    return all(character.isprintable() or character.isspace() for character in decoded) and (
        "\ufffd" not in decoded
    )
