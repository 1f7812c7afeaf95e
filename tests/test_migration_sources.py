"""Odd but legal SQLite files: each arrives whole, and what cannot be carried is said."""

from pathlib import Path

import pytest

from database.settings import Server
from tests.migrations import make, report
from tests.programs import query

#: name → (script, queries and their rows in the target, kinds that are said not to be carried)
SOURCES: dict[str, tuple[str, dict[str, list[tuple[object, ...]]], list[str]]] = {
    "no tables": ("pragma user_version = 1;", {}, []),
    "no rows": ("create table t (a, b text);", {"select count(*) from t": [(0,)]}, []),
    "UTF-16": (
        "pragma encoding = 'UTF-16'; create table t (a text);"
        "insert into t values ('Привіт 🧪'), ('');",
        {"select a from t order by a": [("",), ("Привіт 🧪",)]},
        [],
    ),
    "pages of 1 kB": (
        "pragma page_size = 1024; create table t (a); insert into t values (zeroblob(9000));",
        {"select length(a) from t": [(9000,)]},
        [],
    ),
    "pages of 64 kB": (
        "pragma page_size = 65536; create table t (a); insert into t values (1);",
        {"select a from t": [(1,)]},
        [],
    ),
    "composite key without rowid": (
        "create table t (a text, b integer, c, primary key (b, a)) without rowid;"
        "insert into t values ('x', 2, null), ('x', 1, 0.5), ('y', 1, 3);",
        {
            "select a, b, c from t order by b, a": [("x", 1, 0.5), ("y", 1, 3.0), ("x", 2, None)],
            "select pg_get_constraintdef(oid) from pg_constraint where conrelid = 't'::regclass": [
                ("PRIMARY KEY (b, a)",)
            ],
        },
        [],
    ),
    "negative and zero rowids": (
        "create table t (id integer primary key, v); insert into t values (-5, 1), (0, 2), (9, 3);",
        {
            "select id from t order by id": [(-5,), (0,), (9,)],
            "insert into t (v) values (4) returning id": [(10,)],
        },
        [],
    ),
    "equal rows without a key": (
        "create table t (a, b); insert into t values (1, 'x'), (1, 'x'), (1, 'x'), (null, null);",
        {"select count(*) from t where a = 1": [(3,)]},
        [],
    ),
    "a column called rowid": (
        "create table t (rowid text, _rowid_ text, oid text); insert into t values ('a', 'b', 'c')",
        {"select rowid, _rowid_, oid from t": [("a", "b", "c")]},
        [],
    ),
    "full-text search": (
        "create virtual table f using fts5(title, body); insert into f values ('Київ', 'a b');",
        {"select title, body from f": [("Київ", "a b")]},
        ["shadow table"] * 5,
    ),
    "R-tree": (
        "create virtual table r using rtree(id, x0, x1); insert into r values (1, 0.5, 1.5);",
        {"select id, x0, x1 from r": [(1, 0.5, 1.5)]},
        ["shadow table"] * 3,
    ),
    "view and trigger": (
        "create table t (a); create view v as select a from t;"
        "create trigger g after insert on t begin select 1; end; insert into t values (1);",
        {"select a from t": [(1,)]},
        ["trigger"],
    ),
    "generated columns": (
        "create table t (a int, b int generated always as (a * 2) virtual,"
        " c int generated always as (a + 1) stored); insert into t (a) values (3);",
        {"select a, b, c from t": [(3, 6, 4)]},
        [],
    ),
    "strict": (
        "create table t (a int, b any) strict; insert into t values (1, 'x'), (2, 5);",
        {"select a, b from t order by a": [(1, "x"), (2, "5")]},
        [],
    ),
    "self-reference and cycle": (
        "create table a (id integer primary key, b int references b, a int references a);"
        "create table b (id integer primary key, a int references a);"
        "insert into a values (1, 1, 1), (2, null, 1); insert into b values (1, 2);",
        {
            "select count(*) from pg_constraint where contype = 'f'"
            " and conrelid in ('a'::regclass, 'b'::regclass)": [(3,)]
        },
        [],
    ),
    "unique and plain indexes": (
        "create table t (a text unique, b int, c int); create index i on t (b);"
        "create index p on t (c) where c > 0; create index e on t (b + c);"
        "create index n on t (a collate nocase); insert into t values ('x', 1, 2);",
        {
            "select indexname::text from pg_indexes where tablename = 't' order by 1": [
                ("e",),
                ("i",),
                ("n",),
                ("p",),
                ("t_a_key",),
            ]
        },
        [],
    ),
    "names over 63 bytes that collide": (
        f'create table "{"ї" * 40}" (a int); create table "{"ї" * 41}" (a int, "{"y" * 70}" int,'
        f' "{"y" * 71}" int); insert into "{"ї" * 41}" values (1, 2, 3);',
        {f'select * from "{"ї" * 30}_2"': [(1, 2, 3)]},
        [],
    ),
    "mixed case that PostgreSQL would fold": (
        'create table "Order" ("Group" int, "group_" int); insert into "Order" values (1, 2);',
        {'select "Group", group_ from "Order"': [(1, 2)]},
        [],
    ),
    "columns named as PostgreSQL's own": (
        "create table t (xmin real, xmax real, ctid text, oid int);"
        "insert into t values (0.5, 1.5, 'a', 7);",
        {"select xmin_2, xmax_2, ctid_2, oid from t": [(0.5, 1.5, "a", 7)]},
        [],
    ),
    "names without a character": (
        'create table "" ("" int, a int); insert into "" values (1, 2);',
        {'select "_", a from "_"': [(1, 2)]},
        [],
    ),
    "a thousand columns": (
        f"create table t ({', '.join(f'c{n} int' for n in range(1000))});"
        f"insert into t values ({', '.join(map(str, range(1000)))});",
        {"select c0, c999 from t": [(0, 999)]},
        [],
    ),
    "a time before the first year, as SpatiaLite's defaults have it, stays text": (
        "create table t (a timestamp, b datetime, c date);"
        "insert into t values ('0000-01-01T00:00:00.000Z', '0000-01-01 00:00:00', '0000-01-01');",
        {
            "select a, b, c from t": [
                ("0000-01-01T00:00:00.000Z", "0000-01-01 00:00:00", "0000-01-01")
            ]
        },
        [],
    ),
    "times with a mark of UTC on some of them alone stay text": (
        "create table t (a datetime); insert into t values ('2026-01-02T10:00:00.5Z'),"
        " ('2026-01-02T10:00:00.5');",
        {"select a from t order by a": [("2026-01-02T10:00:00.5",), ("2026-01-02T10:00:00.5Z",)]},
        [],
    ),
    "booleans as the letters of older Rails": (
        "create table t (a boolean default 'f', b boolean, c boolean);"
        "insert into t values ('t', 'f', 't'), ('f', 1, 'maybe'), (null, 0, 'f');",
        {
            "select a, b, c from t order by c": [
                (None, False, "f"),
                (False, True, "maybe"),
                (True, False, "t"),
            ],
            "insert into t (b) values (true) returning a": [(False,)],
        },
        [],
    ),
    "the moment as TypeORM writes it, in capitals": (
        "create table t (a int, b datetime(3) default (STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')));"
        "insert into t values (1, '2026-01-02 03:04:05.678');",
        {"insert into t (a) values (2) returning b > '2026-01-03'": [(True,)]},
        [],
    ),
    "a foreign key between types that PostgreSQL does not compare": (
        "create table p (id integer primary key);"
        "create table t (a int references p); insert into t values ('x'), (null);",
        {"select a from t order by a": [("x",), (None,)]},
        ["foreign key"],
    ),
    "days that do not exist stay text": (
        "create table t (d datetime); insert into t values ('2026-02-30 10:00:00'),"
        " ('2026-02-28 10:00:00');",
        {"select d from t order by d": [("2026-02-28 10:00:00",), ("2026-02-30 10:00:00",)]},
        [],
    ),
    "integers beyond 2^53 beside reals": (
        "create table t (v); insert into t values (9007199254740993), (0.5), (-9e999);",
        {"select v::text from t order by t.v": [("-Infinity",), ("0.5",), ("9007199254740993",)]},
        [],
    ),
    "large values": (
        "create table t (a text, b blob);"
        "insert into t values (printf('%05000000d', 7), randomblob(5000000));",
        {"select length(a), length(b) from t": [(5_000_000, 5_000_000)]},
        [],
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_odd_source_arrives(database: Server, tmp_path: Path, name: str) -> None:
    script, expected, not_carried = SOURCES[name]
    source = make(tmp_path / "source.db", script)
    code, document = report(database, source)
    assert code == 0, document["quarantine"]
    assert document["verdict"] == "verified"
    assert sorted(entry["kind"] for entry in document["not_carried"]) == sorted(not_carried)
    for text, rows in expected.items():
        assert query(database, text) == rows
