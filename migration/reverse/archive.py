"""`migration archive`: the SQLite file becomes a compressed, proven archive, and the way back ends.

Killed anywhere, the file or a proven archive of it is there, and the next run finishes.
"""

import gzip
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from database.errors import SourceError, UsageError, VerificationError
from database.settings import Server
from migration.capture.block import find_block, unblock
from migration.capture.install import open_for_writing, writing
from migration.cutover.settle import Side, settle
from migration.follow.followed import Followed
from migration.follow.sweep import copied
from migration.quoting import quote_name
from migration.reverse import install
from migration.schema import read_schema
from migration.statements import statement
from migration.target import open_target

_CHUNK = 1 << 20
_BESIDE = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class Archive:
    """An archive, as its manifest says it."""

    #: Of the compressed file, and what of it unpacks to.
    file: str
    bytes: int
    sha256: str
    unpacked_bytes: int
    unpacked_sha256: str
    #: Rows by table.
    tables: dict[str, int]
    source: str
    moved_at: str
    archived_at: str


def archive(
    server: Server, source: Path, folder: Path, work: Path, *, keep: bool, dry_run: bool
) -> Archive | None:
    """Archive the SQLite file of a platform that moved to PostgreSQL.

    Args:
        server: where it moved.
        source: the SQLite file.
        folder: for the archive and its manifest.
        work: for a copy of the file, and for what the archive is unpacked to.
        keep: the SQLite file stays where it is, refusing writes.
        dry_run: make and prove the archive, then remove it again.

    Returns:
        The archive; None in a rehearsal.

    Raises:
        SourceError: its data are not in PostgreSQL, or it cannot be read.
        TargetError: PostgreSQL does not answer.
        UsageError: there is no room, or no right to write.
        VerificationError: the archive is not what the file was. It is removed.
    """
    found = settle(server, source)
    if found.truth is not Side.POSTGRESQL:
        raise SourceError(
            f"{source} is the platform's database: its data are in {found.truth}.",
            "Archive it after 'python -m migration cutover'.",
        )
    with open_for_writing(source) as file:
        blocked = find_block(file)
    assert blocked is not None
    made = _make(source, folder, work, blocked.moved_at)
    if dry_run:
        _remove(folder / made.file)
        return None
    with open_target(server) as target:
        followed = Followed.find(target, blocked.capture)
        assert followed is not None
        with target.transaction():
            target.execute(statement("cutover_archived"), {"token": blocked.capture.token})
            install.undo(target, followed.run_id)
    if not keep:
        for path in (source, *(source.with_name(source.name + end) for end in _BESIDE)):
            path.unlink(missing_ok=True)
    return made


def _make(source: Path, folder: Path, work: Path, moved_at: str) -> Archive:
    now = datetime.now(UTC)
    path = _free(folder, f"{source.stem}-{now:%Y%m%d-%H%M%S}", f"{source.suffix}.gz")
    draft = path.with_name(f".{path.name}.draft")
    with copied(source, work) as copy, _said(folder):
        with open_for_writing(copy) as opened:
            with writing(opened):
                unblock(opened)
            # One file, that anybody may open: nothing of it lies in a WAL.
            opened.execute("pragma journal_mode = delete")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _pack(copy, draft)
            made = Archive(
                file=path.name,
                bytes=draft.stat().st_size,
                sha256=_sha256(draft),
                unpacked_bytes=copy.stat().st_size,
                unpacked_sha256=_sha256(copy),
                tables=_rows(copy),
                source=str(source),
                moved_at=moved_at,
                archived_at=now.strftime("%Y-%m-%d %H:%M:%S"),
            )
            _prove(draft, made, work)
            _write(path.with_name(f"{path.name}.json"), json.dumps(asdict(made), indent=2))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        _sync(folder)
    return made


def _free(folder: Path, stem: str, suffix: str) -> Path:
    """A name that no archive has: none is ever written over."""
    names = (f"{stem}{'' if n == 1 else f'-{n}'}{suffix}" for n in count(1))
    return next(path for name in names if not (path := folder / name).exists())


def _pack(copy: Path, draft: Path) -> None:
    descriptor = os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed, copy.open("rb") as plain:
            shutil.copyfileobj(plain, packed, _CHUNK)
        raw.flush()
        os.fsync(raw.fileno())


def _prove(draft: Path, made: Archive, work: Path) -> None:
    """Unpack it, as somebody will who needs it."""
    unpacked = work / f".unpacked-{os.getpid()}.db"
    try:
        with gzip.open(draft, "rb") as packed, unpacked.open("wb") as plain:
            shutil.copyfileobj(packed, plain, _CHUNK)
        if (_sha256(unpacked), _rows(unpacked)) != (made.unpacked_sha256, made.tables):
            raise _unproven(made, "it does not unpack to what was packed")
        with closing(sqlite3.connect(unpacked)) as connection:
            (said,) = connection.execute("pragma integrity_check").fetchone()
        if said != "ok":
            raise _unproven(made, f"SQLite says of it: {said}")
    finally:
        unpacked.unlink(missing_ok=True)


def _unproven(made: Archive, why: str) -> VerificationError:
    return VerificationError(
        f"The archive {made.file} is no good: {why}. It was removed; nothing else was changed.",
        "Is the disk sound? Name another folder with --to.",
    )


def _rows(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as connection:
        tables = [table for table in read_schema(connection).tables if not table.virtual]
        return {
            table.name: connection.execute(
                f"select count(*) from {quote_name(table.name)}"  # noqa: S608
            ).fetchone()[0]
            for table in tables
        }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    path.unlink()
    path.with_name(f"{path.name}.json").unlink()


@contextmanager
def _said(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"Cannot write the archive into {folder}: {error.strerror}.",
            "Name a folder with enough free space with --to.",
        ) from error
