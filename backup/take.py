"""Take a backup: a copy of all files, what every table held, and the log from then on."""

import json
import time
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

from backup import archive
from backup.content import content_at_point
from backup.programs import run, run_on
from backup.repository import Backup, Repository
from backup.settings import BackupSettings
from backup.statements import Connection, fetch, fetch_one
from backup.wal import SEGMENT_BYTES, Segment, parse_lsn, segment_number
from database.binaries import MAJOR_VERSION
from database.connect import connect
from database.errors import BackupError, TargetError
from database.settings import Server

Say = Callable[[str], None]

_LEAVE_SECONDS = 10.0


def take_backup(
    server: Server, repository: Repository, settings: BackupSettings, say: Say
) -> Backup:
    """Take a full backup, and remove those that are too many then.

    Raises:
        BackupError: it could not be taken or its log not archived, or another one is at work.
        TargetError: the server cannot be reached, or cannot be backed up.
    """
    repository.create()
    with (
        repository.locked("backup"),
        connect(server, server.administrator, autocommit=True) as connection,
    ):
        facts = suitable(fetch_one(connection, "server_facts"))
        identity = repository.claim(facts["system_identifier"])
        application = f"{identity.slot}_take"
        _sweep(connection, repository, application, say)
        archive.begin(connection, repository, identity)
        backup = _copy_files(server, connection, repository, facts, application)
        say(f"backup {backup.id}: {backup.bytes} bytes copied")
        moment = content_at_point(
            server, facts["databases"], f"backup-{backup.id}", settings.backup_lock_seconds
        )
        if moment is not None:
            backup = backup.model_copy(update={"point": moment.point, "tables": moment.tables})
            repository.record(backup)
        reached = archive.catch_up(server, repository)
        say(f"log archived up to {reached}")
        _expire(repository, settings.backup_keep, say)
    return backup


def mark(server: Server, repository: Repository, name: str) -> str:
    """Give this moment a name that a restore can stop at, and archive the log up to it.

    Raises:
        BackupError: the name cannot be one, or the log cannot be archived.
        TargetError: the server cannot be reached.
    """
    check_name(name)
    repository.identity()
    with connect(server, server.administrator, autocommit=True) as connection:
        position = fetch_one(connection, "restore_point", name=name)["lsn"]
    archive.catch_up(server, repository)
    return str(position)


def check_name(name: str) -> None:
    """Refuse what PostgreSQL could not take as the name of a restore point.

    Raises:
        BackupError: the name cannot be one.
    """
    if not 0 < len(name.encode()) < 64 or not name.isprintable():
        raise BackupError(
            f"{name!r} cannot be the name of a moment.", "Use up to 63 bytes of printable text."
        )


def suitable(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a server that can be backed up.

    Raises:
        TargetError: it cannot.
    """
    if facts["in_recovery"]:
        raise TargetError(
            "This server is a standby or is being restored.", "Take the backup of its primary."
        )
    if facts["major"] != MAJOR_VERSION:
        raise TargetError(
            f"The server is PostgreSQL {facts['version']}; backups are of {MAJOR_VERSION}.",
            "Use that version's own pg_basebackup.",
        )
    if facts["tablespaces"]:
        raise TargetError(
            f"The server has tablespaces of its own ({facts['tablespaces']}), which lie outside "
            "of its folder.",
            "Move their tables to pg_default, or use pgBackRest.",
        )
    if facts["segment_bytes"] != SEGMENT_BYTES:
        raise TargetError(
            f"The server's log has segments of {facts['segment_bytes']} bytes, not of 16 MB.",
            "Use pgBackRest for this server.",
        )
    return facts


def _sweep(connection: Connection, repository: Repository, application: str, say: Say) -> None:
    """End and remove what a killed run left."""
    fetch(connection, "end_orphans", name=application)
    deadline = time.monotonic() + _LEAVE_SECONDS
    while True:
        try:
            left = repository.sweep()
        except OSError:
            # The orphan is removing its files as well.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            break
    for name in left:
        say(f"removed {name}, which a run that was killed had left")


def _copy_files(
    server: Server,
    connection: Connection,
    repository: Repository,
    facts: dict[str, Any],
    application: str,
) -> Backup:
    started = facts["now"].astimezone(UTC)
    backup_id = f"{started:%Y%m%dT%H%M%S}-{started.microsecond // 1000:03d}"
    draft = repository.draft(backup_id)
    data = draft / "data"
    run_on(
        server,
        "pg_basebackup",
        *("--pgdata", data, "--format=plain", "--wal-method=stream", "--checkpoint=fast"),
        *("--manifest-checksums=SHA256", "--label", f"atlas {backup_id}", "--no-password"),
        application=application,
    )
    finished = fetch_one(connection, "snapshot")
    [log] = json.loads((data / "backup_manifest").read_bytes())["WAL-Ranges"]
    backup = Backup(
        id=backup_id,
        server=str(server),
        version=facts["version"],
        database=server.database,
        started_at=started,
        finished_at=finished["now"].astimezone(UTC),
        bytes=_size(data),
        timeline=log["Timeline"],
        start_lsn=log["Start-LSN"],
        stop_lsn=log["End-LSN"],
        snapshot=finished["snapshot"],
    )
    repository.finish(draft, backup)
    return backup


def _expire(repository: Repository, keep: int, say: Say) -> None:
    """Remove the oldest backups, and the log that none of the others needs."""
    backups = repository.taken()
    for backup in backups[:-keep]:
        repository.remove(backup)
        say(f"removed {backup.id}: {keep} are kept")
    oldest = backups[-keep:][0]
    first = Segment(oldest.timeline, segment_number(parse_lsn(oldest.start_lsn))).name
    for folder in repository.wal.iterdir():
        run("pg_archivecleanup", folder, first)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
