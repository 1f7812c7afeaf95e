"""Tables that sql/ does not know arrive with what they declare, as far as PostgreSQL has it."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from database.settings import Server
from tests.migrations import make, report
from tests.programs import query, run_module

INDEXES = "select indexdef from pg_indexes where tablename = 't' order by 1"
CONSTRAINTS = (
    "select pg_get_constraintdef(oid) from pg_constraint where conrelid = 't'::regclass"
    " and contype <> 'n' order by 1"
)


def migrated(
    server: Server, folder: Path, script: str, *options: str, code: int = 0
) -> dict[str, object]:
    """The report of a run over a database that `script` makes."""
    found, document = report(server, make(folder / "source.db", script), *options)
    assert found == code, (document["not_carried"], document["quarantine"])
    return document


def left_out(document: dict[str, object]) -> list[tuple[str, str]]:
    entries = document["not_carried"]
    assert isinstance(entries, list)
    return [(entry["kind"], entry["name"]) for entry in entries]


def test_checks_hold_for_new_rows(database: Server, tmp_path: Path) -> None:
    document = migrated(
        database,
        tmp_path,
        """create table t (id integer primary key, age int check (age >= 0),
               status text constraint status_known check (status in ('new', 'done')),
               done boolean check (done in (0, 1)), check (length(status) < 10 or age is null));
           insert into t values (1, 30, 'new', 0), (2, null, 'done', 1);""",
    )
    assert left_out(document) == []
    for row in ("3, -1, 'new', true", "3, 1, 'old', true"):
        with pytest.raises(psycopg.errors.CheckViolation):
            query(database, f"insert into t values ({row})")
    query(database, "insert into t values (3, 1, 'new', true)")


def test_check_that_rows_break_in_sqlite_too_quarantines_them(
    database: Server, tmp_path: Path
) -> None:
    script = """create table t (id integer primary key, age int check (age >= 0));
        pragma ignore_check_constraints = on; insert into t values (1, 5), (2, -5);"""
    document = migrated(database, tmp_path, script, "--quarantine", code=5)
    assert document["quarantine"][0]["sqlstate"] == "23514"  # type: ignore[index]
    assert query(database, "select age from t") == [(5,)]


def test_check_that_is_broken_and_cannot_be_computed_is_said(
    database: Server, tmp_path: Path
) -> None:
    """Found by random databases: after the first row broke it, the others stopped the run."""
    script = """create table t (a real not null, check (cast(a as integer)));
        pragma ignore_check_constraints = on; insert into t values (0), (9223372036854775296);"""
    document = migrated(database, tmp_path, script)
    assert left_out(document) == [("check", "t.t_check")]
    assert query(database, "select count(*) from t") == [(2,)]


def test_check_that_cannot_mean_the_same_is_said(database: Server, tmp_path: Path) -> None:
    script = (
        """create table t (a text, b text check (a glob b)); insert into t values ('x', '*');"""
    )
    document = migrated(database, tmp_path, script)
    assert left_out(document) == [("check", "t")]


@pytest.mark.parametrize(
    ("declaration", "value"),
    [
        ("int default 7", 7),
        ("int default -7", -7),
        ("text default 'it''s'", "it's"),
        ("boolean default 1", True),
        ("real default 0.5", 0.5),
        ("text default null", None),
        ("blob default x'00ff'", b"\x00\xff"),
    ],
)
def test_default_holds_for_new_rows(
    database: Server, tmp_path: Path, declaration: str, value: object
) -> None:
    script = f"create table t (id integer primary key, v {declaration}); insert into t values (1, "
    sample = {"int": "1", "text": "'a'", "boolean": "0", "real": "1.5", "blob": "x'01'"}
    script += f"{sample[declaration.split(maxsplit=1)[0]]});"
    assert left_out(migrated(database, tmp_path, script)) == []
    assert query(database, "insert into t (id) values (2) returning v") == [(value,)]


def test_fractions_close_to_the_next_second_are_times(database: Server, tmp_path: Path) -> None:
    """SQLite rounds them up: one such value used to make texts of all."""
    script = "create table t (at datetime); insert into t values ('2026-02-01 10:00:00.999700');"
    migrated(database, tmp_path, script)
    assert query(database, "select at::text, pg_typeof(at)::text from t") == [
        ("2026-02-01 10:00:00.9997", "timestamp without time zone")
    ]


def test_current_timestamp_is_utc_as_in_sqlite(database: Server, tmp_path: Path) -> None:
    script = """create table t (id integer primary key, at datetime default current_timestamp);
        insert into t (id) values (1);"""
    assert left_out(migrated(database, tmp_path, script)) == []
    query(database, "set timezone = 'Asia/Tokyo'; insert into t (id) values (2)")
    assert query(
        database, "select abs(extract(epoch from at - timezone('UTC', now()))) < 600 from t"
    ) == [(True,), (True,)]


def test_generated_columns_stay_generated_where_they_compute_the_same(
    database: Server, tmp_path: Path
) -> None:
    script = """create table t (id integer primary key autoincrement, a int,
            twice int generated always as (a * 2) stored, name text,
            upper_name text as (upper(name)) virtual, half real as (a / 0) virtual);
        insert into t (a, name) values (3, 'é'), (-4, 'b');"""
    document = migrated(database, tmp_path, script)
    assert all(kind == "generated column" for kind, _ in left_out(document))
    assert query(database, "select id, a, twice, name, upper_name from t order by id") == [
        (1, 3, 6, "é", "é"),
        (2, -4, -8, "b", "B"),
    ]
    query(database, "insert into t (a, name) values (5, 'c')")
    assert query(database, "select id, twice, upper_name from t where a = 5") == [(3, 10, "C")]
    assert query(database, "select pg_get_serial_sequence('t', 'id')") == [("public.t_id_seq",)]


def test_every_kind_of_index_arrives(database: Server, tmp_path: Path) -> None:
    script = """create table t (id integer primary key, name text collate nocase unique, n int,
            deleted boolean, at datetime);
        create index by_n on t (n desc, name); create index live on t (at) where deleted = 0;
        create index lower_name on t (lower(name)); create unique index sum on t (n + id);
        insert into t values (1, 'Ä', 1, 0, null), (2, 'ä', 2, 1, null), (3, 'b', 3, 0, null);"""
    assert left_out(migrated(database, tmp_path, script)) == []
    found = "\n".join(str(row[0]) for row in query(database, INDEXES))
    for part in ("by_n ON public.t USING btree (n DESC", "(at) WHERE (NOT deleted)", 'COLLATE "C"'):
        assert part in found, found
    with pytest.raises(psycopg.errors.UniqueViolation):
        query(database, "insert into t values (4, 'B', 9, false, null)")


def test_orphans_are_quarantined_or_kept_by_policy(database: Server, tmp_path: Path) -> None:
    script = """create table p (id integer primary key);
        create table t (id integer primary key, p int references p on delete cascade);
        insert into p values (1); insert into t values (1, 1), (2, 99);"""
    document = migrated(database, tmp_path, script, "--orphans", "keep")
    assert ("foreign key", "t.t_p_fkey") in left_out(document)
    assert query(database, "select count(*) from t") == [(2,)]


def test_foreign_key_that_most_rows_break_is_no_key(database: Server, tmp_path: Path) -> None:
    script = """create table p (id integer primary key); create table t (p int references p);
        insert into p values (1), (2); insert into t values (1), (2);
        with recursive n(i) as (select 100 union all select i + 1 from n where i < 300)
        insert into t select i from n;"""
    assert ("foreign key", "t.t_p_fkey") in left_out(migrated(database, tmp_path, script))
    assert query(database, "select count(*) from t") == [(203,)]


def test_foreign_key_joins_columns_of_one_type(database: Server, tmp_path: Path) -> None:
    script = """create table p (code text primary key); create table t (p references p, q int,
            parent datetime references p);
        insert into p values ('1'), ('2'); insert into t values ('1', 1, null);"""
    assert left_out(migrated(database, tmp_path, script)) == []
    assert query(database, CONSTRAINTS) == [
        ("FOREIGN KEY (p) REFERENCES p(code)",),
        ("FOREIGN KEY (parent) REFERENCES p(code)",),
    ]


def test_deferred_foreign_key_stays_deferred(database: Server, tmp_path: Path) -> None:
    script = """create table t (id integer primary key,
            next int references t deferrable initially deferred); insert into t values (1, 1);"""
    migrated(database, tmp_path, script)
    assert query(database, CONSTRAINTS)[0][0] == (
        "FOREIGN KEY (next) REFERENCES t(id) DEFERRABLE INITIALLY DEFERRED"
    )


def test_key_with_nulls_becomes_a_unique_index(database: Server, tmp_path: Path) -> None:
    script = "create table t (k text primary key); insert into t values ('a'), (null), (null);"
    assert ("primary key", "t") in left_out(migrated(database, tmp_path, script))
    assert query(database, "select count(*) from t where k is null") == [(2,)]
    with pytest.raises(psycopg.errors.UniqueViolation):
        query(database, "insert into t values ('a')")


def test_names_that_differ_in_the_case_of_other_letters_are_two_names(
    database: Server, tmp_path: Path
) -> None:
    """SQLite folds the case of ASCII letters only, in tables' names as in columns'."""
    script = """create table parent (id integer primary key); insert into parent values (1);
        create table "їжак" ("є" int not null references PARENT, "Є" text);
        create table "ЇЖАК" ("Є" int not null references parent (ID), check ("Є" > 0));
        create view "вид" as select "є", "Є" from "їжак";
        insert into "їжак" values (1, 'small'); insert into "ЇЖАК" values (1);"""
    document = migrated(database, tmp_path, script)
    assert document["verdict"] == "verified"
    assert left_out(document) == []
    assert query(database, 'select "є", "Є" from "вид"') == [(1, "small")]
    assert query(database, 'select "Є" from "ЇЖАК"') == [(1,)]


def test_descending_integer_key_is_no_rowid(database: Server, tmp_path: Path) -> None:
    """SQLite lets it be NULL, as any key but the rowid; enough rows to be read in parts."""
    script = """create table t (k integer primary key desc, v text);
        with recursive numbers (n) as (select 1 union all select n + 1 from numbers limit 30000)
        insert into t select n, 'row' from numbers;
        insert into t values (null, 'first'), (null, 'second');"""
    document = migrated(database, tmp_path, script)
    assert ("primary key", "t") in left_out(document)
    assert document["verdict"] == "verified"
    assert query(database, "select count(*), count(k) from t") == [(30_002, 30_000)]


def test_table_of_another_shape_is_not_poured_into_ours(database: Server, tmp_path: Path) -> None:
    script = """create table sessions (id integer primary key, session_id text, data text);
        create index ix_logs_timestamp on sessions (data);
        insert into sessions values (60, 'a', 'b');"""
    document = migrated(database, tmp_path, script)
    assert query(database, "select * from sessions_2") == [(60, "a", "b")]
    assert query(database, "select count(*) from sessions") == [(0,)]
    assert query(
        database, "select indexname from pg_indexes where tablename = 'sessions_2' order by 1"
    ) == [
        ("ix_logs_timestamp_2",),
        ("sessions_2_pkey",),
    ]
    assert document["verdict"] == "verified"


def test_empty_geometry_is_for_blobs(database: Server, tmp_path: Path) -> None:
    migrated(database, tmp_path, "create table t (at point, n mediumint);")
    assert query(
        database,
        "select format_type(atttypid, null) from pg_attribute"
        " where attrelid = 't'::regclass and attnum > 0 order by attnum",
    ) == [("bytea",), ("bigint",)]


def test_views_arrive_with_what_they_show(database: Server, tmp_path: Path) -> None:
    script = """create table t (id integer primary key, "Group" text, n int,
            at datetime);
        create view totals as select "group", count(*) as number, sum(n) total from t
            group by "Group" order by 1;
        create view z_first as select * from a_second where number > 1;
        create view a_second as select t."Group" as g, number from t join totals using ("Group");
        create view names as select group_concat("Group", ', ') from t;
        create view odd as select typeof(n), load_extension('x') from t;
        create view broken as select * from nowhere;
        insert into t values (1, 'a', 5, '2026-02-01 10:00:00'), (2, 'a', 7, null);"""
    document = migrated(database, tmp_path, script)
    assert left_out(document) == [("view", "broken"), ("view", "odd")]
    assert query(database, "select * from totals", role="atlas") == [("a", 2, 12)]
    assert query(database, "select count(*) from z_first") == [(2,)]
    assert query(
        database, "select reloptions from pg_class where relname = 'totals'", role="mcp_read"
    ) == [(["security_invoker=true"],)]


def test_plan_says_what_becomes_of_everything(database: Server, tmp_path: Path) -> None:
    source = make(
        tmp_path / "source.db",
        """create table p (id integer primary key);
           create table t (a int default 7 check (a > 0), b text collate nocase, p int references p,
               c int as (a * 2), d datetime, e text check (e glob b));
           create index by_b on t (b) where a > 1; create view v as select a from t;
           create trigger g after insert on t begin select 1; end;
           insert into t (a, b, p) values (1, 'x', 5), (2, cast(x'61ff' as text), null);
           create table logs (id integer primary key, session_id text, timestamp datetime,
               level text, source text, message text, metadata_blob json);
           insert into logs values (1, null, 1769940000, 'INFO', 's', 'a' || char(0), '{');""",
    )
    work: dict[str, Any] = {"MIGRATION_DIR": tmp_path / "work"}
    result = run_module("migration", "plan", source, server=database, COLUMNS=400, **work)
    assert result.returncode == 0, result.stderr
    text = " ".join(result.stdout.split())
    for said in (
        "default 7",
        'generated as ("a" * 2)',
        'by_b ((lower("b" COLLATE "C"))) where "a" > 1',
        't_check ("a" > 0)',
        "(p) → p (id)",
        'SELECT "t"."a" AS "a" FROM "public"."t" AS "t"',
        "not carried: trigger g",
        "not carried: check t: (e glob b)",
        "expected: t: 1 value: no parent for p → p: quarantined (23503)",
        "expected: t.b: 1 value: text that is not UTF-8: quarantined",
        "expected: logs.timestamp: 1 value: a number in a column of times: quarantined (22007);"
        " 1 of them look like the policy epoch = 's'",
        "expected: logs.message: 1 value: a NUL character in text: quarantined",
        "expected: logs.metadata_blob: 1 value: text that is no JSON: quarantined",
        "estimate: about",
    ):
        assert said in text, said
    machine = run_module("migration", "plan", source, "--json", server=database, **work)
    assert json.loads(machine.stdout)["estimate"]["seconds"] >= 0
    assert query(database, "select to_regclass('t')") == [(None,)], "a plan changes nothing"


def test_profile_says_what_the_values_are(tmp_path: Path) -> None:
    source = make(
        tmp_path / "source.db",
        """create table p (id integer primary key);
           create table t (k text primary key, u text, d datetime, j text, n, p int references p);
           insert into t values ('a', '0B0E7A526F0E4A6E9D392F6A3A3F0A11', '2026-02-01T10:00:00Z',
                   '{}', 1, 9),
               (null, '0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a11', '0000-00-00', '[', 1.5, null),
               ('b', cast(x'ff' as text), '2026-02-01', '1', 'x' || char(0), null),
               ('c', '', 1769940000123, null, x'00', null), ('d', null, 2460000.5, null, 2, null);
        """,
    )
    work: dict[str, Any] = {"MIGRATION_DIR": tmp_path / "work"}
    result = run_module("migration", "profile", source, "--json", **work)
    assert result.returncode == 0, result.stderr
    table = next(t for t in json.loads(result.stdout)["tables"] if t["table"]["name"] == "t")
    facts = table["columns"]
    assert (table["null_keys"], table["duplicate_keys"], table["orphans"]) == (1, 0, {"p → p": 1})
    assert (facts["u"]["uuids"], facts["u"]["uuids_other"], facts["u"]["bad_utf8"]) == (1, 1, 1)
    assert facts["j"]["json_valid"] == 2
    assert (facts["n"]["integers"], facts["n"]["reals"], facts["n"]["blobs"]) == (2, 1, 1)
    assert (facts["n"]["smallest"], facts["n"]["largest"], facts["n"]["with_nul"]) == (1, 2, 1)
    forms = {name: count for name, count in facts["d"]["date_forms"].items() if count}
    assert forms == {"with_offset": 1, "zero": 1, "date_only": 1, "epoch_ms": 1, "julian": 1}
    shown = run_module("migration", "profile", source, COLUMNS=400, **work).stdout
    for said in ("1 rows with NULL in the primary key", "1 orphans: p → p", "1 not UTF-8"):
        assert said in shown, said
