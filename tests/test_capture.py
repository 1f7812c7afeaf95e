"""Capture: the changelog names every row that changed, and leaves no trace when it is taken out."""

import sqlite3
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from database.errors import SourceError
from migration.capture.changes import changed_keys, lag, prune, rows_of
from migration.capture.install import (
    Capture,
    find,
    fingerprint,
    install,
    last_change,
    open_for_writing,
    own_tables,
    remove,
    writing,
)
from migration.capture.keys import CapturedTable, captured_tables
from migration.quoting import quote_name
from tests import random_databases
from tests.migrations import make
from tests.random_databases import DrawnTable, Statement

KINDS = """
create table numbered (id integer primary key, name text);
create table counted (id integer primary key autoincrement, name text);
create table named (id char(36) primary key, name text unique);
create table pairs (a text, b integer, name text, primary key (a, b));
create table packed (a, b, name text, primary key (b, a)) without rowid;
create table keyless (name text, value real);
create table unkeyed (name text unique, value real);
create table folded (name text primary key collate nocase, value);
create table partial (id integer primary key, name text, live integer);
create unique index partial_name on partial (name) where live;
create table computed (id integer primary key, a text, b text as (lower(a)) unique);
create table expressed (id integer primary key, a text, b text);
create unique index expressed_ab on expressed (upper(a), b collate nocase);
create table parents (id text primary key);
create table children (id integer primary key,
    parent text references parents on update cascade on delete cascade);
create table nieces (id integer primary key,
    parent text default 'p0' references parents on update set null on delete set default);
create table "ta""ble їжак" ("ke""y" text primary key, "select" text);
"""


