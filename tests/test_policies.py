"""Policies change what the user said, count it, and nothing else; over both engines."""

from pathlib import Path

import pytest

from database.settings import Server
from tests.engines import ENGINES
from tests.migrations import LOGS, log_row, make, report
from tests.programs import query, run_module

WHEN = "2026-02-01 10:00:00"
#: policy → (flags, a row of logs that it is for, a query, its rows)
CASES: dict[str, tuple[list[str], str, str, list[tuple[object, ...]]]] = {
    "NUL stripped": (
        ["--nul", "strip"],
        log_row(1, message="cast(x'610062' as text)"),
        "select message from logs",
        [("ab",)],
    ),
    "NUL escaped": (
        ["--nul", "escape"],
        log_row(1, message="cast(x'610062' as text)"),
        "select message from logs",
        [("a\\u0000b",)],
    ),
    "NUL in JSON stripped": (
        ["--nul", "strip"],
        log_row(1).replace("null)", r"""'{"a": "x\u0000y", "b": "\\u0000"}')"""),
        "select metadata_blob from logs",
        [({"a": "xy", "b": "\\u0000"},)],
    ),
    "NUL in JSON escaped": (
        ["--nul", "escape"],
        log_row(1).replace("null)", r"""'{"a": "x\u0000y"}')"""),
        "select metadata_blob ->> 'a' from logs",
        [("x\\u0000y",)],
    ),
    "bad UTF-8 replaced": (
        ["--bad-utf8", "replace"],
        log_row(1, message="cast(x'61ff62' as text)"),
        "select message from logs",
        [("a\ufffdb",)],
    ),
    "bad UTF-8 is Windows-1252": (
        ["--bad-utf8", "cp1252"],
        log_row(1, message="cast(x'80e4' as text)"),
        "select message from logs",
        [("€ä",)],
    ),
    "seconds": (
        ["--epoch", "s"],
        log_row(1, when="1769940000"),
        "select timestamp::text from logs",
        [(WHEN,)],
    ),
    "milliseconds": (
        ["--epoch", "ms"],
        log_row(1, when="1769940000123"),
        "select timestamp::text from logs",
        [(f"{WHEN}.123",)],
    ),
    "microseconds": (
        ["--epoch", "us"],
        log_row(1, when="1769940000123456"),
        "select timestamp::text from logs",
        [(f"{WHEN}.123456",)],
    ),
    "seconds as a real": (
        ["--epoch", "s"],
        log_row(1, when="1769940000.5"),
        "select timestamp::text from logs",
        [(f"{WHEN}.5",)],
    ),
    "julian days": (
        ["--epoch", "julian"],
        log_row(1, when=f"julianday('{WHEN}')"),
        "select timestamp::text from logs",
        [(WHEN,)],
    ),
    "invalid JSON is a string": (
        ["--invalid-json", "string"],
        log_row(1).replace("null)", "'{oops')"),
        "select metadata_blob from logs",
        [("{oops",)],
    ),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", CASES)
def test_policy_changes_the_value_and_is_counted(
    database: Server, tmp_path: Path, name: str, engine: str
) -> None:
    flags, row, text, expected = CASES[name]
    source = make(tmp_path / "source.db", LOGS + row)
    code, _ = report(database, source, "--engine", engine)
    assert code == 5, "without the policy the row is refused"
    code, document = report(database, source, "--engine", engine, *flags)
    assert code == 0, document["quarantine"]
    assert query(database, text) == expected
    assert document["verdict"] == "verified"
    work = {"MIGRATION_DIR": tmp_path / "work"}
    assert run_module("migration", "verify", server=database, **work).returncode == 0


def test_column_before_table_before_everything(database: Server, tmp_path: Path) -> None:
    source = make(
        tmp_path / "source.db",
        """create table t (a text, b text); create table u (a text);
           insert into t values (cast(x'0061' as text), cast(x'0061' as text));
           insert into u values (cast(x'0061' as text));""",
    )
    policies = tmp_path / "policies.toml"
    # One key names the table in another case: SQLite's names mean the same in any case.
    policies.write_text(
        'nul = "quarantine"\n[tables.T]\nnul = "strip"\n[tables.T.columns.B]\nnul = "escape"\n'
    )
    code, document = report(
        database, source, "--policies", str(policies), "--nul", "escape", "--quarantine"
    )
    assert code == 0, document
    assert query(database, "select a, b from t") == [("a", "\\u0000a")]
    assert query(database, "select a from u") == [("\\u0000a",)]


def test_type_by_policy_and_a_table_that_stays_behind(database: Server, tmp_path: Path) -> None:
    source = make(
        tmp_path / "source.db",
        """create table t (id text, at integer); create table cache (a);
           insert into t values ('0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a11', 1769940000);
           insert into cache values (1);""",
    )
    policies = tmp_path / "policies.toml"
    policies.write_text(
        '[tables.t.columns.id]\ntype = "uuid"\n[tables.t.columns.at]\nepoch = "s"\n'
        "[tables.cache]\nskip = true\n"
    )
    code, document = report(database, source, "--policies", str(policies))
    assert code == 0, document
    assert query(database, "select pg_typeof(id)::text, at::text from t") == [("uuid", WHEN)]
    assert [(e["kind"], e["name"]) for e in document["not_carried"]] == [("table", "cache")]
    assert query(database, "select to_regclass('cache')") == [(None,)]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[tables.nope]\nskip = true", "nope, which the source has not"),
        ('[tables.t.columns.nope]\ntype = "uuid"', "t.nope, which the source has not"),
        ('[tables.t.columns.id]\ntype = "money"', "type 'money'"),
        ('nul = "drop"', "The policy nul is wrong"),
        ("nil = 1", "The policy nil is wrong"),
        ("nul = ", "Cannot read the policies"),
    ],
)
def test_wrong_policies_are_explained(
    database: Server, tmp_path: Path, text: str, complaint: str
) -> None:
    source = make(tmp_path / "source.db", "create table t (id text)")
    policies = tmp_path / "policies.toml"
    policies.write_text(text)
    work = {"MIGRATION_DIR": tmp_path / "work"}
    result = run_module(
        "migration", "plan", source, "--policies", policies, server=database, **work
    )
    assert result.returncode == 2, result.stderr
    assert complaint in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr
