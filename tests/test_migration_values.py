"""Any value that a column can hold arrives exactly, or is refused by name: on random values."""

import contextlib
import math
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.errors import UntranslatableCharacter
from rich.console import Console

from database.connect import connect
from database.settings import Server
from migration.canonical_json import canonical_json
from migration.load import EngineName
from migration.progress import Steps
from migration.run import Options, Outcome, migrate
from tests.programs import query

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
HARD_TEXT = st.sampled_from(
    [
        "",
        "\\N",
        "\\.",
        "\t",
        "\n",
        "\r\n",
        "\\",
        "'",
        '"',
        "NULL",
        "\x01",
        "\x7f",
        "é\u0301",
        "🧪",
        "a\0b",
        # What the proof puts between fields, and for NULL.
        "\x1f",
        "\x1f0",
        "\x1f;",
        "\x1f\x1f;",
    ]
)
INTEGER = st.integers(-(2**63), 2**63 - 1)
REAL = st.floats(allow_nan=False)
ANY = st.one_of(
    st.none(), INTEGER, st.integers(-3, 3), REAL, TEXT, HARD_TEXT, st.binary(max_size=20)
)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGER | REAL.filter(math.isfinite) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
DECLARED = st.sampled_from(
    ["", "integer", "real", "text", "blob", "numeric", "decimal(10,2)", "boolean", "datetime",
     "date", "json", "varchar(3)"]
)  # fmt: skip

slow = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def run(server: Server, source: Path, work: Path) -> Outcome:
    options = Options(source, work, EngineName.COPY, quarantine=True)
    return migrate(server, options, Steps(Console(quiet=True)))


@slow
@given(
    declared=st.lists(DECLARED, min_size=1, max_size=4),
    rows=st.lists(st.tuples(ANY, ANY, ANY, ANY), max_size=12),
)
def test_random_table_is_verified_or_explained(
    database: Server, declared: list[str], rows: list[tuple[object, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.db"
        columns = ", ".join(f'"c{n}" {kind}' for n, kind in enumerate(declared))
        with contextlib.closing(sqlite3.connect(source)) as connection:
            connection.execute(f"create table t ({columns})")
            marks = ", ".join("?" * len(declared))
            values = [row[: len(declared)] for row in rows]
            connection.executemany(f"insert into t values ({marks})", values)
            connection.commit()
        try:
            outcome = run(database, source, Path(folder))
            assert outcome.report.data["verdict"] in ("verified", "quarantined")
            table = outcome.report.data["tables"][0]
            assert table["verified"]
            assert table["rows_source"] == table["rows_loaded"] + table["rows_quarantined"]
            assert table["rows_source"] == len(rows)
            assert query(database, "select count(*) from t") == [(table["rows_loaded"],)]
        finally:
            query(database, "drop table if exists t")
            query(database, "truncate migration.run cascade")


@slow
@given(document=JSON)
@example(document={"bb": 1, "a": 2, "я": -0.0, "aa": 1e300, "": 5e-324})
def test_canonical_json_is_what_postgresql_prints(cluster: Server, document: object) -> None:
    import json

    text = json.dumps(document)
    with connect(cluster, "postgres") as connection:
        try:
            row = connection.execute("select %s::jsonb::text", [text]).fetchone()
        except UntranslatableCharacter:
            assert "\\u0000" in text
            return  # a NUL: PostgreSQL refuses it, so it never reaches the comparison
    assert row is not None
    assert canonical_json(text) == row[0]


@pytest.mark.parametrize(
    "text",
    [
        *("-0", "-0.0", "0e10", "1E2", "1.50", "1.5e-7", "12345678901234567890.10", '"\\u044f"'),
        ' [1.50, {"b": 2, "a": [0.5, 1e2, "1.50", "\\u00010"]}, 1.50, null] ',
        '{"no NUL": "\\\\u00000", "nor": "\\"\\\\u00000\\"", "n": [1e2, 1.50]}',
        pytest.param(f"[1.50, {'9' * 5000}, -{'8' * 5000}]", id="thousands of digits"),
    ],
)
def test_canonical_numbers_are_what_postgresql_prints(cluster: Server, text: str) -> None:
    with connect(cluster, "postgres") as connection:
        row = connection.execute("select %s::jsonb::text", [text]).fetchone()
    assert row is not None
    assert canonical_json(text) == row[0]
