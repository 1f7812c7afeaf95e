"""Walks the chain of records, and compares what they say with what was committed.

The hashes are computed here, not by the database that is being checked: from each row as JSON,
which PostgreSQL prints the same way whenever it is asked.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import psycopg

from database.errors import UsageError
from mcp_server.sql import sql_text

_EMPTY = hashlib.sha256(b"").digest()
_CHUNK = 2_000

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class Link:
    """A record: where it stands, what it says, and the two hashes that it carries.

    Attributes:
        content: the record as JSON, as it is hashed.
        archived: of a checkpoint, the position and the hash of the last record that was archived.
    """

    position: int
    content: str
    previous: bytes
    hash: bytes
    archived: tuple[int, bytes] | None = None

    @property
    def anchor(self) -> str:
        """`position:hash`, what a person keeps to find out later that the end was cut off."""
        return f"{self.position}:{self.hash.hex()}"


@dataclass
class Verdict:
    """What a walk found.

    Attributes:
        records: how many records there are.
        anchor: the last one; None where there is none.
        broken: the first thing that is wrong; None where nothing is.
    """

    records: int = 0
    anchor: str | None = None
    broken: str | None = None


def parse_anchor(text: str) -> tuple[int, bytes]:
    """An anchor's position and hash.

    Raises:
        UsageError: it is none.
    """
    position, _, digest = text.partition(":")
    try:
        return int(position), bytes.fromhex(digest)
    except ValueError:
        raise UsageError(
            f"{text!r} is no anchor.", "It is what 'audit verify' prints: position:hash."
        ) from None


def walk(links: Iterable[Link], anchor: tuple[int, bytes] | None = None) -> Verdict:
    """Verify the chain up to the first broken link.

    Args:
        links: in order of position. The first one is number 1, or a checkpoint further on says
            that what was before it has been archived.
        anchor: a link that must be there, as it was when it was noted down.
    """
    verdict = Verdict()
    before: tuple[int, bytes] | None = None
    last: Link | None = None
    for link in links:
        if last is None and (link.position, link.previous) != (1, _EMPTY):
            before = (link.position - 1, link.previous)
        verdict.broken = _fault(last, link, anchor)
        if verdict.broken is not None:
            return verdict
        if link.archived == before:
            before = None
        last = link
        verdict.records += 1
        verdict.anchor = link.anchor
    if before is not None:
        verdict.broken = f"the records up to {before[0]} are missing, and no checkpoint says why"
    elif anchor is not None and (last is None or last.position < anchor[0]):
        end = last.position if last else 0
        verdict.broken = f"record {anchor[0]} of the anchor is missing: the chain ends at {end}"
    return verdict


def links(connection: Connection) -> Iterator[Link]:
    """The chain as it is in the database."""
    with connection.cursor(name="links") as cursor:
        cursor.itersize = _CHUNK
        for row in cursor.execute(sql_text("audit_links").encode()):
            position, content, previous, digest, archived_position, archived_hash = row
            yield Link(
                int(str(position)),
                str(content),
                _bytes(previous),
                _bytes(digest),
                (int(str(archived_position)), _bytes(archived_hash)) if archived_hash else None,
            )


def false_writes(connection: Connection) -> list[str]:
    """Records of writes, and images, that do not fit what was committed; in words."""
    cursor = connection.execute(sql_text("audit_false_writes").encode())
    return [str(row[0]) for row in cursor.fetchall()]


def open_calls(connection: Connection) -> list[tuple[str, str]]:
    """Calls without a record of their end, and what became of them: committed or not_committed."""
    cursor = connection.execute(sql_text("audit_open_calls").encode())
    return [(str(row[0]), str(row[1])) for row in cursor.fetchall()]


def _fault(last: Link | None, link: Link, anchor: tuple[int, bytes] | None) -> str | None:
    if last is not None and link.position != last.position + 1:
        return f"record {last.position + 1} is missing"
    if last is not None and link.previous != last.hash:
        return f"record {link.position} does not follow from record {last.position}"
    if hashlib.sha256(link.previous + link.content.encode()).digest() != link.hash:
        return f"record {link.position} is not what it was when it was written"
    if anchor is not None and link.position == anchor[0] and link.hash != anchor[1]:
        return f"record {link.position} is not the one of the anchor"
    return None


def _bytes(value: object) -> bytes:
    assert isinstance(value, bytes)
    return value
