"""Backups: `python scripts/backup.py take | list | verify | check | …`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

# Started as a file, Python looks for packages in scripts/ alone, and would find this file first
# where the package of the same name is meant.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backup.engine import Engine, open_engine
from backup.pgbackrest.engine import PgBackRest
from backup.pgbackrest.schedule import run_schedule
from backup.repository import Backup, BackupKind
from backup.settings import BackupSettings, EngineName
from backup.verify import verify_backup
from database import cli
from database.errors import BackupError, UnreachableError, UsageError, VerificationError
from database.settings import Server
from migration.export.export import export_sqlite

out = Console(highlight=False, soft_wrap=True)
app = cli.application("Take backups, archive the log, and prove that they can be restored.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def take(
    *,
    kind: Annotated[
        BackupKind | None, typer.Option("--kind", help="What to copy (default: everything).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take a backup, archive the log up to now, and remove backups that are too many."""
    backup = _engine().take(kind, _to_stderr if as_json else out.print)
    if as_json:
        sys.stdout.write(backup.model_dump_json(indent=2) + "\n")
    if backup.point is None:
        raise VerificationError(
            f"Backup {backup.id} is whole, but 'verify' cannot compare its tables: somebody was "
            "writing without a pause.",
            "End transactions that stay open, or raise BACKUP_LOCK_SECONDS.",
        )


@app.command(name="list")
def list_backups(*, as_json: Json = False) -> None:
    """Say which backups there are, and up to where the archived log leads."""
    engine = _engine()
    entries = [_entry(engine, backup) for backup in engine.source.taken()]
    if as_json:
        sys.stdout.write(json.dumps(entries, indent=2) + "\n")
        return
    for entry in entries:
        out.print(
            f"{entry['id']}  {entry['kind']}  {entry['bytes']:>14,} bytes  "
            f"{entry['tables']} tables  timeline {entry['timeline']}  "
            f"log up to {entry['restorable_to'] or 'nowhere'}  "
            f"{entry['verified'] or 'not verified'}"
        )


@app.command()
def verify(
    backup: Annotated[str | None, typer.Argument(help="Its id (default: the newest).")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Restore a backup into a scratch server, and compare everything."""
    source = _engine().source
    chosen = source.find(backup)
    outcome = verify_backup(source, chosen.id, _to_stderr if as_json else out.print)
    if as_json:
        sys.stdout.write(json.dumps({"id": chosen.id, **outcome.model_dump(mode="json")}) + "\n")
    if outcome.problems:
        raise BackupError(
            f"Backup {chosen.id} is not what it should be: {'; '.join(outcome.problems)}.",
            "Take a new one now, and verify an older one.",
        )
    out.print(f"backup {chosen.id} is verified", style="green") if not as_json else None


@app.command()
def check(*, as_json: Json = False) -> None:
    """Say whether one could restore now: for a monitor; exit code 8 where one could not, 4 where
    the server does not answer."""
    health = _engine().check()
    if as_json:
        found = {
            "problems": health.problems,
            "newest": health.newest.id if health.newest else None,
            "age_hours": health.newest.age_hours if health.newest else None,
            "behind_bytes": health.behind_bytes,
            "unreachable": health.unreachable,
        }
        sys.stdout.write(json.dumps(found) + "\n")
    if health.problems:
        raise BackupError("; ".join(health.problems) + ".", "Correct it, then check again.")
    if health.unreachable:
        raise UnreachableError(
            health.unreachable, "One can restore: this is all that is known to be wrong."
        )
    if not as_json:
        newest = health.newest.id if health.newest else ""
        out.print(f"newest backup {newest}, {health.behind_bytes} bytes of log not archived yet")


@app.command(name="archive")
def archive_log(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until stopped; try again when it fails.")
    ] = False,
    end: Annotated[
        bool, typer.Option("--end", help="Give up archiving: the server keeps no log for it.")
    ] = False,
) -> None:
    """Receive the server's log up to now, or all the time."""
    engine = _engine()
    if end:
        ended = engine.end_archive()
        out.print("archiving has ended" if ended else "there was nothing to end")
    elif follow:
        engine.follow_archive(_to_stderr)
    else:
        out.print(f"log archived up to {engine.archive()}")


@app.command()
def mark(name: Annotated[str, typer.Argument(help="How the moment is called.")]) -> None:
    """Give this moment a name, which a restore can stop at."""
    out.print(f"'{name}' is {_engine().mark(name)}")


@app.command()
def schedule() -> None:
    """Take and verify backups when they are due, until stopped: the service `backup`."""
    settings = BackupSettings()
    if settings.backup_engine is not EngineName.PGBACKREST:
        raise UsageError(
            "The schedule belongs to the service 'backup' of compose.yaml.",
            "Without Docker let cron or systemd run 'backup.py take' and 'backup.py verify'.",
        )
    run_schedule(PgBackRest(settings), settings, _to_stderr)


@app.command(name="export-sqlite")
def export(
    file: Annotated[Path, typer.Argument(help="The SQLite file to make.")],
    *,
    redact: Annotated[
        bool, typer.Option("--redact", help="Replace what looks like a secret in text.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the file if it is there.")
    ] = False,
) -> None:
    """Write PostgreSQL's tables into a SQLite file with the platform's schema, and compare."""
    made = export_sqlite(Server.discover(), file, out.print, redacting=redact, replacing=replace)
    out.print(f"{made.path}: {made.tables} tables, {made.rows} rows, compared value by value")
    if redact:
        out.print(f"secrets were replaced in {made.redacted} rows")


def _entry(engine: Engine, backup: Backup) -> dict[str, object]:
    verified = engine.source.verified(backup)
    return {
        **backup.model_dump(mode="json", exclude={"tables"}),
        "tables": sum(map(len, backup.tables.values())),
        "restorable_to": engine.source.restorable_to(backup),
        "verified": verified
        and (f"failed: {verified.problems[0]}" if verified.problems else f"verified {verified.at}"),
    }


def _engine() -> Engine:
    return open_engine(BackupSettings())


def _to_stderr(text: str) -> None:
    cli.errors_to.print(text)


if __name__ == "__main__":
    cli.run(app)
