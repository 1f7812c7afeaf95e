"""What a schema holds beside plain tables."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tests.hazards.hazard import Hazard, Refused

MOST_COLUMNS = 1599


@contextlib.contextmanager
def module_that_is_missing(path: Path) -> Iterator[None]:
    """A virtual table whose module nobody has, beside a plain one."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """create table t (a int); insert into t values (1);
               create virtual table v using fts5(x); pragma writable_schema = on;
               update sqlite_master set sql = 'CREATE VIRTUAL TABLE v USING nobody_has_it(x)'
                   where name = 'v';"""
        )
        connection.commit()
    yield


def _columns(count: int) -> str:
    names = ", ".join(f"c{n} text" for n in range(count))
    row = ", ".join(f"'{n % 10}'" for n in range(count))
    return f"create table t ({names}); insert into t values ({row});"


SCHEMAS = (
    Hazard(
        "views",
        "create table t (a int); create view v as select a + 1 as b from t;"
        "create view f as select group_concat(a, '|') as c, printf('%d', 3) from t;"
        "insert into t values (1);",
        {"select a from t": [(1,)]},
    ),
    Hazard(
        "triggers",
        "create table t (a int); create trigger g after insert on t begin"
        " insert into t values (2); end; insert into t values (1);",
        {"select a from t order by a": [(1,), (2,)]},
        said=(("trigger", "g"),),
    ),
    Hazard(
        "generated columns, virtual and stored",
        "create table t (a int, b int generated always as (a * 2) virtual,"
        " c int generated always as (a + 1) stored); insert into t (a) values (3);",
        {"select a, b, c from t": [(3, 6, 4)]},
    ),
    Hazard(
        "STRICT tables",
        "create table t (a int, b any, c text) strict;"
        "insert into t values (1, 'x', '7'), (2, 5, null);",
        {"select a, b, c from t order by a": [(1, "x", "7"), (2, "5", None)]},
    ),
    Hazard(
        "CHECK constraints",
        "create table t (a int check (a > 0), b text, check (length(b) < 5 or a = 9));"
        "insert into t values (1, 'x'), (null, null); pragma ignore_check_constraints = on;"
        "insert into t values (9, 'long enough');",
        {"select a, b from t order by a": [(1, "x"), (9, "long enough"), (None, None)]},
    ),
    Hazard(
        "full-text search (FTS5) with its shadow tables",
        "create virtual table f using fts5(title, body); insert into f values ('Київ', 'a b');",
        {
            "select title, body from f": [("Київ", "a b")],
            "select count(*) from pg_tables where tablename like 'f\\_%'": [(0,)],
        },
        said=(("shadow table", "f_data"), ("shadow table", "f_idx")),
    ),
    Hazard(
        "R-trees with their shadow tables",
        "create virtual table r using rtree(id, x0, x1); insert into r values (1, 0.5, 1.5);",
        {"select id, x0, x1 from r": [(1, 0.5, 1.5)]},
        said=(("shadow table", "r_node"),),
    ),
    Hazard(
        "sqlite_sequence and sqlite_stat1",
        "create table t (id integer primary key autoincrement, a int); create index i on t (a);"
        "insert into t (a) values (5); analyze;",
        {
            "select id, a from t": [(1, 5)],
            "select count(*) from pg_tables where tablename like 'sqlite%'": [(0,)],
        },
    ),
    Hazard(
        "a virtual table whose module is not loaded",
        module_that_is_missing,
        {"select a from t": [(1,)]},
        said=(("virtual table", "v"),),
    ),
    Hazard(
        "0 rows",
        "create table t (id integer primary key, a text not null, b real);",
        {"select id, a, b from t": []},
    ),
    Hazard("0 tables", "pragma user_version = 7;", {"select count(*) from migration.run": [(1,)]}),
    Hazard(
        "as many columns as PostgreSQL can have",
        _columns(MOST_COLUMNS),
        {"select c0, c1598 from t": [("0", "8")]},
    ),
    Hazard(
        "2000 columns",
        _columns(2000),
        {"select to_regclass('public.t')": [(None,)]},
        (Refused("t", None, "54011", "0", "columns", of_column="c0"),),
    ),
    Hazard(
        "a row wider than a page",
        f"create table t ({', '.join(f'c{n} int' for n in range(1200))});"
        f"insert into t values ({', '.join(str(n) for n in range(1200))});"
        "insert into t (c0) values (7);",
        {"select c0, c1 from t": [(7, None)]},
        (Refused("t", None, "54000", 0, "row is too big", of_column="c0"),),
    ),
)
