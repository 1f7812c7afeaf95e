"""The page and its chart."""

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cutover.results import Pause, Results
from database.errors import UsageError

_INK = "#767676"
_CHART = "cutover-pause.svg"
_INTRODUCTION = """\
Written by `python -m benchmarks.cutover --write`; [how it
measures](../how-to/benchmark.md#following-and-cutover). Machine: {machine}.

## The longest pause of a writer

Four processes write 140 transactions of the platform's shape each second, ten times its measured
peak. *Usual* is their longest transaction while PostgreSQL follows, *over the cutover* the one that
waited for the lock included. *Lock* is how long the cutover held it. The worst of all rounds.

"""


def write_page(results: Results, docs: Path) -> None:
    """`reference/benchmarks-cutover.md` and `images/cutover-pause.svg`."""
    _draw(results, docs / "images" / _CHART)
    (docs / "reference/benchmarks-cutover.md").write_text(render(results))


def render(results: Results) -> str:
    """The page."""
    lines = [
        "# Benchmarks of following and cutover",
        "",
        *_INTRODUCTION.format(machine=results.machine).splitlines(),
        "| database | rounds | usual | over the cutover | lock | rows drained | whole command |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_row(size, rounds) for size, rounds in results.pauses.items()]
    lines += ["", f"![Longest pause by size](../images/{_CHART})"]
    if results.overhead:
        plain, captured = median(results.overhead.plain), median(results.overhead.captured)
        lines += [
            "",
            "## What capture costs the application's writes",
            "",
            f"The median of {results.overhead.transactions:,} transactions of one writer, which "
            "waits for nobody; the median of "
            f"{len(results.overhead.plain)} rounds in turns.",
            "",
            "| without capture | with capture | ratio |",
            "| --- | --- | --- |",
            f"| {plain:.2f} ms | {captured:.2f} ms | {results.overhead.ratio:.2f} |",
        ]
    return "\n".join(lines) + "\n"


def _row(size: str, rounds: list[Pause]) -> str:
    def worst(name: str) -> float:
        return max(float(getattr(entry, name)) for entry in rounds)

    return (
        f"| {size} | {len(rounds)} | {worst('usual') * 1000:,.0f} ms | "
        f"{worst('longest') * 1000:,.0f} ms | {worst('held') * 1000:,.0f} ms | "
        f"{worst('drained'):,.0f} | {worst('whole'):,.1f} s |"
    )


def _draw(results: Results, path: Path) -> None:
    try:
        import matplotlib as mpl  # noqa: PLC0415 (of the extra `bench`)
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "matplotlib is not installed: no chart.", "Install the extra 'bench' of this package."
        ) from error
    style: Any = {
        "svg.hashsalt": "benchmarks",
        "text.color": _INK,
        "axes.edgecolor": _INK,
        "axes.labelcolor": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": _INK,
        "ytick.color": _INK,
        "legend.frameon": False,
    }
    sizes = list(results.pauses)
    with mpl.rc_context(style):
        figure = Figure(figsize=(8, 3), layout="constrained")
        axes = figure.subplots()
        for offset, name, label, colour in (
            (-0.27, "usual", "usual", _INK),
            (0.0, "longest", "over the cutover", "#d95926"),
            (0.27, "held", "lock", "#3987e5"),
        ):
            heights = [
                max(float(getattr(entry, name)) for entry in results.pauses[size]) * 1000
                for size in sizes
            ]
            places = [number + offset for number in range(len(sizes))]
            bars = axes.bar(places, heights, 0.25, label=label, color=colour)
            axes.bar_label(bars, fmt="%.0f")
        axes.set_xticks(range(len(sizes)), sizes)
        axes.set_ylabel("longest pause of a writer, ms")
        axes.legend()
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
