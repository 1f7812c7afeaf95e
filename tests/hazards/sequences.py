"""The next id after the migration."""

from tests.hazards.hazard import Hazard
from tests.hazards.known import LOGS, log

SEQUENCES = (
    Hazard(
        "AUTOINCREMENT's high-water mark above max(id)",
        LOGS.replace("primary key", "primary key autoincrement")
        + log(7)
        + log(90)
        + "delete from logs where id = 90;"
        "create table t (id integer primary key autoincrement, v text);"
        "insert into t values (7, 'a'), (41, 'b'); delete from t where id = 41;"
        "create table e (id integer primary key autoincrement); insert into e values (5);"
        "delete from e;",
        {
            "insert into logs (timestamp, level, source, message) values (now(), 'I', 's', 'm')"
            " returning id": [(91,)],
            "insert into t (v) values ('c') returning id": [(42,)],
            "insert into e default values returning id": [(6,)],
        },
    ),
    Hazard(
        "ids that come from the rowid",
        "create table t (id integer primary key, v text); insert into t values (7, 'a');",
        {"insert into t (v) values ('c') returning id": [(8,)]},
    ),
)
