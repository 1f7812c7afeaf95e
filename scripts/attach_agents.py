"""Attach AtlasTrinity to PostgreSQL by editing its files; --detach gives them back as they were.

python scripts/attach_agents.py [--dry-run | --detach]
"""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

# Started as a file, Python looks for packages in scripts/ alone.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from database import cli
from database.connect import connect
from database.errors import UsageError
from database.settings import Server
from scripts.attach import record
from scripts.attach.record import Change
from scripts.attach.show import difference
from scripts.attach.wanted import Driver, File, database_url, files, server_entry

out = Console(highlight=False, soft_wrap=True)
app = cli.application("Attach AtlasTrinity to PostgreSQL, or detach it.")

CONFIG_FOLDER = Path("~/.config/atlastrinity")


@app.command()
def main(
    config_dir: Annotated[
        Path, typer.Option(help="The platform's folder of configuration.")
    ] = CONFIG_FOLDER,
    checkout: Annotated[
        Path | None, typer.Option(help="A checkout of the platform: its templates too.")
    ] = None,
    *,
    detach: Annotated[bool, typer.Option("--detach", help="Restore every file.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Restore files too that were changed since.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show, and change nothing.")] = False,
    database: Annotated[
        bool, typer.Option("--database/--no-database", help="The platform's own database.")
    ] = True,
    mcp: Annotated[bool, typer.Option("--mcp/--no-mcp", help="The agents' MCP server.")] = True,
    driver: Annotated[Driver, typer.Option(help="The platform's driver.")] = Driver.ASYNCPG,
    agent: Annotated[
        list[str] | None, typer.Option(help="Who may call the server; repeat it (default: all).")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Log in as the platform first.")
    ] = True,
) -> None:
    """Attach AtlasTrinity to PostgreSQL, or detach it."""
    config = config_dir.expanduser().absolute()
    if detach:
        detach_platform(config, force=force, dry_run=dry_run)
        return
    server = Server.discover()
    if check:
        connect(server, "atlas").close()
    agents = tuple(agent or ("atlas", "tetyana", "grisha"))
    wanted = files(
        config,
        checkout.expanduser().absolute() if checkout else None,
        url=database_url(server, driver) if database else None,
        entry=server_entry(server, agents) if mcp else None,
    )
    attach_platform(config, wanted, dry_run=dry_run)
    if database:
        plugin = Path(__file__).resolve().parents[1] / "atlas_sqlalchemy"
        out.print(
            "Next, in the platform's environment: "
            f"pip install {escape(repr(f'{plugin}[{driver}]'))}, and restart the platform."
        )


def attach_platform(config: Path, wanted: list[File], *, dry_run: bool = False) -> bool:
    """Show and make the changes; whether there were any.

    Raises:
        UsageError: a file is not as it can be edited, or cannot be written; nothing has changed,
            or what has is recorded.
    """
    with record.locked(config):
        changes = [change for file in wanted if (change := _change(file)) is not None]
        for change in changes:
            _show(change.path, change.before, change.after)
        if not changes:
            out.print("Everything is attached already.")
        elif dry_run:
            out.print("Nothing was changed (--dry-run).")
        else:
            record.write_changes(config, changes)
            out.print(f"Attached; what was is in {escape(str(config / record.FOLDER))}.")
        return bool(changes)


def detach_platform(config: Path, *, force: bool = False, dry_run: bool = False) -> bool:
    """Restore every file byte for byte; whether there was anything to restore.

    Raises:
        UsageError: a file was changed since and not `force`; nothing was restored.
    """
    with record.locked(config):
        found = record.restorations(config, force=force)
        for path, before in found:
            _show(path, record.read_file(path), before)
        if dry_run:
            out.print("Nothing was changed (--dry-run).")
            return bool(found)
        record.restore(config, found)
        out.print("Detached." if found else "Nothing was attached.")
        return bool(found)


def _change(file: File) -> Change | None:
    # A link is kept: what it leads to is edited.
    path = file.path.resolve()
    before = record.read_file(path)
    if before is None and not file.is_made:
        out.print(
            f"[yellow]There is no {escape(str(path))}[/]: the platform makes it at its first "
            "start; attach again then."
        )
        return None
    try:
        after = file.edit((before or b"").decode("utf-8")).encode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8.", "Save it as UTF-8, then try again.") from None
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from error
    return None if after == before else Change(path, before, after)


def _show(path: Path, before: bytes | None, after: bytes | None) -> None:
    out.print(escape(difference(str(path), before, after)))


if __name__ == "__main__":
    cli.run(app)
