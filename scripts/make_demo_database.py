"""A made-up AtlasTrinity database, to show and to test with: same seed and size, same content.

python -m scripts.make_demo_database demo.db --size 5MB --seed 7
"""

import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

# Started as a file, Python looks for packages in scripts/ alone.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from database import cli
from database.errors import UsageError
from scripts.demo_data.dataset import TABLE, dataset_rows
from scripts.demo_data.platform import Platform
from scripts.demo_data.size import format_size, parse_size
from scripts.demo_data.write import Writer

#: Below this, the empty tables and one large result are most of the file.
MINIMUM_BYTES = 500_000

_START = datetime(2026, 2, 2, 8, tzinfo=UTC)
_JANUARY_START = datetime(2026, 1, 5, 8, tzinfo=UTC)
#: Whatever the size, the history is about this long; a larger database is a busier one.
_SPAN = timedelta(days=60)
_BYTES_PER_SESSION = 600_000
_BYTES_PER_DATASET_ROW = 4_000

out = Console(highlight=False, soft_wrap=True)
app = cli.application("Make a made-up AtlasTrinity database: the same content for the same seed.")


def make_demo_database(
    path: Path,
    *,
    target_bytes: int = 5_000_000,
    seed: int = 7,
    january: bool = False,
    force: bool = False,
    progress: Callable[[int], None] = lambda _size: None,
) -> None:
    """Write a database to `path`, all of it or nothing.

    Args:
        path: where; it must not exist unless `force`.
        target_bytes: size of the file, met within 10 %; at least 500 000.
        seed: the only source of chance.
        january: the schema of January 2026 instead of February's.
        force: replace an existing file, and delete its -wal, -shm and -journal.
        progress: told the size so far, now and then.

    Raises:
        UsageError: the size is too small, or `path` exists or cannot be written.
    """
    if target_bytes < MINIMUM_BYTES:
        raise UsageError(
            f"{format_size(target_bytes)} is too small: the schema alone takes 140 kB.",
            f"Ask for {format_size(MINIMUM_BYTES)} or more.",
        )
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", "Name a file.")
    if path.exists() and not force:
        raise UsageError(f"{path} exists already.", "Choose another name, or replace it: --force.")
    draft = path.with_name(f"{path.name}.partial")
    try:
        draft.unlink(missing_ok=True)
        _fill(draft, target_bytes, Random(seed), january=january, progress=progress)  # noqa: S311
        if force:
            for suffix in ("-wal", "-shm", "-journal"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        draft.replace(path)
    except (OSError, sqlite3.Error) as error:
        raise UsageError(
            f"Cannot write {path}: {error}.", "Choose a folder that exists and has room for it."
        ) from error
    finally:
        if draft.parent.is_dir():
            draft.unlink(missing_ok=True)


def _fill(
    path: Path, target_bytes: int, rng: Random, *, january: bool, progress: Callable[[int], None]
) -> None:
    # The platform stores UTC without saying so.
    start = (_JANUARY_START if january else _START).replace(tzinfo=None)
    sessions = max(1, target_bytes // _BYTES_PER_SESSION)
    writer = Writer(path, january=january)
    finished = False
    try:
        orders = target_bytes // _BYTES_PER_DATASET_ROW
        writer.insert(TABLE, dataset_rows(rng, start, _SPAN, orders))
        for batch in Platform(rng, start, _SPAN / sessions).work():
            writer.write(batch)
            size = writer.size
            progress(size)
            if size >= target_bytes:
                break
        finished = True
    finally:
        writer.close(finished=finished)


@app.command()
def main(
    path: Annotated[Path, typer.Argument(help="The file to make.")],
    *,
    size: Annotated[str, typer.Option(help="Its size: 5MB, 1GB, 512KiB…")] = "5MB",
    seed: Annotated[int, typer.Option(help="Another seed, another content.")] = 7,
    january: Annotated[
        bool, typer.Option("--january", help="The schema of January 2026 (12 tables).")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
) -> None:
    """Make a made-up AtlasTrinity database."""
    target = parse_size(size)
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("make", total=target)
        make_demo_database(
            path,
            target_bytes=target,
            seed=seed,
            january=january,
            force=force,
            progress=lambda done: bar.update(task, completed=done),
        )
    out.print(f"{escape(str(path))}: {format_size(path.stat().st_size)}, seed {seed}")


if __name__ == "__main__":
    cli.run(app)
