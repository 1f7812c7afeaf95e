"""The report's form: documented, with a JSON Schema, and what a real run writes fits it."""

import contextlib
import json
import re
import sqlite3
from pathlib import Path

import pytest

from database.settings import Server
from migration.report.model import PARTS, Document
from tests.engines import ENGINES
from tests.programs import CHECKOUT, query, run_module

REFERENCE = CHECKOUT / "docs/reference"


def test_every_field_is_documented_as_the_code_has_it_and_no_other() -> None:
    page = (REFERENCE / "report.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE)
    fields = [
        (name, field.description) for part in PARTS for name, field in part.model_fields.items()
    ]
    assert rows == fields


def test_the_json_schema_is_that_of_the_code() -> None:
    written = json.loads((REFERENCE / "report.schema.json").read_text())
    assert written == Document.model_json_schema(), "write it anew from Document"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """create table t (id integer primary key, word text, n integer);
               create view v as select 1;
               create trigger g after insert on t begin select 1; end;
               insert into t values (1, 'fine', 1), (2, cast(x'61ff' as text), 2),
                   (3, cast(x'62fe' as text), 3), (4, 'x' || char(0), 4);"""
        )
    return path


@pytest.mark.parametrize("engine", ENGINES)
def test_a_real_report_fits_the_form_and_leads_to_every_row(
    database: Server, source: Path, engine: str
) -> None:
    work = source.parent / "work"
    run = ("migration", "run", source, "--engine", engine, "--json")
    stopped = run_module(*run, server=database, MIGRATION_DIR=work)
    assert stopped.returncode == 5, stopped.stderr
    assert Document.model_validate_json(stopped.stdout).verdict == "failed"
    (folder,) = work.iterdir()
    first = [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]
    assert [(row["id"], row["key"]) for row in first] == [(None, {"id": n}) for n in (2, 3, 4)]

    done = run_module(*run, "--quarantine", server=database, MIGRATION_DIR=work)
    report = Document.model_validate_json(done.stdout)
    assert report.verdict == "quarantined"
    assert [(cause.column, cause.rows) for cause in report.quarantine_causes] == [
        ("word", 2),
        ("word", 1),
    ]
    assert ("pgloader" in report.versions) == (engine == "pgloader")
    assert report.quarantine_file is not None
    lines = (folder / report.quarantine_file).read_text().splitlines()
    assert [json.loads(line)["values"] for line in lines] == [row["values"] for row in first]
    edited = source.parent / "edited.jsonl"
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row["values"]["word"] = "repaired"
    edited.write_text("\n".join(map(json.dumps, rows)))
    replay = ("migration", "quarantine", "replay", "--from", edited)
    assert run_module(*replay, server=database, MIGRATION_DIR=work).returncode == 0
    assert query(database, "select count(*) from t") == [(4,)]


def test_no_file_of_refused_rows_is_left_where_there_are_none(
    database: Server, source: Path
) -> None:
    work = source.parent / "work"
    options = ("--nul", "strip", "--bad-utf8", "replace")
    for arguments in ((), options):
        run_module("migration", "run", source, *arguments, server=database, MIGRATION_DIR=work)
    (folder,) = work.iterdir()
    report = Document.model_validate_json((folder / "report.json").read_text())
    assert report.verdict == "verified"
    assert not (folder / "quarantine.jsonl").exists()
    assert {(entry.policy, entry.rows) for entry in report.policies if entry.rows} == {
        ("nul", 1),
        ("bad_utf8", 2),
    }
