"""What pgBackRest's repository holds, as recovery needs it.

What pgBackRest does not know of a backup (what the tables held, who verified it) is written to it
as annotations: they are part of the repository, encrypted as it is, wherever it lies.
"""

import base64
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backup.pgbackrest.program import archived_files, info, run
from backup.repository import Backup, BackupKind, TableContent, Verified, locked_file
from backup.settings import BackupSettings
from backup.source import DAMAGED
from backup.target import Target, choose_timeline
from backup.wal import (
    SEGMENT_BYTES,
    Timeline,
    first_gap,
    format_lsn,
    parse_history,
    parse_lsn,
    parse_segment,
    segment_number,
)
from database.errors import BackupError

#: One argument of a program may have 128 KB at most; a larger value is written in pieces.
_PIECE = 100_000
_CONTENT = "content"
_VERIFIED = "verified"


class PgBackRestSource:
    """The repository of the stanza `atlas`."""

    def __init__(self, settings: BackupSettings) -> None:
        self._settings = settings

    def taken(self) -> list[Backup]:  # noqa: D102 (as Source says)
        return [_backup(entry) for entry in self._entries()]

    def find(self, backup_id: str | None) -> Backup:  # noqa: D102 (as Source says)
        found = [b for b in self.taken() if backup_id in (None, b.id)]
        if not found:
            raise BackupError(
                f"There is no backup {backup_id or ''} in the repository.".replace("  ", " "),
                "'docker compose run --rm backup list' says which there are.",
            )
        return found[-1]

    def timelines(self) -> dict[int, Timeline]:  # noqa: D102 (as Source says)
        stanza = info()
        found = {1: Timeline(1)}
        if stanza is None or not stanza["archive"]:
            return found
        folder = f"archive/atlas/{stanza['archive'][-1]['id']}"
        for name in archived_files():
            if name.endswith(".history"):
                timeline = parse_history(name, run("repo-get", f"{folder}/{name}"))
                if timeline is not None:
                    found[timeline.number] = timeline
        return found

    def reached(self, timeline: int) -> int | None:
        """The beginning of the last segment: the log may end anywhere in it."""
        numbers = [number for of, number in _segments() if of == timeline]
        return max(numbers) * SEGMENT_BYTES if numbers else None

    def fetch(self, backup: Backup, data: Path) -> None:  # noqa: D102 (as Source says)
        data.mkdir(mode=0o700)
        # Recovery is ours to set up; pgBackRest's own would reach us too late to say what it does.
        run(
            "restore",
            *(f"--set={backup.id}", f"--pg1-path={data}", "--type=none", "--archive-mode=off"),
            advice=DAMAGED,
        )

    def restore_command(self, data: Path, /) -> str:  # noqa: D102 (as Source says)
        return f'atlas-pgbackrest archive-get --pg1-path={data} %f "%p"'

    def log_problems(self, backup: Backup) -> list[str]:
        """What is wrong with the files of the repository: pgBackRest reads all of them."""
        # Not of this backup alone: the log after it would be left out.
        report = run("verify", "--output=text", "--verbose")
        problems = [
            f"pgBackRest verify: {line.strip()}" for line in report.splitlines() if _is_bad(line)
        ]
        manifest = f"backup/atlas/{backup.id}/backup.manifest"
        # pgBackRest keeps two, and says nothing where it had to take the second.
        if run("repo-get", manifest) != run("repo-get", f"{manifest}.copy"):
            problems.append(f"{manifest} and its copy differ: one of them is damaged")
        to = self.restorable_to(backup)
        if to is None or to.startswith("before"):
            problems.append(
                f"The archive leads {to or 'nowhere'}: nothing after it can be restored"
            )
        return problems

    def restorable_to(self, backup: Backup) -> str | None:  # noqa: D102 (as Source says)
        timeline = choose_timeline(Target(timeline=backup.timeline), self.timelines())
        archived = _segments()
        last = max((number for of, number in archived if of == timeline.number), default=-1)
        if last < segment_number(parse_lsn(backup.stop_lsn)):
            return None
        missing = first_gap(backup.start_lsn, backup.timeline, timeline, archived, last)
        if missing is not None:
            return f"before {missing.name}"
        return format_lsn((last + 1) * SEGMENT_BYTES)

    def scratch(self) -> Path:  # noqa: D102 (as Source says)
        return self._settings.backup_scratch_dir / "verify"

    @contextmanager
    def locked(self, what: str) -> Iterator[None]:  # noqa: D102 (as Source says)
        # pgBackRest has locks of its own for what it does itself.
        with locked_file(self._settings.backup_scratch_dir, what):
            yield

    def verified(self, backup: Backup) -> Verified | None:  # noqa: D102 (as Source says)
        noted = next(e for e in self._entries() if e["label"] == backup.id)
        text = noted.get("annotation", {}).get(_VERIFIED)
        return Verified.model_validate_json(text) if text else None

    def note_verified(self, backup: Backup, outcome: Verified) -> None:  # noqa: D102 (as Source)
        annotate(backup.id, {_VERIFIED: outcome.model_dump_json()})

    def _entries(self) -> list[dict[str, Any]]:
        stanza = info()
        if stanza is None:
            raise BackupError(
                "There are no backups in the repository.",
                "Take one: docker compose run --rm backup take",
            )
        return sorted(stanza["backup"], key=lambda entry: entry["timestamp"]["stop"])


