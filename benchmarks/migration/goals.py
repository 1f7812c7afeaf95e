"""The goals, and whether the figures reach them. Nothing here is asserted: machines differ."""

from dataclasses import dataclass

from benchmarks.migration.contenders import Name
from benchmarks.migration.figures import loading, peak_mebibytes, ratio, runs_of, slope, whole
from benchmarks.migration.results import Comparison, Growth, Results


@dataclass(frozen=True)
class Goal:
    """A figure that shall be no more than its limit."""

    text: str
    limit: float
    unit: str = "×"  # noqa: RUF001


@dataclass(frozen=True)
class Outcome:
    """What was measured for a goal on one database."""

    goal: Goal
    where: str
    value: float

    @property
    def verdict(self) -> str:
        """In one word."""
        return "reached" if self.value <= self.goal.limit else "missed"


LOADING = Goal("copy: load + constraints ÷ server-side COPY + rebuild", 1.1)
VERIFYING = Goal("copy: whole verified run ÷ its own load + constraints", 1.5)
AGAINST_PGLOADER = Goal("copy: whole verified run ÷ pgloader alone, unverified", 0.8)
PGLOADER = Goal("pgloader engine: whole verified run ÷ pgloader alone", 1.8)
MEMORY = Goal("copy: peak memory of all of its processes", 256, "MiB")
PGLOADER_MEMORY = Goal("pgloader engine: peak memory, pgloader's included", 256, "MiB")
LINEAR = Goal("time grows with size to the power of", 1.1, "")


def outcomes(results: Results) -> list[Outcome]:
    """Every goal on every database that it was measured on."""
    found = [outcome for comparison in results.comparisons for outcome in _compared(comparison)]
    return found + [outcome for growth in results.growths for outcome in _grown(growth)]


def _compared(comparison: Comparison) -> list[Outcome]:
    limit, copy, pgloader, alone = (
        runs_of(comparison, name)
        for name in (Name.SERVER_COPY, Name.COPY, Name.PGLOADER, Name.PGLOADER_ALONE)
    )
    values = (
        (LOADING, ratio(copy, loading, limit, loading)),
        (VERIFYING, ratio(copy, whole, copy, loading)),
        (AGAINST_PGLOADER, ratio(copy, whole, alone, whole)),
        (PGLOADER, ratio(pgloader, whole, alone, whole)),
        (MEMORY, peak_mebibytes(copy) if copy else None),
        (PGLOADER_MEMORY, peak_mebibytes(pgloader) if pgloader else None),
    )
    where = f"{comparison.shape}, {comparison.size}"
    return [Outcome(goal, where, value) for goal, value in values if value is not None]


def _grown(growth: Growth) -> list[Outcome]:
    exponent = slope(growth)
    if exponent is None:
        return []
    sizes = f"{growth.points[0].size} to {growth.points[-1].size}"
    where = f"{growth.shape}, {growth.engine}, {sizes}"
    worst = max(peak_mebibytes(point.runs) for point in growth.points)
    memory = MEMORY if growth.engine == Name.COPY else PGLOADER_MEMORY
    return [Outcome(LINEAR, where, exponent), Outcome(memory, where, worst)]
