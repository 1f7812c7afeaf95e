"""Is the write lock held, how much of the time, by whom: looked at, never taken.

SQLite's locks are POSIX locks on known bytes of the database file, or in WAL mode of its -shm
file (both are part of SQLite's documented file format). `fcntl(F_GETLK)` asks the kernel whether a
lock would conflict, without taking one: no writer can ever meet us. A probing BEGIN IMMEDIATE would
hold the lock itself, and needs a connection that may write.

No connection of this process may be open meanwhile: closing any file descriptor of a file drops
all POSIX locks that the process holds on it.
"""

import fcntl
import os
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.database_size.reading import JournalMode

_INTERVAL_SECONDS = 0.001
#: os_unix.c: PENDING_BYTE, RESERVED_BYTE, and the 510 bytes of shared locks after them.
_PENDING_BYTE = 0x40000000
_RESERVED_BYTE = _PENDING_BYTE + 1
_SHARED_FIRST = _PENDING_BYTE + 2
_SHARED_SIZE = 510
#: wal.c: WALINDEX_LOCK_OFFSET, whose first byte is the write lock.
_WAL_WRITE_BYTE = 120
#: struct flock, whose fields stand in another order on macOS.
_FLOCK = "@qqihh" if sys.platform == "darwin" else "@hhqqi4x"


@dataclass(frozen=True)
class LockProbe:
    """What was seen of the write lock."""

    seconds: float
    looks: int
    #: Share of the looks at which another process held the lock: also the chance that a writer
    #: that comes at any moment has to wait.
    held_share: float
    longest_hold_ms: float
    holders: int
    #: Share of the looks at which readers were kept out (never in WAL mode).
    readers_blocked_share: float
    method: str = "fcntl(F_GETLK) on SQLite's lock bytes: nothing was locked"


def probe_write_lock(path: Path, mode: JournalMode, seconds: float) -> LockProbe | None:
    """Look at the write lock every millisecond for `seconds`.

    Returns None where the file system cannot say anything about locks.
    """
    held = blocked = looks = 0
    longest = 0.0
    since: float | None = None
    holders: set[int] = set()
    began = time.monotonic()
    try:
        with _LockFiles(path, mode) as files:
            while (now := time.monotonic()) - began < seconds:
                looks += 1
                holder = files.writer()
                if holder is None:
                    since = None
                else:
                    held += 1
                    holders.add(holder)
                    since = now if since is None else since
                    longest = max(longest, now - since)
                blocked += files.readers_are_blocked()
                time.sleep(_INTERVAL_SECONDS)
    except OSError:
        return None
    looks = max(looks, 1)
    return LockProbe(
        seconds=round(time.monotonic() - began, 3),
        looks=looks,
        held_share=held / looks,
        # Seen at one look alone, it was held for up to about one interval.
        longest_hold_ms=round(max(longest, _INTERVAL_SECONDS if held else 0.0) * 1000, 1),
        holders=len(holders),
        readers_blocked_share=blocked / looks,
    )


class _LockFiles:
    """The files whose bytes are locked, open for as long as the probe runs."""

    def __init__(self, path: Path, mode: JournalMode) -> None:
        self._wal = mode == "wal"
        self._path = path.with_name(path.name + "-shm") if self._wal else path
        self._file: int | None = None

    def __enter__(self) -> "_LockFiles":
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)

    def _open(self) -> None:
        if self._wal:
            # The -shm file is there only while somebody has the database open.
            with suppress(FileNotFoundError):
                self._file = os.open(self._path, os.O_RDONLY)
        else:
            self._file = os.open(self._path, os.O_RDONLY)

    def writer(self) -> int | None:
        """The process id of the writer (0 where the kernel does not tell), or None."""
        if self._file is None:
            self._open()
        elif self._wal and os.fstat(self._file).st_nlink == 0:
            # Deleted by the last connection that closed; the next one makes another.
            os.close(self._file)
            self._file = None
            self._open()
        if self._file is None:
            return None
        if self._wal:
            return _write_locked(self._file, _WAL_WRITE_BYTE, 1)
        return _write_locked(self._file, _RESERVED_BYTE, 1)

    def readers_are_blocked(self) -> bool:
        """Whether a writer keeps new readers out."""
        if self._wal or self._file is None:
            return False
        pending = _write_locked(self._file, _PENDING_BYTE, 1)
        exclusive = _write_locked(self._file, _SHARED_FIRST, _SHARED_SIZE)
        return pending is not None or exclusive is not None


def _write_locked(file: int, start: int, length: int) -> int | None:
    """Who holds a write lock in the range, or None. Asks about a read lock: readers don't count."""
    if sys.platform == "darwin":
        asked = struct.pack(_FLOCK, start, length, 0, fcntl.F_RDLCK, os.SEEK_SET)
        _, _, process, kind, _ = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    else:
        asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, start, length, 0)
        kind, _, _, _, process = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return max(int(process), 0) if kind != fcntl.F_UNLCK else None
