"""The figures, kept as JSON between invocations."""

import os
import platform
from pathlib import Path
from statistics import median

from pydantic import BaseModel, Field


class Overhead(BaseModel):
    """Milliseconds of a transaction, the median of each round."""

    transactions: int
    plain: list[float]
    captured: list[float]

    @property
    def ratio(self) -> float:
        """With capture ÷ without."""
        return median(self.captured) / median(self.plain)


class Pause(BaseModel):
    """A cutover under load; times in seconds."""

    size: str
    bytes: int
    #: The longest transaction of a writer while the target followed, and over the cutover.
    usual: float
    longest: float
    #: The lock, as the cutover measured it, and the rows that were drained meanwhile.
    held: float
    drained: int
    #: The command as a whole.
    whole: float


class Results(BaseModel):
    """All that was measured."""

    machine: str = Field(default_factory=lambda: f"{os.cpu_count()} cores, {platform.machine()}")
    overhead: Overhead | None = None
    #: By size, of each round.
    pauses: dict[str, list[Pause]] = Field(default_factory=dict)


def read_results(path: Path) -> Results:
    """What is kept; nothing where there is no file yet."""
    return Results.model_validate_json(path.read_text()) if path.exists() else Results()
