"""What following shows: on a terminal one line that changes, elsewhere a line now and then."""

import time
from collections.abc import Iterable

from rich.console import Console
from rich.live import Live
from rich.text import Text

from migration.follow.follow import Progress

#: Seconds between two lines where nobody watches a terminal, as in a container's log.
_LOG_SECONDS = 10.0


def progress(console: Console, steps: Iterable[Progress]) -> None:
    """Show every step for as long as they come."""
    if console.is_terminal:
        with Live(console=console, refresh_per_second=4) as live:
            for step in steps:
                live.update(Text(line(step)))
        return
    told_at, told = 0.0, ""
    for step in steps:
        # That it was caught up with, or went away, is said at once.
        state = step.away or ("behind" if step.lag.entries else "caught up")
        if state != told or time.monotonic() - told_at > _LOG_SECONDS:
            console.print(line(step))
            told_at, told = time.monotonic(), state


def line(step: Progress) -> str:
    """How far it is, in words."""
    if step.away:
        return f"waiting: {step.away}"
    behind = (
        f"{step.lag.entries:,} changes and {step.lag.seconds:.1f} s behind"
        if step.lag.entries
        else "caught up"
    )
    refused = f", {step.refused:,} went to quarantine" if step.refused else ""
    return f"{behind}; {step.applied:,} rows applied{refused}"
