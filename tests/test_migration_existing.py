"""A target that holds rows: refused, replaced, or merged with; then proven as any other."""

import subprocess
from pathlib import Path

import pytest

from database.settings import Server
from tests.engines import ENGINES
from tests.migrations import LOGS, log_row, make, migrate, report
from tests.programs import dump, query, run_module

KEYLESS = "create table bag (v text, n integer);"
FILES = """create table files (id integer primary key, path varchar(500), name varchar(255),
    size integer, mtime float, is_dir boolean, content_hash text, last_scanned datetime);
"""


def file_row(number: int, path: str) -> str:
    return f"insert into files values ({number}, '{path}', 'n', 1, 0.5, 0, null, '2026-02-01');\n"


def verify(server: Server, folder: Path) -> subprocess.CompletedProcess[str]:
    return run_module("migration", "verify", server=server, MIGRATION_DIR=folder / "work")


def counts(document: dict[str, object], table: str) -> tuple[int, int, int, int]:
    tables = document["tables"]
    assert isinstance(tables, list)
    (entry,) = (entry for entry in tables if entry["target"] == table)
    found = (
        entry["rows_source"],
        entry["rows_loaded"],
        entry["rows_quarantined"],
        entry["rows_already_there"],
    )
    assert found[0] == sum(found[1:])
    return found


@pytest.fixture
def occupied(database: Server, tmp_path: Path) -> Server:
    """A target that another source's rows are in: logs 1 to 3, three rows in a keyless table."""
    first = make(
        tmp_path / "first.db",
        LOGS
        + log_row(1)
        + log_row(2, "'two'")
        + log_row(3)
        + KEYLESS
        + "insert into bag values ('a', 1), ('a', 1), ('b', null);",
    )
    assert migrate(database, first).returncode == 0
    return database


def test_replace_empties_the_tables_and_says_how_many_rows(
    occupied: Server, tmp_path: Path
) -> None:
    source = make(tmp_path / "second.db", LOGS + log_row(2, "'new'") + log_row(9))
    assert "--replace" in migrate(occupied, source).stderr
    result = migrate(occupied, source, "--replace")
    assert result.returncode == 0, result.stderr
    assert "3 rows that were there before were replaced" in result.stdout
    assert query(occupied, "select id, message from logs order by 1") == [(2, "new"), (9, "m")]
    assert query(occupied, "select count(*) from bag") == [(3,)], "the source has no such table"
    assert verify(occupied, tmp_path).returncode == 0
    code, document = report(occupied, source, "--replace")
    assert code == 0, "it runs again"
    assert document["tables"][0]["rows_thrown_away"] == 2
    assert query(occupied, "select count(*) from migration.run") == [(3,)]


def test_replace_that_fails_leaves_the_rows(occupied: Server, tmp_path: Path) -> None:
    before = dump(occupied)
    source = make(tmp_path / "second.db", LOGS + log_row(5, when="'soon'"))
    assert migrate(occupied, source, "--replace").returncode == 5
    assert dump(occupied) == before


def test_replace_is_refused_where_other_tables_refer_to_the_rows(
    occupied: Server, tmp_path: Path
) -> None:
    query(
        occupied,
        """create schema other; create table other.notes (log_id integer references public.logs);
           insert into other.notes values (2), (null)""",
    )
    source = make(tmp_path / "second.db", LOGS + log_row(9))
    assert "other.notes (may not be read)" in migrate(occupied, source, "--replace").stderr
    query(occupied, "grant usage on schema other to atlas_owner")
    query(occupied, "grant select on other.notes to atlas_owner")
    before = dump(occupied)
    result = migrate(occupied, source, "--replace")
    assert result.returncode == 4
    assert "other.notes (1 rows)" in result.stderr
    assert dump(occupied) == before