def annotate(backup_id: str, values: dict[str, str]) -> None:
    """Write values to a backup, each under its name."""
    pairs = [f"--annotation={name}={value}" for name, value in values.items()]
    run("annotate", f"--set={backup_id}", *pairs)


def annotate_backup(backup: Backup) -> None:
    """Write to a backup what only we know of it."""
    known = backup.model_dump_json(
        include={"server", "version", "database", "finished_at", "snapshot", "point", "tables"}
    )
    packed = base64.b64encode(zlib.compress(known.encode(), 9)).decode()
    pieces = [packed[start : start + _PIECE] for start in range(0, len(packed), _PIECE)]
    annotate(backup.id, {f"{_CONTENT}-{number}": piece for number, piece in enumerate(pieces)})


def _backup(entry: dict[str, Any]) -> Backup:
    """A backup from its entry in `info`; without what only we know where a killed run left that
    out."""
    notes = entry.get("annotation", {})
    pieces: list[str] = []
    while piece := notes.get(f"{_CONTENT}-{len(pieces)}"):
        pieces.append(piece)
    packed = base64.b64decode("".join(pieces))
    known = json.loads(zlib.decompress(packed)) if packed else {}
    moment = datetime.fromtimestamp(entry["timestamp"]["stop"] + 1, UTC)
    return Backup(
        id=entry["label"],
        kind=BackupKind(entry["type"]),
        server=known.get("server", ""),
        version=known.get("version", ""),
        database=known.get("database", ""),
        started_at=datetime.fromtimestamp(entry["timestamp"]["start"], UTC),
        # pgBackRest's is rounded down to a second.
        finished_at=datetime.fromisoformat(known.get("finished_at", moment.isoformat())),
        bytes=entry["info"]["size"],
        timeline=int(entry["archive"]["stop"][:8], 16),
        start_lsn=entry["lsn"]["start"],
        stop_lsn=entry["lsn"]["stop"],
        snapshot=known.get("snapshot", ""),
        point=known.get("point"),
        tables={
            database: {
                name: TableContent.model_validate(content) for name, content in tables.items()
            }
            for database, tables in known.get("tables", {}).items()
        },
    )


def _segments() -> set[tuple[int, int]]:
    """The archived segments, each as its timeline and its number."""
    found = (parse_segment(name.split("-")[0]) for name in archived_files() if "-" in name)
    return {(one.timeline, one.number) for one in found if one is not None and not one.partial}


def _is_bad(line: str) -> bool:
    """Whether a line of `verify`'s report says that something is wrong."""
    line = line.strip()
    if line.startswith("status:"):
        return not line.endswith(" ok")
    if line.startswith("backup:"):
        return "status: valid" not in line
    counts = dict(part.rsplit(": ", 1) for part in line.split(", ") if ": " in part)
    return "missing" in counts and any(count != "0" for count in counts.values())
