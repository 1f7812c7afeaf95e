"""The record of what the files were, and replacing them whole.

In `.atlas-postgres/` of the platform's configuration: record.json, and the bytes of each file.
Written and flushed before the first file is touched; removed after the last is restored.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, TypeAdapter

from database.errors import UsageError

FOLDER = ".atlas-postgres"


class Change(NamedTuple):
    """One file, before and after; None: it was not there."""

    path: Path
    before: bytes | None
    after: bytes


class Entry(BaseModel):
    """What is known of one file."""

    path: Path
    #: Name of the file that holds its bytes; None: it was not there.
    backup: str | None
    before: str | None
    #: Hashes of all that was ever written into it, before it was.
    written: list[str]


_ENTRIES = TypeAdapter(list[Entry])


@contextmanager
def locked(config: Path) -> Iterator[None]:
    """Of two at the same time, the second waits. No file is left behind: the folder is locked."""
    try:
        descriptor = os.open(config, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UsageError(
            f"Cannot open {config}: {error.strerror}.",
            "Start the platform once, or name its folder with --config-dir.",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_changes(config: Path, changes: list[Change]) -> None:
    """Record what the files are, then replace them.

    Raises:
        UsageError: something cannot be written.
    """
    folder = config / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        entries = {entry.path: entry for entry in read(config)}
        for change in changes:
            entries[change.path] = _recorded(folder, entries.get(change.path), change)
        listed = _ENTRIES.dump_json(list(entries.values()), indent=2)
        replace_file(folder / "record.json", listed, 0o600)
        for change in changes:
            replace_file(change.path, change.after)
    except OSError as error:
        raise UsageError(
            f"Cannot write {error.filename}: {error.strerror}.",
            "Correct its permissions or make space, then start again: what was done is recorded.",
        ) from error


def read(config: Path) -> list[Entry]:
    """What is recorded; nothing where nothing is attached.

    Raises:
        UsageError: the record cannot be read.
    """
    path = config / FOLDER / "record.json"
    try:
        return _ENTRIES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise UsageError(
            f"Cannot read {path}: {error}.", "The files beside it are what was."
        ) from error


def restorations(config: Path, *, force: bool) -> list[tuple[Path, bytes | None]]:
    """Files that are not as they were, with what they were; None: they were not there.

    Raises:
        UsageError: somebody else changed one since, and not `force`.
    """
    found: list[tuple[Path, bytes | None]] = []
    for entry in read(config):
        current = read_file(entry.path)
        if digest(current) == entry.before:
            continue
        if digest(current) not in entry.written and not force:
            raise UsageError(
                f"{entry.path} was changed since it was attached; nothing was restored.",
                f"Compare it with {config / FOLDER / (entry.backup or '')}; with --force what was "
                "comes back, and what is now is kept beside it.",
            )
        before = (config / FOLDER / entry.backup).read_bytes() if entry.backup else None
        if digest(before) != entry.before:
            raise UsageError(f"The backup of {entry.path} is damaged.", "Restore it by hand.")
        found.append((entry.path, before))
    return found


def restore(config: Path, files: list[tuple[Path, bytes | None]]) -> None:
    """Put back what was, then forget it.

    Raises:
        UsageError: something cannot be written.
    """
    written = {entry.path: entry.written for entry in read(config)}
    try:
        for path, before in files:
            current = read_file(path)
            if current is not None and digest(current) not in written[path]:
                replace_file(path.with_name(path.name + ".before-detach"), current, 0o600)
            if before is None:
                path.unlink(missing_ok=True)
            else:
                replace_file(path, before)
        # Of a run that was killed.
        for path in written:
            _draft(path).unlink(missing_ok=True)
        (config / FOLDER / "record.json").unlink(missing_ok=True)
        shutil.rmtree(config / FOLDER, ignore_errors=True)
    except OSError as error:
        raise UsageError(
            f"Cannot write {error.filename}: {error.strerror}.",
            "Correct its permissions or make space, then start again: nothing is lost.",
        ) from error


def replace_file(path: Path, content: bytes, mode: int | None = None) -> None:
    """Replace a file whole, keeping its mode and owner; flushed to disk."""
    draft = _draft(path)
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with suppress(FileNotFoundError):
            known = path.stat()
            if os.geteuid() == 0:
                os.fchown(file.fileno(), known.st_uid, known.st_gid)
            os.fchmod(file.fileno(), mode or known.st_mode & 0o7777)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_file(path: Path) -> bytes | None:
    """The bytes of a file, None where there is none.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(
            f"Cannot read {path}: {error.strerror}.", "Correct its permissions."
        ) from error


def digest(content: bytes | None) -> str | None:
    """SHA-256 in hexadecimal; None of nothing."""
    return None if content is None else hashlib.sha256(content).hexdigest()


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.atlas-postgres")


def _recorded(folder: Path, known: Entry | None, change: Change) -> Entry:
    before = digest(change.before)
    after = str(digest(change.after))
    if known is not None and (before == known.before or before in known.written):
        return known.model_copy(update={"written": sorted({*known.written, after})})
    # Not attached yet; or the platform wrote its template over it: then that is what was.
    backup = None
    if change.before is not None:
        backup = f"{change.path.name}.{str(before)[:16]}"
        replace_file(folder / backup, change.before, 0o600)
    return Entry(path=change.path, backup=backup, before=before, written=[after])
