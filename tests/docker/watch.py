"""Collects the command lines of all processes of the machine, as any user's `ps` shows them."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_PROC = Path("/proc")
_SECONDS = 0.02


class CommandLines:
    """Polls /proc while it is entered; on a machine without /proc it sees nothing."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_SECONDS):
            for process in _PROC.glob("[0-9]*"):
                try:
                    self.seen.add((process / "cmdline").read_bytes().decode(errors="replace"))
                except OSError:
                    continue  # it has ended
