"""The platform's models, unmodified, as the role atlas on real PostgreSQL, over both drivers."""

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    select,
    text,
)
from sqlalchemy.dialects import plugins
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine

from atlas_sqlalchemy.dialect import to_postgresql
from atlas_sqlalchemy.tables import SchemaIsDeclaredError
from database.settings import Server
from tests.platform_models import (
    Base,
    File,
    Log,
    Node,
    Session,
    Step,
    Task,
    ToolExecution,
    User,
    start,
)
from tests.programs import CHECKOUT, query

pytestmark = pytest.mark.anyio
# What the entry point of the installed package does.
plugins.register("atlas", "atlas_sqlalchemy", "AtlasPlugin")
DRIVERS = ("asyncpg", "psycopg")


def address(server: Server, driver: str = "asyncpg", **parameters: str) -> str:
    secret = parameters.get("secret", str(server.secrets_dir / "atlas_password"))
    return (
        f"postgresql+{driver}://atlas@{server.host}:{server.port}/{server.database}"
        f"?plugin=atlas&secret={secret}"
    )


def engine_of(server: Server, driver: str = "asyncpg") -> AsyncEngine:
    """An engine as the platform makes it."""
    return create_async_engine(
        address(server, driver), echo=False, pool_size=20, max_overflow=10, pool_pre_ping=True
    )


@pytest.fixture(params=DRIVERS)
async def engine(request: pytest.FixtureRequest, database: Server) -> AsyncIterator[AsyncEngine]:
    made = engine_of(database, request.param)
    yield made
    await made.dispose()


async def test_the_platform_starts_and_starts_again(engine: AsyncEngine) -> None:
    assert await start(engine) == []
    assert await start(engine) == []


async def test_what_a_missing_column_needs_is_said_and_the_start_goes_on(
    engine: AsyncEngine, database: Server
) -> None:
    query(database, "alter table files drop column content_hash")
    failed = await start(engine)
    assert failed == [
        'ALTER TABLE "files" ADD COLUMN "content_hash" VARCHAR(64): SchemaIsDeclaredError'
    ]


async def test_a_table_that_sql_does_not_know_is_made_and_belongs_to_the_owner(
    engine: AsyncEngine, database: Server
) -> None:
    await start(engine)
    async with async_sessionmaker(engine)() as session:
        session.add(User(email="наталя@example.com", status="x" * 60))
        await session.commit()
        assert (await session.scalars(select(User))).one().id == 1
    assert query(
        database,
        "select pg_get_userbyid(relowner), has_table_privilege('mcp_read', oid, 'SELECT'),"
        " has_table_privilege('atlas', oid, 'TRUNCATE') from pg_class where relname = 'users'",
    ) == [("atlas_owner", True, False)]
    assert query(database, "select count(*) from pg_indexes where tablename = 'users'") == [(2,)]
    async with async_sessionmaker(engine)() as session:
        session.add(User(email="b@example.com", session_id=uuid.uuid4()))
        with pytest.raises(DBAPIError, match="users_session_id_fkey"):
            await session.commit()


async def test_values_come_back_as_they_came_from_sqlite(engine: AsyncEngine) -> None:
    kyiv = timezone(timedelta(hours=2))
    begun = datetime(2026, 2, 3, 14, 30, 15, 123456, tzinfo=kyiv)
    maker = async_sessionmaker(engine, expire_on_commit=False)
    async with maker() as session:
        parent = Session(started_at=begun, metadata_blob={"тема": ["☕", 1.5, None]})
        task = Task(goal="g" * 5000, status="s" * 90, session=parent, golden_path=True)
        task.steps.append(Step(sequence_number="2.1", action="a", tool="t", status="SUCCESS"))
        session.add_all([parent, task, Node(id="file:///ї", type="FILE", attributes={})])
        session.add(File(path="/a", name="a", mtime=1738590000.123456, size=2**31 - 1))
        await session.commit()
    async with maker() as session:
        found = (await session.scalars(select(Session))).one()
        assert found.started_at == datetime(2026, 2, 3, 12, 30, 15, 123456)
        assert found.metadata_blob == {"тема": ["☕", 1.5, None]}
        assert (await session.scalars(select(Task).where(Task.golden_path.is_(True)))).one().id
        assert (await session.scalars(select(File))).one().mtime == 1738590000.123456
        recent = select(Task).where(Task.created_at > datetime.now(UTC) - timedelta(days=1))
        assert (await session.scalars(recent)).one().status == "s" * 90
        await session.delete(found)
        await session.commit()
        assert (await session.scalars(select(Step))).all() == []


