"""Faults that no statement injects: each is brought about for real, and left to a person.

What these have in common: healing must not touch them. Each test shows that the diagnosis is right,
that nothing was changed, that it is on record, and that what the diagnosis says does help.
"""

import datetime
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import anyio
import asyncpg
import psycopg
import pytest

from database.apply import apply_schema
from database.connect import connect
from database.embedded.server import EmbeddedServer
from database.settings import Server
from mcp_server.pools import connect_as
from tests import schema_tools as tools
from tests.mcp_clients import agent
from tests.test_drift import _ROWS, digests, printed
from tests.test_heal_findings import found
from tests.test_healing import attempts

pytestmark = pytest.mark.anyio
_BLOCK = 8192


@pytest.fixture
def platform(database: Server) -> Server:
    """A database as sql/ declares it, with rows."""
    tools.execute(database, *_ROWS)
    return database


@pytest.fixture(scope="module")
def instance() -> Iterator[EmbeddedServer]:
    """A server of its own, that may be crashed, filled up and damaged; with few connections."""
    directory = Path(tempfile.mkdtemp(prefix="atlas-postgres-"))
    directory.chmod(0o755)
    own = EmbeddedServer(directory, options={"fsync": "off", "max_connections": "20"})
    try:
        server = own.start()
        apply_schema(server)
        tools.execute(server, *_ROWS)
        yield own
    finally:
        own.remove()


def logged(error: BaseException) -> str:
    """An error as SQLAlchemy wraps it, which is how the platform logs it."""
    name = type(error).__name__
    return f"(sqlalchemy.dialects.postgresql.asyncpg.Error) <class '{name}'>: {error}"


async def left_to_a_person(
    server: Server, error: BaseException | str, sqlstate: str, kind: str, said: str
) -> None:
    """The diagnosis is right, nothing is done, and that is on record.

    Damaged data is not compared: it cannot be read.
    """
    text = error if isinstance(error, str) else logged(error)
    before, sound = printed(server), kind != "corruption"
    rows, tried = digests(server) if sound else [], len(attempts(server))
    async with agent(server) as door:
        answer = (await door.call("postgres_diagnose", error=text))["diagnosis"]
        assert (answer["sqlstate"], answer["class"]) == (sqlstate, kind), answer
        assert said in answer["fix"], answer
        assert answer["alone"] is False
        healed = await door.call("postgres_heal", error=text)
    assert (healed["outcome"], healed["healed"]) == ("left_to_a_person", False)
    assert healed["rounds"] == [{"statements": answer["sql"], "dry_run": False}]
    assert printed(server) == before
    assert not sound or digests(server) == rows
    assert len(attempts(server)) == tried + 1
    assert attempts(server)[-1][:4] == ("left_to_a_person", kind, sqlstate, True)


def deadlocked(server: Server) -> psycopg.Error:
    """Two that lock the same two rows in opposite order; the error of the one that lost."""
    first, second = tools.query(server, "select id from tasks order by id limit 2")
    update = "update tasks set goal = 'new' where id = %s"
    lost: list[psycopg.Error] = []

    def last(connection: psycopg.Connection[tuple[object, ...]], key: tuple[object, ...]) -> None:
        try:
            connection.execute(update, key)
        except psycopg.Error as error:
            lost.append(error)
        # Whoever lost makes way for the other.
        connection.rollback()

    with connect(server, "atlas") as one, connect(server, "atlas") as other:
        one.execute(update, first)
        other.execute(update, second)
        waiting = threading.Thread(target=last, args=(other, first))
        waiting.start()
        last(one, second)
        waiting.join()
        # The same transaction, again: it works.
        one.execute(update, first)
        one.execute(update, second)
        one.rollback()
    (error,) = lost
    return error


async def test_a_deadlock(platform: Server) -> None:
    error = deadlocked(platform)
    assert isinstance(error, psycopg.errors.DeadlockDetected)
    await left_to_a_person(platform, error, "40P01", "transient", "Restart nothing")


async def test_a_serialization_failure(platform: Server) -> None:
    update = "update tasks set goal = 'new' where id = (select min(id::text)::uuid from tasks)"
    with connect(platform, "atlas") as one, connect(platform, "atlas") as other:
        one.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        one.execute("select count(*) from tasks")
        other.execute(update)
        other.commit()
        with pytest.raises(psycopg.errors.SerializationFailure) as failure:
            one.execute(update)
        one.rollback()
        one.execute(update)
    await left_to_a_person(platform, failure.value, "40001", "transient", "again")


