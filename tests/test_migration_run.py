"""The one-shot migration on real databases: everything arrives, or nothing changes."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from database.apply import apply_schema
from database.connect import connect
from database.settings import Server
from tests.conftest import fresh_database
from tests.engines import ENGINES, needs_pgloader
from tests.migrations import LOGS, log_row, make, migrate, report, wait_for_no_migration
from tests.programs import CHECKOUT, dump, environment, query, run_module

REAL = (
    "atlastrinity_2026-01_empty.db",
    "atlastrinity_2026-02_empty.db",
    "atlastrinity_small.db",
    "chinook.sqlite",
    "duckdb_mixed_data_numeric.db",
    "duckdb_norowid.db",
    "pgl_sqlite.db",
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source.db"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", REAL)
def test_real_database_arrives_whole(
    database: Server, shared: Path, tmp_path: Path, name: str, engine: str
) -> None:
    copy = tmp_path / name
    copy.write_bytes((shared / "fixtures" / name).read_bytes())
    result = migrate(database, copy, "--engine", engine)
    assert result.returncode == 0, result.stderr
    assert "VERIFIED" in result.stdout
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        tables = connection.execute(
            "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'"
        ).fetchall()
        for (table,) in tables:
            expected = connection.execute(f'select count(*) from "{table}"').fetchone()
            assert query(database, f'select count(*) from public."{table}"') == [expected]


def test_unknown_tables_are_owned_and_granted_like_the_rest(database: Server, source: Path) -> None:
    make(
        source,
        """create table "dataset_продажі" (row_id integer primary key, "Назва" text, "Ціна" float,
               "Коли" datetime, "Так" boolean);
           insert into "dataset_продажі" values
               (1, 'Київ', 0.1, '2026-02-01 10:00:00.000000', 1), (2, null, 1e300, null, 0);""",
    )
    assert migrate(database, source).returncode == 0
    assert query(
        database,
        """select tableowner from pg_tables where tablename = 'dataset_продажі'""",
    ) == [("atlas_owner",)]
    rows = query(
        database, 'select "Назва", "Ціна", "Так" from "dataset_продажі" order by 1', role="atlas"
    )
    assert rows == [("Київ", 0.1, True), (None, 1e300, False)]
    assert query(database, 'select count(*) from "dataset_продажі"', role="mcp_read") == [(2,)]
    query(database, """insert into "dataset_продажі" ("Назва") values ('x')""", role="atlas")
    assert query(database, 'select max(row_id) from "dataset_продажі"') == [(3,)]


def test_columns_are_matched_by_name_in_any_order(database: Server, source: Path) -> None:
    make(
        source,
        """create table sessions (metadata_blob json, ended_at datetime, id char(36) primary key,
               started_at datetime);
           insert into sessions values ('{"b": 1, "a": [1.50, null]}', null,
               '0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a11', '2026-02-01 10:00:00.123456');""",
    )
    assert migrate(database, source).returncode == 0
    assert query(
        database, "select id::text, started_at::text, ended_at, metadata_blob::text from sessions"
    ) == [
        (
            "0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a11",
            "2026-02-01 10:00:00.123456",
            None,
            '{"a": [1.50, null], "b": 1}',
        )
    ]


def test_column_that_the_target_lacks_is_added(database: Server, source: Path) -> None:
    make(
        source,
        """create table files (id integer primary key, path varchar(500), name varchar(255),
               size integer, mtime float, is_dir boolean, content_hash text,
               last_scanned datetime, colour text);
           insert into files values
               (1, 'a', 'a', 1, 0.5, 0, null, '2026-02-01 10:00:00', 'red');""",
    )
    assert migrate(database, source).returncode == 0
    assert query(database, "select colour from files") == [("red",)]


REFUSED = {
    "text in a timestamp": (log_row(2, when="'soon'"), "timestamp", "22007"),
    "NUL in text": (log_row(2, message="cast(x'610062' as text)"), "message", "22021"),
    "bad UTF-8 in text": (log_row(2, message="cast(x'61ff62' as text)"), "message", "22021"),
    "blob in text": (log_row(2, message="x'00ff'"), "message", "22P02"),
    "invalid JSON": (log_row(2).replace("null)", "'{oops')"), "metadata_blob", "22P02"),
    "NUL escape in JSON": (
        log_row(2).replace("null)", """'{"a": "\\u0000"}')"""),
        "metadata_blob",
        "22P05",
    ),
    "NULL where a value is needed": (log_row(2, message="null"), "message", "23502"),
    "integer beyond the column": (log_row(3_000_000_000), "id", "22003"),
    "month 13": (log_row(2, when="'2026-13-01 10:00:00'"), "timestamp", "22007"),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refused_row_stops_the_run_and_nothing_changes(
    database: Server, source: Path, case: str
) -> None:
    bad, column, sqlstate = REFUSED[case]
    make(source, LOGS + log_row(1) + bad + log_row(9))
    before = dump(database)
    code, document = report(database, source)
    assert code == 5
    assert document["verdict"] == "failed"
    assert dump(database) == before
    assert [(entry["column"], entry["sqlstate"]) for entry in document["quarantine"]] == [
        (column, sqlstate)
    ]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_quarantine_keeps_the_refused_row_and_loads_the_others(
    database: Server, source: Path, case: str, engine: str
) -> None:
    bad, column, sqlstate = REFUSED[case]
    make(source, LOGS + log_row(1) + bad + log_row(9))
    code, document = report(database, source, "--quarantine", "--engine", engine)
    assert code == 5
    assert document["verdict"] == "quarantined"
    assert query(database, "select id from logs order by id") == [(1,), (9,)]
    assert query(
        database, "select table_name, column_name, sqlstate from migration.quarantine"
    ) == [("logs", column, sqlstate)]
    assert migrate(database, source).returncode == 0, "the second run finds it done"
    work = source.parent / "work"
    assert run_module("migration", "verify", server=database, MIGRATION_DIR=work).returncode == 0


def test_quarantined_bytes_are_kept_exactly(database: Server, source: Path) -> None:
    make(source, LOGS + log_row(2, message="cast(x'd09bff00' as text)"))
    migrate(database, source, "--quarantine")
    assert query(
        database, "select row_values -> 'message', source_key -> 'id' from migration.quarantine"
    ) == [({"class": "text", "encoding": "hex", "value": "d09bff00"}, 2)]


def test_rows_that_break_constraints_are_quarantined_with_their_dependants(
    database: Server, source: Path
) -> None:
    session = "0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a11"
    orphan = "0b0e7a52-6f0e-4a6e-9d39-2f6a3a3f0a99"
    make(
        source,
        f"""create table sessions (id char(36) primary key, started_at datetime,
                ended_at datetime, metadata_blob json);
            create table tasks (id char(36) primary key, session_id char(36), goal text,
                status text, golden_path boolean, created_at datetime, completed_at datetime,
                metadata_blob json, parent_task_id char(36));
            insert into sessions values ('{session}', '2026-02-01 10:00:00', null, '{{}}');
            insert into sessions values ('{session.upper()}', '2026-02-01 10:00:00', null, '{{}}');
            insert into tasks values
                ('00000000-0000-0000-0000-000000000001', '{session}', 'g', 's', 0,
                 '2026-02-01 10:00:00', null, '{{}}', null),
                ('00000000-0000-0000-0000-000000000002', '{orphan}', 'g', 's', 0,
                 '2026-02-01 10:00:00', null, '{{}}', null),
                ('00000000-0000-0000-0000-000000000003', '{session}', 'g', 's', 0,
                 '2026-02-01 10:00:00', null, '{{}}', '00000000-0000-0000-0000-000000000002');""",
    )
    before = dump(database, "--schema-only")
    code, document = report(database, source, "--quarantine")
    assert code == 5
    assert sorted((entry["table"], entry["sqlstate"]) for entry in document["quarantine"]) == [
        ("sessions", "23505"),
        ("tasks", "23503"),
        ("tasks", "23503"),
    ]
    assert query(database, "select count(*) from tasks") == [(1,)]
    assert dump(database, "--schema-only") == before, "every constraint is back"


def test_second_run_says_so_and_changes_nothing(database: Server, source: Path) -> None:
    make(source, LOGS + log_row(1))
    assert migrate(database, source).returncode == 0
    before = dump(database)
    result = migrate(database, source)
    assert result.returncode == 0
    assert "Already migrated" in result.stdout
    assert dump(database) == before


def test_target_with_rows_is_refused(database: Server, source: Path) -> None:
    query(
        database,
        "insert into logs (timestamp, level, source, message) values (now(), 'INFO', 's', 'm')",
        role="atlas",
    )
    before = dump(database)
    result = migrate(database, make(source, LOGS + log_row(1)))
    assert result.returncode == 4
    assert "already holds data: logs (1 rows)" in result.stderr
    assert dump(database) == before


def test_identity_goes_on_above_a_deleted_row(database: Server, source: Path) -> None:
    make(
        source,
        """create table t (id integer primary key autoincrement, v text);
           insert into t values (7, 'a'), (41, 'b'); delete from t where id = 41;""",
    )
    assert migrate(database, source).returncode == 0
    assert query(database, "insert into t (v) values ('c') returning id") == [(42,)]


def test_rows_not_yet_checkpointed_arrive(database: Server, source: Path) -> None:
    with contextlib.closing(sqlite3.connect(source)) as writer:
        writer.execute("pragma journal_mode = wal")
        writer.executescript(LOGS + log_row(1) + log_row(2))
        assert source.with_name("source.db-wal").stat().st_size > 0
        assert migrate(database, source).returncode == 0
    assert query(database, "select count(*) from logs") == [(2,)]


def test_source_is_left_as_it_was(
    database: Server, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    make(source, LOGS + log_row(1))
    before = (source.read_bytes(), source.stat().st_mtime_ns, sorted(source.parent.iterdir()))
    run_module("migration", "run", source, server=database, MIGRATION_DIR=CHECKOUT / "var/test")
    assert (
        source.read_bytes(),
        source.stat().st_mtime_ns,
        sorted(source.parent.iterdir()),
    ) == before


def test_value_that_changes_on_the_way_fails_the_run(database: Server, source: Path) -> None:
    query(
        database,
        """create function corrupt() returns trigger language plpgsql as $$
           begin if new.id = 700 then new.message := 'other'; end if; return new; end $$;
           create trigger corrupt before insert on logs for each row execute function corrupt()""",
    )
    make(source, LOGS + "".join(log_row(number) for number in range(1, 1000)))
    code, document = report(database, source)
    assert code == 6
    assert document["differences"] == [
        {"table": "logs", "key": "700", "column": "message", "source": "m", "target": "other"}
    ]
    assert query(database, "select count(*) from logs") == [(0,)]


def test_verify_names_the_row_and_column_that_changed(database: Server, source: Path) -> None:
    make(source, LOGS + "".join(log_row(number) for number in range(1, 1000)))
    assert migrate(database, source).returncode == 0
    query(database, "update logs set level = 'WARN' where id = 500")
    work = source.parent / "work"
    result = run_module("migration", "verify", server=database, MIGRATION_DIR=work)
    assert result.returncode == 6
    assert "logs [500] level: source INFO, target WARN" in result.stdout


def test_killed_run_leaves_nothing_and_the_next_one_finishes(
    database: Server, source: Path
) -> None:
    make(
        source,
        LOGS
        + """with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)
             insert into logs select i, null, '2026-02-01 10:00:00', 'INFO', 's',
                 printf('%0200d', i), '{"a": 1}' from n;""",
    )
    before = dump(database)
    for delay in (0.3, 0.6, 0.9, 1.2):
        process = subprocess.Popen(
            [sys.executable, "-m", "migration", "run", source],
            cwd=CHECKOUT,
            env=environment(database, MIGRATION_DIR=source.parent / "work"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay)
        others = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for_no_migration(database)
        assert not psutil.wait_procs(others, timeout=30)[1], "it left processes behind"
    if query(database, "select count(*) from migration.run") == [(0,)]:
        assert dump(database) == before
    assert migrate(database, source).returncode == 0
    assert query(database, "select count(*) from logs") == [(60000,)]


def test_interrupted_run_ends_with_its_own_code(database: Server, source: Path) -> None:
    make(
        source,
        LOGS
        + """with recursive n(i) as (select 1 union all select i + 1 from n where i < 400000)
             insert into logs select i, null, '2026-02-01 10:00:00', 'INFO', 's', 'm', null
                 from n;""",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "migration", "run", source],
        cwd=CHECKOUT,
        env=environment(database, MIGRATION_DIR=source.parent / "work"),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "plan" in line:
            break
    process.send_signal(signal.SIGINT)
    errors = process.stderr.read()
    assert process.wait(60) == 7
    assert "Traceback" not in errors
    wait_for_no_migration(database)
    assert query(database, "select count(*) from logs") == [(0,)]


def test_two_runs_at_once_are_refused(database: Server, source: Path) -> None:
    make(source, LOGS + log_row(1))
    with connect(database, "migrator", autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s)", [0x61746C61])
        result = migrate(database, source)
    assert result.returncode == 4
    assert "Another migration" in result.stderr


BAD_SOURCES = {
    "missing": (None, "There is no file"),
    "empty": (b"", "is empty"),
    "not a database": (b"hello " * 100, "is not a SQLite database"),
    "damaged header": (b"SQLite format 3\0" + b"\xff" * 5000, "cannot read"),
}


@pytest.mark.parametrize("case", BAD_SOURCES, ids=str)
def test_bad_source_is_named(database: Server, source: Path, case: str) -> None:
    content, message = BAD_SOURCES[case]
    if content is not None:
        source.write_bytes(content)
    before = dump(database)
    result = migrate(database, source)
    assert result.returncode == 3
    assert message in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.stderr
    assert dump(database) == before


BAD_TARGETS = {
    "unreachable": ({"POSTGRES_PORT": "1"}, "Cannot reach PostgreSQL"),
    "wrong database": ({"POSTGRES_DB": "nowhere"}, "does not exist"),
    "wrong password": ({"MIGRATOR_PASSWORD_FILE": "{wrong}"}, "password authentication failed"),
    "without sql/": ({"POSTGRES_DB": "postgres"}, "Apply sql/ first"),
}


@pytest.mark.parametrize("case", BAD_TARGETS, ids=str)
def test_bad_target_is_named(database: Server, source: Path, tmp_path: Path, case: str) -> None:
    settings, message = BAD_TARGETS[case]
    wrong = tmp_path / "wrong"
    wrong.write_text("not-the-password")
    make(source, LOGS + log_row(1))
    variables = {
        "MIGRATION_DIR": tmp_path / "work",
        **{name: value.format(wrong=wrong) for name, value in settings.items()},
    }
    result = subprocess.run(
        [sys.executable, "-m", "migration", "run", source],
        cwd=CHECKOUT,
        env={**environment(database), **{key: str(value) for key, value in variables.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 4, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert "not-the-password" not in result.stderr


@pytest.mark.skipif(not Path("/proc").exists(), reason="a read-only folder needs Linux as root")
@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_read_only_folder_is_enough(
    database: Server, tmp_path: Path, mode: str, read_only_folder: Path
) -> None:
    source = read_only_folder / "source.db"
    result = run_module("migration", "run", source, server=database, MIGRATION_DIR=tmp_path / "w")
    assert result.returncode == 0, result.stderr
    assert query(database, "select count(*) from logs") == [(1,)]


@pytest.fixture
def read_only_folder(tmp_path: Path, mode: str) -> Iterator[Path]:
    """A folder on a read-only file system, as the container sees the platform's."""
    folder, view = tmp_path / "data", tmp_path / "view"
    folder.mkdir()
    view.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "source.db")) as connection:
        connection.execute(f"pragma journal_mode = {mode}")
        connection.executescript(LOGS + log_row(1))
    mounted = subprocess.run(
        ["mount", "--bind", "-o", "ro", folder, view], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting needs root with CAP_SYS_ADMIN")
    yield view
    subprocess.run(["umount", view], check=True)


def test_source_that_a_crash_left_with_a_journal_is_rolled_back_in_the_copy(
    database: Server, source: Path
) -> None:
    make(source, LOGS + log_row(1))
    script = (
        "import sqlite3, os, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('pragma cache_size = 1'); c.execute('begin');"
        'c.executescript("with recursive n(i) as (select 2 union all select i + 1 from n where'
        " i < 5000) insert into logs select i, null, '2026-02-01 10:00:00', 'I', 's',"
        " printf('%0500d', i), null from n\"); os.kill(os.getpid(), 9)"
    )
    make_script = script.replace("c.executescript", "c.execute")
    subprocess.run([sys.executable, "-c", make_script, source], check=False)
    journal = source.with_name("source.db-journal")
    assert journal.stat().st_size > 0
    before = (source.read_bytes(), journal.read_bytes())
    assert migrate(database, source).returncode == 0
    assert (source.read_bytes(), journal.read_bytes()) == before
    assert query(database, "select count(*) from logs") == [(1,)]


def test_names_that_mean_something_to_a_program_arrive(database: Server, source: Path) -> None:
    make(
        source,
        """create table "100% {x} ""q"" select" ("a%s" integer primary key, "{b}" text, "ї'" real,
               "select" text unique);
           insert into "100% {x} ""q"" select" values (1, 'v', 0.5, 'u');""",
    )
    assert migrate(database, source).returncode == 0
    query(database, """update "100% {x} ""q"" select" set "{b}" = 'w'""")
    work = source.parent / "work"
    result = run_module("migration", "verify", server=database, MIGRATION_DIR=work)
    assert result.returncode == 6
    assert "[1] {b}: source v, target w" in result.stdout


def test_foreign_key_that_postgresql_cannot_have_is_said(database: Server, source: Path) -> None:
    make(
        source,
        """create table p (id integer primary key); create table c (p text references p, o int,
               foreign key (o) references p(id));
           insert into p values (1); insert into c values ('one', 1), ('x', 9);""",
    )
    code, document = report(database, source, "--quarantine")
    assert code == 5
    assert [entry["kind"] for entry in document["not_carried"]] == ["foreign key"]
    assert query(database, "select p, o from c") == [("one", 1)]


def test_applying_sql_again_leaves_migrated_tables_as_they_are(
    database: Server, source: Path
) -> None:
    make(source, 'create table "dataset_x" (row_id integer primary key, v text);' + LOGS)
    assert migrate(database, source).returncode == 0
    before = dump(database)
    apply_schema(database)
    assert dump(database) == before
    assert query(database, "select count(*) from dataset_x", role="mcp_read") == [(0,)]


@needs_pgloader
@pytest.mark.parametrize("name", ["atlastrinity_small.db", "chinook.sqlite", "pgl_sqlite.db"])
def test_both_engines_end_with_the_same_database(
    cluster: Server, shared: Path, tmp_path: Path, name: str
) -> None:
    source = tmp_path / name
    source.write_bytes((shared / "fixtures" / name).read_bytes())
    dumps = []
    for engine in ("copy", "pgloader"):
        with fresh_database(cluster) as server:
            result = migrate(server, source, "--engine", engine)
            assert result.returncode == 0, result.stderr
            # migration.run differs by its times and engine; rows may lie in another order.
            text = dump(server, "--exclude-table-data=migration.*", "--inserts")
            dumps.append(sorted(text.splitlines()))
    assert dumps[0] == dumps[1]
