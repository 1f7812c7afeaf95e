"""`make bench`: the whole verified migration, both engines, on one database, interleaved.

Times are wall clock of the whole process. Memory is that of all processes of the run together at
their worst moment (shared pages counted once), pgloader's among them, PostgreSQL's not. Figures
of different runs cannot be compared, ratios within one run can.
"""

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
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
CHECKOUT = Path(__file__).resolve().parents[1]
app = cli.application("Time the verified migration with each engine.")
out = Console(highlight=False)


@app.command()
def main(
    size: Annotated[str, typer.Option(help="Size of the database.")] = "50MB",
    runs: Annotated[int, typer.Option(help="Runs of each engine.")] = 3,
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
    _print(source.stem, size, seconds, memory)


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


def _print(
    name: str,
    size: str,
    seconds: dict[EngineName, list[float]],
    memory: dict[EngineName, list[int]],
) -> None:
    first = statistics.median(next(iter(seconds.values())))
    grid = Table("engine", "median s", "spread s", "ratio", "peak MiB", title=f"{name}, {size}")
    for engine, values in seconds.items():
        median = statistics.median(values)
        spread = f"{min(values):.2f}-{max(values):.2f}"
        peak = max(memory[engine]) / 1024
        grid.add_row(engine, f"{median:.2f}", spread, f"{median / first:.2f}", f"{peak:.0f}")
    out.print(grid)


if __name__ == "__main__":
    cli.run(app)
