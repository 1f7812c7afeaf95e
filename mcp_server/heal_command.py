"""`mcp-server-atlas-pg heal …`: watch the database and heal it; pause that, and say how it stands.

Exit codes are those of `database.errors`: 6 where something is left, 7 after SIGTERM or Ctrl-C.
"""

import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import anyio.abc
import psycopg
import typer
from rich.console import Console

from database import cli
from database.connect import connect
from database.errors import BundleError, InterruptedRunError, TargetError, VerificationError
from database.settings import Server
from mcp_server import logs
from mcp_server.audit.recorder import LOGIN
from mcp_server.failure import Failure
from mcp_server.settings import Settings
from mcp_server.sql import sql_text

if TYPE_CHECKING:
    from mcp_server.healing.watch import Look, Watch

app = cli.application("Healing by itself: watch, pause, resume, and how it stands.")
out = Console(highlight=False, soft_wrap=True)


def main(arguments: list[str]) -> None:
    """The command. Exit codes are those of `database.errors`."""
    cli.run(lambda: app(arguments, prog_name="mcp-server-atlas-pg heal"))


@app.command()
def watch(
    once: Annotated[
        bool, typer.Option("--once", help="Look once, heal what may be healed, and end.")
    ] = False,
    heartbeat: Annotated[
        Path | None,
        typer.Option(help="A file to say in when it looked; for the container's health check."),
    ] = None,
) -> None:
    """Look every MCP_HEAL_INTERVAL_S seconds, and heal what is of MCP_HEAL_CLASSES.

    Waits for a database that does not answer, and restarts nothing. With --once exit code 6 where
    something is left but notices, and 4 where the database does not answer.
    """
    # Late: the other commands need nothing of the server.
    from mcp_server.healing.watch import Watch, open_watch  # noqa: PLC0415

    settings = Settings()
    logs.configure(settings.log_level)
    watcher = Watch(open_watch(settings), heartbeat)
    look = anyio.run(_until_stopped, watcher, once, backend_options={"use_uvloop": True})
    for trouble in look.healed:
        out.print(f"healed: {trouble.words}", markup=False)
    for trouble, reason in look.left:
        out.print(f"left ({reason}): {trouble.words}. {trouble.fix}", markup=False)
    left = [trouble for trouble, _ in look.left if trouble.severity != "notice"]
    if left:
        why = f": {look.hindered}" if look.hindered else "."
        raise VerificationError(
            f"{len(left)} of what was found is left{why}",
            "Each line says what a person does, or what is allowed by MCP_HEAL_CLASSES.",
        )


@app.command()
def pause(
    reason: Annotated[str, typer.Option(help="Why, for whoever finds it paused.")],
    by: Annotated[str | None, typer.Option(help="Who you are; else the login alone.")] = None,
) -> None:
    """Stop all healing, everywhere, before its next statement: watchers and postgres_heal."""
    out.print(f"healing is paused {_asked('healing_pause', reason, by)}", markup=False)


@app.command()
def resume(
    by: Annotated[str | None, typer.Option(help="Who you are; else the login alone.")] = None,
) -> None:
    """Let healing go on."""
    paused = _asked("healing_resume", by)
    out.print(
        f"healing goes on; it was paused {paused}" if paused else "healing was not paused",
        markup=False,
    )


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Say whether healing is paused, what was tried in the last hour, and when a watcher may."""
    settings = Settings()
    agent, most = settings.heal_agent, settings.heal_per_hour
    found = json.loads(_asked("healing_status", agent, most))
    if as_json:
        cli.print_json(out, found)
        return
    tried = ", ".join(f"{count} {outcome}" for outcome, count in found["attempts"].items())
    wait = found["wait_seconds"]
    out.print(
        f"healing is paused {found['paused']}" if found["paused"] else "not paused", markup=False
    )
    out.print(f"attempts of the last hour: {tried or 'none'}", markup=False)
    out.print(
        f"{agent}: {found['watcher']} of {most}; the next "
        + (f"in {wait:.0f} s at the earliest" if wait else "whenever something is found"),
        markup=False,
    )


async def _until_stopped(watcher: "Watch", once: bool) -> "Look":
    """One look, or looks until a signal comes; then what is under way is rolled back."""
    look: Look | None = None
    failed: Failure | BundleError | None = None
    stopped = False

    async def stop_on_signal(group: anyio.abc.TaskGroup) -> None:
        nonlocal stopped
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                stopped = True
                group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(stop_on_signal, group)
            try:
                if once:
                    look = await watcher.look(always=True)
                else:
                    await watcher.run()
            except (Failure, BundleError) as error:
                failed = error
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await watcher.access.recorder.close()
            await watcher.access.pools.close()
    if isinstance(failed, Failure):
        raise TargetError(failed.error, failed.hint)
    if failed is not None:
        raise failed
    if look is None or stopped:
        raise InterruptedRunError(
            "Stopped.", "What was under way was rolled back, and is recorded."
        )
    return look


def _asked(name: str, *arguments: object) -> Any:  # noqa: ANN401 - as the file says
    """What sql/`name`.sql answers."""
    with connect(Server.discover(), LOGIN, autocommit=True) as connection:
        try:
            row = (
                psycopg.RawCursor(connection).execute(sql_text(name).encode(), arguments).fetchone()
            )
        except psycopg.Error as error:
            message = error.diag.message_primary or str(error)
            raise TargetError(message, error.diag.message_hint or "") from error
    assert row is not None, "each of them answers one row"
    return row[0]
