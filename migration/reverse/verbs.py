"""`python -m migration rollback` and `archive`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from database.settings import Server
from migration.cutover.attach import attach
from migration.follow.verbs import find_followed
from migration.progress import Steps
from migration.reverse.archive import archive
from migration.reverse.rollback import Options, Outcome, rollback
from migration.settings import MigrationSettings
from migration.verb_options import Jobs, MaxLock, Source

out = Console(highlight=False, soft_wrap=True)


def rollback_command(
    source: Source = None,
    *,
    max_lock: MaxLock = 1.0,
    leave_behind: Annotated[
        bool, typer.Option("--leave-behind", help="Go back without what only PostgreSQL has.")
    ] = False,
    detach_options: Annotated[
        str | None,
        typer.Option(
            "--detach", help="Switch the platform back too: options of attach_agents.py, or ''."
        ),
    ] = None,
    jobs: Jobs = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Catch up and compare everything; change no more.")
    ] = False,
) -> None:
    """Make the SQLite file the platform's database again, with all that was written since."""
    settings = MigrationSettings()
    options = Options(
        source=find_followed(source, settings),
        work=settings.migration_dir.absolute(),
        jobs=jobs or settings.migration_jobs,
        max_lock=max_lock,
        leave_behind=leave_behind,
        dry_run=dry_run,
    )
    if detach_options is not None:
        # That it cannot be done is said before anything is.
        attach(f"--detach {detach_options}", dry_run=True)
    made = rollback(Server.discover(), options, Steps(Console(stderr=True, highlight=False)))
    _show(options, made)
    if detach_options is not None and not dry_run:
        attach(f"--detach {detach_options}")


def archive_command(
    source: Source = None,
    *,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder for the archive (default: the file's).")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the SQLite file where it is.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Make and prove the archive, and remove it again.")
    ] = False,
) -> None:
    """Close the way back: the SQLite file becomes a compressed, proven archive."""
    settings = MigrationSettings()
    path = find_followed(source, settings)
    made = archive(
        Server.discover(),
        path,
        (to or path.parent).absolute(),
        settings.migration_dir.absolute(),
        keep=keep,
        dry_run=dry_run,
    )
    if made is None:
        out.print("An archive was made, unpacked, compared, and removed again (--dry-run).")
        return
    rows = sum(made.tables.values())
    out.print(
        f"{made.file}: {made.bytes:,} bytes of {made.unpacked_bytes:,}; {len(made.tables)} tables, "
        f"{rows:,} rows, unpacked and compared"
    )
    stays = "stays, and refuses writes" if keep else "is gone"
    out.print(f"{path} {stays}; PostgreSQL logs no changes for it any more.")


def _show(options: Options, made: Outcome) -> None:
    rows = sum(entry.rows for entry in made.tables)
    out.print(f"{len(made.tables)} tables, {rows:,} rows compared value by value: the same")
    out.print(f"{made.applied:,} changed rows were applied")
    if made.left_behind:
        out.print(f"only PostgreSQL has: {', '.join(made.left_behind)}")
    if not made.done:
        out.print("The platform goes on with PostgreSQL (--dry-run).")
        return
    tries = f", at attempt {made.attempts}" if made.attempts > 1 else ""
    out.print(
        f"writers waited for {made.held * 1000:.0f} ms{tries}; {made.drained:,} rows were drained "
        "meanwhile"
    )
    out.print(f"{options.source} is the platform's database again; PostgreSQL refuses writes now.")
