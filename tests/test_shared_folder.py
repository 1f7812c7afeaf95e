"""A file that a virtual machine shares with its host: SQLite's locks do not reach through that."""

import sqlite3
from pathlib import Path

import pytest

from database.errors import SourceError
from migration import shared_folder, snapshot
from migration.capture.install import install
from tests.migrations import make
from tests.test_capture import schema_of

#: As in a container of Docker Desktop, with a folder of the host at /data.
MOUNTS = """\
645 553 0:96 / / rw,relatime master:210 - overlay overlay rw,lowerdir=/var/lib
646 645 0:99 / /proc rw,nosuid - proc proc rw
651 645 0:45 /Users/ada/.config /data ro,nosuid,nodev - fakeowner grpcfuse ro,user_id=0
652 645 254:1 /volumes/work /var/lib/migration rw - ext4 /dev/vda1 rw
653 645 0:46 /x /data\\040of/ada rw - virtiofs virtiofs0 rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/data/atlastrinity.db", "fakeowner"),
        ("/database/atlastrinity.db", "overlay"),
        ("/var/lib/migration/a.db", "ext4"),
        ("/data of/ada/a.db", "virtiofs"),
        ("/etc/a.db", "overlay"),
    ],
)
def test_the_nearest_mount_is_what_counts(path: str, kind: str) -> None:
    assert shared_folder.file_system(Path(path), MOUNTS) == kind


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"{MOUNTS}654 645 0:47 / {tmp_path} rw - virtiofs virtiofs1 rw\n")
    monkeypatch.setattr(shared_folder, "_MOUNTS", mounts)
    return make(tmp_path / "source.db", "create table a (id integer primary key)")


def test_nothing_is_put_into_a_shared_file(shared: Path) -> None:
    before = schema_of(shared)
    with pytest.raises(SourceError, match="shares with its host") as refused:
        install(shared)
    assert "on the host" in refused.value.hint
    assert schema_of(shared) == before


def test_a_shared_file_is_read_only_where_nobody_writes_to_it(shared: Path, tmp_path: Path) -> None:
    assert snapshot.take_snapshot(shared, tmp_path / "work").path.exists()
    with sqlite3.connect(shared) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.execute("insert into a values (1)")
        writer.commit()
        with pytest.raises(SourceError, match="shares with its host"):
            snapshot.take_snapshot(shared, tmp_path / "work")