async def test_raw_queries_bind_what_sqlite_took(engine: AsyncEngine) -> None:
    async with async_sessionmaker(engine)() as session:
        owner = Session()
        task = Task(goal="g", session=owner)
        step = Step(sequence_number="3", action="a", tool="t", status="FAILED", task=task)
        session.add_all([owner, task, step])
        await session.flush()
        session.add(
            ToolExecution(
                step_id=step.id, task_id=task.id, server_name="s", tool_name="read", arguments={}
            )
        )
        await session.flush()
        found = await session.execute(
            text(
                "SELECT te.tool_name FROM tool_executions te "
                "JOIN task_steps ts ON te.step_id = ts.id "
                "WHERE ts.sequence_number = :seq AND te.task_id = :task "
                "ORDER BY te.created_at DESC LIMIT 5"
            ),
            {"seq": 3, "task": str(task.id)},
        )
        assert found.scalars().all() == ["read"]
        golden = text("SELECT count(*) FROM tasks WHERE golden_path = :g AND created_at > :since")
        since = {"g": 0, "since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
        assert (await session.execute(golden, since)).scalar() == 1
        insert = text(
            "INSERT INTO logs (session_id, timestamp, level, source, message) "
            "VALUES (:s, :t, 'INFO', :source, :m)"
        )
        await session.execute(insert, {"s": task.id, "t": datetime.now(UTC), "source": 7, "m": 3.5})
        row = (await session.scalars(select(Log))).one()
        assert (row.session_id, row.source, row.message) == (str(task.id), "7", "3.5")


async def test_raw_queries_in_sqlites_dialect_mean_the_same(engine: AsyncEngine) -> None:
    async with async_sessionmaker(engine)() as session:
        task = Task(goal="it's datetime('now') = 1", session=Session(), golden_path=True)
        task.metadata_blob = {"Key": "Value"}
        session.add(task)
        await session.flush()
        found = await session.execute(
            text(
                "SELECT count(*) FROM tasks t WHERE t.golden_path = 1 AND golden_path != 0 "
                "AND t.metadata_blob LIKE '%\"key\": \"VALUE\"%' AND id NOT LIKE 'x%' "
                "AND IFNULL(completed_at, created_at) > datetime('now', '-1 hours', 'utc') "
                "AND date('now', 'start of month') <= created_at "
                "AND goal = 'it''s datetime(''now'') = 1' AND goal LIKE :pattern -- LIKE = 1"
            ),
            {"pattern": "IT%"},
        )
        assert found.scalar() == 1
        row = {"id": str(task.id), "session": str(task.session_id), "at": datetime.now(UTC)}
        again = text(
            "INSERT OR IGNORE INTO tasks (id, session_id, goal, status, golden_path, created_at, "
            "metadata_blob) VALUES (:id, :session, 'g', 's', :golden, :at, '{}');"
        )
        await session.execute(again, {**row, "golden": 0})
        assert (await session.execute(text("SELECT count(*) FROM tasks"))).scalar() == 1


@pytest.mark.parametrize(
    "statement",
    [
        "select 'x like y', \"a like b\" from t -- c like 'd'",
        "select datetime('now', 'localtime')",
        "select * from dataset_runs where success = 1",
        "select 1 where level = 1 and not_success = 1 and success = 10",
        "update t set a = 'golden_path = 1' /* success = 0 */",
    ],
)
def test_what_is_not_certain_stays(statement: str) -> None:
    assert to_postgresql(statement) == statement


async def test_a_dataset_table_is_made_and_filled_at_run_time(
    engine: AsyncEngine, database: Server
) -> None:
    columns: list[Column[Any]] = [
        Column("row_id", Integer, primary_key=True, autoincrement=True),
        Column("ціна_%", Float),
        Column("big", Integer),
        Column("at", DateTime),
        Column("is_it", Boolean),
        Column("it's", Text),
    ]
    metadata = MetaData()
    name = 'dataset_"; drop table logs; --'
    Table(name, metadata, *columns)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        quoted = name.replace('"', '""')
        # Raw, as the platform does it.
        insert = text(
            f'INSERT INTO "{quoted}" ("ціна_%", big, at, is_it, "it\'s") '
            "VALUES (:ціна, :big, :at, :is_it, :it)"
        )
        rows = [
            {"ціна": 1.5, "big": 2**40, "at": datetime.now(UTC), "is_it": i % 2, "it": i}
            for i in range(2000)
        ]
        await connection.execute(insert, rows)
        first = select(metadata.tables[name]).order_by("row_id").limit(1)
        row = (await connection.execute(first)).one()
        assert (row.row_id, row.big, row.is_it, row[-1]) == (1, 2**40, False, "0")
    assert query(database, "select count(*) from logs") == [(0,)]
    assert query(
        database, "select pg_get_userbyid(relowner) from pg_class where relname = %s", name
    ) == [("atlas_owner",)]


async def test_nothing_that_exists_is_replaced_or_changed(engine: AsyncEngine) -> None:
    call = 'select public.create_platform_table(:name, \'[{"name": "a", "type": "text"}]\', \'[]\')'
    for name in ("logs", "pg_class", "x" * 64):
        with pytest.raises(DBAPIError):
            async with engine.begin() as connection:
                await connection.execute(text(call), {"name": name})
    for type_ in ("text default now()", "public.logs", "serial"):
        with pytest.raises(DBAPIError, match="types that no column may have"):
            async with engine.begin() as connection:
                await connection.execute(
                    text(call.replace('"text"', f'"{type_}"')), {"name": "dataset_x"}
                )
    for statement in ("drop table logs", "ALTER TABLE logs ADD x int", "truncate logs"):
        async with engine.begin() as connection:
            with pytest.raises(SchemaIsDeclaredError):
                await connection.execute(text(statement))
            assert (await connection.execute(text("select 1"))).scalar() == 1
    async with engine.begin() as connection:
        with pytest.raises(SchemaIsDeclaredError):
            await connection.run_sync(Base.metadata.drop_all)


def test_agents_may_not_use_the_platforms_door(database: Server) -> None:
    rights = query(
        database,
        "select rolname from pg_roles where rolcanlogin and not rolsuper and has_function_privilege"
        "(rolname, 'public.create_platform_table(text, jsonb, jsonb)', 'EXECUTE') order by 1",
    )
    # mcp_heal inherits what the owner may.
    assert rights == [("atlas",), ("mcp_heal",)]


@pytest.mark.parametrize("driver", DRIVERS)
async def test_engines_that_nobody_disposes_of_share_a_few_connections(
    database: Server, driver: str
) -> None:
    engines = [engine_of(database, driver) for _ in range(8)]
    for engine in engines:
        await start(engine)

    async def ask(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            await connection.execute(text("select pg_sleep(0.05)"))

    await asyncio.gather(*(ask(engine) for engine in engines for _ in range(6)))
    open_now = query(
        database,
        "select count(*) from pg_stat_activity where usename = 'atlas' and datname = %s",
        database.database,
    )
    assert open_now == [(5,)]
    # The server may end them; the platform notices nothing.
    query(
        database, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'atlas'"
    )
    await asyncio.gather(*(ask(engine) for engine in engines))
    await engines[0].dispose()


async def test_an_engine_of_another_loop_has_a_pool_of_its_own(database: Server) -> None:
    async def ask() -> int:
        async with engine_of(database).connect() as connection:
            return int((await connection.execute(text("select 1"))).scalar_one())

    answers = await asyncio.gather(*(asyncio.to_thread(asyncio.run, ask()) for _ in range(3)))
    assert answers == [1, 1, 1]


def test_psycopg_works_without_asyncio(database: Server) -> None:
    engine = create_engine(address(database, "psycopg"))
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        asked = text("select count(*) from task_steps where sequence_number = :n")
        assert connection.execute(asked, {"n": 3}).scalar() == 0
    engine.dispose()


async def test_a_wrong_address_says_what_to_do(database: Server, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="holds a password"):
        create_async_engine("postgresql+asyncpg://atlas:geheim@h/d?plugin=atlas")
    with pytest.raises(ArgumentError, match="is for postgresql"):
        create_engine("sqlite:///:memory:?plugin=atlas")
    missing = create_async_engine(address(database, secret=str(tmp_path / "none")))
    with pytest.raises(ArgumentError, match="Cannot read the password of atlas"):
        await missing.connect()


async def test_an_exchanged_password_is_used_without_a_restart(
    database: Server, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("wrong\n")
    engine = create_async_engine(address(database, secret=str(secret)))
    with pytest.raises(Exception, match="password authentication failed"):
        await engine.connect()
    secret.write_text((database.secrets_dir / "atlas_password").read_text())
    async with engine.connect() as connection:
        assert (await connection.execute(text("select current_user"))).scalar() == "atlas"
    await engine.dispose()


def test_a_login_that_may_create_is_left_alone(database: Server, monkeypatch: Any) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD_FILE", str(database.secrets_dir / "postgres_password"))
    url = address(database, "psycopg").replace("atlas@", "postgres@").split("&secret")[0]
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("create table mine (a int)"))
        Table("dataset_mine", MetaData(), Column("n", BigInteger)).create(connection)
    engine.dispose()
    assert query(
        database, "select pg_get_userbyid(relowner) from pg_class where relname = 'mine'"
    ) == [("postgres",)]


def test_the_package_installs_alone(database: Server, tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-c", _BUILD, str(tmp_path)],
        cwd=CHECKOUT / "atlas_sqlalchemy",
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    # A wheel is a folder to Python: nothing else of this checkout is on the path.
    asked = (
        "import sqlalchemy, sys; e = sqlalchemy.create_engine(sys.argv[1]);"
        "print(e.connect().exec_driver_sql('select current_user').scalar(),"
        "'database' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", asked, address(database, "psycopg")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout.strip(), ran.returncode) == ("atlas False", 0), ran.stderr


_BUILD = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
