"""Quarantine: what PostgreSQL refuses is kept exactly, can be read, repaired and loaded later."""

import contextlib
import json
import re
import shlex
import sqlite3
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from database.connect import connect
from database.settings import Server
from migration.convert import Converted
from migration.quarantine.hints import HINTS, hint
from migration.quarantine.keep import cells, keep_pieces
from migration.quarantine.read import values_of
from migration.quarantine.values import LONG, decode_given, encode, visible
from migration.source import Value
from tests.engines import ENGINES
from tests.programs import CHECKOUT, query, run_module

# Text as SQLite gives it to us: any bytes, those that are no UTF-8 as surrogate escapes.
TEXT = st.text(max_size=20).filter(lambda text: text.isascii() or _unicode(text)) | st.binary(
    max_size=20
).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
SOURCE = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    TEXT,
    st.binary(max_size=20),
)
LOADED = st.one_of(SOURCE, st.booleans(), st.datetimes().map(lambda moment: moment.replace(fold=0)))
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)


def _unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def same(one: Converted, other: Converted) -> bool:
    """Of one type, and equal to the last bit: 0.0 and -0.0 are not."""
    return type(one) is type(other) and repr(one) == repr(other)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(values=st.dictionaries(NAMES, LOADED, max_size=6))
@example(values={"a": float("inf"), "b": float("-inf"), "c": -0.0, "d": 5e-324})
@example(values={"a": 2**63 - 1, "b": -(2**63), "c": True, "d": 1})
@example(values={"a": "x\0y", "b": "\udced\udca0\udc80", "c": "\udcff", "d": "\\u0000", "e": ""})
@example(values={"a": b"", "b": b"\0\xff", "c": datetime(1, 1, 1), "d": datetime.max})
def test_every_value_is_read_back_identical(cluster: Server, values: dict[str, Converted]) -> None:
    with connect(cluster, "postgres") as connection:
        row = connection.execute("select %s::jsonb", [Jsonb(cells(values))]).fetchone()
        assert row is not None
        read = values_of(connection, 0, row[0])  # type: ignore[arg-type]
    assert read.keys() == values.keys()
    assert all(same(read[name], value) for name, value in values.items())


@given(value=SOURCE)
def test_a_value_of_show_is_taken_back_as_it_was(value: Value) -> None:
    cell = json.loads(json.dumps(encode(value)))
    assert same(decode_given("c", cell), value)


LOGS = """create table logs (id integer primary key, timestamp datetime, level varchar(10),
    source varchar(50), message text, metadata_blob json, session_id text);"""


def log_row(number: int, message: str = "'m'", when: str = "'2026-02-01 10:00:00'") -> str:
    return f"insert into logs values ({number}, {when}, 'INFO', 's', {message}, null, null);"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source.db"


def make(path: Path, script: str) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def migration(server: Server, source: Path, *arguments: object) -> CompletedProcess[str]:
    result = run_module(
        "migration", *arguments, server=server, MIGRATION_DIR=source.parent / "work"
    )
    assert "Traceback" not in result.stderr, result.stderr
    return result


def run(server: Server, source: Path, engine: str = "copy") -> None:
    result = migration(server, source, "run", source, "--quarantine", "--engine", engine)
    assert result.returncode == 5, result.stderr


def quarantine(server: Server, source: Path, *arguments: object) -> CompletedProcess[str]:
    return migration(server, source, "quarantine", *arguments)


def as_json(server: Server, source: Path, *arguments: object, code: int = 0) -> Any:
    result = quarantine(server, source, *arguments, "--json")
    assert result.returncode == code, result.stderr
    return json.loads(result.stdout)


