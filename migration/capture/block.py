"""The SQLite file after the cutover: every write is refused, with the way back in the message.

That the block is in the file is what decides which side is the truth: it comes and goes by one
transaction of SQLite. It keeps what the capture was, so that the way back knows the tables.
"""

import json
import sqlite3
from dataclasses import dataclass

from database.errors import SourceError
from migration.capture.install import Capture, find, remove
from migration.capture.triggers import BLOCK
from migration.quoting import quote_name

_MESSAGE = (
    "this database moved to PostgreSQL and nothing is written here any more; "
    "'python -m migration rollback' makes it the platform's database again"
)
_EVENTS = ("insert", "update", "delete")
_OURS = f"name like '{BLOCK.replace('_', chr(92) + '_')}%' escape '\\'"


@dataclass(frozen=True)
class Block:
    """A block as it is in a file."""

    #: The capture that the file had when its writers were stopped.
    capture: Capture
    #: UTC, as SQLite writes it.
    moved_at: str


def block(connection: sqlite3.Connection) -> Block:
    """Refuse every write from now on, inside the caller's transaction. The capture is taken out.

    A row that INSERT OR IGNORE brings is refused too. Reading goes on.

    Raises:
        SourceError: the file is not followed.
    """
    there = find_block(connection)
    if there is not None:
        return there
    capture = find(connection)
    if capture is None:
        raise SourceError(
            "The file is not followed, so it cannot be moved.",
            "Start with 'python -m migration follow'.",
        )
    remove(connection)
    connection.execute(
        f"create table {BLOCK} (token text, tables text, fingerprint text, moved_at text)"
    )
    connection.execute(
        f"insert into {BLOCK} values (?, ?, ?, datetime('now'))",  # noqa: S608
        [capture.token, json.dumps(capture.names), capture.fingerprint],
    )
    for number, name in enumerate(_writable_tables(connection)):
        for event in _EVENTS:
            trigger = quote_name(f"{BLOCK}_{number}_{event}")
            connection.execute(
                f"create trigger {trigger} before {event} on {quote_name(name)} "
                f"begin select raise(abort, '{_MESSAGE.replace(chr(39), chr(39) * 2)}'); end"
            )
    found = find_block(connection)
    assert found is not None
    return found


def find_block(connection: sqlite3.Connection) -> Block | None:
    """The block that is in a file, if there is one."""
    there = connection.execute(
        "select 1 from sqlite_master where type = 'table' and name = ?", [BLOCK]
    ).fetchone()
    if there is None:
        return None
    token, tables, fingerprint, moved_at = connection.execute(
        f"select token, tables, fingerprint, moved_at from {BLOCK}"  # noqa: S608
    ).fetchone()
    return Block(Capture(token, tuple(json.loads(tables)), fingerprint), moved_at)


def unblock(connection: sqlite3.Connection) -> bool:
    """Let everybody write again, inside the caller's transaction; whether there was a block.

    The schema is then what it was before the file was followed.
    """
    objects = connection.execute(
        f"select type, name from sqlite_master where type in ('table', 'trigger') and {_OURS} "  # noqa: S608
        "order by type desc, name"
    ).fetchall()
    for kind, name in objects:
        connection.execute(f"drop {kind} {quote_name(name)}")
    return bool(objects)


def _writable_tables(connection: sqlite3.Connection) -> list[str]:
    """Every table that can have triggers. A virtual one writes into plain ones."""
    found = connection.execute(
        "select name from sqlite_master where type = 'table' and name <> ? "
        "and substr(name, 1, 7) <> 'sqlite_' and sql not like 'create virtual table%'",
        [BLOCK],
    )
    return [name for (name,) in found]
