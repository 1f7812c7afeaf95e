"""Bring the database back to any moment: `python scripts/restore.py [--time …]`.

Into a new folder first, then swapped; never over a running server.
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

# Started as a file, Python looks for packages in scripts/ alone.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backup.engine import open_engine
from backup.restore import restore
from backup.settings import BackupSettings
from backup.target import make_target
from database import cli

out = Console(highlight=False, soft_wrap=True)
app = cli.application("Bring the database back to any moment.")


@app.command()
def main(
    *,
    time: Annotated[
        str | None, typer.Option("--time", help="As it was then (ISO 8601; without a zone, UTC).")
    ] = None,
    xid: Annotated[
        str | None, typer.Option("--xid", help="Up to the end of this transaction.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="At a moment that was named by 'backup.py mark'.")
    ] = None,
    immediate: Annotated[
        bool, typer.Option("--immediate", help="At the end of the backup itself.")
    ] = False,
    exclusive: Annotated[
        bool, typer.Option("--exclusive", help="Without the transaction of --time or --xid.")
    ] = False,
    timeline: Annotated[
        int | None, typer.Option("--timeline", min=1, help="Another timeline than the newest.")
    ] = None,
    backup: Annotated[
        str | None, typer.Option("--backup", help="Begin from this one (default: the nearest).")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option("--directory", help="Instance folder (default: EMBEDDED_DIR).")
    ] = None,
) -> None:
    """Bring the database back: to the latest moment, or to the one that is named.

    The server of the folder must be stopped. Its old data stays beside the new.
    """
    target = make_target(
        time=time, xid=xid, name=name, immediate=immediate, exclusive=exclusive, timeline=timeline
    )
    engine = open_engine(BackupSettings())
    instance = engine.instance(directory)
    restored = restore(engine.source, target, instance, out.print, backup_id=backup)
    out.print(
        f"restored up to {restored.position} of timeline {restored.timeline} into "
        f"{instance.directory}"
    )
    if restored.old:
        out.print(f"the old data is in {restored.old}; remove it when you do not need it any more")
    out.print(engine.after_restore)


if __name__ == "__main__":
    cli.run(app)