async def test_a_transaction_that_was_aborted(platform: Server) -> None:
    with connect(platform, "atlas") as connection:
        with pytest.raises(psycopg.errors.UndefinedColumn):
            connection.execute("select gaol from tasks")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction) as failure:
            connection.execute("select goal from tasks")
        connection.rollback()
        connection.execute("select goal from tasks")
    await left_to_a_person(platform, failure.value, "25P02", "transient", "first error")


async def test_a_value_that_asyncpg_does_not_take(platform: Server) -> None:
    connection = await connect_as(platform, "atlas", "test")
    try:
        statement = "select $1::timestamp"
        aware = datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC)
        with pytest.raises(asyncpg.DataError) as failure:
            await connection.fetchval(statement, aware)
        assert await connection.fetchval(statement, aware.replace(tzinfo=None))
    finally:
        await connection.close()
    await left_to_a_person(platform, failure.value, "22000", "data", "plugin")


async def test_a_connection_ended_by_an_administrator(platform: Server) -> None:
    connection = await connect_as(platform, "atlas", "test")
    with pytest.raises(asyncpg.PostgresError) as failure:
        await connection.fetchval("select pg_terminate_backend(pg_backend_pid())")
    # The farewell is read, or not any more.
    sqlstate = failure.value.sqlstate or ""
    assert sqlstate in ("57P01", "08003")
    await left_to_a_person(platform, failure.value, sqlstate, "transient", "Connect again")


async def test_a_lock_that_is_not_given_up(platform: Server) -> None:
    update = "update tasks set goal = 'new'"
    with connect(platform, "atlas") as one, connect(platform, "atlas") as other:
        one.execute(update)
        other.execute("set lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable) as failure:
            other.execute(update)
        other.rollback()
        one.rollback()
        other.execute(update)
    await left_to_a_person(platform, failure.value, "55P03", "transient", "Run it again")


@pytest.mark.parametrize(
    ("limit", "sqlstate", "said"),
    [
        ("idle_in_transaction_session_timeout", "25P03", "commit before waiting"),
        ("idle_session_timeout", "57P05", "pool_pre_ping"),
    ],
)
async def test_a_session_that_was_left_open(
    platform: Server, limit: str, sqlstate: str, said: str
) -> None:
    with connect(platform, "atlas", autocommit=True) as left_open:
        left_open.execute(f"set {limit} = '20ms'".encode())
        if sqlstate == "25P03":
            left_open.execute("begin")
        with pytest.raises(psycopg.Error) as failure:  # noqa: PT012
            while True:
                await anyio.sleep(0.1)
                left_open.execute("select 1")
        assert failure.value.sqlstate == sqlstate
    await left_to_a_person(platform, failure.value, sqlstate, "transient", said)


async def test_a_backend_killed_and_a_server_that_is_starting_up(instance: EmbeddedServer) -> None:
    """kill -9, as the kernel does where memory is short; then a recovery that takes its time."""
    server = instance.start()
    connection = await connect_as(server, "atlas", "test")
    os.kill(connection.get_server_pid(), signal.SIGKILL)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)) as lost:
        await connection.fetchval("select 1")
    instance.stop(mode="immediate")
    hold = instance.directory / "hold"
    hold.touch()
    (instance.data / "recovery.signal").touch()
    instance.account.own(instance.data / "recovery.signal")
    instance.options["restore_command"] = f"while test -e {hold}; do sleep 0.1; done; false"
    starting = threading.Thread(target=instance.start)
    starting.start()
    try:
        starts = refused_login(server)
        # Nothing can be recorded there, so nothing is tried.
        async with agent(server) as door:
            healed = await door.call("postgres_heal", error=logged(starts))
        assert (healed["success"], healed["sqlstate"]) == (False, "57P03"), healed
    finally:
        hold.unlink()
        starting.join()
        del instance.options["restore_command"]
    await left_to_a_person(server, starts, "57P03", "transient", "Connect again")
    await left_to_a_person(server, lost.value, "08003", "transient", "Connect again")


def refused_login(server: Server) -> psycopg.Error:
    """The answer of a server that is there, but does not take logins yet."""
    while True:
        with pytest.raises(psycopg.OperationalError) as failure:
            psycopg.connect(
                host=server.host, port=server.port, user="atlas", dbname=server.database,
                password=server.password("atlas"), sslmode="disable",
            )  # fmt: skip
        # It does not listen at once.
        if "starting up" in str(failure.value):
            return failure.value


