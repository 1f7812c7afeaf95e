"""What a run shows while it works, and how long each step took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from migration.plan import Plan, TablePlan


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
    def rows(self, plan: Plan) -> Iterator["RowProgress"]:
        """A bar over all rows of the plan, while they are loaded."""
        columns = (
            TextColumn("  [cyan]{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rows"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            yield RowProgress(progress, progress.add_task("load", total=plan.rows))


class RowProgress:
    """The bar: how many rows are on their way, and of which table."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, table: TablePlan, rows: int) -> None:
        """`rows` more rows of `table` are on their way."""
        self._progress.update(self._task, advance=rows, description=table.target[:24])
