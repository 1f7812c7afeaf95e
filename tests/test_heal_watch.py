"""`heal watch` heals what is of an allowed class, as its agent, so often an hour; or nothing.

Watchers are real: the same class in this process, or the command in one of its own. What is asked
of the database is asked as the administrator.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
from pydantic import ValidationError
from structlog.testing import capture_logs

from database.connect import connect
from database.embedded.server import EmbeddedServer
from database.errors import TargetError, UsageError
from database.settings import Server
from mcp_server.healing import heartbeat
from mcp_server.healing.watch import Look, Watch, open_watch
from mcp_server.settings import Settings
from tests import schema_tools as tools
from tests.mcp_clients import agent
from tests.programs import CHECKOUT, environment, run_module
from tests.test_drift import digests, printed
from tests.test_heal_findings import break_index, indexes, much
from tests.test_healing import attempts, platform, wrong
from tests.test_mcp_pools import instance

__all__ = ["instance", "much", "platform"]
pytestmark = pytest.mark.anyio

LOST_INDEX = "drop index ix_logs_timestamp"
LOST_COLUMN = "alter table tasks drop column completed_at"
#: The sessions of mcp_heal that wait for a lock.
WAITING = (
    "select count(*) from pg_stat_activity where datname = current_database()"
    " and usename = 'mcp_heal' and wait_event_type = 'Lock'"
)


@pytest.fixture
def healthy(platform: Server) -> Server:
    """The platform's database with its rows, and nothing to be found."""
    tools.execute(platform, "analyze")
    return platform


@asynccontextmanager
async def watching(server: Server, **settings: Any) -> AsyncIterator[Watch]:
    """A watcher in this process; `settings` as in `Settings`."""
    access = open_watch(Settings(**settings), discover=lambda: server)
    try:
        yield Watch(access)
    finally:
        await access.recorder.close()
        await access.pools.close()


async def look_once(server: Server, **settings: Any) -> Look:
    async with watching(server, **settings) as watch:
        return await watch.look()


