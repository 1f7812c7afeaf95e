"""Prove a backup: restore it into a scratch server, and look at everything in there."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from backup.content import differences, server_content
from backup.programs import run, run_on
from backup.recover import Recovered, gap_after, log_since, recovered, remove_scratch
from backup.repository import Backup, Repository, Verified
from backup.target import Kind, Target, choose_timeline
from backup.wal import format_lsn, parse_lsn, parse_segment
from database.apply import SQL_DIRECTORY, run_psql
from database.embedded.account import server_account
from database.errors import BackupError, BundleError
from database.settings import Server

Say = Callable[[str], None]

#: Where a server that is not ours to run as can enter, for root's repositories.
_SYSTEM_SCRATCH = Path("/var/lib/atlas-postgres")


def verify_backup(repository: Repository, backup_id: str | None, say: Say) -> Verified:
    """Restore a backup into a scratch server and compare; the newest one without an id.

    The files are compared with their manifest, every table with what it held when the backup was
    taken, every index with its table (pg_amcheck), the bundle's database with the promises of
    sql/checks, and the archived log is read to its end.

    Returns:
        What was found, which is noted beside the backup as well.

    Raises:
        BackupError: there is no such backup, or another verification is at work.
    """
    backup = repository.find(backup_id)
    with repository.locked("verification"):
        problems = _log_problems(repository, backup)
        say(f"log: {_outcome(problems)}")
        try:
            problems += _restored_problems(repository, backup, say)
        except BundleError as error:
            if not isinstance(error, BackupError):
                raise
            problems.append(error.message)
            say(f"restore: {error.message}")
        outcome = Verified(at=datetime.now(UTC), problems=problems)
        repository.note_verified(backup, outcome)
    return outcome


def _restored_problems(repository: Repository, backup: Backup, say: Say) -> list[str]:
    if backup.point:
        target = Target(Kind.NAME, backup.point, timeline=backup.timeline)
    else:
        target = Target(Kind.IMMEDIATE, timeline=backup.timeline)
    scratch = _scratch(repository)
    remove_scratch(scratch)
    scratch.mkdir(parents=True, mode=0o755)
    try:
        with recovered(repository, backup, target, scratch) as found:
            say(f"restored up to {found.position}")
            return _server_problems(backup, found, say)
    finally:
        remove_scratch(scratch)


def _server_problems(backup: Backup, found: Recovered, say: Say) -> list[str]:
    problems = []
    if backup.point:
        content = server_content(found.server, list(backup.tables))
        compared = differences(backup.tables, content)
        rows = sum(entry.rows for tables in content.values() for entry in tables.values())
        say(f"tables: {sum(map(len, content.values()))} with {rows} rows: {_outcome(compared)}")
        problems += compared
    else:
        problems.append(
            "It is not known what the tables held: somebody was writing all the time when this "
            "backup was taken"
        )
    for name, check in (("pg_amcheck", _amcheck), ("sql/checks", _checks)):
        said = check(backup, found.server)
        say(f"{name}: {_outcome(said)}")
        problems += said
    return problems


def _amcheck(_backup: Backup, server: Server) -> list[str]:
    try:
        run_on(
            server,
            "pg_amcheck",
            *("--all", "--install-missing", "--heapallindexed", "--parent-check"),
            *("--checkunique", "--no-password", "--jobs", min(os.cpu_count() or 1, 4)),
        )
    except BackupError as error:
        return [error.message]
    return []


def _checks(backup: Backup, server: Server) -> list[str]:
    """What sql/checks has against the bundle's own database."""
    if backup.database not in backup.tables:
        return []
    try:
        run_psql(server.with_database(backup.database), SQL_DIRECTORY / "checks" / "run.sql")
    except BundleError as error:
        return [f"sql/checks: {error.message}"]
    return []


def _log_problems(repository: Repository, backup: Backup) -> list[str]:
    """Whether the log can be read from the backup's beginning to the archive's end."""
    timeline = choose_timeline(Target(timeline=backup.timeline), repository.timelines())
    reached = repository.archive_state().reached.get(timeline.number)
    if reached is None or parse_lsn(reached) < parse_lsn(backup.stop_lsn):
        return [f"The log after {backup.stop_lsn} was never archived"]
    missing = gap_after(repository, backup, timeline)
    if missing is not None:
        return [f"The archive lacks {missing.name}: nothing after it can be restored"]
    with TemporaryDirectory(prefix="atlas-log-") as folder:
        for name, path in log_since(repository, backup).items():
            segment = parse_segment(name)
            if segment is not None and segment.timeline == timeline.number:
                (Path(folder) / name).symlink_to(path)
        try:
            run(
                "pg_waldump",
                *("--quiet", "--path", folder, "--timeline", timeline.number),
                *("--start", backup.start_lsn, "--end", format_lsn(parse_lsn(reached))),
            )
        except BackupError as error:
            return [f"The archived log is damaged: {error.message}"]
    return []


def _scratch(repository: Repository) -> Path:
    """A folder of which there is one per repository, so that a killed run's is found again."""
    if server_account().differs:
        return _SYSTEM_SCRATCH / f"verify-{repository.identity().slot}"
    return repository.directory / ".scratch"


def _outcome(problems: list[str]) -> str:
    return "\n".join(problems) or "as it should be"
