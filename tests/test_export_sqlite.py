"""The way out: what went into PostgreSQL comes back, value by value; secrets do not, if asked."""

import contextlib
import json
import os
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from database.settings import Server
from migration.export.definition import definitions
from migration.export.redact import PLACEHOLDER, redact
from migration.export.tables import exported_tables
from migration.export.write import Writer
from migration.target import open_target
from scripts.make_demo_database import make_demo_database
from tests import random_databases
from tests.conftest import fresh_database
from tests.exports import differing, export
from tests.migrations import log_row, make, migrate
from tests.programs import query

#: How many random databases the long run tries.
ROUNDS = int(os.environ.get("DEEP_ROUNDS", "50"))

FIXTURES = (
    "atlastrinity_2026-01_empty.db",
    "atlastrinity_2026-02_empty.db",
    "atlastrinity_small.db",
    "chinook.sqlite",
    "duckdb_mixed_data_numeric.db",
    "duckdb_norowid.db",
    "pgl_sqlite.db",
)


def rows(path: Path, text: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(text).fetchall()


def carried_over(server: Server, source: Path) -> Path:
    """The file that comes back."""
    assert migrate(server, source, "--quarantine").returncode in (0, 5)
    path = source.parent / "exported.db"
    result = export(server, path)
    assert result.returncode == 0, result.stderr
    return path


@pytest.mark.parametrize("name", FIXTURES)
def test_real_database_comes_back_equal(
    database: Server, shared: Path, tmp_path: Path, name: str
) -> None:
    source = tmp_path / name
    source.write_bytes((shared / "fixtures" / name).read_bytes())
    assert differing(database, source, carried_over(database, source)) == []


@pytest.mark.parametrize("january", [False, True])
def test_platforms_database_with_its_datasets_comes_back_equal(
    database: Server, tmp_path: Path, january: bool
) -> None:
    source = tmp_path / "source.db"
    make_demo_database(source, target_bytes=1_000_000, january=january)
    exported = carried_over(database, source)
    assert differing(database, source, exported) == []
    names = {name for (name,) in rows(source, "select name from sqlite_master where type='table'")}
    found = rows(exported, "select name from sqlite_master where type='table'")
    assert names <= {name for (name,) in found}


def test_schema_is_the_platforms(database: Server, shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "exported.db"
    assert export(database, path).returncode == 0
    schema = "select type, name, sql from sqlite_master where sql is not null order by 1, 2"
    assert rows(path, schema) == rows(shared / "fixtures/atlastrinity_2026-02_empty.db", schema)


def test_values_are_in_the_form_in_which_the_platform_writes_them(
    database: Server, shared: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source.db"
    source.write_bytes((shared / "fixtures/atlastrinity_small.db").read_bytes())
    exported = carried_over(database, source)
    for text in (
        "select id, started_at, ended_at from sessions order by id",
        "select id, session_id, timestamp, level, source, message from logs order by id",
        "select * from files order by id",
        "select id, task_id, sequence_number, duration_ms, created_at from task_steps order by id",
    ):
        assert rows(exported, text) == rows(source, text)
    text = "select id, last_updated from kg_nodes order by id"
    assert rows(exported, text) == rows(source, text)
    # jsonb keeps the meaning, not the way it was written (escapes, order of keys).
    for column in ("kg_nodes.attributes", "sessions.metadata_blob"):
        text = f"select id, {column} from {column.split('.', maxsplit=1)[0]} order by id"
        before, after = ([(k, json.loads(j)) for k, j in rows(f, text)] for f in (source, exported))
        assert after == before


def test_quarantined_rows_are_all_that_is_missing(database: Server, tmp_path: Path) -> None:
    schema = (
        "create table logs (id integer primary key, session_id varchar(100), timestamp datetime,"
        " level varchar(20), source varchar(50), message text, metadata_blob json);"
    )
    source = make(
        tmp_path / "source.db",
        schema + log_row(1) + log_row(2, when="'yesterday'") + log_row(3, "cast(x'ff' as text)"),
    )
    exported = carried_over(database, source)
    assert rows(exported, "select id from logs") == [(1,)]
    assert differing(database, source, exported) == []


def test_export_migrates_again_into_the_same(database: Server, tmp_path: Path) -> None:
    source = tmp_path / "source.db"
    make_demo_database(source, target_bytes=500_000)
    exported = carried_over(database, source)
    with fresh_database(database) as second:
        query(second, "truncate migration.run cascade")
        tables = query(second, "select tablename from pg_tables where schemaname = 'public'")
        names = ", ".join(f'public."{name}"' for (name,) in tables)
        query(second, f"truncate {names}")
        assert migrate(second, exported).returncode == 0
        assert differing(second, source, exported) == []


AWKWARD = {
    "double precision": ["'NaN'", "'Infinity'", "'-Infinity'", "-0.0", "5e-324", "0.1", "1e308"],
    "real": ["0.1", "'NaN'", "1e30"],
    "numeric": ["1.10", "12345678901234567890.123456789", "'NaN'", "'-infinity'", "-0.5", "7"],
    "bigint": ["9223372036854775807", "-9223372036854775808", "0"],
    "boolean": ["true", "false"],
    "text": ["''", "'007'", "'1e5'", "'їжак 🧪'", "'a''b'", "e'line\\nbreak'"],
    "timestamp": ["'infinity'", "'-infinity'", "'0044-03-15 BC'", "'2026-02-01 10:00:00.1'"],
    "timestamptz": ["'2026-02-01 10:00:00+05:45'", "'infinity'"],
    "date": ["'2026-02-01'", "'infinity'", "'0044-03-15 BC'", "'12026-01-01'"],
    "time": ["'24:00:00'", "'10:00:00.000001'"],
    "interval": ["'1 year 2 days'"],
    "jsonb": ["'1.10'", "'1e3'", "'\"007\"'", "'null'", '\'{"b": 1.0, "a": "ї"}\''],
    "json": ['\'{"b":  1,"b":2}\''],
    "bytea": ["'\\x'", "'\\x00ff'"],
    "integer[]": ["'{1,NULL,3}'"],
    "uuid": ["'00000000-0000-0000-0000-000000000001'"],
    "inet": ["'10.0.0.1/8'"],
}


@pytest.mark.parametrize("pg_type", AWKWARD)
def test_every_value_of_postgresql_is_held_or_written_as_it_prints(
    database: Server, tmp_path: Path, pg_type: str
) -> None:
    """The comparison decides: one value that SQLite would change, and the table is text."""
    for number, value in enumerate(AWKWARD[pg_type]):
        query(database, f"create table t{number} (id integer primary key, v {pg_type})")
        query(database, f"insert into t{number} values (1, {value}), (2, null)")
    query(database, f"create table every (id integer generated always as identity, v {pg_type})")
    query(database, f"insert into every (v) values {', '.join(f'({v})' for v in AWKWARD[pg_type])}")
    _hand_over(database)
    path = tmp_path / "exported.db"
    result = export(database, path)
    assert result.returncode == 0, result.stderr
    assert len(rows(path, "select 1 from every where v is not null")) == len(AWKWARD[pg_type])
    for number in range(len(AWKWARD[pg_type])):
        assert rows(path, f"select v is null from t{number} order by id") == [(0,), (1,)]


def _hand_over(server: Server) -> None:
    tables = query(server, "select tablename from pg_tables where schemaname = 'public'")
    for (name,) in tables:
        query(server, f'alter table public."{name}" owner to atlas_owner')


def test_tables_of_agents_come_with_keys_and_indexes(database: Server, tmp_path: Path) -> None:
    for text in (
        'create table "Батьки" (id bigint primary key, name text not null unique)',
        'create table child (a integer, b integer, parent bigint references "Батьки" (id),'
        " primary key (a, b))",
        "create index child_parent on child (parent)",
        "create unique index child_ba on child (b, a)",
        "create index child_odd on child ((a + b))",
        "alter table logs add column mood text",
        """insert into "Батьки" values (1, 'x')""",
        "insert into child values (1, 2, 1)",
        "insert into logs (timestamp, level, source, message, mood)"
        " values ('2026-02-01', 'INFO', 's', 'm', 'good')",
    ):
        query(database, text)
    _hand_over(database)
    path = tmp_path / "exported.db"
    result = export(database, path)
    assert result.returncode == 0, result.stderr
    indexes = {name for (name,) in rows(path, "select name from sqlite_master where type='index'")}
    assert {"child_parent", "child_ba"} <= indexes
    assert "child_odd" not in indexes
    assert rows(path, 'select "table", "from" from pragma_foreign_key_list(\'child\')') == [
        ("Батьки", "parent")
    ]
    assert rows(path, "select message, mood from logs") == [("m", "good")]
    with pytest.raises(sqlite3.IntegrityError):
        rows(path, "insert into \"Батьки\" values (2, 'x')")


@pytest.mark.parametrize("name", ['"sessions"', "Sessions", "[logs]", "`tasks`", "'files'"])
def test_an_index_named_as_a_table_of_the_platform_comes_by_another_name(
    database: Server, tmp_path: Path, name: str
) -> None:
    source = make(
        tmp_path / "source.db",
        f'create table "a b" (x integer, y text); create unique index {name} on "a b" (x, y);'
        """insert into "a b" values (1, 'one'), (2, 'two')""",
    )
    exported = carried_over(database, source)
    assert rows(exported, 'select * from "a b" order by x') == [(1, "one"), (2, "two")]
    (found,) = rows(
        exported,
        "select name, sql from sqlite_master where tbl_name = 'a b' and sql like '%INDEX%'",
    )
    plain = name.strip("\"[]`'")
    assert found[0] == f"{plain}_index"
    assert found[1].startswith("CREATE UNIQUE INDEX")


def test_an_infinite_number_beside_others_comes_back_as_one(
    database: Server, tmp_path: Path
) -> None:
    source = make(
        tmp_path / "source.db",
        "create table t (id integer primary key, a any);"
        "insert into t values (1, 9223372036854775807), (2, 9e999), (3, -9e999), (4, null)",
    )
    exported = carried_over(database, source)
    assert differing(database, source, exported) == []
    assert rows(exported, "select typeof(a) from t where a > 9e307 or a < -9e307") == [
        ("real",),
        ("real",),
    ]


@pytest.fixture(scope="module")
def reused(cluster: Server) -> Any:
    with fresh_database(cluster) as server:
        yield server


@settings(max_examples=5, deadline=None, suppress_health_check=[*HealthCheck], print_blob=True)
@given(statements=random_databases.database())
def test_random_database_comes_back_equal(
    reused: Server, statements: list[random_databases.Statement]
) -> None:
    _comes_back_equal(reused, statements)


@pytest.mark.deep
@pytest.mark.timeout(7200)
@settings(max_examples=ROUNDS, deadline=None, suppress_health_check=[*HealthCheck], print_blob=True)
@given(statements=random_databases.database())
def test_many_random_databases_come_back_equal(
    reused: Server, statements: list[random_databases.Statement]
) -> None:
    _comes_back_equal(reused, statements)


def _comes_back_equal(reused: Server, statements: list[random_databases.Statement]) -> None:
    with tempfile.TemporaryDirectory() as folder, fresh_database(reused) as server:
        source = Path(folder) / "source.db"
        random_databases.write(source, statements)
        result = migrate(server, source, "--quarantine")
        if result.returncode not in (0, 5):
            return
        path = Path(folder) / "exported.db"
        exported = export(server, path)
        assert exported.returncode == 0, exported.stderr
        # The snapshot, not the source: rowids of the source may be in another order.
        (snapshot,) = Path(folder).glob("work/*/snapshot.db")
        assert differing(server, snapshot, path) == []


SECRETS = {
    "AIza" + "x" * 35: "Google",
    "ghp_" + "A1b2" * 9: "GitHub",
    "github_pat_" + "a" * 40: "GitHub",
    "sk-" + "abcd" * 8: "Stripe",
    "sk-ant-api03-" + "a_B-" * 8: "Anthropic",
    "xoxb-1234567890-1234567890-" + "a" * 24: "Slack",
    "AKIAIOSFODNN7EXAMPLE": "AWS",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-def_ghi": "JWT",
    "Bearer abcdef0123456789": "Bearer",
    "0123456789abcdef" * 2: "hexadecimal",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----": "PEM",
}


@pytest.mark.parametrize("secret", SECRETS, ids=[*SECRETS.values()])
def test_secret_is_replaced_wherever_it_stands(secret: str) -> None:
    for text in (secret, f"used {secret} today", f"key={secret}", f"'{secret}', and"):
        clean = redact(text)
        assert secret not in clean
        assert PLACEHOLDER in clean
        assert redact(clean) == clean, "nothing is replaced twice"
    document = json.dumps({"a": [secret, 1.50], "b": {"password": secret}})
    assert secret.split("\n", maxsplit=1)[0] not in redact(document)
    json.loads(redact(document))


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("postgresql://atlas:geheim@db/x", "geheim"),
        ("password=hunter22 user=me", "hunter22"),
        ("PASSWORD: 'hunter22'", "hunter22"),
        ('{"api_key": "hunter22", "n": 1}', "hunter22"),
        ('{"text": "{\\"password\\": \\"hunter22\\"}"}', "hunter22"),
    ],
)
def test_named_secret_is_replaced_and_its_name_stays(text: str, secret: str) -> None:
    clean = redact(text)
    assert secret not in clean
    assert PLACEHOLDER in clean
    if text.startswith("{"):
        json.loads(clean)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "an ordinary message",
        "the password is wrong",
        "2f1c7c3e-8a5b-4a60-9d2e-0123456789ab",
        "https://example.com:8443/path?a=1",
        "mail me@example.com",
        "скажи пароль",
        '{"tokens": 1500, "secretary": "Anna"}',
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_redacted_export_has_no_secret_and_is_equal_otherwise(
    database: Server, tmp_path: Path
) -> None:
    token = "ghp_" + "A1b2" * 9
    session = "2f1c7c3e-8a5b-4a60-9d2e-0123456789ab"
    for text in (
        f"insert into sessions values ('{session}', '2026-02-01', null, '{{\"t\": \"{token}\"}}')",
        f"insert into kg_nodes values ('file:///{token}', 'FILE', 'global', null,"
        " '{}', '2026-02-01')",
        "insert into logs (timestamp, level, source, message)"
        f" select '2026-02-01', 'INFO', 's', case when n % 10 = 0 then 'used {token}'"
        " else 'nothing' end from generate_series(1, 1000) as n",
    ):
        query(database, text)
    path = tmp_path / "exported.db"
    result = export(database, path, "--redact")
    assert result.returncode == 0, result.stderr
    assert "secrets were replaced in 101 rows" in result.stdout
    assert rows(path, "select count(*) from logs where message = 'nothing'") == [(900,)]
    assert rows(path, f"select count(*) from logs where message = 'used {PLACEHOLDER}'") == [(100,)]
    assert json.loads(rows(path, "select metadata_blob from sessions")[0][0]) == {"t": PLACEHOLDER}
    assert rows(path, "select id from kg_nodes") == [(f"file:///{token}",)], "keys stay"
    query(database, "delete from kg_nodes")
    assert export(database, path, "--redact", "--replace").returncode == 0
    assert token.encode() not in path.read_bytes(), "nowhere in the file"
    assert export(database, path, "--replace").returncode == 0
    assert token.encode() in path.read_bytes()


def test_comparison_finds_what_differs(database: Server, tmp_path: Path) -> None:
    """Of a file that was written and then changed: every kind of difference is one."""
    query(
        database,
        "insert into files values (1, '/a', 'a', 10, 0.1, true, 'x', '2026-02-01 10:00:00'),"
        " (2, '/b', 'b', 11, 0.2, false, null, '2026-02-01 10:00:00.5')",
    )
    for change in (
        "update files set mtime = 0.10000000000000002 where id = 1",
        "update files set last_scanned = '2026-02-01 10:00:00.500001' where id = 2",
        "update files set content_hash = '' where id = 2",
        "delete from files where id = 1",
        "insert into files select 3, '/c', name, size, mtime, is_dir, content_hash, last_scanned"
        " from files where id = 2",
    ):
        path = tmp_path / "draft.db"
        with open_target(database) as connection, connection.transaction():
            (table,) = [t for t in exported_tables(connection, "public") if t.name == "files"]
            writer = Writer(connection, "public", path, redacting=False)
            written = writer.write(table, next(definitions(table, ())))
            assert writer.is_equal(written)
            with contextlib.closing(sqlite3.connect(path)) as file:
                file.execute(change)
                file.commit()
            assert not writer.is_equal(written), change
        path.unlink()
