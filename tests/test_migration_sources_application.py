"""Databases that need their application to be used: here they are read without it."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from database.settings import Server
from tests.engines import ENGINES
from tests.migrations import report
from tests.programs import query

#: Puts a schema text in the place of another, as a newer SQLite or a bug would have written it.
REWRITE = "pragma writable_schema = on; update sqlite_master set sql = {} where name = '{}';"


def reversed_order(one: str, other: str) -> int:
    """An order that is never SQLite's own."""
    return (one < other) - (one > other)


def doubled(value: int) -> int:
    return value * 2


def make_as_application(path: Path, script: str) -> Path:
    """As `make`, by a program that has collations and functions of its own."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for name in ("unicase", "ЛОКАЛЬ", "my coll"):
            connection.create_collation(name, reversed_order)
        connection.create_function("doubled", 1, doubled, deterministic=True)
        connection.create_function("squeeze", 1, str, deterministic=True)
        connection.executescript(script)
    return path


#: name → (script, queries and their rows in the target, (kind, name) that are not carried,
#: words of the reasons)
Case = tuple[str, dict[str, list[tuple[object, ...]]], set[tuple[str, str]], str]
SOURCES: dict[str, Case] = {
    "unknown collation": (
        "create table t (a text collate unicase unique, b int); create index i on t (b, a);"
        "insert into t values ('B', 1), ('a', 2), ('C', 3);"
        "create view v as select * from t order by a collate unicase;",
        {"select a, b from t order by b": [("B", 1), ("a", 2), ("C", 3)]},
        {("index", "sqlite_autoindex_t_1"), ("index", "i"), ("view", "v")},
        "collation UNICASE is not known",
    ),
    "unknown collation of a key without rowid": (
        'create table t (a text collate "my coll", b text collate [ЛОКАЛЬ],'
        " c text, primary key (a, b desc)) without rowid;"
        "insert into t values ('a', 'x', 1), ('b', 'y', 2), ('c', 'z', 3), ('c', 'a', 4),"
        " ('d', '', cast(x'ff' as text));",
        {},
        set(),
        "",
    ),
    "unknown function in a virtual column": (
        "create table t (a int, g int as (doubled(a)), h int as (a + 1), check (doubled(a) < 90));"
        "insert into t values (3), (4);",
        {
            "select a, h from t order by a": [(3, 4), (4, 5)],
            "select column_name::text from information_schema.columns where table_name = 't'"
            " order by ordinal_position": [("a",), ("h",)],
        },
        {("generated column", "t.g")},
        "unknown function: doubled()",
    ),
    "unknown function in a stored column": (
        "create table t (a int, g int as (doubled(a)) stored); insert into t values (3);",
        {"select a, g from t": [(3, 6)]},
        set(),
        "",
    ),
    "unknown function in indexes and a view": (
        "create table t (a int); insert into t values (3); create index e on t (doubled(a));"
        "create index p on t (a) where doubled(a) > 1; create view v as select doubled(a) from t;",
        {"select a from t": [(3,)]},
        {("index", "e"), ("index", "p"), ("view", "v")},
        "",
    ),
    "virtual column that fails on a row": (
        "create table t (d text); insert into t values ('{\"x\": 1}'), ('oops');"
        "alter table t add column x as (json_extract(d, '$.x'));",
        {"select d from t order by d": [("oops",), ('{"x": 1}',)]},
        {("generated column", "t.x")},
        "malformed JSON",
    ),
    "index, view and trigger in a newer SQLite's words": (
        "create table a (x int); create index ai on a (x); create view v as select 1;"
        "create trigger g after insert on a begin select 1; end; insert into a values (1);"
        "create table z (y int); insert into z values (2);"
        + REWRITE.format("'create index ai over a (x)'", "ai")
        + REWRITE.format("'create view v as selec'", "v")
        + REWRITE.format("'create trigger g whenever'", "g"),
        {"select x from a": [(1,)], "select y from z": [(2,)]},
        {("index", "ai"), ("view", "v"), ("trigger", "g")},
        "cannot read its definition",
    ),
    "module that is not here": (
        "create virtual table v using fts5(a); insert into v values ('x');"
        + REWRITE.format("'create virtual table v using vec0(a float[3])'", "v"),
        {"select c0 from v_content": [("x",)], "select count(*) from v_docsize": [(1,)]},
        {("virtual table", "v")},
        "no such module: vec0; its storage arrives as: v_config, v_content, v_data",
    ),
    "tokenizer that is not here": (
        "create virtual table v using fts5(a); insert into v values ('x');"
        + REWRITE.format("'create virtual table v using fts5(a, tokenize=icu_own)'", "v"),
        {"select c0 from v_content": [("x",)]},
        {("virtual table", "v")},
        "no such tokenizer: icu_own",
    ),
    "compressed full text whose function is not here": (
        "create virtual table v using fts4(a, compress=squeeze, uncompress=squeeze);"
        "insert into v values ('x');",
        {"select c0a from v_content": [("x",)]},
        {("virtual table", "v")},
        "its storage arrives",
    ),
    "full-text index without its text": (
        "create virtual table v using fts5(a, content=''); insert into v (rowid, a) values (7, 'x')"
        ';create virtual table w using fts4(a, content=""); insert into w (docid, a)'
        " values (7, 'x');",
        {"select id from v_docsize": [(7,)], "select docid from w_docsize": [(7,)]},
        {("virtual table", "v"), ("virtual table", "w")},
        "its storage arrives",
    ),
    "full-text index of another table": (
        "create table t (id integer primary key, a text); insert into t values (1, 'x');"
        "create virtual table v using fts5(a, content=t, content_rowid=id);"
        "create virtual table w using fts5(a, content=gone);",
        {"select a from t": [("x",)], "select a from v": [("x",)]},
        {("virtual table", "w")},
        "no such table: main.gone",
    ),
    "every other module that SQLite has": (
        "create virtual table f3 using fts3(a); insert into f3 values ('x');"
        "create virtual table f4 using fts4(a, tokenize=porter); insert into f4 values ('y');"
        "create virtual table r using rtree_i32(id, x0, x1, +note);"
        "insert into r values (1, 2, 3, 'n'); create virtual table words using fts4aux(f3);"
        "create virtual table pages using dbstat;",
        {
            "select a from f3": [("x",)],
            "select a from f4": [("y",)],
            "select id, x0, x1, note from r": [(1, 2, 3, "n")],
            "select distinct term from words": [("x",)],
            "select count(*) > 1 from pages": [(True,)],
        },
        set(),
        "",
    ),
    "names that are not UTF-8, or hold NUL": (
        "create table t (a int, b int); insert into t values (1, 2); create table u (c int);"
        "create table w (z int); insert into w values (3); create index i on w (z);"
        + REWRITE.format(
            "cast(x'637265617465207461626c6520742822ff2220696e742c206229' as text)", "t"
        )
        + REWRITE.format(
            "cast(x'637265617465207461626c6520772822610062222069' as text) || 'nt)'", "w"
        )
        + REWRITE.format("cast(x'637265617465207461626c652022fe22286329' as text)", "u")
        + "update sqlite_master set name = cast(x'fe' as text), tbl_name = cast(x'fe' as text)"
        " where name = 'u';",
        {
            'select "\ufffdFF", b from t': [(1, 2)],
            'select "a\ufffd00b" from w': [(3,)],
            'select count(*) from "\ufffdFE"': [(0,)],
        },
        {("name", "t"), ("name", "\ufffdFE"), ("name", "w")},
        "not UTF-8",
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SOURCES)
def test_source_is_read_without_its_application(
    database: Server, tmp_path: Path, name: str, engine: str
) -> None:
    script, expected, not_carried, reasons = SOURCES[name]
    source = make_as_application(tmp_path / "source.db", script)
    code, document = report(database, source, "--engine", engine, "--quarantine")
    bad_text = name == "unknown collation of a key without rowid"
    assert code == (5 if bad_text else 0), document
    assert len(document["quarantine"]) == bad_text
    said = {(entry["kind"], entry["name"]) for entry in document["not_carried"]}
    assert not_carried <= said
    assert reasons in " ".join(entry["why"] for entry in document["not_carried"])
    for text, rows in expected.items():
        assert query(database, text) == rows
