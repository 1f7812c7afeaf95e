"""The benchmark loads every row by every way, says so when one does not, and writes its page.

No time is asserted.
"""

import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
from rich.console import Console

from benchmarks.migration import page
from benchmarks.migration.compare import compare
from benchmarks.migration.contenders import CONTENDERS, Contender, Name
from benchmarks.migration.figures import slope
from benchmarks.migration.goals import outcomes
from benchmarks.migration.measure import cpu_of_children
from benchmarks.migration.prepare import Prepared
from benchmarks.migration.results import (
    Comparison,
    Conditions,
    Entry,
    Growth,
    Point,
    Results,
    Run,
    read_results,
)
from benchmarks.migration.shapes import Shape, make_database
from database.apply import run_psql
from database.errors import InterruptedRunError, UsageError
from database.settings import Server
from tests.programs import query, run_module

BY_NAME = {contender.name: contender for contender in CONTENDERS}
CONDITIONS = Conditions(options="--made-up")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's user can enter; pytest's own are closed to it."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def compare_all(
    server: Server, shape: Shape, folder: Path, contenders: list[Contender], size: str = "300kB"
) -> Comparison:
    return compare(
        server,
        shape,
        size,
        1,
        contenders=contenders,
        folder=folder,
        conditions=CONDITIONS,
        console=Console(quiet=True),
    )


def run(seconds: float, *, loading: float | None = None, peak: int = 2**20) -> Run:
    return Run(
        seconds=seconds,
        loading=seconds if loading is None else loading,
        peak_bytes=peak,
        server_bytes=0,
        cpu_seconds=seconds,
        server_cpu_seconds=2 * seconds,
        phases={"load": seconds / 2},
        exact=True,
    )


def kept(*entries: Entry, size: str = "1GB") -> Comparison:
    return Comparison(
        shape=Shape.JSON,
        size=size,
        bytes=10**9,
        tables=2,
        rows=5,
        entries=list(entries),
        conditions=CONDITIONS,
    )


def test_one_command_measures_everybody_and_keeps_the_figures(tmp_path: Path) -> None:
    file = tmp_path / "figures" / "kept.json"
    result = run_module("benchmarks.migration", "--size", "2MB", "--runs", "1", "--results", file)
    assert result.returncode == 0, result.stdout + result.stderr
    (comparison,) = read_results(file).comparisons
    assert [entry.contender for entry in comparison.entries] == list(Name)
    assert comparison.rows > 1000
    for entry in comparison.entries:
        assert entry.problem == BY_NAME[Name(entry.contender)].missing()
        if entry.problem is None:
            (only,) = entry.runs
            # DuckDB goes by declared types: what of its values is equal is not ours to promise.
            assert only.exact or entry.contender == Name.DUCKDB
            # What ends within a moment may do so between two looks at its memory.
            assert only.peak_bytes > 0 or only.seconds < 1
            assert only.server_bytes > 0
            assert 0 < only.loading <= only.seconds
            assert only.cpu_seconds > 0
            assert only.server_cpu_seconds > 0
            assert sum(only.phases.values()) <= only.seconds
        assert BY_NAME[Name(entry.contender)].title in result.stdout


@pytest.mark.parametrize("shape", [Shape.WIDE, Shape.JSON, Shape.BLOB])
def test_every_other_way_carries_other_shapes_without_loss(
    cluster: Server, folder: Path, shape: Shape
) -> None:
    others = [contender for contender in CONTENDERS if not contender.ours]
    comparison = compare_all(cluster, shape, folder, others)
    assert comparison.tables == 2
    for entry in comparison.entries:
        assert entry.problem == BY_NAME[Name(entry.contender)].missing()
        assert all(run.exact for run in entry.runs), entry.contender
        assert len(entry.runs) == (entry.problem is None)


def test_a_way_that_loses_a_row_has_no_figures_and_a_changed_value_is_told(
    cluster: Server, folder: Path
) -> None:
    copy = BY_NAME[Name.SERVER_COPY]

    def lose_a_row(prepared: Prepared, target: Server, work: Path) -> None:
        copy.load(prepared, target, work)
        query(target, "delete from entry where id = 3")

    def change_a_value(prepared: Prepared, target: Server, work: Path) -> None:
        copy.load(prepared, target, work)
        query(target, "update entry set reading = reading + 1e-9 where id = 3")

    loser = Contender(Name.PIPE, "loser", lose_a_row)
    changer = Contender(Name.DUCKDB, "changer", change_a_value)
    comparison = compare_all(cluster, Shape.NARROW, folder, [copy, loser, changer])
    honest, lost, changed = comparison.entries
    assert [entry.failed for entry in comparison.entries] == [False, True, False]
    assert honest.runs[0].exact
    assert not lost.runs
    assert lost.problem is not None
    assert "entry has" in lost.problem
    assert not changed.runs[0].exact
    assert "**differ**" in page.render(Results(comparisons=[comparison]))


def test_an_interruption_ends_it(cluster: Server, folder: Path) -> None:
    def interrupt(_prepared: Prepared, _target: Server, _work: Path) -> None:
        raise InterruptedRunError("Interrupted.")

    with pytest.raises(InterruptedRunError):
        compare_all(cluster, Shape.NARROW, folder, [Contender(Name.PIPE, "patient", interrupt)])


