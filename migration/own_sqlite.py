"""The SQLite that comes with apsw: faster than Python's module, for files that only we use.

Python's module keeps a lock around every call, and counts every byte it is given under another
one, which all threads of a process wait for. Neither can be turned off there.
The two know nothing of each other's file locks, so no file is open in both, unless it is a
snapshot: nobody writes to that, and no locks are used.
"""

from pathlib import Path

import apsw

from migration.source import CHECK_CELLS, immutable_uri

# Before the first connection; apsw has initialized its SQLite already.
apsw.shutdown()
apsw.config(apsw.SQLITE_CONFIG_MEMSTATUS, False)
apsw.initialize()


def open_snapshot(path: Path) -> apsw.Connection:
    """A snapshot, for one thread at a time.

    Raises:
        apsw.Error: it cannot be opened.
    """
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_NOMUTEX
    connection = apsw.Connection(immutable_uri(path), flags=flags)
    connection.execute(CHECK_CELLS)
    return connection


def open_new(path: Path) -> apsw.Connection:
    """A file to be written, for one thread at a time. It is of no use after a crash.

    Raises:
        apsw.Error: it cannot be written.
    """
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOMUTEX
    connection = apsw.Connection(str(path), flags=flags)
    connection.execute("pragma journal_mode = off")
    connection.execute("pragma synchronous = off")
    return connection
