"""What the kept figures come to: medians, spreads, ratios, and the exponent of growth.

A ratio is taken within each round, where both sides had the same machine, and then the median of
the rounds: a machine that slows down between two rounds changes none of them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import linear_regression, median

from benchmarks.migration.contenders import TITLES, Name
from benchmarks.migration.results import Comparison, Entry, Growth, Run

MEBIBYTE = 2**20
Seconds = Callable[[Run], float]


@dataclass(frozen=True)
class Timing:
    """Seconds over all rounds."""

    median: float
    least: float
    most: float
    #: To server-side COPY with the same rebuild; None where that was not measured.
    ratio: float | None


@dataclass(frozen=True)
class Figures:
    """A contender's line of the table."""

    name: Name
    title: str
    problem: str | None
    loading: Timing | None = None
    whole: Timing | None = None
    peak_mebibytes: float = 0.0
    server_mebibytes: float = 0.0
    exact: bool = False


def loading(run: Run) -> float:
    """Seconds of loading and rebuilding."""
    return run.loading


def whole(run: Run) -> float:
    """Seconds of everything."""
    return run.seconds


def figures_of(comparison: Comparison) -> list[Figures]:
    """A line for each contender."""
    limit = runs_of(comparison, Name.SERVER_COPY)
    return [_figures(entry, limit) for entry in comparison.entries]


def runs_of(comparison: Comparison, name: Name) -> list[Run]:
    """The runs of one contender; none where it was not measured."""
    return next((entry.runs for entry in comparison.entries if entry.contender == name), [])


def ratio(
    runs: Sequence[Run], seconds: Seconds, others: Sequence[Run], of_others: Seconds
) -> float | None:
    """The median over the rounds of how many times longer one took than the other."""
    pairs = list(zip(runs, others, strict=False))
    return median(seconds(run) / of_others(other) for run, other in pairs) if pairs else None


def timing(runs: list[Run], seconds: Seconds, limit: Sequence[Run] = ()) -> Timing:
    """Seconds over all rounds, beside those of server-side COPY."""
    values = [seconds(run) for run in runs]
    return Timing(median(values), min(values), max(values), ratio(runs, seconds, limit, loading))


def peak_mebibytes(runs: list[Run]) -> float:
    """The worst moment of all runs."""
    return max(run.peak_bytes for run in runs) / MEBIBYTE


def slope(growth: Growth) -> float | None:
    """The exponent that time grows with, fitted to the logarithms: 1 is linear.

    None where there are fewer than two sizes.
    """
    if len(growth.points) < 2:
        return None
    sizes = [math.log(point.bytes) for point in growth.points]
    times = [math.log(timing(point.runs, whole).median) for point in growth.points]
    return linear_regression(sizes, times).slope


def _figures(entry: Entry, limit: list[Run]) -> Figures:
    name = Name(entry.contender)
    if not entry.runs:
        return Figures(name, TITLES[name], entry.problem or "not measured")
    return Figures(
        name,
        TITLES[name],
        None,
        timing(entry.runs, loading, limit),
        timing(entry.runs, whole, limit),
        peak_mebibytes(entry.runs),
        max(run.server_bytes for run in entry.runs) / MEBIBYTE,
        all(run.exact for run in entry.runs),
    )
