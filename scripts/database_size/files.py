"""The database's files and its neighbours: other databases, journals, backups."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_MAGIC = b"SQLite format 3\x00"
_DATABASE_SUFFIXES = {".db", ".sqlite", ".sqlite3", ".db3"}
_JOURNAL_SUFFIXES = ("-wal", "-shm", "-journal")
_BACKUP = re.compile(r"(backup|\.bak|\.old|\.orig|~$|\d{4}-?\d\d-?\d\d)", re.IGNORECASE)
_BACKUP_FOLDERS = ("backup", "backups")
_ENTRIES_SHOWN = 200


@dataclass(frozen=True)
class Neighbour:
    """A file beside the database. `kind`: journal, database, backup."""

    name: str
    kind: str
    size_bytes: int
    modified: str


def database_bytes(path: Path) -> int:
    """The file and what its -wal holds: what the plan's limit is about."""
    wal = path.with_name(path.name + "-wal")
    return path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)


def neighbours(path: Path) -> list[Neighbour]:
    """The database's journals, and databases and backups in its folder and backup folders.

    Files that cannot be looked at are left out.
    """
    folder = path.absolute().parent
    found = []
    for place in (folder, *(folder / name for name in _BACKUP_FOLDERS)):
        try:
            entries = sorted(place.iterdir()) if place.is_dir() else []
        except OSError:
            continue
        for entry in entries:
            kind = _kind(entry, path, in_backups=place != folder)
            if kind and entry.name != path.name:
                found.append(_neighbour(entry, folder, kind))
    return found[:_ENTRIES_SHOWN]


def _kind(entry: Path, database: Path, *, in_backups: bool) -> str:
    try:
        if not entry.is_file():
            return ""
        if entry.name.endswith(_JOURNAL_SUFFIXES):
            owner = entry.name.rsplit("-", 1)[0]
            return "journal" if owner == database.name else ""
        if in_backups or (entry.name.startswith(database.stem) and _BACKUP.search(entry.name)):
            return "backup"
        if entry.suffix.lower() in _DATABASE_SUFFIXES:
            with entry.open("rb") as file:
                return "database" if file.read(len(_MAGIC)) == _MAGIC else ""
    except OSError:
        pass
    return ""


def _neighbour(entry: Path, folder: Path, kind: str) -> Neighbour:
    facts = entry.stat()
    modified = datetime.fromtimestamp(facts.st_mtime, UTC)
    name = str(entry.relative_to(folder))
    return Neighbour(name, kind, facts.st_size, modified.isoformat(timespec="seconds"))
