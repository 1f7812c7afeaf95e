"""Damaged files: refused as they are, and with --salvage every sound row arrives."""

import contextlib
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from database.errors import SourceError
from database.settings import Server
from migration.salvage import salvage
from tests.engines import ENGINES
from tests.migrations import make, migrate, report
from tests.programs import query, run_module

PAGE = 1024
ROWS = 3000
SCRIPT = f"""
pragma page_size = {PAGE};
create table t (id integer primary key, a text, b blob);
create table w (k text primary key, v text) without rowid;
create table u (x int, y text);
create table other (v text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < {ROWS})
insert into t select i * 2, printf('%.*c', i % 90, 'x'), case when i % 500 = 0
  then randomblob(5000) end from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < {ROWS})
insert into w select printf('k%06d', i), printf('%.*c', i % 90, 'w') from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < {ROWS})
insert into u select i, printf('%.*c', i % 50, 'u') from n;
insert into other values ('sound');
create index ti on t (a);
"""
TABLES = {"t": "id", "w": "k", "u": "rowid", "other": "rowid"}
Damage = Callable[[Path], None]


def read(path: Path, statement: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def pages(path: Path, name: str, kind: str) -> list[int]:
    """The pages of a table or index that are of a kind, by SQLite's own account."""
    found = read(
        path, f"select pageno from dbstat where name = '{name}' and pagetype = '{kind}' order by 1"
    )
    return [int(str(row[0])) for row in found]


def overwrite(path: Path, page: int, content: bytes, offset: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE + offset)
        file.write(content)


def zeroed(name: str, kind: str, place: int) -> Damage:
    return lambda path: overwrite(path, pages(path, name, kind)[place], bytes(PAGE))


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size * 3 // 4 + 100)


def lost_schema_leaf(path: Path) -> None:
    """Many tables, so that the schema has pages of its own, and one of those is lost."""
    make(path, "".join(f"create table many_{n} (a int, b int, c text);" for n in range(60)))
    overwrite(path, pages(path, "sqlite_schema", "leaf")[-1], bytes(PAGE))


#: name → (what is done to the file, tables that lose rows, the most rows that may be lost)
DAMAGE: dict[str, tuple[Damage, set[str], int]] = {
    "a leaf": (zeroed("t", "leaf", 5), {"t"}, 40),
    "a leaf of noise": (
        lambda path: overwrite(path, pages(path, "u", "leaf")[3], random.Random(3).randbytes(PAGE)),
        {"u"},
        60,
    ),
    "cells of a leaf": (
        lambda path: overwrite(path, pages(path, "t", "leaf")[7], b"\xff\xff" * 3, 14),
        {"t"},
        3,
    ),
    "an interior page": (zeroed("t", "internal", 1), {"t"}, 0),
    "the root of a table": (zeroed("u", "internal", 0), {"u"}, 0),
    "an overflow page": (zeroed("t", "overflow", 1), {"t"}, 1),
    "a leaf of a table without rowid": (zeroed("w", "leaf", 4), {"w"}, 40),
    "an end that is cut off": (cut, {"u"}, 2 * ROWS),
    "a page of the schema": (lost_schema_leaf, {"sqlite_master"}, 0),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_file_is_refused_and_its_sound_rows_are_salvaged(
    database: Server, tmp_path: Path, name: str, engine: str
) -> None:
    damage, losing, most = DAMAGE[name]
    sound = make(tmp_path / "sound.db", SCRIPT)
    source = Path(shutil.copy(sound, tmp_path / "source.db"))
    damage(source)
    refused = migrate(database, source, "--engine", engine)
    assert refused.returncode == 3, refused.stderr
    assert "--salvage" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert query(database, "select count(*) from pg_tables where tablename = 't'") == [(0,)]

    code, document = report(database, source, "--salvage", "--engine", engine)
    assert code == 5
    assert document["verdict"] == "salvaged"
    assert losing <= {
        entry["name"] for entry in document["not_carried"] if entry["kind"] == "damaged pages"
    }
    lost = 0
    for table in TABLES:
        columns = [row[1] for row in read(sound, f"pragma table_info({table})")]
        chosen = ", ".join(str(column) for column in columns)
        there = set(read(sound, f"select {chosen} from {table}"))
        arrived = query(database, f"select {chosen} from {table}")
        # Nothing arrives that was not there, and nothing twice.
        assert len(set(arrived)) == len(arrived)
        assert set(arrived) <= there
        lost += len(there) - len(arrived)
        assert table in losing or len(there) == len(arrived)
    assert lost <= most
    kept = Path(document["source"]["snapshot_path"]).with_name("damaged.db")
    assert kept.stat().st_size > 0
    work = source.parent / "work"
    assert run_module("migration", "verify", server=database, MIGRATION_DIR=work).returncode == 0


def test_lost_rows_are_counted_and_named(tmp_path: Path) -> None:
    source = make(tmp_path / "source.db", SCRIPT)
    leaf = pages(source, "t", "leaf")[5]
    overwrite(source, leaf, bytes(PAGE))
    (entry,) = salvage(source, tmp_path / "damaged.db")
    left = {row[0] for row in read(source, "select id from t not indexed")}
    lost = sorted(set(range(2, 2 * ROWS + 1, 2)) - left)
    assert entry.name == "t"
    assert entry.why == (
        f"1 page damaged, {len(lost)} rows lost; unreadable rowids: {lost[0] - 1} to {lost[-1]}"
    )


@pytest.mark.parametrize("page_size", [512, 1024, 4096, 65536])
def test_any_damage_leaves_the_sound_rows_and_names_the_others(
    tmp_path: Path, page_size: int
) -> None:
    """Random pages lost or overwritten: what is missing is in a named table, nothing is made up."""
    sound = make(tmp_path / "sound.db", SCRIPT.replace(str(PAGE), str(page_size)))
    rows = {
        table: set(read(sound, f"select {key}, * from {table}")) for table, key in TABLES.items()
    }
    chance = random.Random(page_size)
    for _ in range(12):
        path = Path(shutil.copy(sound, tmp_path / "damaged.db"))
        count = path.stat().st_size // page_size
        with path.open("r+b") as file:
            for _ in range(chance.randint(1, 4)):
                file.seek((chance.randint(2, count) - 1) * page_size)
                file.write(chance.choice((bytes(page_size), chance.randbytes(page_size))))
        named = {entry.name for entry in salvage(path, tmp_path / "kept.db")}
        for table, key in TABLES.items():
            found = read(path, f"select {key}, * from {table} not indexed")
            assert len(set(found)) == len(found)
            # A last overflow page of zeros alone has no mark by which to know it.
            made_up = {row for row in set(found) - rows[table] if not isinstance(row[-1], bytes)}
            assert not made_up
            assert table in named or len(found) == len(rows[table])


def test_sound_file_is_left_as_it_is(tmp_path: Path) -> None:
    source = make(tmp_path / "source.db", SCRIPT)
    before = source.read_bytes()
    assert salvage(source, tmp_path / "damaged.db") == ()
    assert source.read_bytes() == before
    assert not (tmp_path / "damaged.db").exists()


@pytest.mark.parametrize("kind", ["leaf", "internal"])
def test_damage_to_an_index_alone_loses_nothing(
    database: Server, tmp_path: Path, kind: str
) -> None:
    source = make(tmp_path / "source.db", SCRIPT)
    overwrite(source, pages(source, "ti", kind)[0], bytes(PAGE))
    code, document = report(database, source)
    assert (code, document["verdict"]) == (0, "verified")
    assert query(database, "select count(*) from t") == [(ROWS,)]


def test_damaged_list_of_free_pages_loses_nothing(database: Server, tmp_path: Path) -> None:
    source = make(tmp_path / "source.db", SCRIPT + "delete from t where id > 1000;")
    (first,) = (int.from_bytes(source.read_bytes()[32:36], "big"),)
    assert first
    overwrite(source, first, b"\xff" * PAGE)
    code, document = report(database, source)
    assert (code, document["verdict"]) == (0, "verified")


def test_deleted_rows_do_not_come_back(tmp_path: Path) -> None:
    script = f"pragma secure_delete = off; {SCRIPT} delete from u where x > 100;"
    source = make(tmp_path / "source.db", script)
    overwrite(source, pages(source, "u", "internal")[0], bytes(PAGE))
    salvage(source, tmp_path / "damaged.db")
    assert read(source, "select max(x), count(*) from u") == [(100, 100)]


def test_lost_first_page_is_said(database: Server, tmp_path: Path) -> None:
    source = make(tmp_path / "source.db", SCRIPT)
    overwrite(source, 1, bytes(PAGE - 100), 100)
    result = migrate(database, source, "--salvage")
    assert result.returncode == 3
    assert "cannot be salvaged: the page with the schema is lost" in result.stderr
    with pytest.raises(SourceError):
        salvage(source, tmp_path / "damaged.db")


def test_unreadable_definition_stops_and_salvage_brings_the_others(
    database: Server, tmp_path: Path
) -> None:
    source = make(
        tmp_path / "source.db",
        "create table a (x int); insert into a values (1); create table b (y int);"
        "pragma writable_schema = on;"
        "update sqlite_master set sql = 'create table b (y int, ' where name = 'b';",
    )
    result = migrate(database, source)
    assert result.returncode == 3
    assert "the definition of b cannot be read" in result.stderr
    code, document = report(database, source, "--salvage")
    assert (code, document["verdict"]) == (5, "salvaged")
    assert [(entry["kind"], entry["name"]) for entry in document["not_carried"]] == [
        ("unreadable table", "b")
    ]
    assert query(database, "select x from a") == [(1,)]


def test_profile_and_plan_salvage_too(database: Server, tmp_path: Path) -> None:
    source = make(tmp_path / "source.db", SCRIPT)
    overwrite(source, pages(source, "t", "leaf")[5], bytes(PAGE))
    work = tmp_path / "work"
    for verb in ("profile", "plan"):
        refused = run_module("migration", verb, source, server=database, MIGRATION_DIR=work)
        assert refused.returncode == 3
        result = run_module(
            "migration", verb, source, "--salvage", server=database, MIGRATION_DIR=work
        )
        assert result.returncode == 0, result.stderr
    assert "not carried: damaged pages t: 1 page damaged" in result.stdout