async def test_every_slot_for_connections_taken(instance: EmbeddedServer) -> None:
    server = instance.start()
    with ExitStack() as open_ones:
        taken = []
        with pytest.raises(psycopg.OperationalError) as failure:  # noqa: PT012
            while True:
                connection = psycopg.connect(
                    host=server.host, port=server.port, user="atlas", dbname=server.database,
                    password=server.password("atlas"), sslmode="disable",
                )  # fmt: skip
                taken.append(open_ones.enter_context(connection))
        async with agent(server) as door:
            healed = await door.call("postgres_heal", error=logged(failure.value))
        assert (healed["success"], healed["sqlstate"]) == (False, "53300"), healed
        # It has ended nobody's connection to make room.
        assert all(one.execute("select 1").fetchone() == (1,) for one in taken)
        for connection in taken[8:]:
            connection.close()
        await left_to_a_person(server, failure.value, "53300", "capacity", "pg_terminate_backend")


@pytest.fixture
def small_volume(instance: EmbeddedServer) -> Iterator[Path]:
    """An empty volume of 16 MB that the server may write to."""
    volume = instance.directory / "volume"
    volume.mkdir()
    owner = instance.account
    mount = ["mount", "-t", "tmpfs", "-o", f"size=16m,uid={owner.uid},gid={owner.gid},mode=0700"]
    mounted = subprocess.run([*mount, "tmpfs", volume], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no volume can be mounted here: {mounted.stderr.strip()}")
    try:
        yield volume
    finally:
        subprocess.run(["umount", "--lazy", volume], check=True)


async def test_a_disk_that_is_full(instance: EmbeddedServer, small_volume: Path) -> None:
    server = instance.start()
    tools.execute(server, "alter table logs set logged")
    with connect(server, "postgres", autocommit=True) as connection:
        connection.execute(f"create tablespace small location '{small_volume}'".encode())
        connection.execute("alter table logs set tablespace small")
    try:
        fill = (
            "insert into logs (timestamp, level, source, message)"
            " select now(), 'INFO', 's', repeat('x', 1000) from generate_series(1, 30000)"
        )
        with connect(server, "atlas") as connection, pytest.raises(psycopg.Error) as failure:
            connection.execute(fill.encode())
        assert failure.value.sqlstate == "53100"
        await left_to_a_person(server, failure.value, "53100", "capacity", "Free space")
    finally:
        with connect(server, "postgres", autocommit=True) as connection:
            connection.execute("alter table logs set tablespace pg_default")
            connection.execute("drop tablespace small")


async def test_transaction_numbers_that_run_out(instance: EmbeddedServer) -> None:
    """600 million of them are gone, as after months without a VACUUM that freezes."""
    instance.start()
    instance.stop()
    # 2 bits for each transaction, 256 kB a file.
    segment = 600
    status = instance.data / "pg_xact" / f"{segment:04X}"
    status.write_bytes(bytes(256 * 1024))
    instance.account.own(status)
    moved = instance.run_program(
        "pg_resetwal", "--pgdata", instance.data, f"--next-transaction-id={segment << 20}"
    )
    assert moved.returncode == 0, moved
    # Autovacuum would freeze by itself.
    instance.options["autovacuum_freeze_max_age"] = "2000000000"
    server = instance.start()
    async with agent(server) as door:
        entries = [
            one for one in await found(door, "wraparound") if one["about"] == server.database
        ]
        (entry,) = entries
        assert (entry["severity"], entry["alone"]) == ("critical", False)
        healed = await door.call("postgres_heal", finding=entry)
        assert (healed["outcome"], healed["healed"]) == ("left_to_a_person", False)
        assert "VACUUM (FREEZE)" in healed["diagnosis"]["fix"]
        assert attempts(server)[-1][:2] == ("left_to_a_person", "capacity")
        # What it says does help.
        tools.execute(server, "vacuum (freeze)")
        about = [one["about"] for one in await found(door, "wraparound")]
    assert server.database not in about
    del instance.options["autovacuum_freeze_max_age"]


def zeros(_page: bytes) -> bytes:
    """A page that was never written."""
    return bytes(_BLOCK)


def scribbled(page: bytes) -> bytes:
    """A page with 64 other bytes in its middle."""
    return page[:4000] + bytes(byte ^ 0xFF for byte in page[4000:4064]) + page[4064:]


def damage(
    instance: EmbeddedServer, relation: str, block: int, how: Callable[[bytes], bytes]
) -> Server:
    """Write a page of a relation's file while the server is stopped."""
    server = instance.start()
    tools.execute(server, "create extension if not exists amcheck", "vacuum logs", "checkpoint")
    path = tools.query(server, f"select pg_relation_filepath('{relation}')")[0][0]
    instance.stop()
    with (instance.data / str(path)).open("r+b") as file:
        file.seek(block * _BLOCK)
        page = file.read(_BLOCK)
        assert len(page) == _BLOCK
        file.seek(block * _BLOCK)
        file.write(how(page))
    return instance.start()


_INDEX_IS_SOUND = "select bt_index_check('ix_logs_timestamp', heapallindexed => true)"
_BY_INDEX = "select count(*) from logs where timestamp > '2000-01-01'"


@pytest.mark.parametrize(("how", "sqlstate"), [(zeros, "XX002"), (scribbled, "XX001")])
async def test_a_damaged_index(
    instance: EmbeddedServer, how: Callable[[bytes], bytes], sqlstate: str
) -> None:
    """Both are told to be an index's; what a person is told to run, after a look, heals it."""
    server = damage(instance, "ix_logs_timestamp", 1, how)
    with pytest.raises(psycopg.Error) as by_amcheck:
        tools.query(server, _INDEX_IS_SOUND)
    assert by_amcheck.value.sqlstate == sqlstate
    with connect(server, "postgres") as connection:
        connection.execute("set enable_seqscan = off")
        connection.execute("set enable_bitmapscan = off")
        with pytest.raises(psycopg.Error) as failure:
            connection.execute(_BY_INDEX.encode())
    assert failure.value.sqlstate == sqlstate
    for error in (failure.value, by_amcheck.value):
        said = "Index ix_logs_timestamp"
        await left_to_a_person(server, error, sqlstate, "corruption", said)
    async with agent(server) as door:
        answer = await door.call("postgres_diagnose", error=logged(failure.value))
    assert answer["diagnosis"]["alert"] is True
    # What a person finds out and does.
    assert tools.query(server, "select * from verify_heapam('logs')") == []
    with connect(server, "postgres", autocommit=True) as connection:
        for statement in answer["diagnosis"]["sql"]:
            connection.execute(statement.encode())
    assert tools.query(server, _INDEX_IS_SOUND) == [("",)]


_FALSE_INDEXES = [
    pytest.param(
        (
            # Rows that the index was never told of.
            "update pg_index set indisready = false"
            " where indexrelid = 'ix_logs_timestamp'::regclass",
            "insert into logs (timestamp, level, source, message)"
            " values (now() at time zone 'UTC', 'INFO', 'test', 'unseen')",
            "update pg_index set indisready = true"
            " where indexrelid = 'ix_logs_timestamp'::regclass",
        ),
        "XX001",
        id="it lacks a row",
    ),
    pytest.param(
        # Built in an order that is not any more, as after another version of a collation.
        (
            "create index upside_down on logs (message desc)",
            "update pg_index set indoption = '0' where indexrelid = 'upside_down'::regclass",
        ),
        "XX002",
        id="its order is another",
    ),
]


@pytest.mark.parametrize(("falsify", "sqlstate"), _FALSE_INDEXES)
async def test_an_index_that_only_amcheck_finds_to_be_false(
    platform: Server, falsify: tuple[str, ...], sqlstate: str
) -> None:
    """No query fails: it answers wrongly. What amcheck says names the index, and REINDEX heals."""
    tools.execute(platform, "create extension amcheck", *falsify)
    name = "ix_logs_timestamp" if sqlstate == "XX001" else "upside_down"
    sound = f"select bt_index_check('{name}', heapallindexed => true)"
    with pytest.raises(psycopg.Error) as by_amcheck:
        tools.query(platform, sound)
    assert by_amcheck.value.sqlstate == sqlstate
    said = f"Index {name}"
    await left_to_a_person(platform, by_amcheck.value, sqlstate, "corruption", said)
    # As pg_amcheck prints it, too: without the name of an exception.
    printed_by_it = f'btree index "atlas.public.{name}":\n    ERROR:  {by_amcheck.value}'
    await left_to_a_person(platform, printed_by_it, sqlstate, "corruption", said)
    async with agent(platform) as door:
        answer = await door.call("postgres_diagnose", error=printed_by_it)
    with connect(platform, "postgres", autocommit=True) as connection:
        for statement in answer["diagnosis"]["sql"]:
            connection.execute(statement.encode())
    assert tools.query(platform, sound) == [("",)]


async def test_a_damaged_table(instance: EmbeddedServer) -> None:
    """The last: nothing but a backup brings it back."""
    server = damage(instance, "logs", 2, scribbled)
    with pytest.raises(psycopg.Error) as by_amcheck:
        tools.query(server, "select * from verify_heapam('logs')")
    with pytest.raises(psycopg.Error) as failure:
        tools.query(server, "select count(message) from logs")
    for error in (failure.value, by_amcheck.value):
        await left_to_a_person(server, error, "XX001", "corruption", "Table logs is damaged")
    path = instance.data / str(tools.query(server, "select pg_relation_filepath('logs')")[0][0])
    async with agent(server) as door:
        answer = (await door.call("postgres_diagnose", error=logged(failure.value)))["diagnosis"]
    assert answer["sql"] == []
    assert "backup" in answer["fix"]
    assert path.is_file()
