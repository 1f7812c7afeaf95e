"""The tables as rows of text, the same for the terminal and for the page."""

from statistics import median

from benchmarks.migration.contenders import CONTENDERS, TITLES, Name
from benchmarks.migration.figures import (
    Figures,
    Timing,
    figures_of,
    loading,
    peak_mebibytes,
    runs_of,
    timing,
    whole,
)
from benchmarks.migration.goals import Outcome
from benchmarks.migration.results import Comparison, Growth

Rows = list[list[str]]

COMPARED = [
    "way",
    "load + rebuild, s",
    "÷ COPY",
    "whole verified run, s",
    "÷ COPY",
    "memory, MiB",
    "PostgreSQL's, MiB",
    "values",
]
GROWN = ["size", "rows", "whole verified run, s", "MB/s", "load + constraints, s", "memory, MiB"]
SPENT = ["way", "step", "seconds", "of the whole"]
GOALS = ["goal", "at most", "database", "measured", ""]
_OURS = {contender.name for contender in CONTENDERS if contender.ours}
_NOTHING = "–"  # noqa: RUF001


def compared(comparison: Comparison) -> Rows:
    """A line for each contender."""
    return [_compared(figures) for figures in figures_of(comparison)]


def grown(growth: Growth) -> Rows:
    """A line for each size."""
    rows = []
    for point in growth.points:
        taken, loaded = timing(point.runs, whole), timing(point.runs, loading)
        cells = [point.size, f"{point.rows:,}", _spread(taken)]
        cells += [f"{point.bytes / 1e6 / taken.median:.1f}", _spread(loaded)]
        rows.append([*cells, f"{peak_mebibytes(point.runs):.0f}"])
    return rows


def spent(comparison: Comparison) -> Rows:
    """Where the time of ours goes: a line for each step, and what of it was work of a core."""
    rows = []
    for name in sorted(_OURS, key=list(Name).index):
        runs = runs_of(comparison, name)
        if not runs:
            continue
        all_seconds = median(map(whole, runs))
        steps = {step: median(run.phases[step] for run in runs) for step in runs[0].phases}
        steps["start, end and report"] = all_seconds - sum(steps.values())
        title = TITLES[name]
        rows += [
            [title, step, f"{seconds:.2f}", f"{100 * seconds / all_seconds:.0f} %"]
            for step, seconds in steps.items()
        ]
        for what, used in (
            ("CPU of its processes", median(run.cpu_seconds for run in runs)),
            ("CPU of PostgreSQL", median(run.server_cpu_seconds for run in runs)),
        ):
            rows.append([title, what, f"{used:.2f}", f"{100 * used / all_seconds:.0f} %"])
    return rows


def goals(outcomes: list[Outcome]) -> Rows:
    """A line for each goal on each database."""
    return [
        [
            outcome.goal.text,
            f"{outcome.goal.limit:g} {outcome.goal.unit}".rstrip(),
            outcome.where,
            _measured(outcome),
            outcome.verdict,
        ]
        for outcome in sorted(outcomes, key=lambda outcome: outcome.goal.text)
    ]


def _compared(figures: Figures) -> list[str]:
    if figures.loading is None or figures.whole is None:
        return [figures.title, f"not available: {figures.problem}", *[""] * (len(COMPARED) - 2)]
    verified = figures.name in _OURS
    return [
        figures.title,
        *_timing(figures.loading),
        *(_timing(figures.whole) if verified else (_NOTHING, _NOTHING)),
        f"{figures.peak_mebibytes:.0f}",
        f"{figures.server_mebibytes:.0f}",
        ("verified" if verified else "equal") if figures.exact else "**differ**",
    ]


def _timing(timing: Timing) -> tuple[str, str]:
    ratio = _NOTHING if timing.ratio is None else f"{timing.ratio:.2f}"
    return _spread(timing), ratio


def _spread(timing: Timing) -> str:
    digits = 2 if timing.median < 10 else 1
    middle, *ends = (f"{each:.{digits}f}" for each in (timing.median, timing.least, timing.most))
    return f"{middle} ({'–'.join(ends)})"  # noqa: RUF001


def _measured(outcome: Outcome) -> str:
    digits = 0 if outcome.goal.unit == "MiB" else 2
    return f"{outcome.value:.{digits}f} {outcome.goal.unit}".rstrip()
