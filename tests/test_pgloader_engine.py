"""pgloader is not trusted: every value arrives exactly, and a pgloader that fails is caught."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console

from database.connect import connect
from database.errors import QuarantineError, TargetError, UsageError
from database.settings import Server
from migration.creation import create_missing
from migration.load import EngineName, pgloader_command
from migration.load.one_ahead import one_ahead
from migration.load.pgloader import PgloaderEngine
from migration.load.rendering import Part, render, rendering_of
from migration.plan import Plan, make_plan
from migration.profile import profile_source
from migration.progress import Steps
from migration.run import Options, Outcome, migrate
from migration.target import open_target, read_target
from tests.engines import Quiet, needs_pgloader
from tests.programs import CHECKOUT, dump, environment, query

PGLOADER = shutil.which("pgloader")
SECRETS = ("postgres_password", "migrator_password", "atlas_password")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source.db"


def make(path: Path, script: str, rows: Sequence[tuple[object, ...]] = ()) -> Path:
    """A SQLite file by a script; `rows` go into the table t."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            connection.executemany(f"insert into t values ({marks})", rows)
            connection.commit()
    return path


def run(server: Server, source: Path, engine: EngineName = EngineName.PGLOADER) -> Outcome:
    options = Options(source, source.parent / "work", engine, quarantine=True)
    return migrate(server, options, Steps(Console(quiet=True)))


def staged_tables(server: Server) -> list[tuple[object, ...]]:
    return query(server, "select tablename from pg_tables where schemaname = 'migration_staging'")


def plan_for(server: Server, source: Path) -> Plan:
    with open_target(server) as connection:
        return make_plan(profile_source(source), read_target(connection))


HARD_TEXTS = [
    "", " ", "  both  ", "\t", "\n", "\r", "\r\n", "a\tb\nc\r\nd", "\\", "\\\\", "\\N", "\\.",
    "\\n", "\\t", "\\x00", "\\0", "\\101", "\n\\.\n", "NULL", "null", "nil", "NIL", ":NULL",
    "'", '"', "''", '"a","b"', "a;b,c|d", "$1", "%s", "~a", "~%", "{{x}}", "a5b", "5.5", "007",
    "1.5d0", "1e400", "2026", "0000-00-00", "2026-02-30", "t", "true", "YWJj", "\\xdeadbeef",
    "\x01\x02\x1f", "\x08\x0b\x0c\x1b", "\x7f", "\x80\x9f", "\u00a0", "\ufeffbom", "\u2028\u2029",
    "\uffff", "\ufdd0", "\U0010ffff", "é\u0301", "їжак", "漢字", "🧪👩‍👩‍👧", "\u202eabc",
    '{"a": "\\u044f"}', "x" * 63_999, "x" * 64_000, "x" * 64_001, "я" * 128_000, "\\" * 70_000,
    "\n" * 70_000, "🧪" * 64_001,
]  # fmt: skip


@needs_pgloader
def test_every_hard_text_arrives_exactly(database: Server, source: Path) -> None:
    rows: list[tuple[object, ...]] = [
        (number, text, None) for number, text in enumerate(HARD_TEXTS)
    ]
    rows += [(-1, None, ""), (-2, "", None)]
    make(source, "create table t (id integer primary key, v text, w text)", rows)
    assert run(database, source).error is None
    assert query(database, "select id, v, w from t order by id") == sorted(rows)


