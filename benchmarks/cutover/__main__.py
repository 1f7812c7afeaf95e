"""`python -m benchmarks.cutover`: measure, keep the figures, write the page."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from benchmarks.cutover.measure import make_database, measure_overhead, measure_pause
from benchmarks.cutover.page import render, write_page
from benchmarks.cutover.results import read_results
from database import cli

app = cli.application("Measure what following and the cutover cost the application.")
out = Console(highlight=False, width=140)


@app.command()
def main(
    *,
    sizes: Annotated[str, typer.Option(help="Sizes of the database, as 10MB,100MB.")] = "10MB",
    rounds: Annotated[int, typer.Option(min=0, help="Cutovers of each size.")] = 1,
    overhead: Annotated[
        int, typer.Option(min=0, help="Transactions without and with capture; 0: none.")
    ] = 0,
    results: Annotated[Path, typer.Option(help="Where the figures are kept.")] = Path(
        "var/benchmarks/cutover.json"
    ),
    write: Annotated[bool, typer.Option("--write", help="Write the page and its chart.")] = False,
    docs: Annotated[Path, typer.Option(help="The folder that --write writes to.")] = Path("docs"),
) -> None:
    """Measure the longest pause of a writer, and the overhead of capture."""
    kept = read_results(results)
    with tempfile.TemporaryDirectory(prefix="cutover-") as folder:
        source = Path(folder) / "platform.db"
        if overhead:
            make_database(source, "10MB")
            kept.overhead = measure_overhead(source, overhead, 3)
            source.unlink()
        for size in sizes.split(",") if rounds else ():
            kept.pauses[size] = []
            for number in range(rounds):
                inside = Path(folder) / f"{size}-{number}"
                inside.mkdir()
                make_database(inside / "platform.db", size)
                kept.pauses[size].append(measure_pause(inside / "platform.db", size))
                results.parent.mkdir(parents=True, exist_ok=True)
                results.write_text(kept.model_dump_json(indent=1))
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(kept.model_dump_json(indent=1))
    out.print(render(kept), markup=False)
    if write:
        write_page(kept, docs)


if __name__ == "__main__":
    cli.run(app)