@pytest.mark.parametrize("engine", ENGINES)
def test_merge_adds_new_rows_and_counts_equal_ones(
    occupied: Server, tmp_path: Path, engine: str
) -> None:
    source = make(
        tmp_path / "second.db",
        LOGS
        + log_row(2, "'two'")
        + log_row(3)
        + log_row(7)
        + KEYLESS
        + "insert into bag values ('a', 1), ('a', 1), ('a', 1), ('b', null), ('c', 2);",
    )
    code, document = report(occupied, source, "--merge", "--engine", engine)
    assert code == 0, document
    assert counts(document, "logs") == (3, 1, 0, 2)
    assert counts(document, "bag") == (5, 2, 0, 3)
    assert query(occupied, "select id, message from logs order by 1") == [
        (1, "m"),
        (2, "two"),
        (3, "m"),
        (7, "m"),
    ]
    assert query(occupied, "select v, n, count(*) from bag group by 1, 2 order by 1") == [
        ("a", 1, 3),
        ("b", None, 1),
        ("c", 2, 1),
    ]
    assert verify(occupied, tmp_path).returncode == 0
    assert "Already migrated" in migrate(occupied, source, "--merge").stdout
    result = migrate(occupied, tmp_path / "first.db", "--merge")
    assert result.returncode == 0, result.stderr
    assert "6 rows in the source = 0 loaded + 0 quarantined + 6 already there" in result.stdout


@pytest.mark.parametrize("engine", ENGINES)
def test_merge_refuses_another_row_under_a_key_that_is_there(
    occupied: Server, tmp_path: Path, engine: str
) -> None:
    source = make(tmp_path / "second.db", LOGS + log_row(2, "'other'") + log_row(7))
    before = dump(occupied)
    code, document = report(occupied, source, "--merge", "--engine", engine)
    assert code == 5
    assert dump(occupied) == before
    code, document = report(occupied, source, "--merge", "--quarantine", "--engine", engine)
    assert code == 5
    assert counts(document, "logs") == (2, 1, 1, 0)
    (entry,) = document["quarantine"]
    assert entry["sqlstate"] == "23505"
    assert "was in the target before; unique key logs_pkey" in entry["reason"]
    assert query(occupied, "select message from logs where id in (2, 7) order by id") == [
        ("two",),
        ("m",),
    ]
    assert verify(occupied, tmp_path).returncode == 0


def test_merge_looks_at_every_unique_key(database: Server, tmp_path: Path) -> None:
    assert migrate(database, make(tmp_path / "a.db", FILES + file_row(1, "x"))).returncode == 0
    source = make(tmp_path / "b.db", FILES + file_row(2, "x") + file_row(3, "y"))
    code, document = report(database, source, "--merge", "--quarantine")
    assert code == 5
    assert counts(document, "files") == (2, 1, 1, 0)
    assert "files_path_key" in document["quarantine"][0]["reason"]


def test_merge_looks_at_unique_indexes_of_expressions_and_of_some_rows(
    database: Server, tmp_path: Path
) -> None:
    table = "create table u (name text, active integer, n integer);"
    first = make(tmp_path / "a.db", table + "insert into u values ('Ann', 1, 1);")
    assert migrate(database, first).returncode == 0
    query(database, "create unique index u_one on u (lower(name)) where active = 1")
    second = make(
        tmp_path / "b.db",
        table + "insert into u values ('ANN', 1, 2), ('ann', 0, 3), ('ann', 0, 4), ('Bob', 1, 5);",
    )
    code, document = report(database, second, "--merge", "--quarantine")
    assert code == 5
    assert counts(document, "u") == (4, 3, 1, 0)
    assert "u_one" in document["quarantine"][0]["reason"]
    assert query(database, "select n from u order by n") == [(1,), (3,), (4,), (5,)]


def test_merge_finds_parents_among_the_rows_that_were_there(
    database: Server, tmp_path: Path
) -> None:
    family = """create table p (id integer primary key); create table c (p integer references p);
    """
    first = make(tmp_path / "a.db", family + "insert into p values (1); insert into c values (1);")
    assert migrate(database, first).returncode == 0
    second = make(
        tmp_path / "b.db",
        family + "insert into p values (2); insert into c values (1), (1), (2), (3);",
    )
    code, document = report(database, second, "--merge", "--quarantine")
    assert code == 5
    assert counts(document, "c") == (4, 2, 1, 1)
    assert document["quarantine"][0]["sqlstate"] == "23503"
    assert query(database, "select p from c order by 1") == [(1,), (1,), (2,)]


