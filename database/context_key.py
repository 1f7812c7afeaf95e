"""The key that agents' contexts are sealed with: from its secret file into the database.

PostgreSQL verifies a seal by two hashes, for which it needs the key in HMAC's two padded forms
(RFC 2104). They are sent as COPY data: unlike the text of a statement or its parameters, that is
written to no log and shown in no view.
"""

import hashlib

from psycopg import sql

from database.connect import connect
from database.settings import Server

_TABLE = sql.Identifier("app", "context_key")
_BLOCK = 64
_INNER, _OUTER = 0x36, 0x5C


def set_context_key(server: Server, *, admin: str) -> bool:
    """Put the key of the secret file into the database; False where it is there already.

    Without a secret file the database is left as it is, as logins without one are.

    Raises:
        TargetError: PostgreSQL is unreachable.
    """
    key = server.context_key()
    if key is None:
        return False
    blocks = padded_blocks(key.encode())
    with connect(server, admin) as connection:
        # Of two at once the second one waits, and finds the key of the first.
        connection.execute(sql.SQL("lock table {} in share row exclusive mode").format(_TABLE))
        present = connection.execute(
            sql.SQL("select inner_block, outer_block from {}").format(_TABLE)
        ).fetchone()
        if present == blocks:
            return False
        connection.execute(sql.SQL("delete from {}").format(_TABLE))
        command = sql.SQL("copy {} (only_row, inner_block, outer_block) from stdin")
        with connection.cursor().copy(command.format(_TABLE)) as copy:
            copy.write_row((True, *blocks))
    return True


def padded_blocks(key: bytes) -> tuple[bytes, bytes]:
    """The inner and the outer block of HMAC-SHA-256, 64 bytes each. Source: RFC 2104, section 2."""
    if len(key) > _BLOCK:
        key = hashlib.sha256(key).digest()
    filled = key.ljust(_BLOCK, b"\0")
    return bytes(byte ^ _INNER for byte in filled), bytes(byte ^ _OUTER for byte in filled)
