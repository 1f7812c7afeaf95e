"""The file by which a watcher says that it looks, for the health check of its container."""

import json
import time
from pathlib import Path

from database.errors import TargetError, UsageError

#: A look may fail once or twice, and takes its time.
_LOOKS, _GRACE_SECONDS = 3, 60
#: An index may be built for so long: what MCP_SCHEMA_TIMEOUT_MS allows by default, three times.
_HEALING_SECONDS = 1_800


def beat(path: Path, state: str, interval_s: float) -> None:
    """Write what the watcher has just done, or begins.

    Args:
        state: "healing", else what its look came to, in words.
        interval_s: seconds until it looks again.

    Raises:
        UsageError: the file cannot be written.
    """
    draft = path.with_name(path.name + ".draft")
    text = json.dumps({"state": state, "at": time.time(), "interval_s": interval_s})
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise UsageError(
            f"Cannot write the heartbeat {path}: {error.strerror}.",
            "Name another file with --heartbeat.",
        ) from error


def check(path: Path) -> str:
    """What the watcher did last, in words.

    Raises:
        TargetError: that was too long ago: it is not running, or PostgreSQL does not answer it.
    """
    try:
        last = json.loads(path.read_text(encoding="utf-8"))
        seconds = time.time() - last["at"]
        longest = _LOOKS * last["interval_s"] + _GRACE_SECONDS
    except (OSError, ValueError, KeyError) as error:
        raise TargetError(
            f"No watcher has looked yet: {path} cannot be read.", "See the log of 'heal watch'."
        ) from error
    if seconds > (_HEALING_SECONDS if last["state"] == "healing" else longest):
        raise TargetError(
            f"The watcher has not looked for {seconds:.0f} s; then: {last['state']}.",
            "See its log: it may have stopped, or PostgreSQL does not answer it.",
        )
    return f"{seconds:.0f} s ago: {last['state']}"