@needs_pgloader
def test_every_other_value_arrives_exactly(database: Server, source: Path) -> None:
    # From SQLite's digits to the same double: 17 digits, where its own CAST gives 15.
    values = [
        (1, 2**63 - 1, 0.1 + 0.2, b"", 1, "2026-02-01 10:00:00.000001", "-5", "{}"),
        (2, -(2**63), 5e-324, b"\x00\\x\xff\xfe", 0, "0001-01-01 00:00:00", "1e3", "[1.50, null]"),
        (
            3,
            0,
            1.7976931348623157e308,
            bytes(range(256)) * 300,
            None,
            "9999-12-31 23:59:59",
            "",
            "[]",
        ),
        (4, None, float("inf"), None, 1, None, "a5b", '{"b": 1, "a": "ї\\n"}'),
        (5, -1, float("-inf"), b"\n\t\\N", 0, None, None, None),
        (6, 7, 1 / 3, "Київ".encode(), 1, "2026-03-29 02:30:00", "z", "[]"),
    ]
    make(
        source,
        """create table t (id integer primary key, a integer, b real, c blob, d boolean,
               e datetime, f text, g json)""",
        values,
    )
    assert run(database, source).error is None
    found = query(database, "select id, a, b, c, d::int, e::text, f, g::text from t order by id")
    assert found == [
        *values[:3],
        (*values[3][:-1], '{"a": "ї\\n", "b": 1}'),
        *values[4:],
    ]


@needs_pgloader
def test_long_values_arrive_whole(database: Server, source: Path) -> None:
    """Together far more than pgloader's heap could hold at once: 30 rows of 15 MB as Lisp text."""
    rows: list[tuple[object, ...]] = [
        (number, f"{number}я" * 1_500_000, os.urandom(200_000), "\t\\" * 400)
        for number in range(30)
    ]
    rows.append((99, "x" * 20_000_000, os.urandom(10_000_000), ""))
    make(source, "create table t (id integer primary key, v text, b blob, s text)", rows)
    assert run(database, source).error is None
    assert query(database, "select id, v, b, s from t order by id") == rows


@needs_pgloader
def test_rows_of_many_long_columns_arrive_whole(database: Server, source: Path) -> None:
    names = [f"c{number}" for number in range(300)]
    rows: list[tuple[object, ...]] = [
        tuple(f"{number}.{name}." * 300 for name in names) for number in range(60)
    ]
    make(source, f"create table t ({', '.join(names)})", rows)
    assert run(database, source).error is None
    assert sorted(query(database, "select * from t")) == sorted(rows)


@needs_pgloader
def test_every_refused_row_is_found_with_its_reason(database: Server, source: Path) -> None:
    script = """create table logs (id integer primary key, session_id varchar(100),
        timestamp datetime, level varchar(20), source varchar(100), message text,
        metadata_blob json);"""
    insert = "insert into logs values ({}, null, {}, 'I', 's', {}, {});"
    when = "'2026-02-01 10:00:00'"
    deep = "'" + "[" * 20000 + "]" * 20000 + "'"
    for number in range(1000):
        script += insert.format(number, when, "'m'", "'{\"a\": 1}'")
    refused = [
        (2001, insert.format(2001, "'soon'", "'m'", "null"), "timestamp", "22007"),
        (2002, insert.format(2002, when, "x'00'", "null"), "message", "22P02"),
        (2003, insert.format(2003, when, "null", "null"), "message", "23502"),
        (2004, insert.format(2004, when, "'m'", "'{oops'"), "metadata_blob", "22P02"),
        (2005, insert.format(2005, when, "'m'", "'\"\\u0000\"'"), "metadata_blob", "22P05"),
        (2006, insert.format(2006, when, "'m'", deep), "metadata_blob", "54001"),
        (2_147_483_648, insert.format(2_147_483_648, when, "'m'", "null"), "id", "22003"),
    ]
    make(source, script + "".join(entry[1] for entry in refused))
    outcome = run(database, source)
    assert outcome.report.data["verdict"] == "quarantined"
    assert query(
        database,
        "select (source_key -> 'id')::bigint, column_name, sqlstate from migration.quarantine"
        " order by 1",
    ) == [(key, column, sqlstate) for key, _, column, sqlstate in refused]
    assert query(database, "select count(*), max(id) from logs") == [(1000, 999)]
    assert staged_tables(database) == []