def verified(server: Server, source: Path) -> bool:
    return migration(server, source, "verify").returncode == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_input_errors_are_listed_repaired_and_replayed(
    database: Server, source: Path, engine: str
) -> None:
    bad = "cast(x'61620063ff' as text)"
    make(source, LOGS + log_row(1) + log_row(2, bad) + log_row(3, when="'2026-13-01 10:00:00'"))
    run(database, source, engine)
    found = as_json(database, source, "list")
    assert found["total"] == 2
    assert [(cause["column"], cause["sqlstate"]) for cause in found["causes"]] == [
        ("message", "22021"),
        ("timestamp", "22007"),
    ]
    first, second = (row["id"] for row in found["rows"])
    shown = quarantine(database, source, "show", first).stdout
    assert "'ab\\0c\\xff'" in shown
    assert "--set message=VALUE" in shown

    assert quarantine(database, source, "replay", first, "--set", "message=abc").returncode == 0
    assert verified(database, source)
    result = quarantine(database, source, "replay", "--all")
    assert result.returncode == 5
    assert "22007" in result.stdout
    moment = "timestamp=2026-12-01 10:00:00.5"
    assert quarantine(database, source, "replay", second, "--set", moment).returncode == 0
    assert verified(database, source)
    assert query(database, "select id, message, timestamp::text from logs order by id") == [
        (1, "m", "2026-02-01 10:00:00"),
        (2, "abc", "2026-02-01 10:00:00"),
        (3, "m", "2026-12-01 10:00:00.5"),
    ]
    assert as_json(database, source, "list")["total"] == 0
    assert as_json(database, source, "list", "--all")["total"] == 2


@pytest.mark.parametrize("engine", ENGINES)
def test_constraint_violations_are_repaired_and_replayed(
    database: Server, source: Path, engine: str
) -> None:
    make(
        source,
        """create table parent (id integer primary key, code text unique);
           create table child (id integer primary key, up integer references parent (id));
           insert into parent values (1, 'a'), (2, 'b'), (3, cast(x'ff' as text));
           insert into child values (10, 1), (11, 3), (12, 99);""",
    )
    run(database, source, engine)
    rows = as_json(database, source, "list")["rows"]
    states = {(row["table"], row["key"].get("id")): row["sqlstate"] for row in rows}
    assert states == {("parent", 3): "22021", ("child", 11): "23503", ("child", 12): "23503"}
    by_key = {row["key"]["id"]: row["id"] for row in rows}

    taken = as_json(database, source, "replay", by_key[3], "--set", "code=b", code=5)
    assert [row["sqlstate"] for row in taken["failed"]] == ["23505"]
    document = as_json(database, source, "show", by_key[3], by_key[11], by_key[12])
    document[0]["values"]["code"] = {"class": "text", "value": "c"}
    document[2]["values"]["up"] = 2
    edited = source.parent / "edited.json"
    # Children first: the order of the file does not matter.
    edited.write_text(json.dumps(document[::-1]))
    done = as_json(database, source, "replay", "--from", edited)
    assert sorted(done["replayed"]) == sorted(by_key.values())
    assert query(database, "select * from child order by id") == [(10, 1), (11, 3), (12, 2)]
    assert verified(database, source)


def test_parents_may_come_after_their_children(database: Server, source: Path) -> None:
    make(
        source,
        """create table t (id integer primary key, up integer references t (id), word text);
           insert into t values (1, 2, 'a'), (2, 3, 'a'), (3, null, cast(x'ff' as text));""",
    )
    run(database, source)
    # Refused last, so that it has the highest id.
    query(database, "update migration.quarantine set id = 1000 where sqlstate = '22021'")
    done = as_json(database, source, "replay", "--all", "--set", "word=b")
    assert len(done["replayed"]) == 3
    assert query(database, "select * from t order by id") == [
        (1, 2, "b"),
        (2, 3, "b"),
        (3, None, "b"),
    ]
    assert verified(database, source)


def test_a_repair_touches_no_table_that_it_does_not_name(database: Server, source: Path) -> None:
    make(
        source,
        """create table a (id integer primary key, word text, note text);
           create table b (id integer primary key, word text, note text);
           insert into a values (1, cast(x'ff' as text), 'keep'), (2, 'dear', cast(x'ff' as text));
           insert into b values (1, 'dear', cast(x'ff' as text));""",
    )
    run(database, source)
    result = quarantine(database, source, "replay", "--all", "--set", "note=x")
    assert result.returncode == 2
    assert "a.note" in result.stderr
    options = ("--set", "a.word=w", "--set", "b.note=n", "--set-null", "a.note")
    assert quarantine(database, source, "replay", "--all", *options).returncode == 0
    assert query(database, "select * from a order by id") == [(1, "w", None), (2, "w", None)]
    assert query(database, "select * from b") == [(1, "dear", "n")]


