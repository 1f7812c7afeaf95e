"""Prove a backup: restore it into a scratch server, and look at everything in there."""

import os
from collections.abc import Callable
from datetime import UTC, datetime

from backup.content import differences, server_content
from backup.programs import run_on
from backup.recover import Recovered, recovered, remove_scratch
from backup.repository import Backup, Verified
from backup.source import Source
from backup.target import Kind, Target
from database.apply import SQL_DIRECTORY, run_psql
from database.errors import BackupError, BundleError
from database.settings import Server

Say = Callable[[str], None]


def verify_backup(source: Source, backup_id: str | None, say: Say) -> Verified:
    """Restore a backup into a scratch server and compare; the newest one without an id.

    The files are compared with their manifest, every table with what it held when the backup was
    taken, every index with its table (pg_amcheck), the bundle's database with the promises of
    sql/checks, and the archived log is read to its end.

    Returns:
        What was found, which is noted beside the backup as well.

    Raises:
        BackupError: there is no such backup, or another verification is at work.
    """
    backup = source.find(backup_id)
    with source.locked("verification"):
        problems = _problems("log", lambda: source.log_problems(backup), say)
        say(f"log: {_outcome(problems)}")
        # Looked at also where the log is damaged: how much of the backup is good.
        problems += _problems("restore", lambda: _restored_problems(source, backup, say), say)
        outcome = Verified(at=datetime.now(UTC), problems=problems)
        source.note_verified(backup, outcome)
    return outcome


def _restored_problems(source: Source, backup: Backup, say: Say) -> list[str]:
    if backup.point:
        target = Target(Kind.NAME, backup.point, timeline=backup.timeline)
    else:
        target = Target(Kind.IMMEDIATE, timeline=backup.timeline)
    scratch = source.scratch()
    remove_scratch(scratch)
    scratch.mkdir(parents=True, mode=0o755)
    try:
        with recovered(source, backup, target, scratch) as found:
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


def _problems(what: str, look: Callable[[], list[str]], say: Say) -> list[str]:
    """What is found wrong; that one cannot look is the worst of it."""
    try:
        return look()
    except BackupError as error:
        say(f"{what}: {error.message}")
        return [error.message]


def _outcome(problems: list[str]) -> str:
    return "\n".join(problems) or "as it should be"