def test_numbers_go_on_above_both_sides_of_a_merge(occupied: Server, tmp_path: Path) -> None:
    query(occupied, "alter table logs alter column id restart with 50")
    query(
        occupied,
        """insert into logs (timestamp, level, source, message) values (now(), 'I', 's', 'm');
           delete from logs where id = 50""",
    )
    source = make(tmp_path / "second.db", LOGS + log_row(7))
    assert migrate(occupied, source, "--merge").returncode == 0
    insert = """insert into logs (timestamp, level, source, message)
                values (now(), 'I', 's', 'm') returning id"""
    assert query(occupied, insert) == [(51,)]


def test_verify_after_a_merge_finds_what_changed_since(occupied: Server, tmp_path: Path) -> None:
    source = make(tmp_path / "second.db", LOGS + log_row(2, "'two'") + log_row(7))
    assert migrate(occupied, source, "--merge").returncode == 0
    for change, words in (
        ("update logs set message = 'x' where id = 7", "logs [7] message: source m, target x"),
        ("update logs set message = 'x' where id = 2", "logs [2] message: source two, target x"),
        ("delete from logs where id = 7", "logs [7]: source a row, target missing"),
        ("update logs set message = 'x' where id = 1", "changed since"),
    ):
        before = query(occupied, "select id, message from logs")
        query(occupied, change)
        result = verify(occupied, tmp_path)
        assert result.returncode == 6, change
        assert words in result.stdout, result.stdout
        query(occupied, "delete from logs")
        for number, message in before:
            query(
                occupied,
                """insert into logs (id, timestamp, level, source, message)
                   values (%s, '2026-02-01 10:00:00', 'INFO', 's', %s)""",
                number,
                message,
            )
    assert verify(occupied, tmp_path).returncode == 0


def test_verify_says_where_an_older_version_noted_other_digests(
    occupied: Server, tmp_path: Path
) -> None:
    source = make(tmp_path / "second.db", LOGS + log_row(7))
    assert migrate(occupied, source, "--merge").returncode == 0
    query(
        occupied,
        "update migration.run set report = jsonb_set(report, '{schema_version}', '2')",
    )
    result = verify(occupied, tmp_path)
    assert result.returncode == 4
    assert "with the version that made it" in result.stderr


def test_merge_that_would_change_a_row_that_was_there_fails(
    occupied: Server, tmp_path: Path
) -> None:
    query(
        occupied,
        """create function touch() returns trigger language plpgsql as $$
           begin update public.logs set message = 'touched' where id = 1; return new; end $$;
           create trigger touch before insert on logs for each row execute function touch()""",
    )
    before = dump(occupied)
    result = migrate(occupied, make(tmp_path / "second.db", LOGS + log_row(7)), "--merge")
    assert result.returncode == 6
    assert "Source and target differ in logs. Nothing was changed." in result.stderr
    assert dump(occupied) == before


def test_merge_and_replace_exclude_each_other(database: Server, tmp_path: Path) -> None:
    source = make(tmp_path / "source.db", LOGS + log_row(1))
    result = migrate(database, source, "--merge", "--replace")
    assert result.returncode == 2
    assert "exclude each other" in result.stderr


def test_loaded_tables_have_statistics_at_once(database: Server, tmp_path: Path) -> None:
    rows = "".join(log_row(number) for number in range(1, 200))
    source = make(tmp_path / "source.db", LOGS + rows + KEYLESS + "insert into bag values ('a', 1)")
    code, document = report(database, source)
    assert code == 0
    assert "analyze" in [phase["name"] for phase in document["phases"]]
    assert query(
        database,
        """select tablename, count(*) > 0 from pg_stats
           where tablename in ('logs', 'bag') group by 1 order by 1""",
    ) == [("bag", True), ("logs", True)]