def test_a_second_replay_has_nothing_to_do(database: Server, source: Path) -> None:
    make(source, LOGS + log_row(2, "cast(x'ff' as text)"))
    run(database, source)
    (row,) = as_json(database, source, "list")["rows"]
    assert quarantine(database, source, "replay", row["id"], "--set", "message=x").returncode == 0
    for choice in (("--all",), (row["id"],), ("--table", "logs")):
        result = quarantine(database, source, "replay", *choice)
        assert result.returncode == 0
        assert "nothing to do" in result.stdout
    assert query(database, "select count(*) from logs") == [(1,)]


def test_a_dry_run_changes_nothing(database: Server, source: Path) -> None:
    make(source, LOGS + log_row(2_000, "cast(x'ff' as text)"))
    run(database, source)
    result = quarantine(database, source, "replay", "--all", "--set", "message=x", "--dry-run")
    assert result.returncode == 0
    assert "1 row would be replayed" in result.stdout
    assert query(database, "select count(*) from logs") == [(0,)]
    assert as_json(database, source, "list")["total"] == 1
    assert query(database, "select last_value < 2000 from logs_id_seq") == [(True,)]


def test_identities_go_on_above_and_never_back(database: Server, source: Path) -> None:
    make(source, LOGS + log_row(50, "cast(x'ff' as text)") + log_row(700, "cast(x'fe' as text)"))
    run(database, source)
    insert = (
        "insert into logs (timestamp, level, source, message) values (now(), 'a', 'b', 'c') "
        "returning id"
    )
    query(database, "select setval('logs_id_seq', 600)")
    low, high = (row["id"] for row in as_json(database, source, "list")["rows"])
    assert quarantine(database, source, "replay", low, "--set", "message=x").returncode == 0
    assert query(database, insert) == [(601,)]
    assert quarantine(database, source, "replay", high, "--set", "message=x").returncode == 0
    assert query(database, insert) == [(701,)]


def test_verify_notices_a_replayed_row_that_was_changed(database: Server, source: Path) -> None:
    make(source, LOGS + log_row(1) + log_row(2, "cast(x'ff' as text)"))
    run(database, source)
    assert quarantine(database, source, "replay", "--all", "--set", "message=x").returncode == 0
    query(database, "update logs set message = 'y' where id = 2")
    result = migration(database, source, "verify")
    assert result.returncode == 6
    assert "message" in result.stdout
    query(database, "delete from logs where id = 2")
    assert migration(database, source, "verify").returncode == 6


