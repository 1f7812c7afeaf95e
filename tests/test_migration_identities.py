"""New rows are numbered above every number that was ever given, or the report says they cannot."""

from pathlib import Path

import psycopg
import pytest

from database.settings import Server
from tests.engines import ENGINES
from tests.migrations import make, migrate, report
from tests.programs import query

AUTO = "create table t (id integer primary key autoincrement, v text);"
PLAIN = "create table t (id integer primary key, v text);"
LAST = 2**63 - 1

NEXT = {
    "an empty table": (AUTO, 1),
    "a deleted row": (AUTO + "insert into t values (7, 'a'), (41, 'b'); delete from t", 42),
    "a mark that was raised by hand": (
        AUTO + "insert into t values (7, 'a'); update sqlite_sequence set seq = 1000",
        1001,
    ),
    "a mark that was lowered by hand": (
        AUTO + "insert into t values (7, 'a'); update sqlite_sequence set seq = 2",
        8,
    ),
    "negative numbers alone": (PLAIN + "insert into t values (-5, 'a'), (-2, 'b')", 1),
    "negative numbers and others": (PLAIN + "insert into t values (-5, 'a'), (3, 'b')", 4),
    "the last number but one": (PLAIN + f"insert into t values ({LAST - 1}, 'a')", LAST),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", NEXT, ids=str)
def test_the_next_row_gets_the_next_number(
    database: Server, tmp_path: Path, case: str, engine: str
) -> None:
    script, expected = NEXT[case]
    result = migrate(database, make(tmp_path / "s.db", script + ";"), "--engine", engine)
    assert result.returncode == 0, result.stderr
    assert query(database, "insert into t (v) values ('c') returning id") == [(expected,)]


EXHAUSTED = {
    "the last number is taken": PLAIN + f"insert into t values ({LAST}, 'a');",
    "the last number was deleted": AUTO + f"insert into t values ({LAST}, 'a'); delete from t;",
}


@pytest.mark.parametrize("case", EXHAUSTED, ids=str)
def test_numbers_that_are_used_up_are_said(database: Server, tmp_path: Path, case: str) -> None:
    code, document = report(database, make(tmp_path / "s.db", EXHAUSTED[case]))
    assert code == 0
    (entry,) = document["not_carried"]
    assert (entry["kind"], entry["name"]) == ("identity", "t.id")
    assert "used up" in entry["why"]
    with pytest.raises(psycopg.errors.SequenceGeneratorLimitExceeded):
        query(database, "insert into t (v) values ('c')")
    assert query(database, "insert into t values (5, 'c') returning id") == [(5,)]


def test_numbers_of_a_smaller_type_end_earlier(database: Server, tmp_path: Path) -> None:
    last = 2**31 - 1
    script = f"""
        create table logs (id integer primary key autoincrement, timestamp datetime, level text,
            source text, message text, metadata_blob json, session_id text);
        insert into logs values ({last}, '2026-02-01', 'I', 's', 'm', null, null);"""
    code, document = report(database, make(tmp_path / "s.db", script))
    assert code == 0
    assert f"{last} is the last" in document["not_carried"][0]["why"]


def test_a_serial_goes_on_too(database: Server, tmp_path: Path) -> None:
    query(database, "create table t (id bigserial primary key, v text)", role="postgres")
    query(database, "alter table t owner to atlas_owner")
    source = make(tmp_path / "s.db", PLAIN + "insert into t values (12, 'a');")
    assert migrate(database, source).returncode == 0
    assert query(database, "insert into t (v) values ('c') returning id") == [(13,)]
