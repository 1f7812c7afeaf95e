"""The figures as they are kept between invocations: one JSON file, merged by shape and size."""

import os
import platform
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from benchmarks.migration.shapes import Shape
from database.errors import UsageError


def _machine() -> str:
    return f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}"


class Run(BaseModel):
    """One run of one contender."""

    seconds: float = Field(description="Of all that it did, wall clock.")
    loading: float = Field(description="Of loading and rebuilding constraints alone.")
    peak_bytes: int = Field(description="Memory of its processes at their worst moment.")
    server_bytes: int = Field(description="The same of PostgreSQL's, its shared buffers included.")
    cpu_seconds: float = Field(description="Of all of its processes, on all cores.")
    server_cpu_seconds: float = Field(description="Of PostgreSQL's.")
    phases: dict[str, float] = Field(
        default={}, description="Of ours: seconds by the step, as the report has them."
    )
    exact: bool = Field(description="Whether the values are those that our migration verified.")


class Entry(BaseModel):
    """What became of one contender."""

    contender: str
    runs: list[Run] = []
    problem: str | None = Field(default=None, description="Why there are no figures.")
    failed: bool = Field(default=False, description="It ran, and rows did not arrive.")


class Conditions(BaseModel):
    """When and where."""

    day: date = Field(default_factory=lambda: datetime.now(UTC).date())
    machine: str = Field(default_factory=_machine)
    options: str


class Comparison(BaseModel):
    """All contenders on one database."""

    shape: Shape
    size: str
    bytes: int
    tables: int
    rows: int
    entries: list[Entry]
    conditions: Conditions


class Point(BaseModel):
    """One size of a growing database."""

    size: str
    bytes: int
    rows: int
    runs: list[Run]


class Growth(BaseModel):
    """One engine of ours on databases of several sizes."""

    shape: Shape
    engine: str
    points: list[Point]
    conditions: Conditions


class Results(BaseModel):
    """All that was measured so far."""

    comparisons: list[Comparison] = []
    growths: list[Growth] = []

    def add(self, new: Comparison | Growth) -> None:
        """Put figures in the place of those of the same shape and size.

        A growth is of a shape and an engine, and keeps the sizes that were measured before.
        """
        if isinstance(new, Comparison):
            kept = [old for old in self.comparisons if _key(old) != _key(new)]
            self.comparisons = sorted([*kept, new], key=lambda entry: (entry.shape, entry.bytes))
        else:
            points = {point.size: point for point in new.points}
            for old in self.growths:
                if _key(old) == _key(new):
                    points = {point.size: point for point in old.points} | points
            joined = sorted(points.values(), key=lambda point: point.bytes)
            others = [old for old in self.growths if _key(old) != _key(new)]
            self.growths = [*others, new.model_copy(update={"points": joined})]
            self.growths.sort(key=_key)

    def write(self, path: Path) -> None:
        """Keep the figures, all of them or none."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}")
        draft.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        draft.replace(path)


def read_results(path: Path) -> Results:
    """The figures of earlier invocations; none where there is no such file.

    Raises:
        UsageError: the file is something else.
    """
    if not path.exists():
        return Results()
    try:
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} holds no figures of this benchmark.", "Name another file with --results."
        ) from error


def _key(entry: Comparison | Growth) -> tuple[str, str]:
    return entry.shape, entry.size if isinstance(entry, Comparison) else entry.engine