@needs_pgloader
def test_value_too_long_for_its_column_is_refused_not_cut(database: Server, source: Path) -> None:
    query(
        database,
        """create table t (id int generated always as identity, v varchar(3), c char(2),
               n numeric(4, 2));
           alter table t owner to atlas_owner""",
    )
    make(
        source,
        "create table t (id integer, v text, c text, n text)",
        [(5, "abc", "ab", None), (6, "abcd", "ab", None), (7, "abc", "abc", None)],
    )
    assert run(database, source).report.data["verdict"] == "quarantined"
    assert query(database, "select id, v, c from t") == [(5, "abc", "ab")]
    assert query(database, "select column_name, sqlstate from migration.quarantine order by 1") == [
        ("c", "22001"),
        ("v", "22001"),
    ]


@needs_pgloader
def test_type_that_raises_instead_of_answering_is_narrowed_down(
    database: Server, source: Path
) -> None:
    query(
        database,
        """create function odd_only(v int) returns boolean language plpgsql immutable as $$
               begin if v % 100 = 0 then raise sqlstate '22023' using message = 'a hundred';
               end if; return true; end $$;
           create domain number as int check (odd_only(value));
           create table t (id int, v number); alter table t owner to atlas_owner""",
    )
    make(source, "create table t (id integer, v integer)", [(n, n) for n in range(1, 1001)])
    assert run(database, source).report.data["verdict"] == "quarantined"
    assert query(database, "select count(*) from t where v % 100 = 0") == [(0,)]
    assert query(database, "select count(*) from t") == [(990,)]
    assert query(
        database,
        "select distinct reason, sqlstate, count(*) from migration.quarantine group by 1, 2",
    ) == [("a hundred", "22023", 10)]


@needs_pgloader
def test_progress_adds_up_to_the_rows_of_the_source(database: Server, source: Path) -> None:
    make(source, "create table t (v); create table e (v)", [(n,) for n in range(5000)])
    plan = plan_for(database, source)
    engine, progress = PgloaderEngine(database, source.parent / "work"), Quiet()
    with open_target(database) as connection:
        try:
            engine.prepare(source, plan, progress)
            with connection.transaction():
                create_missing(connection, plan)
                loaded = [engine.load(connection, source, table, progress) for table in plan.tables]
        finally:
            engine.clean()
    assert [(entry.table.target, entry.rows) for entry in loaded] == [("e", 0), ("t", 5000)]
    assert progress.rows == 5000


@needs_pgloader
@pytest.mark.parametrize("name", ["my [old] db*?.db", "it's їжак (1).db", "a\\b {{c}} ~d.db"])
def test_odd_file_names_are_no_hindrance(database: Server, tmp_path: Path, name: str) -> None:
    make(tmp_path / name, "create table t (v)", [("x",)])
    assert run(database, tmp_path / name).error is None
    assert query(database, "select v from t") == [("x",)]


@needs_pgloader
def test_log_is_kept_and_nothing_else(database: Server, source: Path) -> None:
    make(source, "create table t (v)", [("x",)])
    directory = run(database, source).directory
    kept = {path.name for path in (directory / "pgloader").iterdir() if path.is_file()}
    assert kept == {"command.load", "pgloader.log", "output.log"}
    assert staged_tables(database) == []
    assert "COPY" in (directory / "pgloader" / "pgloader.log").read_text()


