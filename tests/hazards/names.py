"""Names that PostgreSQL folds, cuts or reserves, and columns that one side lacks."""

from tests.hazards.hazard import Hazard
from tests.hazards.known import LOGS, WHEN

LONG = "ї" * 40


def _named(hazard: str, table: str, column: str) -> Hazard:
    """A created table and column of these names."""
    t, c = (name.replace('"', '""') for name in (table, column))
    script = (
        f'create table "{t}" (id integer primary key, "{c}" text unique);'
        f'create index "{t} i" on "{t}" ("{c}", id); insert into "{t}" values (1, \'v\');'
    )
    return Hazard(hazard, script, {f'select id, "{c}" from public."{t}"': [(1, "v")]})


NAMES = (
    _named("names in mixed case", "MyTable", "camelCase"),
    _named("reserved words as names", "select", "user"),
    _named("names with spaces", "my table ", " a column"),
    _named("names with quotes and other signs", 'it\'s "100%" {x} \\ `$1`', "a.b;--:%s"),
    _named("names in Cyrillic", "продажі", "Ціна"),
    _named("names with emoji", "🧪", "👩‍👩‍👧"),
    Hazard(
        "names over 63 bytes that collide when they are cut",
        f'create table "{LONG}" (a int); create table "{LONG}ї" (a int, "{"y" * 70}" int,'
        f' "{"y" * 71}" int); insert into "{LONG}" values (7);'
        f' insert into "{LONG}ї" values (1, 2, 3);',
        {
            f'select a from "{"ї" * 31}"': [(7,)],
            f'select * from "{"ї" * 30}_2"': [(1, 2, 3)],
        },
    ),
    Hazard(
        "names that collide when they are folded",
        'create table "Straße" (a int); create table "STRASSE" ("A_" int, "a__" int);'
        'create table "Їжак" (a int); create table "їжак" (a int);'
        'insert into "STRASSE" values (1, 2); insert into "Їжак" values (3);',
        {
            'select "A_", "a__" from "STRASSE"': [(1, 2)],
            'select a from "Їжак"': [(3,)],
            'select a from "їжак"': [],
        },
    ),
    Hazard(
        "tables that the target does not know",
        "create table dataset_1 (row_id integer primary key, v text);"
        "insert into dataset_1 values (1, 'x');",
        {
            "select row_id, v from dataset_1": [(1, "x")],
            "select tableowner::text from pg_tables where tablename = 'dataset_1'": [
                ("atlas_owner",)
            ],
        },
    ),
    Hazard(
        "a table of another project under a name of ours",
        "create table sessions (sid text primary key, data text, expires integer);"
        "insert into sessions values ('s', 'd', 1);",
        {
            "select count(*) from sessions": [(0,)],
            "select sid, data, expires from sessions_2": [("s", "d", 1)],
        },
    ),
    Hazard(
        "columns that the target does not know",
        LOGS + f"alter table logs add column colour text; insert into logs values"
        f" (1, null, {WHEN}, 'I', 's', 'm', null, 'red');",
        {"select id, colour from logs": [(1, "red")]},
    ),
    Hazard(
        "target columns that the source lacks",
        "create table logs (id integer primary key, timestamp datetime, level text, message text,"
        f" source text); insert into logs values (1, {WHEN}, 'I', 'm', 's');",
        {"select id, message, session_id, metadata_blob from logs": [(1, "m", None, None)]},
    ),
    Hazard(
        "another order of the columns",
        "create table logs (message text, metadata_blob json, source text, level text,"
        " timestamp datetime, id integer primary key);"
        f"insert into logs values ('m', '[]', 's', 'l', {WHEN}, 7);",
        {
            "select id, timestamp::text, level, source, message, metadata_blob::text from logs": [
                (7, "2026-02-01 10:00:00", "l", "s", "m", "[]")
            ]
        },
    ),
)
