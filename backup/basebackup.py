"""What pg_basebackup and pg_receivewal have put into a repository, as recovery needs it."""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from backup.programs import run
from backup.repository import Backup, Repository
from backup.source import DAMAGED
from backup.target import Target, choose_timeline
from backup.wal import (
    Segment,
    Timeline,
    first_gap,
    format_lsn,
    parse_history,
    parse_lsn,
    parse_segment,
    segment_number,
)
from database.embedded.account import server_account
from database.errors import BackupError

#: Where a server that is not ours to run as can enter, for root's repositories.
_SYSTEM_SCRATCH = Path("/var/lib/atlas-postgres")


class BaseBackups(Repository):
    """A repository as a source of recovery."""

    def taken(self) -> list[Backup]:  # noqa: D102 (as Source says)
        self.identity()
        return super().taken()

    def reached(self, timeline: int) -> int | None:  # noqa: D102 (as Source says)
        position = self.archive_state().reached.get(timeline)
        return parse_lsn(position) if position else None

    def fetch(self, backup: Backup, data: Path) -> None:  # noqa: D102 (as Source says)
        log = self._log_since(backup)
        needed = backup.bytes + sum(path.stat().st_size for path in log.values())
        free = shutil.disk_usage(data.parent).free
        if free < needed * 1.05:
            raise BackupError(
                f"{needed} bytes have to be copied to {data.parent}, and {free} are free.",
                "Free some space, or restore into a --directory on another disk.",
            )
        try:
            shutil.copytree(self.data(backup), data, symlinks=True)
            # What was read is compared, not what lies in the repository: this finds a fault of
            # either disk.
            run("pg_verifybackup", "--quiet", data, advice=DAMAGED)
            for name, path in log.items():
                shutil.copyfile(path, data / "pg_wal" / name)
        except OSError as error:
            raise BackupError(
                f"Cannot copy the backup to {data.parent}: {error}.",
                "Free some space, or try again.",
            ) from error
        (data / "backup_manifest").unlink()
        data.chmod(0o700)

    def restore_command(self, _data: Path, /) -> str:
        """Nothing has to be fetched: all log was copied into the cluster itself."""
        return "false"

    def log_problems(self, backup: Backup) -> list[str]:
        """What is wrong with the archived log; all of it is read."""
        timeline = self._timeline_of(backup)
        reached = self.reached(timeline.number)
        if reached is None or reached < parse_lsn(backup.stop_lsn):
            return [f"The log after {backup.stop_lsn} was never archived"]
        missing = self._gap_after(backup, timeline)
        if missing is not None:
            return [f"The archive lacks {missing.name}: nothing after it can be restored"]
        with TemporaryDirectory(prefix="atlas-log-") as folder:
            for name, path in self._log_since(backup).items():
                segment = parse_segment(name)
                if segment is not None and segment.timeline == timeline.number:
                    (Path(folder) / name).symlink_to(path)
            try:
                run(
                    "pg_waldump",
                    *("--quiet", "--path", folder, "--timeline", timeline.number),
                    *("--start", backup.start_lsn, "--end", format_lsn(reached)),
                )
            except BackupError as error:
                return [f"The archived log is damaged: {error.message}"]
        return []

    def gap_after(self, backup: Backup) -> Segment | None:
        """The first segment that is missing between a backup and the archive's end."""
        return self._gap_after(backup, self._timeline_of(backup))

    def restorable_to(self, backup: Backup) -> str | None:  # noqa: D102 (as Source says)
        missing = self.gap_after(backup)
        if missing is not None:
            return f"before {missing.name}"
        return self.archive_state().reached.get(self._timeline_of(backup).number)

    def scratch(self) -> Path:
        """A folder of which there is one per repository."""
        if server_account().differs:
            return _SYSTEM_SCRATCH / f"verify-{self.identity().slot}"
        return self.directory / ".scratch"

    def _timeline_of(self, backup: Backup) -> Timeline:
        return choose_timeline(Target(timeline=backup.timeline), self.timelines())

    def _log_since(self, backup: Backup) -> dict[str, Path]:
        """The archived log from a backup's beginning on, and all histories, by the name under which
        PostgreSQL asks for them. Of files with one name, a whole one goes before a partial one."""
        first = segment_number(parse_lsn(backup.start_lsn))
        found: dict[str, Path] = {}
        ranks: dict[str, tuple[bool, float]] = {}
        for path in self.wal.glob("*/*"):
            segment = parse_segment(path.name)
            if segment is None or segment.number < first:
                if parse_history(path.name, "") is not None:
                    found[path.name] = path
                continue
            rank = (not segment.partial, path.stat().st_mtime)
            if rank > ranks.get(segment.name, (False, 0.0)):
                found[segment.name], ranks[segment.name] = path, rank
        return found

    def _gap_after(self, backup: Backup, timeline: Timeline) -> Segment | None:
        segments = (parse_segment(name) for name in self._log_since(backup))
        archived = {(one.timeline, one.number) for one in segments if one is not None}
        reached = self.reached(timeline.number)
        last = segment_number(reached - 1) if reached else -1
        return first_gap(backup.start_lsn, backup.timeline, timeline, archived, last)
