"""The block: whatever a program writes is refused, and unblocking leaves no trace."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from database.errors import SourceError
from migration.capture.block import block, find_block, unblock
from migration.capture.install import find, install, open_for_writing, writing
from tests.migrations import make
from tests.test_capture import KINDS, schema_of

ROWS = """
insert into numbered values (1, 'a');
insert into parents values ('p');
insert into children values (1, 'p');
create virtual table found using fts5 (body);
insert into found values ('words');
create view names as select name from numbered;
create trigger named_through instead of insert on names
    begin insert into numbered (name) values (new.name); end;
"""
WRITES = [
    "insert into numbered (name) values ('b')",
    "insert or ignore into numbered values (1, 'b')",
    "replace into numbered values (1, 'b')",
    "insert into numbered values (1, 'b') on conflict (id) do update set name = 'c'",
    "update numbered set name = 'b'",
    "update or ignore numbered set name = 'b'",
    "delete from numbered",
    "delete from parents",
    "insert into found values ('more')",
    "insert into names values ('b')",
    """insert into "ta""ble їжак" values ('b', 'c')""",
    "insert into packed values (1, 2, 'c')",
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source.db", KINDS + ROWS)


def move(source: Path) -> None:
    install(source, frozenset({"found"}))
    with open_for_writing(source) as connection, writing(connection):
        block(connection)


@pytest.mark.parametrize("statement", WRITES)
def test_every_write_is_refused(source: Path, statement: str) -> None:
    move(source)
    before = source.read_bytes()
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("pragma foreign_keys = on")
        # A virtual table keeps the message of its inner tables to itself.
        said = "constraint failed" if "found" in statement else r"to PostgreSQL.*migration rollback"
        with pytest.raises(sqlite3.IntegrityError, match=said):
            connection.execute(statement)
        assert connection.execute("select name from numbered").fetchall() == [("a",)]
    assert source.read_bytes() == before


def test_the_capture_gives_way_and_is_remembered(source: Path) -> None:
    capture = install(source, frozenset({"found"}))
    move(source)
    with open_for_writing(source) as connection:
        assert find(connection) is None
        found = find_block(connection)
        assert found is not None
        assert found.capture == capture
        with writing(connection):
            assert block(connection) == found, "once more changes nothing"


def test_unblocking_leaves_no_trace(source: Path) -> None:
    before = schema_of(source)
    move(source)
    with open_for_writing(source) as connection, writing(connection):
        assert unblock(connection)
        assert not unblock(connection)
    assert schema_of(source) == before
    with closing(sqlite3.connect(source)) as connection:
        for statement in WRITES[:-1]:
            connection.execute(statement)


def test_undone_with_its_transaction(source: Path) -> None:
    install(source, frozenset({"found"}))
    before = schema_of(source)
    with open_for_writing(source) as connection:
        connection.execute("begin immediate")
        block(connection)
        connection.execute("rollback")
        assert find_block(connection) is None
    assert schema_of(source) == before


def test_only_a_followed_file_is_blocked(source: Path) -> None:
    with (
        open_for_writing(source) as connection,
        pytest.raises(SourceError, match="not followed"),
        writing(connection),
    ):
        block(connection)


def test_a_moved_file_is_not_followed(source: Path) -> None:
    move(source)
    with pytest.raises(SourceError, match="moved to PostgreSQL"):
        install(source)
