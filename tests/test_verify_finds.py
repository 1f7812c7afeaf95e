"""One changed value among a million rows is found and named, whatever kind of value it is."""

import contextlib
import sqlite3

import pytest
from rich.console import Console

from database.settings import Server
from migration.load import EngineName
from migration.progress import Steps
from migration.reverify import verify_last_run
from migration.run import Options, migrate
from tests.conftest import fresh_database
from tests.programs import query

pytestmark = pytest.mark.deep

ROWS = 1_000_000

#: What is changed → (column, its new value). Each is the least change that there can be.
CHANGES = {
    "a double's last bit": ("r", "r + 1.1102230246251565e-16"),
    "a microsecond": ("at", "at + interval '1 microsecond'"),
    "one bit of a blob": ("b", "set_bit(b, 9, 1 - get_bit(b, 9))"),
    "the last digit of a number in JSON": ("j", """'{"n": 0.12345678901234567891}'"""),
    "one character of text": ("t", "overlay(t placing '\u0456' from 1)"),
    "a trailing space": ("t", "t || ' '"),
    "NULL instead of an empty string": ("e", "null"),
    "an empty string instead of NULL": ("z", "''"),
    "one more in an integer": ("n", "n + 1"),
    "the other boolean": ("f", "not f"),
}


@pytest.fixture(scope="module")
def migrated(cluster: Server, tmp_path_factory: pytest.TempPathFactory) -> Options:
    folder = tmp_path_factory.mktemp("million")
    with contextlib.closing(sqlite3.connect(folder / "source.db")) as connection:
        connection.execute(
            "create table m (id integer primary key, n int, r real, t text, b blob, at datetime,"
            " j json, e text, z text, f boolean)"
        )
        connection.execute(
            f"""with recursive i(n) as (select 1 union all select n + 1 from i where n < {ROWS})
                insert into m select n, n % 7, 0.5 + (n % 1000) / 4000.0, printf('i%d', n),
                    x'0001' , '2026-02-01 10:00:00.123456', '{{"n": 0.12345678901234567890}}',
                    '', case n when 1 then 'z' end, n % 2 from i"""
        )
        connection.commit()
    return Options(folder / "source.db", folder / "work", EngineName.COPY, quarantine=False)


#: Each of these is looked for alone; afterwards all of CHANGES at once, in as many rows.
ALONE = ("a double's last bit", "an empty string instead of NULL")


@pytest.mark.timeout(900)
def test_one_changed_value_in_a_million_is_found_and_named(
    cluster: Server, migrated: Options
) -> None:
    with fresh_database(cluster) as server:
        assert migrate(server, migrated, quiet()).error is None
        for name in ALONE:
            changed = change(server, {name: CHANGES[name]})
            assert found(server, migrated) == changed
            restore(server)
        assert found(server, migrated) == set()
        changed = change(server, CHANGES)
        assert found(server, migrated) == changed


def change(server: Server, changes: dict[str, tuple[str, str]]) -> set[tuple[str, str]]:
    """One value in one row for each change: their keys and columns."""
    query(server, "create table if not exists kept (like m)")
    changed = set()
    for place, (column, value) in enumerate(changes.values()):
        key = 700_001 + place * 1000
        query(server, f"insert into kept select * from m where id = {key}")
        query(server, f"update m set {column} = {value} where id = {key}")
        changed.add((str(key), column))
    return changed


def restore(server: Server) -> None:
    query(server, "delete from m using kept where m.id = kept.id; insert into m select * from kept")
    query(server, "truncate kept")


def found(server: Server, migrated: Options) -> set[tuple[str, str | None]]:
    """The keys and columns that a comparison of both sides names."""
    (entry,) = verify_last_run(server, migrated.work, quiet())
    assert entry.verified == (not entry.differences)
    for difference in entry.differences:
        assert difference.source != difference.target
    return {(difference.key, difference.column) for difference in entry.differences}


def quiet() -> Steps:
    return Steps(Console(quiet=True))