@contextmanager
def watcher(server: Server, log: Path, **settings: object) -> Iterator[subprocess.Popen[bytes]]:
    """`heal watch` in a process of its own, which looks every second."""
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "mcp_server", "heal", "watch", "--heartbeat", f"{log}.beat"],
            cwd=CHECKOUT,
            env=environment(server, **{"MCP_HEAL_INTERVAL_S": 1, **settings}),
            stderr=stderr,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], log: Path) -> None:
    """Wait; what the watcher logged where it does not come."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def heal_command(server: Server, *arguments: object, **settings: object) -> str:
    result = run_module("mcp_server", "heal", *arguments, server=server, **settings)
    assert result.returncode == 0, result.stderr
    return result.stdout


def by_whom(server: Server) -> list[object]:
    rows = tools.query(server, "select agent from ops.healing_attempt order by started_at")
    return [row[0] for row in rows]


def reasons(look: Look) -> dict[str, str]:
    return {trouble.words: reason for trouble, reason in look.left}


async def test_a_look_heals_the_drift_and_records_who_did(healthy: Server) -> None:
    whole, rows = printed(healthy), digests(healthy)
    tools.execute(healthy, LOST_INDEX, "alter table files drop constraint files_path_key")
    async with watching(healthy) as watch:
        look = await watch.look()
        assert (len(look.healed), look.left, look.hindered) == (1, [], None)
        assert "ix_logs_timestamp" in look.healed[0].words
        # Where nothing is wrong, nothing is tried.
        assert await watch.look() == Look()
    assert (printed(healthy), digests(healthy)) == (whole, rows)
    assert [attempt[:3] for attempt in attempts(healthy)] == [("healed", "schema", None)]
    assert by_whom(healthy) == ["healer"]
    calls = tools.query(
        healthy, "select distinct agent, tool from audit.call where event = 'begin'"
    )
    assert calls == [("healer", "postgres_heal")]
    chain = run_module("mcp_server", "audit", "verify", server=healthy)
    assert chain.returncode == 0, chain


async def test_a_look_heals_the_findings_that_need_no_person(much: Server) -> None:
    look = await look_once(much)
    assert [trouble.words for trouble in look.healed] == ["stale_statistics: public.much"]
    # Found only once the table has statistics.
    look = await look_once(much)
    assert [trouble.words for trouble in look.healed] == ["missing_fk_index: public.much_a_fkey"]
    assert {attempt[:2] for attempt in attempts(much)} == {("healed", "performance")}
    assert set(by_whom(much)) == {"healer"}


async def test_a_class_that_is_not_allowed_is_logged_once_and_left(healthy: Server) -> None:
    tools.execute(healthy, LOST_INDEX)
    damaged = printed(healthy)
    async with watching(healthy, heal_classes="performance") as watch:
        with capture_logs() as logged:
            first, second = await watch.look(), await watch.look()
            assert reasons(first) == reasons(second)
            assert list(reasons(first).values()) == ["class"]
            # What has gone and comes again is said again.
            tools.execute(healthy, "create index ix_logs_timestamp on logs (timestamp)")
            assert (await watch.look()).left == []
            tools.execute(healthy, LOST_INDEX)
            await watch.look()
    said = [entry for entry in logged if entry["event"] == "class not allowed"]
    assert [entry["class"] for entry in said] == ["schema", "schema"]
    assert "ix_logs_timestamp" in said[0]["what"]
    assert printed(healthy) == damaged
    assert attempts(healthy) == []


async def test_what_is_a_person_s_is_logged_once_and_not_touched(healthy: Server) -> None:
    tools.execute(
        healthy,
        "alter table tasks disable row level security",
        "alter table logs disable row level security",
    )
    damaged = printed(healthy)
    async with watching(healthy) as watch:
        with capture_logs() as logged:
            first = await watch.look()
            assert await watch.look() == first
    assert set(reasons(first).values()) == {"person"}
    said = [entry for entry in logged if entry["event"] == "left to a person"]
    assert len(said) == len(first.left) == 2
    assert all("python -m database apply" in entry["fix"] for entry in said)
    assert printed(healthy) == damaged
    assert attempts(healthy) == []


async def test_while_paused_nobody_heals_and_everybody_is_told_why(healthy: Server) -> None:
    tools.execute(healthy, LOST_INDEX)
    damaged = printed(healthy)
    paused = heal_command(healthy, "pause", "--reason", "moving house", "--by", "Olena")
    assert "by Olena (mcp_audit) since" in paused
    async with watching(healthy) as watch, agent(healthy) as door:
        look = await watch.look()
        assert look.hindered is not None
        assert look.hindered in f"Healing is {paused[len('healing is ') :]}"
        answer = await door.call("postgres_heal")
        assert (answer["success"], answer["sqlstate"]) == (False, "55000")
        assert "moving house" in answer["error"]
        assert "heal resume" in answer["hint"]
        # What is no healing goes on.
        column = {"table": "tasks", "column": "priority", "column_type": "integer"}
        assert (await door.call("postgres_fix_missing_column", **column))["changed"]
        tools.execute(healthy, "alter table tasks drop column priority")
        assert "moving house" in heal_command(healthy, "status")
        assert (printed(healthy), attempts(healthy)) == (damaged, [])
        # The administrator's way, in plain SQL.
        ((was,),) = tools.query(healthy, "select ops.resume_healing()")
        assert "moving house" in str(was)
        assert len((await watch.look()).healed) == 1
    ((by, resumed_by),) = tools.query(
        healthy, "select paused_by, resumed_by from ops.healing_pause"
    )
    assert (by, resumed_by) == ("Olena (mcp_audit)", "postgres")
    assert "was not paused" in heal_command(healthy, "resume")


async def paused_in_the_middle(server: Server, busy_with: str) -> tuple[Look, dict[str, Any]]:
    """A look whose first statement waits for the platform, until healing is paused."""
    looks: list[Look] = []
    async with watching(server) as watch, anyio.create_task_group() as group:
        with connect(server, "atlas") as busy:
            busy.execute(busy_with.encode())

            async def look() -> None:
                looks.append(await watch.look())

            group.start_soon(look)
            while tools.query(server, WAITING) == [(0,)]:  # noqa: ASYNC110
                await anyio.sleep(0.02)
            tools.query(server, "select ops.pause_healing('stop at once')")
            # The statement that waits goes on; it is the last.
            busy.rollback()
    assert list(reasons(looks[0]).values()) == ["failed"]
    ((outcome, _, _, finished, report),) = attempts(server)
    assert (outcome, finished) == ("failed", True)
    assert isinstance(report, dict)
    (done,) = report["rounds"]
    assert done["error"]["sqlstate"] == "55000"
    assert "stop at once" in done["error"]["error"]
    return looks[0], done


async def test_a_pause_stops_a_transaction_before_its_next_statement(healthy: Server) -> None:
    tools.execute(healthy, LOST_COLUMN, LOST_INDEX)
    damaged = printed(healthy)
    await paused_in_the_middle(healthy, "select count(*) from tasks")
    assert printed(healthy) == damaged


async def test_a_pause_stops_what_no_transaction_holds(much: Server) -> None:
    tools.execute(much, "analyze much", "create index on much (a)")
    break_index(much, "create index concurrently broken on much ((1 / n))")
    _, done = await paused_in_the_middle(much, "update much set t = 'y' where n = 1")
    (build,) = done["not_run"]
    assert build.startswith("CREATE INDEX CONCURRENTLY broken")
    # It was dropped before.
    assert not [name for name in indexes(much) if "broken" in str(name)]


@pytest.mark.parametrize("role", ["mcp_read", "mcp_write", "mcp_heal", "atlas", "migrator"])
def test_no_agent_pauses_or_resumes(healthy: Server, role: str) -> None:
    for call in ("pause_healing('x')", "resume_healing()", "lock_watching()"):
        with connect(healthy, role) as connection, pytest.raises(psycopg.Error) as failure:
            connection.execute(f"select ops.{call}".encode())
        assert failure.value.sqlstate == "42501"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        tools.execute(healthy, "delete from ops.healing_pause", role="mcp_audit")


async def test_the_limit_holds_across_restarts_and_ends_with_the_hour(healthy: Server) -> None:
    tools.execute(healthy, LOST_INDEX)
    assert len((await look_once(healthy, heal_per_hour=1)).healed) == 1
    # It hinders nobody where nothing is wrong.
    assert await look_once(healthy, heal_per_hour=1) == Look()
    tools.execute(healthy, LOST_COLUMN)
    damaged = printed(healthy)
    look = await look_once(healthy, heal_per_hour=1)
    assert look.hindered == "healer has begun the 1 attempts that it may an hour."
    assert list(reasons(look).values()) == ["hindered"]
    assert (printed(healthy), len(attempts(healthy))) == (damaged, 1)
    status = json.loads(heal_command(healthy, "status", "--json", MCP_HEAL_PER_HOUR=1))
    assert (status["attempts"], status["watcher"]) == ({"healed": 1}, 1)
    assert 3_000 < status["wait_seconds"] <= 3_600
    # The agents have no such limit.
    async with agent(healthy) as door:
        assert (await door.call("postgres_heal", dry_run=True))["success"]
    an_hour_ago = "update ops.healing_attempt set started_at = started_at - interval '1 hour'"
    tools.execute(healthy, an_hour_ago)
    assert len((await look_once(healthy, heal_per_hour=1)).healed) == 1
    assert wrong(healthy) == []


async def test_what_fails_is_not_tried_at_every_look(healthy: Server) -> None:
    # Two rows of one path: the key cannot come back.
    tools.execute(
        healthy,
        "alter table files drop constraint files_path_key",
        "insert into files (path, name, size, mtime, is_dir, last_scanned)"
        " select 'a', 'a', 1, 1, false, now() from generate_series(1, 2)",
    )
    async with watching(healthy) as watch:
        with capture_logs() as logged:
            first, second = await watch.look(), await watch.look()
    assert list(reasons(first).values()) == list(reasons(second).values()) == ["failed"]
    (said,) = [entry for entry in logged if entry["event"] == "not healed"]
    assert said["again_in_s"] == 120
    assert [attempt[0] for attempt in attempts(healthy)] == ["failed"]


async def test_two_watchers_heal_once(healthy: Server) -> None:
    tools.execute(healthy, LOST_COLUMN, LOST_INDEX)
    looks: list[Look] = []
    async with watching(healthy) as one, watching(healthy) as two:

        async def look(watch: Watch) -> None:
            looks.append(await watch.look())

        async with anyio.create_task_group() as both:
            both.start_soon(look, one)
            both.start_soon(look, two)
        assert sorted(look.hindered or "" for look in looks) == ["", "Another watcher acts."]
        assert [attempt[0] for attempt in attempts(healthy)] == ["healed"]
        assert wrong(healthy) == []
        # The one that stood by takes over when the other has gone.
        (other,) = [watch for watch in (one, two) if (await watch.look()).hindered]
        await (two if other is one else one).access.recorder.close()
        tools.execute(healthy, LOST_INDEX)
        while (taken_over := await other.look()).hindered:  # noqa: ASYNC110
            await anyio.sleep(0.02)
        assert len(taken_over.healed) == 1


async def test_two_that_build_an_index_at_once_do_not_remove_each_other_s(
    healthy: Server,
) -> None:
    # A watcher and an agent, between whom the lock of healing alone stands; again and again.
    outcomes: list[str] = []
    async with watching(healthy) as watch, agent(healthy) as door:

        async def ask() -> None:
            outcomes.append((await door.call("postgres_heal"))["outcome"])

        for _ in range(3):
            tools.execute(healthy, LOST_INDEX, "delete from ops.healing_attempt")
            async with anyio.create_task_group() as both:
                both.start_soon(watch.look)
                both.start_soon(ask)
            assert wrong(healthy) == []
    assert set(outcomes) <= {"healed", "not_needed", "failed"}


def test_killed_between_looks_it_leaves_nothing_and_the_next_goes_on(
    healthy: Server, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    of_us = (
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and usename like 'mcp_%'"
    )
    with watcher(healthy, log) as first:
        tools.execute(healthy, LOST_INDEX)
        until(lambda: wrong(healthy) == [] and "looked" in beat_of(log), log)
        first.send_signal(signal.SIGKILL)
        first.wait()
    until(lambda: tools.query(healthy, of_us) == [(0,)], log)
    locks = "select count(*) from pg_locks where locktype = 'advisory' and database ="
    locks += " (select oid from pg_database where datname = current_database())"
    assert tools.query(healthy, locks) == [(0,)]
    tools.execute(healthy, LOST_COLUMN)
    with watcher(healthy, log):
        until(lambda: wrong(healthy) == [], log)
    assert [attempt[0] for attempt in attempts(healthy)] == ["healed", "healed"]


def beat_of(log: Path) -> str:
    path = Path(f"{log}.beat")
    return path.read_text() if path.exists() else ""


def test_a_restart_of_the_database_is_waited_for(instance: EmbeddedServer, tmp_path: Path) -> None:
    server, log = Server.from_instance(instance.directory), tmp_path / "log"
    with watcher(server, log) as process:
        until(lambda: "looked" in beat_of(log), log)
        instance.stop()
        until(lambda: "cannot look" in log.read_text(), log)
        instance.start()
        tools.execute(server, LOST_INDEX)
        until(lambda: wrong(server) == [], log)
        assert process.poll() is None
    assert by_whom(server) == ["healer"]


def test_a_signal_ends_it_and_rolls_back_what_is_under_way(healthy: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    tools.execute(healthy, LOST_COLUMN)
    damaged = printed(healthy)
    with connect(healthy, "atlas") as busy:
        busy.execute("select count(*) from tasks")
        with watcher(healthy, log, MCP_LOCK_TIMEOUT_MS=30_000) as process:
            until(lambda: tools.query(healthy, WAITING) == [(1,)], log)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 7, log.read_text()
    assert printed(healthy) == damaged
    assert [attempt[0] for attempt in attempts(healthy)] == ["interrupted"]


def once(server: Server | None, **settings: object) -> subprocess.CompletedProcess[str]:
    return run_module("mcp_server", "heal", "watch", "--once", server=server, **settings)


def test_one_look_ends_with_the_code_of_what_it_came_to(healthy: Server) -> None:
    tools.execute(healthy, LOST_INDEX)
    healed = once(healthy)
    assert (healed.returncode, healed.stderr.count("error")) == (0, 0), healed
    assert healed.stdout.startswith("healed: index ix_logs_timestamp")
    tools.execute(healthy, "alter table tasks disable row level security")
    left = once(healthy)
    assert left.returncode == 6
    assert "row-level security is no, declared as yes" in left.stdout
    tools.execute(healthy, "select ops.pause_healing('so')", LOST_INDEX)
    paused = once(healthy)
    assert paused.returncode == 6
    assert "left (hindered): index ix_logs_timestamp" in paused.stdout
    assert "Healing is paused by postgres" in paused.stderr


def test_one_look_does_not_wait_for_a_database_that_is_away(healthy: Server) -> None:
    result = once(healthy.model_copy(update={"port": 1}))
    assert (result.returncode, result.stdout) == (4, "")
    assert "error:" in result.stderr


def test_a_heartbeat_that_cannot_be_written_ends_it(healthy: Server, tmp_path: Path) -> None:
    place = tmp_path / "none" / "beat"
    arguments = ("mcp_server", "heal", "watch", "--heartbeat", place)
    result = run_module(*arguments, server=healthy)
    assert (result.returncode, "Traceback" in result.stderr) == (2, False), result
    assert f"Cannot write the heartbeat {place}" in result.stderr


def test_a_watcher_is_an_agent_that_may_heal_and_knows_its_classes() -> None:
    caller = open_watch(Settings()).caller
    assert (caller.agent, caller.sessions, caller.heals_per_hour) == ("healer", "bound", 6)
    with pytest.raises(UsageError, match="There is no agent 'nobody'"):
        open_watch(Settings(heal_agent="nobody"))
    with pytest.raises(UsageError, match="grisha may not heal"):
        open_watch(Settings(heal_agent="grisha"))
    with pytest.raises(ValidationError, match="names magic; it may name data, performance, schema"):
        Settings(heal_classes="schema, magic")


def test_the_heartbeat_says_what_is_true(tmp_path: Path) -> None:
    path = tmp_path / "beat"
    with pytest.raises(TargetError, match="No watcher has looked yet"):
        heartbeat.check(path)
    heartbeat.beat(path, "looked", 1)
    assert heartbeat.check(path).endswith("looked")
    last = json.loads(path.read_text())
    path.write_text(json.dumps({**last, "at": last["at"] - 70}))
    with pytest.raises(TargetError, match="has not looked for 70 s; then: looked"):
        heartbeat.check(path)
    # Building an index may take its time.
    path.write_text(json.dumps({**last, "at": last["at"] - 70, "state": "healing"}))
    assert heartbeat.check(path).endswith("healing")
    with pytest.raises(UsageError, match="Cannot write"):
        heartbeat.beat(tmp_path / "none" / "beat", "looked", 1)
