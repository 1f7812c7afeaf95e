"""The archive of the write-ahead log, received through a replication slot.

The slot keeps the server from removing what is not here yet: nothing is lost while nobody
receives, and no program of ours has to run on the server's host. The server is never held up by
an archive that fails; its log grows instead, which `check` reports.

Invariant: in `archive.json`, `reached` is the end of a record that is on disk here.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from backup.programs import client_environment, failure, run_on
from backup.repository import ArchiveState, BusyError, Identity, Repository
from backup.statements import Connection, fetch, fetch_one
from backup.wal import SEGMENT_BYTES, format_lsn, parse_lsn
from database.binaries import client_program
from database.connect import connect
from database.errors import BackupError, TargetError
from database.settings import Server

#: How long to wait for another process that is receiving.
_FOLLOWER_SECONDS = 60
_HEARTBEAT_SECONDS = 10
#: How long to wait for the session of a receiver that has ended.
_LEAVING_SECONDS = 10.0
_SHORTEST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
_NO_SLOT = "Take a backup: it begins the archive anew. A restored server has to begin so too."


def begin(connection: Connection, repository: Repository, identity: Identity) -> None:
    """Create the slot where it is missing or was given up by the server.

    What comes is not the continuation of what is there then, and goes into a folder of its own.
    """
    slots = fetch(connection, "slot", slot=identity.slot)
    if slots and slots[0]["wal_status"] != "lost":
        return
    fetch(connection, "drop_slot", slot=identity.slot)
    fetch_one(connection, "create_slot", slot=identity.slot)
    repository.new_archive_folder(int(fetch_one(connection, "timeline")["timeline"]))


def end(connection: Connection, identity: Identity) -> bool:
    """Drop the slot, for a repository that is given up; False where there was none."""
    return bool(fetch(connection, "drop_slot", slot=identity.slot))


def catch_up(server: Server, repository: Repository) -> str:
    """Receive everything that is written up to now; the position that is reached.

    Where another process is receiving all the time, wait until it has come so far.

    Raises:
        BackupError: it cannot be received; the archive's state says so from now on.
        TargetError: the server cannot be reached.
    """
    identity = repository.identity()
    with _failures_noted(repository), _control(server) as connection:
        _existing_slot(connection, identity)
        mark = fetch_one(connection, "mark_end")
        try:
            with repository.locked("archive"):
                folder = _ready_folder(connection, repository, identity, mark["timeline"])
                _receive_until(server, folder, identity, mark["lsn"])
                _advance(connection, identity, mark["lsn"])
        except BusyError:
            _await_follower(connection, identity, parse_lsn(mark["lsn"]))
        _note_reached(repository, mark)
    return str(mark["lsn"])


def follow(server: Server, repository: Repository, say: Callable[[str], None]) -> None:
    """Receive all the time, until a signal comes; start again whenever it fails.

    Args:
        server: whose log.
        repository: where to.
        say: takes each failure, and the first success after one.
    """
    pause = _SHORTEST_PAUSE
    failed = False

    def succeeded(lsn: str) -> None:
        nonlocal failed
        if failed:
            say(f"archiving works again, up to {lsn}")
        failed = False

    while True:
        started = time.monotonic()
        try:
            with _failures_noted(repository), repository.locked("archive"):
                _follow_once(server, repository, succeeded)
        except (BackupError, TargetError) as error:
            failed = True
            say(f"archiving fails: {error.message} {error.hint}".strip())
        worked = time.monotonic() - started > _LONGEST_PAUSE
        pause = _SHORTEST_PAUSE if worked else min(pause * 2, _LONGEST_PAUSE)
        time.sleep(pause)


@contextmanager
def _failures_noted(repository: Repository) -> Iterator[None]:
    try:
        yield
    except BusyError:
        # Somebody else is receiving: that is no failure of the archive.
        raise
    except psycopg.Error as error:
        lost = TargetError(f"PostgreSQL broke off: {str(error).strip()}", "Is it running?")
        _note_failure(repository, lost.message)
        raise lost from error
    except (BackupError, TargetError) as error:
        _note_failure(repository, error.message)
        raise


def _receive_until(server: Server, folder: Path, identity: Identity, lsn: str) -> None:
    # pg_receivewal stops when it is beyond the position, not at it.
    until = format_lsn(parse_lsn(lsn) - 1)
    run_on(
        server,
        "pg_receivewal",
        *(
            "--directory",
            folder,
            "--slot",
            identity.slot,
            "--endpos",
            until,
            "--no-loop",
            "--no-password",
        ),
        # Reports what is on disk at once: the server may remove it then.
        "--synchronous",
        application=identity.slot,
        advice="'python scripts/backup.py check' says how far the archive is behind.",
    )


def _advance(connection: Connection, identity: Identity, lsn: str) -> None:
    """Let the server remove what is on disk here.

    pg_receivewal says so between two reads: not at its end, nor while it is always behind.
    """
    deadline = time.monotonic() + _LEAVING_SECONDS
    # Its session may take a moment to leave the slot.
    while time.monotonic() < deadline:
        if fetch_one(connection, "slot", slot=identity.slot)["active_pid"] is None:
            fetch(connection, "advance_slot", slot=identity.slot, lsn=lsn)
            return
        time.sleep(0.05)


def _follow_once(server: Server, repository: Repository, succeeded: Callable[[str], None]) -> None:
    identity = repository.identity()
    with _control(server) as connection, client_environment(server, identity.slot) as environment:
        _existing_slot(connection, identity)
        folder = _ready_folder(
            connection, repository, identity, fetch_one(connection, "timeline")["timeline"]
        )
        receiver = subprocess.Popen(
            [
                client_program("pg_receivewal"),
                *("--directory", folder, "--slot", identity.slot, "--no-loop", "--no-password"),
                # On disk as soon as it is here, and reported at once: nothing that was
                # committed more than a moment ago is lost with the server.
                "--synchronous",
            ],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            _watch(receiver, connection, repository, identity, succeeded)
        finally:
            receiver.terminate()
            receiver.wait()


def _watch(
    receiver: subprocess.Popen[str],
    connection: Connection,
    repository: Repository,
    identity: Identity,
    succeeded: Callable[[str], None],
) -> None:
    """Note how far the receiver has come, until it ends."""
    while True:
        mark = fetch_one(connection, "mark_end")
        deadline = time.monotonic() + _HEARTBEAT_SECONDS
        reached = False
        while time.monotonic() < deadline:
            try:
                _, messages = receiver.communicate(timeout=0.5)
            except subprocess.TimeoutExpired:
                messages = None
            if messages is not None:
                raise failure("pg_receivewal", messages)
            if not reached and _slot_reached(connection, identity, parse_lsn(mark["lsn"])):
                reached = True
                _note_reached(repository, mark)
                succeeded(mark["lsn"])


def _control(server: Server) -> Connection:
    return connect(
        server, server.administrator, autocommit=True, application_name="atlas-backup-control"
    )


def _existing_slot(connection: Connection, identity: Identity) -> None:
    slots = fetch(connection, "slot", slot=identity.slot)
    if not slots:
        raise BackupError(f"The server has no replication slot {identity.slot}.", _NO_SLOT)
    if slots[0]["wal_status"] == "lost":
        raise BackupError(
            f"The server gave up the slot {identity.slot}: its log grew beyond "
            "max_slot_wal_keep_size, and what was not archived is gone.",
            _NO_SLOT,
        )


def _slot_reached(connection: Connection, identity: Identity, position: int) -> bool:
    slots = fetch(connection, "slot", slot=identity.slot)
    return bool(slots) and parse_lsn(slots[0]["restart_lsn"]) >= position


def _await_follower(connection: Connection, identity: Identity, position: int) -> None:
    deadline = time.monotonic() + _FOLLOWER_SECONDS
    while not _slot_reached(connection, identity, position):
        if time.monotonic() > deadline:
            raise BackupError(
                f"The process that archives has not come to {format_lsn(position)} "
                f"in {_FOLLOWER_SECONDS} s.",
                "Look at what 'backup.py archive --follow' says.",
            )
        time.sleep(0.1)


def _ready_folder(
    connection: Connection, repository: Repository, identity: Identity, timeline: int
) -> Path:
    """The folder to receive into, without what a killed run or a full disk left in the way."""
    # We hold the archive's lock: whoever uses the slot belongs to a run that was killed.
    fetch(connection, "end_orphans", name=identity.slot)
    folder = repository.archive_folder(timeline)
    for path in folder.glob("*.partial"):
        # A segment is made by writing zeros first. One that is smaller has nothing else in it,
        # and pg_receivewal would refuse to go on.
        if path.stat().st_size != SEGMENT_BYTES:
            path.unlink()
    return folder


def _note_reached(repository: Repository, mark: dict[str, Any]) -> None:
    reached = {**repository.archive_state().reached, mark["timeline"]: mark["lsn"]}
    repository.note_archive(ArchiveState(reached=reached, received_at=datetime.now(UTC)))


def _note_failure(repository: Repository, message: str) -> None:
    state = repository.archive_state()
    state.error = message
    state.failing_since = state.failing_since or datetime.now(UTC)
    # On a full disk not even this can be written; `check` sees the disk then.
    with suppress(BackupError):
        repository.note_archive(state)