@needs_pgloader
def test_password_that_has_special_characters_works(
    database: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = source.parent / "password"
    password = "p@ss:w\\rd/%41?# "
    file.write_text(password)
    old = database.password("migrator")
    try:
        query(database, f"alter role migrator password '{password}'")
        monkeypatch.setenv("MIGRATOR_PASSWORD_FILE", str(file))
        make(source, "create table t (v)", [("x",)])
        assert run(database, source).error is None
    finally:
        query(database, f"alter role migrator password '{old}'")


def test_password_that_pgloader_cannot_send_is_refused(tmp_path: Path) -> None:
    (tmp_path / "migrator_password").write_text("пароль")
    with pytest.raises(UsageError, match="ASCII"):
        pgloader_command.command_text(server(secrets_dir=tmp_path), part(1))


# --- pgloaders that fail --------------------------------------------------------------------


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH before all others; a file named pgloader in it is used."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder / "pgloader"


def write_fake(path: Path, body: str, version: str = "3.6.9") -> None:
    path.write_text(
        f"""#!{sys.executable}
import glob, os, sqlite3, subprocess, sys, time
if "--version" in sys.argv:
    print('pgloader version "{version}"')
    sys.exit(0)
def rendering():
    return sqlite3.connect(glob.glob("rendering-*.db")[0])
def real():
    return subprocess.run([{PGLOADER!r}, *sys.argv[1:]]).returncode
{body}
"""
    )
    path.chmod(0o755)


FAKES = {
    "does nothing": ("sys.exit(0)", r"did not stage logs \(0 of 2 rows\)"),
    "says it failed": (
        "print('2026-11-23T01:00:00.1Z ERROR Database error 53100: disk full'); sys.exit(0)",
        "disk full",
    ),
    "fails": ("sys.exit(3)", "did not stage"),
    "loads half": (
        """c = rendering()
(name,) = c.execute("select name from sqlite_master where name like 't%'").fetchone()
c.execute(f"delete from {name} where n = 1"); c.commit(); real(); sys.exit(0)""",
        r"did not stage logs \(1 of 2 rows\)",
    ),
    "loads twice": ("real(); real(); sys.exit(0)", r"did not stage logs \(4 of 2 rows\)"),
    "runs out of memory at the end": (
        "real(); print('Heap exhausted, game over.'); sys.exit(0)",
        "Heap exhausted",
    ),
    "rejects a row": (
        "real(); os.makedirs('t0', exist_ok=True); open('t0/x.dat', 'w').write('1');sys.exit(0)",
        "rejected rows in t0/x.dat",
    ),
    "is killed": ("os.kill(os.getpid(), 9)", "did not stage"),
}

#: The rendering is in two parts here; of the first one, all is well.
FAKES_OF_PARTS = {
    "fails at the second part": (
        "if os.path.exists('first'): sys.exit(3)\nopen('first', 'w'); real()",
        r"did not stage logs \(1 of \d rows\)",
    ),
    "complains of the first part": (
        "print('ERROR Database error 53100: disk full'); real()",
        "ended with exit code 0. It said: .*disk full",
    ),
}


@pytest.mark.parametrize("case", FAKES, ids=str)
def test_failing_pgloader_is_caught_and_nothing_changes(
    database: Server, source: Path, fake: Path, case: str
) -> None:
    body, message = FAKES[case]
    if "real()" in body and PGLOADER is None:
        pytest.skip("pgloader is not installed here")
    write_fake(fake, body)
    make_logs(source, 2)
    before = dump(database)
    with pytest.raises(TargetError, match=message) as caught:
        run(database, source)
    assert "pgloader.log" in caught.value.hint
    assert dump(database) == before
    assert staged_tables(database) == []


@needs_pgloader
@pytest.mark.parametrize("case", FAKES_OF_PARTS, ids=str)
def test_no_part_may_fail(
    database: Server, source: Path, fake: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr("migration.load.rendering._LARGEST_PART", 1)
    body, message = FAKES_OF_PARTS[case]
    write_fake(fake, body)
    make_logs(source, 300)
    before = dump(database)
    with pytest.raises(TargetError, match=message):
        run(database, source)
    assert dump(database) == before
    assert staged_tables(database) == []
    assert list(source.parent.glob("work/*/pgloader/rendering-*")) == []


@needs_pgloader
def test_what_arrives_in_many_parts_is_whole(
    database: Server, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table over several parts, several tables in one, long values and refused rows in each."""
    monkeypatch.setattr("migration.load.rendering._FIRST_PART", 100_000)
    monkeypatch.setattr("migration.load.rendering._LARGEST_PART", 200_000)
    make(
        source,
        """create table t (id integer primary key, c text);
           create table u (id integer primary key, c text not null);
           create table empty (id integer);
           insert into u values (1, 'one'), (2, 'two')""",
        [(n, "é" * (70_000 if n % 100 == 1 else 300)) for n in range(2_000)]
        + [(2_000, "nul\0"), (2_001, "last")],
    )
    outcome = run(database, source)
    assert isinstance(outcome.error, QuarantineError)
    assert query(database, "select count(*), sum(length(c)) from t") == [
        (2_001, 20 * 70_000 + 1_980 * 300 + 4)
    ]
    assert query(database, "select c from u order by id") == [("one",), ("two",)]
    assert query(database, "select count(*) from migration.quarantine") == [(1,)]


def test_a_rendering_that_cannot_be_written_says_where(
    database: Server, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gone"
    rendering = rendering_of(plan_for(database, make_logs(source, 1)), "x")
    with pytest.raises(UsageError, match=f"Cannot write the rendering into {folder}"):
        next(one_ahead(render(source, rendering, folder, Quiet())))


def make_logs(path: Path, count: int) -> Path:
    """A source with `count` rows in the known table logs."""
    return make(
        path,
        f"""create table logs (id integer primary key, session_id varchar(100),
                timestamp datetime, level varchar(20), source varchar(100), message text,
                metadata_blob json);
            with recursive n(i) as (select 1 union all select i + 1 from n where i < {count})
            insert into logs select i, null, '2026-02-01 10:00:00', 'I', 's', 'm', null from n;""",
    )


@pytest.mark.parametrize(("sessions", "patience"), [(1, (2, 600)), (0, (600, 2))])
def test_pgloader_that_stands_still_is_stopped(
    database: Server,
    source: Path,
    fake: Path,
    tmp_path: Path,
    sessions: int,
    patience: tuple[float, float],
) -> None:
    """Sooner where it has lost its sessions: it does not always notice that they were ended."""
    write_fake(fake, "open('pid', 'w').write(str(os.getpid())); time.sleep(600)")
    make_logs(source, 2)
    engine = PgloaderEngine(database, tmp_path, patience=patience[0], lost_patience=patience[1])
    with contextlib.ExitStack() as stack:
        for _ in range(sessions):
            stack.enter_context(
                connect(database, database.administrator, application_name="pgloader")
            )
        with pytest.raises(TargetError, match="stood still for 2 s"):
            engine.prepare(source, plan_for(database, source), Quiet())
    process = int((tmp_path / "pgloader" / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    engine.clean()
    assert staged_tables(database) == []


def test_pgloader_that_stood_still_once_is_started_again(
    database: Server, source: Path, fake: Path, tmp_path: Path
) -> None:
    """With some rows staged: they are not there twice afterwards."""
    once = tmp_path / "once"
    write_fake(
        fake,
        f"again = os.path.exists({str(once)!r}); open({str(once)!r}, 'w').close();"
        "code = real(); again or time.sleep(600); sys.exit(code)",
    )
    make_logs(source, 300)
    engine = PgloaderEngine(database, tmp_path / "work", patience=2, lost_patience=2)
    progress = Quiet()
    engine.prepare(source, plan_for(database, source), progress)
    assert once.exists()
    (reason,) = progress.reasons
    assert reason.startswith("pgloader stood still for 2 s")
    # Of three stages of every row, the third is the cast; the first attempt does not count.
    assert progress.rows <= 200
    (relation,) = [
        name for (name,) in staged_tables(database) if not str(name).startswith("pieces")
    ]
    assert query(database, f'select count(*) from migration_staging."{relation}"') == [(300,)]
    engine.clean()
    assert staged_tables(database) == []


def test_password_is_in_no_file_argument_or_variable(
    database: Server, source: Path, fake: Path, tmp_path: Path
) -> None:
    write_fake(
        fake,
        "open('seen', 'w').write(repr(sys.argv) + repr(dict(os.environ)));"
        "os.path.exists(os.environ['PGPASSFILE']) or sys.exit(9)",
    )
    make_logs(source, 2)
    engine = PgloaderEngine(database, tmp_path)
    with pytest.raises(TargetError, match="0 of 2 rows"):
        engine.prepare(source, plan_for(database, source), Quiet())
    engine.clean()
    written = "".join(
        path.read_text() for path in (tmp_path / "pgloader").rglob("*") if path.is_file()
    )
    assert "PGPASSFILE" in written
    for secret in SECRETS:
        assert (database.secrets_dir / secret).read_text().strip() not in written


@pytest.mark.parametrize("version", ["4.0.1", "v4.0.0-alpha"])
def test_version_4_is_refused(database: Server, source: Path, fake: Path, version: str) -> None:
    write_fake(fake, "sys.exit(0)", version)
    with pytest.raises(UsageError, match="version 3 is needed"):
        run(database, make_logs(source, 2))


def test_missing_pgloader_says_what_to_install(
    database: Server, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="not installed") as caught:
        run(database, make_logs(source, 2))
    assert "Install the package pgloader" in caught.value.hint
    assert "MIGRATION_ENGINE=copy" in caught.value.hint


@needs_pgloader
@pytest.mark.parametrize("next_engine", EngineName)
def test_leftovers_of_a_killed_run_are_removed(
    database: Server, source: Path, tmp_path: Path, next_engine: EngineName
) -> None:
    """The migration is killed while its pgloader writes; that one lives on and holds a lock."""
    make_logs(source, 200_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "migration", "run", source, "--engine", "pgloader"],
        cwd=CHECKOUT,
        env=environment(database, MIGRATION_DIR=tmp_path / "work"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    writing = "select 1 from pg_stat_activity where datname = current_database()"
    writing += " and application_name = 'pgloader' and query ~* '^\\s*copy'"
    for _ in range(600):
        if query(database, writing):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(staged_tables(database)) == 2
    outcome = run(database, source, next_engine)
    assert outcome.error is None
    assert staged_tables(database) == []
    assert list((tmp_path / "work").glob("*/pgloader/rendering-*")) == []
    assert query(database, "select count(*) from logs") == [(200_000,)]


@needs_pgloader
def test_interrupted_run_stops_pgloader(database: Server, source: Path, fake: Path) -> None:
    mark = source.parent / "pid"
    write_fake(fake, f"open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    make_logs(source, 2)
    process = subprocess.Popen(
        [sys.executable, "-m", "migration", "run", source, "--engine", "pgloader"],
        cwd=CHECKOUT,
        env=environment(database, MIGRATION_DIR=source.parent / "work"),
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(600):
        if mark.exists() and mark.read_text():
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 7, errors
    with pytest.raises(ProcessLookupError):
        os.kill(int(mark.read_text()), 0)
    assert staged_tables(database) == []


# --- what pgloader is asked -----------------------------------------------------------------


def part(longest_row: int) -> Part:
    return Part(Path("/x/rendering-1.db"), longest_row=longest_row)


def server(**changes: object) -> Server:
    return Server(host="db", port=5432, secrets_dir=Path("/none")).model_copy(update=changes)


@pytest.mark.parametrize(
    ("longest_row", "prefetch"), [(1, 1000), (8_388, 1000), (64_000, 131), (10_000_000, 4)]
)
def test_rows_in_memory_are_bounded_by_their_length(longest_row: int, prefetch: int) -> None:
    text = pgloader_command.command_text(server(), part(longest_row))
    assert f"prefetch rows = {prefetch}\n" in text


def test_certificate_is_verified_or_the_engine_refused(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    target = server(sslmode="verify-ca", sslrootcert=authority)
    assert "sslmode=require" in pgloader_command.command_text(target, part(1))
    assert pgloader_command.environment(target, None)["SSL_CERT_FILE"] == str(authority)
    with pytest.raises(UsageError, match="host name"):
        pgloader_command.command_text(server(sslmode="verify-full"), part(1))


def test_database_that_a_command_cannot_name_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot name the database"):
        pgloader_command.command_text(server(database="a b'; --"), part(1))
