"""Bring a copy of a backup to a target: a server of its own, which nobody else can reach.

It listens on a socket in a folder that only its own user can enter, and takes no setting from the
backup that could do harm (no archiving, no libraries).
"""

import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from backup.repository import Backup
from backup.source import DAMAGED, Source
from backup.target import Kind, Target, choose_timeline
from backup.wal import format_lsn, parse_history, parse_lsn
from database.connect import connect
from database.embedded.server import EmbeddedServer
from database.errors import BackupError, TargetError
from database.settings import Server

_LOG = "recovery.log"
_PORT = 5432
_POLL_SECONDS = 0.1
#: What must not come from the backup's own postgresql.auto.conf: a setting of the command line
#: goes before it.
_SAFE = {
    "listen_addresses": "",
    "archive_mode": "off",
    "archive_command": "",
    "archive_library": "",
    "primary_conninfo": "",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "ssl": "off",
    "logging_collector": "off",
    "log_destination": "stderr",
    "lc_messages": "C",
    # Queries during recovery would need settings as large as the old server's.
    "hot_standby": "off",
    "max_prepared_transactions": "100",
    "autovacuum": "off",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
}


class NotReachedError(BackupError):
    """The log ends before the target, or does not contain it after this backup."""


@dataclass(frozen=True)
class Recovered:
    """A server that was brought to a target, and runs."""

    server: Server
    data: Path
    #: Where the log was left: the timeline that was followed, and the position.
    timeline: int
    position: str


@contextmanager
def recovered(source: Source, backup: Backup, target: Target, folder: Path) -> Iterator[Recovered]:
    """A running server with the state of the target; shut down in the end, its data stays.

    Args:
        source: where the backup and the log are.
        backup: from which to begin.
        target: where to go.
        folder: an empty folder that the server's user can enter.

    Raises:
        NotReachedError: this backup does not lead to the target.
        BackupError: the backup or the log is damaged, or the disk too small.
    """
    programs = EmbeddedServer(folder)
    data = folder / "data"
    timeline = choose_timeline(target, source.timelines())
    data.parent.mkdir(parents=True, exist_ok=True)
    source.fetch(backup, data)
    (data / "recovery.signal").touch()
    for path in (data, *data.rglob("*")):
        programs.account.own(path)
    with _socket(programs) as socket:
        server = Server(
            host=str(socket),
            port=_PORT,
            database="postgres",
            sslmode="disable",
            secrets_dir=folder / "secrets",
        )
        try:
            recovery = {"restore_command": source.restore_command(data)}
            _start(programs, data, server, recovery | target.settings(timeline.number))
            followed, position = _branch(data)
            if target.kind is Kind.LATEST:
                _check_complete(source, followed, position)
            yield Recovered(server, data, followed, position)
        except BaseException:
            programs.run_program("pg_ctl", "stop", "--mode=immediate", "--wait", "--pgdata", data)
            raise
        stopped = programs.run_program("pg_ctl", "stop", "--mode=fast", "--wait", "--pgdata", data)
        if stopped.returncode != 0:
            raise BackupError(f"The restored server does not stop: {stopped.stdout.strip()}")


def remove_scratch(folder: Path) -> None:
    """Delete a folder of a recovery, its server included if a killed run left it running."""
    data = folder / "data"
    if (data / "postmaster.pid").exists():
        EmbeddedServer(folder).run_program(
            "pg_ctl", "stop", "--mode=immediate", "--wait", "--pgdata", data
        )
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _socket(programs: EmbeddedServer) -> Iterator[Path]:
    # Not in the instance's folder: a socket's path is limited to 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="atlas-restore-"))
    try:
        hba = folder / "hba.conf"
        hba.write_text("local all all trust\n")
        (folder / "empty.conf").touch()
        for path in (folder, *folder.iterdir()):
            programs.account.own(path)
        yield folder
    finally:
        shutil.rmtree(folder)


def _start(programs: EmbeddedServer, data: Path, server: Server, target: dict[str, str]) -> None:
    socket = Path(server.host)
    settings = {
        **_SAFE,
        "config_file": str(socket / "empty.conf"),
        "hba_file": str(socket / "hba.conf"),
        "ident_file": str(socket / "empty.conf"),
        "unix_socket_directories": str(socket),
        "port": str(server.port),
        **target,
    }
    arguments = " ".join(shlex.join(["-c", f"{name}={value}"]) for name, value in settings.items())
    log = data.parent / _LOG
    log.unlink(missing_ok=True)
    log.touch(mode=0o600)
    programs.account.own(log)
    started = programs.run_program(
        *("pg_ctl", "start", "--wait", "--pgdata", data),
        *("--log", log, "--options", arguments),
    )
    # It accepts connections when recovery has ended, however long that takes; pg_ctl returns as
    # soon as it begins.
    while started.returncode == 0:
        with suppress(TargetError), connect(server, server.administrator):
            return
        if programs.run_program("pg_ctl", "status", "--pgdata", data).returncode != 0:
            break
        time.sleep(_POLL_SECONDS)
    raise _failed(log.read_text(errors="replace"), started)


def _failed(log: str, started: subprocess.CompletedProcess[str]) -> BackupError:
    fatal = [line.split("FATAL:")[1].strip() for line in log.splitlines() if "FATAL:" in line]
    # The answers to our own looking whether it is ready yet.
    reasons = [line for line in fatal if not line.startswith("the database system is ")]
    reason = reasons[0] if reasons else (log or started.stdout).strip()[-1000:]
    if "before configured recovery target was reached" in reason:
        return NotReachedError(
            "The log that is archived does not contain the target after this backup.",
            "Name another moment; 'backup.py list' says how far the archive reaches.",
        )
    if "not a child of this server's history" in reason or "timeline" in reason:
        return BackupError(
            f"The backup does not lead to that timeline: {reason}.", "Name another --timeline."
        )
    return BackupError(f"The backup cannot be recovered: {reason}", DAMAGED)


def _branch(data: Path) -> tuple[int, str]:
    """Where the server has left the log: recovery ends by beginning a new timeline."""
    histories = {
        path: parse_history(path.name, path.read_text())
        for path in (data / "pg_wal").glob("*.history")
    }
    newest = max(filter(None, histories.values()), key=lambda timeline: timeline.number)
    number, position = newest.ancestors[-1]
    return number, format_lsn(position)


def _check_complete(source: Source, timeline: int, position: str) -> None:
    """Recovery to the latest moment ends at the first record that cannot be read: as it does at
    the end of the log, so it would at damage in the middle of it."""
    reached = source.reached(timeline)
    if reached is not None and parse_lsn(position) < reached:
        raise BackupError(
            f"The archived log cannot be read beyond {position}, and leads to "
            f"{format_lsn(reached)}: a file of it is damaged or missing.",
            "Name a moment before it by --time, or begin from a newer --backup.",
        )
