"""Keys that PostgreSQL would refuse, and tables that have none."""

from migration.policies import Orphans, Policies
from tests.hazards.hazard import Hazard, Refused
from tests.hazards.known import FILES, NODES, SESSIONS, TASKS, WHEN, file, node, session, task, uuid

DEFINITIONS = (
    "select pg_get_constraintdef(oid) from pg_constraint where conrelid = '{}'::regclass"
    " and contype <> 'n' order by 1"
)

KEYS = (
    Hazard(
        "NULL in a primary key",
        NODES
        + node("'n'")
        + node("null")
        + "create table t (id text primary key, v int); insert into t values ('a', 1), (null, 2),"
        " (null, 3);",
        {
            "select id from kg_nodes": [("n",)],
            "select id, v from t order by v": [("a", 1), (None, 2), (None, 3)],
            DEFINITIONS.format("t"): [],
        },
        (Refused("kg_nodes", "id", "23502", None, "NULL"),),
        (("primary key", "t"),),
    ),
    Hazard(
        "a table with no key",
        "create table t (a, b); insert into t values (2, 'y'), (1, 'x'), (null, null);",
        {"select a, b from t order by a": [(1, "x"), (2, "y"), (None, None)]},
    ),
    Hazard(
        "a composite key",
        "create table t (a text, b integer, c int, primary key (b, a));"
        "insert into t values ('x', 2, 1), ('x', 1, 2), ('y', 1, 3);",
        {
            "select a, b, c from t order by c": [("x", 2, 1), ("x", 1, 2), ("y", 1, 3)],
            DEFINITIONS.format("t"): [("PRIMARY KEY (b, a)",)],
        },
    ),
    Hazard(
        "WITHOUT ROWID",
        "create table t (a text, b integer, c, primary key (b desc, a)) without rowid;"
        "insert into t values ('x', 2, null), ('x', 1, 0.5), ('y', 1, 3);",
        {
            "select a, b, c from t order by b, a": [("x", 1, 0.5), ("y", 1, 3.0), ("x", 2, None)],
            DEFINITIONS.format("t"): [("PRIMARY KEY (b, a)",)],
        },
    ),
    Hazard(
        "negative and zero rowids",
        FILES
        + file(-5)
        + file(0)
        + "create table t (id integer primary key, v); insert into t values (-5, 1), (0, 2);",
        {
            "select id from files order by id": [(-5,), (0,)],
            "select id, v from t order by id": [(-5, 1), (0, 2)],
            "insert into t (v) values (3) returning id": [(1,)],
        },
    ),
    Hazard(
        "a NOCASE unique key",
        "create table t (v text collate nocase unique, n int);"
        "insert into t values ('Abc', 1), ('abd', 2), ('Ї', 3), ('ї', 4);",
        {
            "select v, n from t order by n": [("Abc", 1), ("abd", 2), ("Ї", 3), ("ї", 4)],
        },
    ),
    Hazard(
        "a partial unique index",
        "create table t (v int, gone int); create unique index u on t (v) where gone is null;"
        "insert into t values (1, null), (1, 1), (1, 2), (2, null);",
        {"select v, gone from t order by 1, 2": [(1, 1), (1, 2), (1, None), (2, None)]},
    ),
    Hazard(
        "a unique index on an expression",
        "create table t (v text); create unique index u on t (length(v));"
        "insert into t values ('a'), ('їж'), (null), (null);",
        {"select v from t order by 1": [("a",), ("їж",), (None,), (None,)]},
    ),
    Hazard(
        "orphans with foreign_keys off",
        SESSIONS
        + session(uuid(1))
        + TASKS
        + task(uuid(2), uuid(1))
        + task(uuid(3), uuid(9))
        + task(uuid(4), uuid(1), parent=uuid(3))
        + "create table p (id integer primary key); create table c (id integer primary key,"
        " p int references p); insert into p values (1); insert into c values (1, 1), (2, 9),"
        " (3, null);",
        {
            "select id::text from tasks": [(uuid(2),)],
            "select id, p from c order by id": [(1, 1), (3, None)],
            DEFINITIONS.format("c"): [
                ("FOREIGN KEY (p) REFERENCES p(id)",),
                ("PRIMARY KEY (id)",),
            ],
        },
        (
            Refused("tasks", "session_id", "23503", uuid(9), "no row in sessions"),
            # The child of a row that leaves is an orphan too.
            Refused("tasks", "parent_task_id", "23503", uuid(3), "no row in tasks"),
            Refused("c", "p", "23503", 9, "no row in p"),
        ),
    ),
    Hazard(
        "orphans that are to be kept",
        "create table p (id integer primary key); create table c (id integer primary key,"
        " p int references p); insert into p values (1); insert into c values (1, 1), (2, 9);",
        {
            "select id, p from c order by id": [(1, 1), (2, 9)],
            DEFINITIONS.format("c"): [("PRIMARY KEY (id)",)],
        },
        options={"policies": Policies(orphans=Orphans.KEEP)},
    ),
    Hazard(
        "self-references and cycles",
        SESSIONS
        + session(uuid(1))
        + TASKS
        + task(uuid(2), uuid(1), parent=uuid(3))
        + task(uuid(3), uuid(1), parent=uuid(2))
        + task(uuid(4), uuid(1), parent=uuid(4))
        + "create table a (id integer primary key, b int references b, a int references a);"
        "create table b (id integer primary key, a int references a);"
        "insert into a values (1, 1, 1), (2, null, 1); insert into b values (1, 2);",
        {
            "select count(*) from tasks": [(3,)],
            "select id, b, a from a order by id": [(1, 1, 1), (2, None, 1)],
            "select count(*) from pg_constraint where contype = 'f'"
            " and conrelid in ('a'::regclass, 'b'::regclass)": [(3,)],
        },
    ),
    Hazard(
        "equal rows in a table without a key",
        "create table t (a int, b text); insert into t values (1, 'x'), (1, 'x'), (1, 'x'),"
        " (null, null), (null, null);",
        {"select a, b, count(*) from t group by 1, 2 order by 1": [(1, "x", 3), (None, None, 2)]},
    ),
    Hazard(
        "keys that are equal in PostgreSQL alone",
        SESSIONS
        + session(uuid(10))
        + session(uuid(10).upper())
        + "create table t (id char(36) primary key);"
        f"insert into t values ('{uuid(10)}'), ('{uuid(10).upper()}');",
        {
            "select id::text from sessions": [(uuid(10),)],
            "select count(*) from t": [(2,)],
        },
        (Refused("sessions", "id", "23505", uuid(10).upper(), "already there"),),
    ),
    Hazard(
        "rows that are equal in PostgreSQL alone, and orphans",
        SESSIONS
        + TASKS
        + task(uuid(10), uuid(9))
        + task(uuid(10).upper(), uuid(9))
        + "create table p (k text primary key); create table c (k text primary key references p);"
        "insert into c values ('x'), (x'78');",
        {"select count(*) from tasks": [(0,)], "select count(*) from c": [(0,)]},
        (
            Refused("tasks", "id", "23505", uuid(10).upper(), "already there"),
            Refused("tasks", "session_id", "23503", uuid(9), "no row in sessions"),
            Refused("c", "k", "23505", b"x", "already there"),
            Refused("c", "k", "23503", "x", "no row in p"),
        ),
    ),
    Hazard(
        "a path that is there twice",
        FILES + file(1) + f"insert into files values (2, '/1', 'n', 1, 0.5, 0, null, {WHEN});",
        {"select id from files": [(1,)]},
        (Refused("files", "path", "23505", "/1", "already there"),),
    ),
)
