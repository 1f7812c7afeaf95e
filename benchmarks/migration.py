"""`make bench`: the whole verified migration, both engines, on one database, interleaved.

Times are wall clock of the whole process. Memory is that of all processes of the run together at
their worst moment (shared pages counted once), pgloader's among them, PostgreSQL's not. Figures
of different runs cannot be compared, ratios within one run can.
"""

import contextlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import psutil
import typer
from psycopg import sql
from rich.console import Console
from rich.table import Table

from database import cli
from database.apply import apply_schema
from database.connect import connect
from database.embedded.server import temporary_server
from database.settings import Server
from migration.load import EngineName
from scripts.demo_data.size import parse_size
from scripts.make_demo_database import make_demo_database

_SAMPLE_SECONDS = 0.1
_HEADINGS = ["engine", "median s", "spread s", "ratio", "peak MiB"]
_PAGE = """\
# Benchmarks

The whole verified migration of a generated database of the platform's shape, each run into a fresh
database, the engines in turn. Memory is that of all processes of the job together at their worst
moment, shared pages counted once, pgloader's among them, PostgreSQL's not. Only the ratios within
one table mean anything: machines drift.

{table}

{day}, {machine}. Written by `make bench BENCH="{options} --write docs/reference/benchmarks.md"`.
"""
CHECKOUT = Path(__file__).resolve().parents[1]
app = cli.application("Time the verified migration with each engine.")
out = Console(highlight=False)


@app.command()
def main(
    size: Annotated[str, typer.Option(help="Size of the database.")] = "50MB",
    runs: Annotated[int, typer.Option(help="Runs of each engine.")] = 3,
    write: Annotated[
        Path | None, typer.Option(help="Also write the figures as a page of the documentation.")
    ] = None,
) -> None:
    """Make a database, migrate it `runs` times with each engine in turn, print medians."""
    engines = [name for name in EngineName if name != "pgloader" or shutil.which("pgloader")]
    seconds: dict[EngineName, list[float]] = {name: [] for name in engines}
    memory: dict[EngineName, list[int]] = {name: [] for name in engines}
    with temporary_server() as server, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.db"
        make_demo_database(source, target_bytes=parse_size(size))
        for number in range(runs):
            for engine in engines:
                taken, peak = _run(server, source, engine, f"bench_{engine}_{number}")
                seconds[engine].append(taken)
                memory[engine].append(peak)
    rows = [_figures(name, seconds, memory) for name in engines]
    grid = Table(*_HEADINGS, title=f"{size}, {runs} run{'s' if runs > 1 else ''} of each engine")
    for row in rows:
        grid.add_row(*row)
    out.print(grid)
    if write is not None:
        write.write_text(_page(size, runs, rows), encoding="utf-8")


def _run(server: Server, source: Path, engine: EngineName, name: str) -> tuple[float, int]:
    """Wall seconds and peak memory (KiB) of one migration into a fresh copy of the database."""
    template, fresh = sql.Identifier(server.database), sql.Identifier(name)
    admin = server.with_database("postgres")
    with connect(admin, "postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("create database {} template {}").format(fresh, template))
    # A copy does not inherit the privileges on the database itself.
    apply_schema(server.with_database(name))
    environment = {
        **os.environ,
        "POSTGRES_HOST": server.host,
        "POSTGRES_PORT": str(server.port),
        "POSTGRES_DB": name,
        "SECRETS_DIR": str(server.secrets_dir),
        "MIGRATION_DIR": str(source.parent / name),
    }
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "migration", "run", source, "--engine", engine],
        cwd=CHECKOUT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    peak = _wait_and_watch(process)
    taken = time.monotonic() - started
    if process.returncode != 0:
        said = process.stderr.read() if process.stderr else ""
        raise SystemExit(f"the migration with {engine} failed:\n{said}")
    with connect(admin, "postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {}").format(fresh))
    return taken, peak


def _wait_and_watch(process: subprocess.Popen[str]) -> int:
    """Wait for the end; the peak of the memory of the process and all its children, in KiB."""
    job, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            peak = max(peak, sum(map(_memory, [job, *job.children(recursive=True)])))
        time.sleep(_SAMPLE_SECONDS)
    return peak // 1024


def _memory(process: psutil.Process) -> int:
    """Bytes; 0 for a process that has just ended."""
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return 0
    # Linux alone knows how shared pages are shared.
    return int(getattr(full, "pss", full.uss))


def _figures(
    name: EngineName, seconds: dict[EngineName, list[float]], memory: dict[EngineName, list[int]]
) -> list[str]:
    """A row of the table: medians, spread, ratio to the first engine, peak memory."""
    first = statistics.median(next(iter(seconds.values())))
    values = seconds[name]
    median = statistics.median(values)
    spread = f"{min(values):.1f} to {max(values):.1f}"
    return [
        name,
        f"{median:.1f}",
        spread,
        f"{median / first:.2f}",
        f"{max(memory[name]) / 1024:.0f}",
    ]


def _page(size: str, runs: int, rows: list[list[str]]) -> str:
    table = [f"| {' | '.join(row)} |" for row in (_HEADINGS, ["---"] * len(_HEADINGS), *rows)]
    return _PAGE.format(
        table="\n".join(table),
        options=f"--size {size} --runs {runs}",
        day=datetime.now(UTC).date(),
        machine=f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}",
    )


if __name__ == "__main__":
    cli.run(app)
