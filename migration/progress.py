"""What a run shows while it works, and how long each step took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from migration.plan import Plan, TablePlan

#: Seconds between two lines where nobody watches a terminal, as in a container's log.
_LOG_SECONDS = 10.0


class Steps:
    """Times the named steps of a run and shows each one as it ends."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started_at = datetime.now(UTC)
        self.seconds: dict[str, float] = {}
        self._started = time.monotonic()

    @property
    def total_seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._started

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; a step that fails is not shown as done."""
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started
        self.console.print(f"  [green]✓[/] {name:<12} [dim]{self.seconds[name]:7.2f} s[/]")

    @contextmanager
    def rows(self, plan: Plan, source_bytes: int) -> Iterator["RowProgress"]:
        """Rows of the plan on their way, with their rate and the time that is left.

        Args:
            plan: which rows.
            source_bytes: what the source takes; the rate in MB/s is its share.
        """
        bytes_per_row = source_bytes / max(plan.rows, 1)
        columns = (
            TextColumn("  [cyan]{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rows"),
            _RateColumn(bytes_per_row),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield RowProgress(progress, plan.rows, bytes_per_row)


class RowProgress:
    """How many rows passed the present step, first the load, and of which table the last ones are.

    Where nobody watches a terminal, a line now and then says the same.
    """

    def __init__(self, progress: Progress, rows: int, bytes_per_row: float) -> None:
        self._progress = progress
        self._rows = rows
        self._bytes_per_row = bytes_per_row
        self._name = "load"
        self._task = progress.add_task(self._name, total=rows)
        self._told_at = time.monotonic()

    def begin(self, name: str) -> None:
        """From now on, rows pass another step, from the first one on."""
        self._progress.remove_task(self._task)
        self._name = name
        self._task = self._progress.add_task(name, total=self._rows)

    def again(self, why: str) -> None:
        """The present step begins once more, from the first row on; says why."""
        self._progress.console.print(f"    {escape(why)}")
        self.begin(self._name)

    def advance(self, table: TablePlan, rows: int) -> None:
        """`rows` more rows of `table` passed."""
        self._progress.update(self._task, advance=rows, description=table.target[:24])
        now = time.monotonic()
        if not self._progress.console.is_terminal and now - self._told_at > _LOG_SECONDS:
            self._told_at = now
            self._say(self._progress.tasks[0])

    def _say(self, task: Task) -> None:
        self._progress.console.print(
            f"    {self._name}: {task.completed:,.0f} of {self._rows:,} rows, "
            f"{_rate(task, self._bytes_per_row)}"
        )


class _RateColumn(ProgressColumn):
    """Rows and bytes of the source per second, and the time that is left."""

    def __init__(self, bytes_per_row: float) -> None:
        super().__init__()
        self._bytes_per_row = bytes_per_row

    def render(self, task: Task) -> Text:
        """The rate of a task."""
        return Text(_rate(task, self._bytes_per_row))


def _rate(task: Task, bytes_per_row: float) -> str:
    """The rate since the step began: that of the last moments jumps from table to table."""
    rows_per_second = task.completed / max(task.elapsed or 0.0, 0.001)
    rate = f"{rows_per_second:,.0f} rows/s, {rows_per_second * bytes_per_row / 1e6:.0f} MB/s"
    if not rows_per_second or not task.remaining:
        return rate
    return f"{rate}, about {_spelt(task.remaining / rows_per_second)} left"


def _spelt(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