def test_the_rebuild_makes_every_key_and_index_of_a_finished_migration(
    cluster: Server, folder: Path
) -> None:
    rules = (
        "select conname::text from pg_constraint where connamespace = 'public'::regnamespace"
        " union all select indexname::text from pg_indexes where schemaname = 'public' order by 1"
    )
    found: dict[str, object] = {}

    def look(prepared: Prepared, target: Server, _work: Path) -> None:
        found["finished"] = query(target.with_database("bench_finished"), rules)
        found["bare"] = query(target, rules)
        BY_NAME[Name.SERVER_COPY].load(prepared, target, folder)
        run_psql(target, prepared.rebuild)
        found["rebuilt"] = query(target, rules)
        # What is measured next makes them once more.
        query(target, "drop schema public cascade")

    compare_all(cluster, Shape.PLATFORM, folder, [Contender(Name.PIPE, "look", look)], "1MB")
    assert found["bare"] == []
    assert found["rebuilt"] == found["finished"] != []


def test_the_same_size_gives_the_same_database(tmp_path: Path) -> None:
    for shape in Shape:
        dumps = []
        for number in range(2):
            path = tmp_path / f"{shape}{number}.db"
            make_database(path, shape, 600_000)
            assert 500_000 < path.stat().st_size < 2_000_000
            with closing(sqlite3.connect(path)) as connection:
                dumps.append(list(connection.iterdump()))
        assert dumps[0] == dumps[1]


def test_growth_is_measured_and_keeps_earlier_sizes(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    earlier = Growth(
        shape=Shape.NARROW,
        engine="copy",
        points=[Point(size="1TB", bytes=10**12, rows=1, runs=[run(1)])],
        conditions=CONDITIONS,
    )
    Results(growths=[earlier]).write(file)
    options = ("--shape", "narrow", "--sizes", "200kB", "--runs", "1", "--results", file)
    result = run_module("benchmarks.migration", *options)
    assert result.returncode == 0, result.stdout + result.stderr
    (growth,) = read_results(file).growths
    assert [point.size for point in growth.points] == ["200kB", "1TB"]
    assert growth.points[0].rows > 1000
    assert growth.points[0].runs[0].exact


def test_figures_of_the_same_shape_and_size_replace_the_old_ones(tmp_path: Path) -> None:
    results = Results()
    for entry in (kept(size="1GB"), kept(size="5MB"), kept(Entry(contender="copy"), size="1GB")):
        results.add(entry)
    assert sorted(entry.size for entry in results.comparisons) == ["1GB", "5MB"]
    results.write(tmp_path / "kept.json")
    assert read_results(tmp_path / "kept.json") == results
    (tmp_path / "kept.json").write_text("[]")
    with pytest.raises(UsageError, match="no figures"):
        read_results(tmp_path / "kept.json")


def test_goals_are_computed_from_ratios_within_rounds() -> None:
    comparison = kept(
        Entry(contender="server-copy", runs=[run(10), run(20)]),
        # Twice as slow in both rounds, the second of which had half the machine.
        Entry(contender="copy", runs=[run(30, loading=20), run(60, loading=40)]),
        Entry(contender="pgloader-alone", runs=[run(40), run(80)]),
    )
    found = {outcome.goal.text: outcome for outcome in outcomes(Results(comparisons=[comparison]))}
    values = {text: (outcome.value, outcome.verdict) for text, outcome in found.items()}
    assert values == {
        "copy: load + constraints ÷ server-side COPY + rebuild": (2.0, "missed"),
        "copy: whole verified run ÷ its own load + constraints": (1.5, "reached"),
        "copy: whole verified run ÷ pgloader alone, unverified": (0.75, "reached"),
        "copy: peak memory of all of its processes": (1.0, "reached"),
    }


def test_cpu_of_children_that_end_meanwhile_is_counted_once() -> None:
    forking = """
import os
while True:
    if os.fork() == 0:
        sum(range(300_000))
        os._exit(0)
    os.wait()
"""
    with subprocess.Popen([sys.executable, "-c", forking]) as parent:
        try:
            process = psutil.Process(parent.pid)
            seconds = [cpu_of_children(process) for _ in range(500)]
        finally:
            parent.kill()
    assert seconds == sorted(seconds)
    assert seconds[-1] > 0


def test_the_slope_is_the_exponent() -> None:
    points = [
        Point(size=str(size), bytes=size, rows=1, runs=[run(float(size) ** 2)])
        for size in (10, 50, 250)
    ]
    growth = Growth(shape=Shape.NARROW, engine="copy", points=points, conditions=CONDITIONS)
    assert slope(growth) == pytest.approx(2)
    assert slope(growth.model_copy(update={"points": points[:1]})) is None


def test_the_page_holds_everything_that_is_kept(tmp_path: Path) -> None:
    results = Results(
        comparisons=[
            kept(
                Entry(contender="server-copy", runs=[run(10)]),
                Entry(contender="duckdb", problem="no extension | at all"),
            )
        ],
        growths=[
            Growth(
                shape=Shape.NARROW,
                engine="copy",
                points=[Point(size="1MB", bytes=10**6, rows=9, runs=[run(2)])],
                conditions=CONDITIONS,
            )
        ],
    )
    text = page.render(results)
    assert "not available: no extension \\| at all" in text
    assert "## Json, 1GB" in text
    assert "## Growth: narrow, copy engine" in text
    assert "| 1MB | 9 | 2.00 (2.00–2.00) | 0.5 |" in text  # noqa: RUF001
    if find_spec("matplotlib") is None:
        with pytest.raises(UsageError, match="matplotlib"):
            page.write_page(results, tmp_path)
        return
    page.write_page(results, tmp_path)
    assert (tmp_path / page.PAGE).read_text() == text
    charts = sorted(path.name for path in (tmp_path / page.IMAGES).iterdir())
    assert charts == ["benchmark-growth-narrow-copy.svg", "benchmark-json-1gb.svg"]
    for chart in charts:
        assert chart in text
        ElementTree.parse(tmp_path / page.IMAGES / chart)
