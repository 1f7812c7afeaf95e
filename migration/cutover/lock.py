"""The write lock on the SQLite file: how long it may be held, and what happens after that."""

import os
import socket
import sqlite3
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from database.errors import LockedTooLongError
from migration.capture.install import open_for_writing
from migration.source import is_busy
from migration.statements import Connection

#: Seconds to wait for the lock. Nobody is held up by a program that waits.
_WAIT = 30.0
#: After the bound, PostgreSQL has so many seconds to say that it gave up; then it is hung up on.
_HANG_UP_AFTER = 0.5
_RETRY = 0.005


class WriteLock:
    """Writers wait between `acquire` and `release` or `commit`. Leaving it releases it."""

    def __init__(self, source: Path, bound: float) -> None:
        self._source = source
        self._bound = bound
        self._stack = ExitStack()
        self._since: float | None = None
        self._hanging_up: threading.Timer | None = None
        #: Seconds that writers were held up, the longest of all times.
        self.held = 0.0

    def __enter__(self) -> "WriteLock":
        self.connection = self._stack.enter_context(open_for_writing(self._source, timeout=_WAIT))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
        self._stack.__exit__(kind, error, trace)

    def acquire(self, target: Connection) -> None:
        """Hold up the writers. Past the bound and a moment, the target's connection is cut."""
        self.connection.execute("begin immediate")
        self._since = time.monotonic()
        cut = threading.Timer(self._bound + _HANG_UP_AFTER, _hang_up, [target])
        cut.daemon = True
        cut.start()
        self._hanging_up = cut

    def left(self) -> float:
        """Seconds that the lock may still be held.

        Raises:
            LockedTooLongError: none.
        """
        assert self._since is not None
        left = self._bound - (time.monotonic() - self._since)
        if left <= 0:
            raise too_long(self._bound)
        return left

    def release(self) -> None:
        """Let the writers go on; nothing was changed."""
        if self.connection.in_transaction:
            with suppress(sqlite3.Error):
                self.connection.execute("rollback")
        self._ended()

    def commit(self) -> None:
        """Make what was written to the file last. In rollback mode, readers may be in the way.

        Raises:
            LockedTooLongError: they still were at the bound; nothing was changed.
        """
        # The target has committed; what is left is a matter of the file alone.
        self._stop_timer()
        self.connection.execute("pragma busy_timeout = 0")
        while True:
            try:
                self.connection.execute("commit")
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                self.left()
                time.sleep(_RETRY)
            else:
                break
        self._ended()

    def _ended(self) -> None:
        self._stop_timer()
        if self._since is not None:
            self.held = max(self.held, time.monotonic() - self._since)
            self._since = None

    def _stop_timer(self) -> None:
        if self._hanging_up is not None:
            self._hanging_up.cancel()
            self._hanging_up = None


def too_long(bound: float) -> LockedTooLongError:
    """The error that says that the bound was reached."""
    return LockedTooLongError(
        f"The cutover would have held writers up for more than {bound:g} s. It was undone: "
        "the platform goes on with SQLite, and PostgreSQL follows.",
        "Try again when less is written, or allow more with --max-lock.",
    )


def _hang_up(target: Connection) -> None:
    """End every wait for an answer: of a server that hangs, or a network that is gone."""
    with suppress(OSError), socket.socket(fileno=os.dup(target.fileno())) as connected:
        connected.shutdown(socket.SHUT_RDWR)