def test_replay_waits_for_no_other_migration(database: Server, source: Path) -> None:
    make(source, LOGS + log_row(2, "cast(x'ff' as text)"))
    run(database, source)
    with connect(database, "postgres", autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(%s)", [0x61746C61])
        result = quarantine(database, source, "replay", "--all")
    assert result.returncode == 4
    assert "Another migration" in result.stderr


@pytest.mark.parametrize("arguments", [
    ("show", 999),
    ("replay",),
    ("replay", 1, "--all"),
    ("replay", 999),
    ("replay", "--all", "--set", "nothing"),
    ("replay", "--all", "--set", "nowhere=1"),
    ("replay", "--all", "--set-null", "nowhere"),
    ("replay", "--from", "/nonexistent"),
], ids=lambda arguments: " ".join(map(str, arguments)))  # fmt: skip
def test_wrong_arguments_are_explained(
    database: Server, source: Path, arguments: tuple[object, ...]
) -> None:
    make(source, LOGS + log_row(2, "cast(x'ff' as text)"))
    run(database, source)
    result = quarantine(database, source, *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error:")
    assert as_json(database, source, "list")["total"] == 1


@pytest.mark.parametrize(
    "text",
    ["{", "[1]", '[{"id": "x", "values": {}}]', '[{"id": 1, "values": {"message": {"value": []}}}]',
     '[{"id": 1, "values": {"message": {"class": "blob", "encoding": "hex", "value": "f"}}}]'],
)  # fmt: skip
def test_a_file_that_is_no_quarantine_is_explained(
    database: Server, source: Path, text: str
) -> None:
    file = source.parent / "rows.json"
    file.write_text(text)
    result = quarantine(database, source, "replay", "--from", file)
    assert result.returncode == 2
    assert result.stderr.startswith("error:")


def test_hard_names_and_every_type_can_be_replayed(database: Server, source: Path) -> None:
    make(
        source,
        """create table "T%s x" ("a%b" text, "n" real, "d" decimal(10,2), "b" boolean, "x" blob,
               "j" json, "w" datetime, position integer primary key);
           insert into "T%s x" values
               (cast(x'ff' as text), 0.1, 1.5, 1, x'00ff', '{"a": 1e400}',
                '2026-02-01 10:00:00', 7),
               ('ok', 9e999, 12345678901234567, 0, x'', '[]', '2026-02-01 10:00:00', 8);""",
    )
    run(database, source)
    options = ("--set", "a%b=%s", "--set", "n=-0.0", "--set", "d=-7.25", "--set", "x=x'0102'")
    assert quarantine(database, source, "replay", "--all", *options).returncode == 0
    assert query(
        database,
        """select "a%b", n::text, d::text, b, x, j::text, w::text, position from "T%s x"
           where position = 7""",
    ) == [("%s", "-0", "-7.25", True, b"\x01\x02", f'{{"a": 1{"0" * 400}}}',
           "2026-02-01 10:00:00", 7)]  # fmt: skip
    assert verified(database, source)


def test_columns_that_the_source_lacks_get_their_values_in_a_replay(
    database: Server, shared: Path, source: Path
) -> None:
    source.write_bytes((shared / "fixtures" / "atlastrinity_2026-01_empty.db").read_bytes())
    make(
        source,
        """insert into sessions (id, started_at, metadata_blob) values
               (replace('0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a11', '-', ''), 'never', '{}');""",
    )
    plan = json.loads(migration(database, source, "plan", source, "--json").stdout)
    assert not plan["problems"]
    run(database, source)
    moment = "started_at=2026-01-01 00:00:00"
    assert quarantine(database, source, "replay", "--all", "--set", moment).returncode == 0
    assert query(database, "select started_at::text from sessions") == [("2026-01-01 00:00:00",)]
    assert verified(database, source)


def test_long_values_are_kept_in_pieces_and_come_back(database: Server, source: Path) -> None:
    make(source, "create table t (id integer primary key, body text, twin blob);")
    long = "я" * LONG + "\0" + "z" * 9_000_000
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.execute("insert into t values (1, ?, ?)", [long, long.encode()])
        connection.commit()
    run(database, source)
    assert query(
        database, "select count(*), count(distinct sha256) from migration.quarantine_piece"
    ) == [(2, 1)], "equal values are kept once"
    (document,) = as_json(database, source, "show", 1)
    assert bytes.fromhex(document["values"]["body"]["value"]).decode() == long
    assert bytes.fromhex(document["values"]["twin"]["value"]) == long.encode()
    document["values"]["body"] = long.replace("\0", "")
    edited = source.parent / "edited.json"
    edited.write_text(json.dumps(document))
    assert quarantine(database, source, "replay", "--from", edited).returncode == 0
    assert query(database, "select length(body), length(twin) from t") == [
        (len(long) - 1, len(long.encode()))
    ]
    assert verified(database, source)


@pytest.mark.deep
def test_a_value_beyond_what_jsonb_holds_is_kept(database: Server, source: Path) -> None:
    make(source, "create table t (id integer primary key, word text, body blob);")
    size = 130_000_000
    with contextlib.closing(sqlite3.connect(source)) as connection:
        connection.execute("insert into t values (1, cast(x'ff' as text), randomblob(?))", [size])
        connection.commit()
        (body,) = connection.execute("select body from t").fetchone()
    run(database, source)
    assert quarantine(database, source, "replay", "--all", "--set", "word=x").returncode == 0
    assert query(database, "select md5(body) = md5(%s), length(body) from t", body) == [
        (True, size)
    ]
    assert verified(database, source)


def test_pieces_are_written_once(database: Server) -> None:
    value = b"x" * (LONG + 1)
    with connect(database, "postgres", autocommit=True) as connection:
        connection.execute(
            "insert into migration.run (source_name, engine, status) "
            "values ('a', 'copy', 'verified')"
        )
        connection.execute(
            "insert into migration.quarantine (run_id, table_name, row_values, reason) "
            "values (1, 't', '{}', 'r')"
        )
        for _ in range(2):
            keep_pieces(connection, 1, {"a": value, "b": value, "short": b"x"})
        assert values_of(connection, 1, cells({"a": value})) == {"a": value}
    assert query(database, "select count(*) from migration.quarantine_piece") == [(1,)]


@pytest.mark.parametrize("sqlstate", [*HINTS, "22P03", "23P01", "54000", "XX000", "", None])
def test_there_is_advice_for_every_reason(sqlstate: str | None) -> None:
    text = hint(sqlstate, "c")
    assert "--set" in text
    assert "COLUMN" not in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "NULL"),
        ("", "''"),
        ("a\0\n\\\udcff\u202e", "'a\\0\\n\\\\\\xff\\u202e'"),
        (b"\x00\xff", "x'00ff'"),
        (2**63 - 1, "9223372036854775807"),
        (-0.0, "-0.0"),
    ],
)
def test_what_cannot_be_seen_is_spelt_out(value: Value, shown: str) -> None:
    assert visible(value) == shown


