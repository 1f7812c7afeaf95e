"""The figures as SVG charts, readable on a light and on a dark page."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.migration.figures import figures_of, peak_mebibytes, timing, whole
from benchmarks.migration.results import Comparison, Growth, Results
from database.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Of enough contrast with white and with black: the page shows through.
_INK = "#767676"
_LOADING = "#3987e5"
_VERIFYING = "#d95926"
_STYLE: Any = {
    "svg.hashsalt": "benchmarks",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}


def write_charts(results: Results, folder: Path) -> None:
    """A chart for each comparison and each growth; charts of what is no longer kept go.

    Raises:
        UsageError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for comparison in results.comparisons:
        _compare(comparison, folder / name_of(comparison))
    for growth in results.growths:
        _grow(growth, folder / name_of(growth))
    drawn = {*map(name_of, results.comparisons), *map(name_of, results.growths)}
    for old in folder.glob("benchmark-*.svg"):
        if old.name not in drawn:
            old.unlink()


def name_of(entry: Comparison | Growth) -> str:
    """The file name of an entry's chart."""
    if isinstance(entry, Comparison):
        return f"benchmark-{entry.shape}-{entry.size.lower()}.svg"
    return f"benchmark-growth-{entry.shape}-{entry.engine}.svg"


@contextmanager
def _chart(path: Path, columns: int, height: float) -> Iterator[list["Axes"]]:
    try:
        import matplotlib as mpl  # noqa: PLC0415 (of the extra `bench`: figures do without it)
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "matplotlib is not installed: no charts.", "Install the extra 'bench' of this package."
        ) from error
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8, height), layout="constrained")
        axes = figure.subplots(1, columns, squeeze=False)
        yield list(axes[0])
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})


def _compare(comparison: Comparison, path: Path) -> None:
    """Bars: loading and rebuilding, and what ours does besides."""
    figures = [entry for entry in figures_of(comparison) if entry.loading and entry.whole]
    names = [entry.title for entry in figures]
    loading = [entry.loading.median if entry.loading else 0.0 for entry in figures]
    rest = [
        (entry.whole.median if entry.whole else 0.0) - loaded
        for entry, loaded in zip(figures, loading, strict=True)
    ]
    with _chart(path, 1, 0.8 + 0.42 * len(figures)) as (axes,):
        axes.barh(names, loading, color=_LOADING, label="load + keys, indexes, foreign keys")
        axes.barh(
            names, rest, left=loading, color=_VERIFYING, label="snapshot, profile, verify, report"
        )
        axes.invert_yaxis()
        axes.set_xlabel("seconds, median")
        axes.legend(loc="best")


def _grow(growth: Growth, path: Path) -> None:
    """Time against size on logarithmic scales, and memory."""
    sizes = [point.bytes for point in growth.points]
    names = [point.size for point in growth.points]
    seconds = [timing(point.runs, whole).median for point in growth.points]
    peaks = [peak_mebibytes(point.runs) for point in growth.points]
    with _chart(path, 2, 3.2) as (time, memory):
        time.loglog(sizes, seconds, marker="o", color=_LOADING)
        time.set_yticks(seconds, [f"{each:.1f}" for each in seconds])
        time.set_ylabel("whole verified run, seconds")
        memory.semilogx(sizes, peaks, marker="o", color=_VERIFYING)
        memory.set_ylim(0, 1.2 * max(peaks))
        memory.set_ylabel("peak memory, MiB")
        for axes in (time, memory):
            axes.minorticks_off()
            axes.set_xticks(sizes, names)
            axes.set_xlabel("size of the source")