class Model:
    """A copy of the captured tables that knows nothing but what the changelog tells it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._reading() as connection:
            assert find(connection) is not None
            tables = captured_tables(own_tables(connection))
            self.tables = {entry.number: entry for entry in tables}
            self.applied = last_change(connection)
            self.rows = {entry.number: self.read(connection, entry) for entry in tables}

    def catch_up(self) -> None:
        with self._reading() as connection:
            upto = last_change(connection)
            for changes in changed_keys(connection, self.tables, self.applied, upto).values():
                captured = changes.captured
                rows = self.rows[captured.number]
                if not captured.key and changes.vanishing:
                    self.rows[captured.number] = self.read(connection, captured)
                    continue
                for row in [row for row in rows if key(captured, row) in changes.vanishing]:
                    del rows[row]
                rows.update((row.key, row.values) for row in rows_of(connection, changes))
            self.applied = upto

    def check(self) -> None:
        with self._reading() as connection:
            for number, captured in self.tables.items():
                assert exact(self.rows[number]) == exact(self.read(connection, captured)), captured

    def read(
        self, connection: sqlite3.Connection, captured: CapturedTable
    ) -> Counter[tuple[object, object]]:
        table = captured.table
        names = [*table.key_expressions, *(quote_name(column.name) for column in table.columns)]
        width = len(table.key_expressions)
        query = f"select {', '.join(names)} from {quote_name(table.name)} not indexed"
        return Counter((row[:width], row[width:]) for row in connection.execute(query))

    def _reading(self) -> "closing[sqlite3.Connection]":
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        return closing(connection)


def key(captured: CapturedTable, row: tuple[object, object]) -> tuple[object, ...]:
    identity, values = row
    assert isinstance(identity, tuple)
    assert isinstance(values, tuple)
    names = [column.name for column in captured.table.columns]
    return tuple(values[names.index(name)] for name in captured.key) or identity


def exact(rows: Counter[tuple[object, object]]) -> Counter[str]:
    """1 and 1.0 are equal to Python."""
    return Counter({repr(row): times for row, times in rows.items()})


def opened(path: Path) -> "closing[sqlite3.Connection]":
    return closing(sqlite3.connect(path, isolation_level=None))


def schema_of(path: Path) -> list[tuple[object, ...]]:
    with opened(path) as connection:
        return connection.execute("select type, name, tbl_name, sql from sqlite_master").fetchall()


def stop(path: Path) -> bool:
    with open_for_writing(path) as connection, writing(connection):
        return remove(connection)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source.db", KINDS)


STATEMENTS = [
    "insert into {t} default values",
    "insert into named values ('k1', 'n1'), ('k2', 'n2'), ('k3', null)",
    "replace into named values ('k9', 'n1')",
    "update or replace named set name = 'n2' where id = 'k9'",
    "update named set id = id || 'x'",
    "insert into named values ('k4', 'n4') on conflict (id) do update set name = 'n5'",
    "insert into named values ('k4', 'n4') on conflict (id) do update set name = 'n5'",
    "insert or ignore into named values ('k4', 'other')",
    "replace into numbered values (1, 'a'), (2, 'b'), (1, 'c')",
    "update or replace numbered set id = 2 where id = 1",
    "replace into counted (name) values ('a'), ('b')",
    "delete from counted",
    "replace into counted (name) values ('c')",
    "replace into pairs values ('a', 1, 'x'), ('a', 2, 'y'), (null, 2, 'z'), (null, 2, 'z')",
    "update pairs set name = 'w' where a is null",
    "delete from pairs where rowid = (select max(rowid) from pairs)",
    "insert into packed values (1, 2, 'x'), (1.5, x'00', 'y'), ('1', 2, 'z')",
    "update or replace packed set a = 1, b = 2",
    "insert into keyless values ('a', 1), ('a', 1), (null, null)",
    "delete from keyless where rowid in (select min(rowid) from keyless)",
    "insert into keyless values ('b', 1e300)",
    "replace into unkeyed values ('a', 1), ('b', 2), (null, 3), ('a', 4)",
    "update or replace unkeyed set name = 'a' where value = 2",
    "replace into folded values ('Key', 1), ('KEY', 2), ('other', 3)",
    "update folded set name = 'kEy' where name = 'key'",
    "replace into partial values (1, 'a', 1), (2, 'a', 0), (3, 'b', 1)",
    "update or replace partial set live = 1 where id = 2",
    "replace into partial values (9, 'b', 1)",
    "replace into computed (id, a) values (1, 'Aa'), (2, 'AA'), (3, 'b')",
    "update or replace computed set a = 'B' where id = 2",
    "replace into expressed values (1, 'a', 'x'), (2, 'A', 'X'), (3, 'a', 'y'), (4, null, 'x')",
    "update or replace expressed set b = 'Y' where id = 2",
    "insert into parents values ('p0'), ('p1'), ('p2')",
    "insert into children (parent) values ('p1'), ('p1'), ('p2')",
    "insert into nieces (parent) values ('p1'), ('p2')",
    "update parents set id = 'p9' where id = 'p1'",
    "delete from parents where id = 'p2'",
    "replace into parents values ('p9')",
    "insert into children (parent) values ('p9')",
    """insert into "ta""ble їжак" values ('a', 'b')""",
    """update "ta""ble їжак" set "ke""y" = 'ї'""",
    # A swap of unique values, as an application has to write it.
    "insert into named values ('s1', 'one'), ('s2', 'two')",
    "begin; update named set name = 'three' where id = 's1'; update named set name = 'one' "
    "where id = 's2'; update named set name = 'two' where id = 's1'; commit",
    "begin; delete from named; rollback",
    "savepoint s; delete from named; rollback to s; release s",
]


@pytest.mark.parametrize("recursive", ["off", "on"])
@pytest.mark.parametrize("at_once", [False, True])
def test_every_kind_of_statement_on_every_kind_of_table(
    source: Path, recursive: str, at_once: bool
) -> None:
    install(source)
    model = Model(source)
    with opened(source) as connection:
        connection.execute("pragma foreign_keys = on")
        connection.execute(f"pragma recursive_triggers = {recursive}")
        for text in STATEMENTS:
            tables = ["numbered", "counted", "keyless"] if "{t}" in text else [""]
            for table in tables:
                connection.executescript(text.replace("{t}", table))
            if not at_once:
                model.catch_up()
                model.check()
    model.catch_up()
    model.check()
    assert all(model.rows.values()), "every table shall have rows to compare"


def test_triggers_of_the_application_are_seen_through(tmp_path: Path) -> None:
    source = make(
        tmp_path / "source.db",
        """create table a (id integer primary key, n integer);
        create table b (id integer primary key, a integer unique, n integer);
        create trigger a1 after insert on a begin
            replace into b (a, n) values (new.id % 3, new.n);
            update a set n = n + 1 where id = new.id;
        end;
        create trigger a2 before delete on a begin delete from b where a = old.id % 3; end;""",
    )
    install(source)
    model = Model(source)
    with opened(source) as connection:
        for number in range(9):
            connection.execute("insert into a (n) values (?)", [number])
        connection.execute("delete from a where id in (2, 4)")
    model.catch_up()
    model.check()


def test_stopping_leaves_the_schema_as_it_was(source: Path) -> None:
    before = schema_of(source)
    first = install(source)
    assert schema_of(source) != before
    assert install(source) == first
    assert stop(source)
    assert schema_of(source) == before
    assert not stop(source)
    assert install(source).token != first.token


def test_a_writer_notices_nothing(source: Path) -> None:
    with opened(source) as connection:
        connection.execute("insert into named values ('k1', 'n')")
        install(source)
        added = connection.execute("insert into numbered (name) values ('x')")
        assert (added.lastrowid, added.rowcount) == (1, 1)
        returned = connection.execute("insert into counted (name) values ('x') returning id")
        assert returned.fetchall() == [(1,)]
        assert connection.execute("select changes()").fetchone() == (1,)
        stop(source)
        connection.execute("update named set name = 'm'")


def test_numbers_are_never_given_twice_although_entries_are_deleted(source: Path) -> None:
    install(source)
    with opened(source) as connection:
        for number in range(5):
            connection.execute("insert into keyless values (?, 1)", [str(number)])
        reached = last_change(connection)
        prune(connection, reached)
        assert connection.execute("select count(*) from _migration_changes").fetchone() == (1,)
        connection.execute("insert into keyless values ('x', 1)")
        assert last_change(connection) == reached + 1
        assert lag(connection, reached).entries == 1
        prune(connection, 1)
        assert lag(connection, reached).entries == 1


def test_a_changed_schema_is_seen_and_what_is_beside_it_is_not(source: Path) -> None:
    expected = install(source).fingerprint
    with opened(source) as connection:
        for harmless in (
            "create index plain on numbered (name)",
            "create view seen as select * from named",
            "create trigger own after insert on named begin select 1; end",
            "vacuum",
            "analyze",
        ):
            connection.execute(harmless)
            assert fingerprint(connection) == expected
        for telling in (
            "create table dataset_1 (row_id integer primary key)",
            "alter table numbered add column more text",
            "create unique index only on numbered (name)",
            "alter table named rename column name to title",
            "drop table keyless",
        ):
            connection.execute("begin")
            connection.execute(telling)
            assert fingerprint(connection) != expected
            connection.execute("rollback")


def test_what_cannot_be_followed_is_refused_and_nothing_is_left_behind(tmp_path: Path) -> None:
    source = make(
        tmp_path / "source.db",
        "create table fine (a); create virtual table found using fts5 (body);",
    )
    before = schema_of(source)
    with pytest.raises(SourceError, match="found: a virtual table has no triggers"):
        install(source)
    assert schema_of(source) == before
    assert isinstance(install(source, frozenset({"found"})), Capture)


@st.composite
def changes(draw: st.DrawFn, tables: list[DrawnTable]) -> Statement:
    """A statement that may change rows, in every way that SQLite has."""
    of = draw(st.sampled_from(tables))
    name = random_databases.quoted(of.name)
    one, other = (random_databases.quoted(draw(st.sampled_from(of.columns))) for _ in range(2))
    how = draw(st.sampled_from(["", " or replace", " or ignore", " or fail", " or rollback"]))
    value = draw(random_databases.VALUE)
    mark = "cast(? as text)" if isinstance(value, random_databases.BadText) else "?"
    bound = value.raw if isinstance(value, random_databases.BadText) else value
    marks = ", ".join("?" for _ in of.columns)
    few = tuple(
        draw(st.sampled_from([None, 0, 1, 2, 1.0, "a", "A", "1", b"a"])) for _ in of.columns
    )
    names = ", ".join(map(random_databases.quoted, of.columns))
    condition = f"{one} in (select {one} from {name} limit 2)"
    statements: list[Statement] = [
        (f"insert{how} into {name} ({names}) values ({marks})", few),
        (f"insert{how} into {name} ({one}) values ({mark})", (bound,)),
        (f"insert{how} into {name} ({names}) select {names} from {name}", ()),
        (f"update{how} {name} set {one} = {mark}", (bound,)),
        (f"update{how} {name} set {one} = {mark} where {condition}", (bound,)),
        (f"update{how} {name} set {one} = {other}, {other} = {one}", ()),
        (f"update{how} {name} set {one} = {one} + 1", ()),
        (f"delete from {name} where {condition}", ()),
        (f"delete from {name}", ()),
        (f"insert into {name} ({names}) values ({marks}) on conflict do nothing", few),
        (
            f"insert into {name} ({names}) values ({marks}) "
            f"on conflict ({one}) do update set {other} = excluded.{one}",
            few,
        ),
    ]
    return draw(st.sampled_from(statements))


PRAGMAS: tuple[Statement, ...] = (
    ("pragma foreign_keys = on", ()),
    ("pragma recursive_triggers = on", ()),
)


@given(made=random_databases.database(), data=st.data(), pause=st.integers(1, 20))
@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
def test_whatever_is_written_to_whatever_schema(
    made: list[Statement], data: st.DataObject, pause: int
) -> None:
    with TemporaryDirectory() as folder:
        source = Path(folder) / "source.db"
        random_databases.write(source, made)
        before = schema_of(source)
        with suppress(SourceError):
            install(source)
            tables = drawn_tables(source)
            history = data.draw(st.lists(st.sampled_from(PRAGMAS), max_size=2))
            if tables:
                history += data.draw(st.lists(changes(tables), min_size=1, max_size=20))
            follow(source, history, pause)
        stop(source)
        assert schema_of(source) == before


def drawn_tables(path: Path) -> list[DrawnTable]:
    with opened(path) as connection:
        return [
            DrawnTable(table.name, tuple(column.name for column in table.columns))
            for table in own_tables(connection)
        ]


def follow(source: Path, history: list[Statement], pause: int) -> None:
    model = Model(source)
    with opened(source) as connection:
        connection.execute("pragma ignore_check_constraints = on")
        for number, (text, values) in enumerate(history):
            with suppress(sqlite3.Error):
                connection.execute(text, values)
            if number % pause == 0:
                model.catch_up()
                model.check()
    model.catch_up()
    model.check()