def test_the_worked_example_of_the_guide_is_true(database: Server, source: Path) -> None:
    page = (CHECKOUT / "docs/how-to/quarantine.md").read_text()
    example = page.split("## A worked example")[1]
    make(source, example.split("```sql")[1].split("```")[0])
    steps = re.findall(
        r"^\$ python -m migration (.+)\n((?:(?!\$|```).+\n)+)", example, re.MULTILINE
    )
    assert len(steps) == 5
    for command, expected in steps:
        arguments = shlex.split(command.replace("source.db", str(source)))
        result = migration(database, source, *arguments)
        for line in expected.splitlines():
            if line.startswith("exit code "):
                assert result.returncode == int(line.split()[-1]), command
            else:
                assert line in result.stdout, command
                assert result.returncode == 0
    assert query(database, "select id, name from jobs order by id") == [(1, "plan"), (2, "no")]


def test_a_policy_repairs_what_the_run_refused(database: Server, source: Path) -> None:
    make(
        source,
        LOGS + log_row(1, "'a' || char(0) || 'b'") + log_row(2, "cast(x'63ff' as text)")
        + log_row(3, "cast(x'64ff00' as text)"),
    )  # fmt: skip
    run(database, source)
    assert quarantine(database, source, "replay", "--all", "--nul", "strip").returncode == 5
    policies = source.parent / "policies.toml"
    policies.write_text('bad_utf8 = "cp1252"\n[tables.logs.columns.message]\nnul = "strip"\n')
    assert quarantine(database, source, "replay", "--all", "--policies", policies).returncode == 0
    assert query(database, "select id, message from logs order by id") == [
        (1, "ab"),
        (2, "cÿ"),
        (3, "dÿ"),
    ]
    assert verified(database, source), "verify counts what was loaded, not the run's plan"


def test_hundreds_of_parts_that_are_not_carried_stay_readable(
    database: Server, source: Path
) -> None:
    triggers = "".join(
        f"create trigger g{n} after insert on t begin select 1; end;" for n in range(300)
    )
    make(source, f"create table t (id integer primary key); {triggers}")
    for verb in ("plan", "run"):
        printed = migration(database, source, verb, source).stdout
        assert printed.count("not carried") == 6
        assert "295 more of kind trigger" in printed


def test_generated_columns_are_computed_anew_in_a_replay(database: Server, source: Path) -> None:
    make(
        source,
        """create table t (id integer primary key, n integer, word text,
               double integer generated always as (n * 2) stored,
               shout text generated always as (word || '!') virtual);
           insert into t (id, n, word) values (1, 1, 'a'), (2, 2, cast(x'ff' as text));""",
    )
    run(database, source)
    options = ("--set", "word=b", "--set", "n=5")
    assert quarantine(database, source, "replay", "--all", *options).returncode == 0
    assert query(database, "select n, double, word, shout from t where id = 2") == [
        (5, 10, "b", "b!")
    ]
    assert verified(database, source)
