"""Running pgloader, and what it said. Its exit code means nothing: 0 also after lost rows."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from database.errors import TargetError

LOG = "pgloader.log"
OUTPUT = "output.log"
COMMAND = "command.load"

_COMPLAINT = re.compile(
    r"\b(?:ERROR|FATAL|CRITICAL)\b (?P<error>.*)"
    r"|\b(?P<skipped>Skipping .*)"
    r"|(?P<crash>Heap exhausted.*|[\w-]+-ERROR: .*|While parsing COMMAND.*)"
)
_SHOWN = 3
_SHOWN_LENGTH = 300
_POLL_SECONDS = 0.1
_GROWTH_SECONDS = 1.0
_STOP_SECONDS = 10


class StandstillError(TargetError):
    """It hung and was killed."""


def run(
    program: Path,
    folder: Path,
    environment: dict[str, str],
    *,
    growth: Callable[[], object],
    patience: Callable[[], float],
) -> int:
    """Run pgloader on the command file in `folder` and wait for it.

    Args:
        program: pgloader.
        folder: its working folder; its log, output and reject files are written there.
        environment: of the process.
        growth: something that changes while rows arrive; asked about once a second.
        patience: seconds without any growth after which it is stopped, as things are.

    Returns:
        The exit code.

    Raises:
        StandstillError: it hung and was killed.
        TargetError: it cannot be started.
    """
    arguments = [str(program), "--root-dir", ".", "--logfile", LOG, COMMAND]
    with (folder / OUTPUT).open("ab") as output:
        try:
            process = subprocess.Popen(
                arguments,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C reaches this program alone, which then ends pgloader.
                start_new_session=True,
            )
        except OSError as error:
            raise TargetError(f"{program} cannot be started: {error.strerror}.") from error
    try:
        _wait(process, folder, growth, patience)
    finally:
        _kill(process)
    return process.returncode


def complaints(folder: Path) -> list[str]:
    """Everything in its log, its output and its reject files that says rows were lost."""
    found: dict[str, None] = {}
    for name in (LOG, OUTPUT):
        path = folder / name
        for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
            match = _COMPLAINT.search(line)
            if match:
                text = next(text for text in match.groups() if text is not None)
                found.setdefault(text[:_SHOWN_LENGTH])
    for path in sorted(folder.rglob("*.dat")):
        if path.stat().st_size:
            found.setdefault(f"rejected rows in {path.relative_to(folder)}")
    return list(found)


def said(found: list[str]) -> str:
    """Complaints in one line, for a message."""
    if not found:
        return "It gave no reason."
    more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
    return f"It said: {'; '.join(found[:_SHOWN])}{more}"


def _wait(
    process: "subprocess.Popen[bytes]",
    folder: Path,
    growth: Callable[[], object],
    patience: Callable[[], float],
) -> None:
    last: object = None
    grown = asked = time.monotonic()
    while process.poll() is None:
        time.sleep(_POLL_SECONDS)
        now = time.monotonic()
        if now - asked < _GROWTH_SECONDS:
            continue
        asked = now
        logs = [path.stat().st_size for path in (folder / LOG, folder / OUTPUT) if path.exists()]
        current = (growth(), logs)
        if current != last:
            last, grown = current, now
        elif now - grown > (seconds := patience()):
            _kill(process)
            raise StandstillError(
                f"pgloader stood still for {seconds:.0f} s and was stopped. "
                f"{said(complaints(folder))}",
                f"Nothing was changed. Its log is {folder / LOG}.",
            )


def _kill(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_STOP_SECONDS)
