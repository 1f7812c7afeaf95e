"""A real standby that falls behind is found, left to a person, and gone when it has caught up."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from database.apply import psql_environment
from database.binaries import client_program
from database.connect import passfile
from database.embedded.server import EmbeddedServer
from database.settings import Server
from tests import schema_tools as tools
from tests.mcp_clients import Agent, agent
from tests.test_heal_findings import found, heal
from tests.test_healing import attempts
from tests.test_health import threshold

pytestmark = pytest.mark.anyio


@pytest.fixture
def standby(cluster: Server) -> Iterator[Server]:
    """A streaming replica of the cluster, made as a person makes one."""
    directory = Path(tempfile.mkdtemp(prefix="atlas-postgres-"))
    directory.chmod(0o755)
    own = EmbeddedServer(directory, options={"fsync": "off", "max_connections": "200"})
    own.prepare_directory()
    with passfile(cluster, "postgres") as password_file:
        kept = directory / "pgpass"
        kept.write_bytes(Path(password_file).read_bytes())
        kept.chmod(0o600)
        subprocess.run(
            [
                client_program("pg_basebackup"), "--pgdata", own.data, "--write-recovery-conf",
                "--checkpoint=fast", "--no-sync", "--username=postgres", "--no-password",
            ],
            env={**os.environ, **psql_environment(cluster, kept)},
            check=True,
        )  # fmt: skip
    for path in (kept, own.data, *own.data.rglob("*")):
        own.account.own(path)
    (directory / "secrets").symlink_to(cluster.secrets_dir)
    try:
        yield own.start()
    finally:
        own.remove()


async def behind(door: Agent, *, expected: bool) -> list[dict[str, object]]:
    """What the health check says of replicas, when it says it."""
    with anyio.fail_after(60):
        while bool(entries := await found(door, "replica")) is not expected:  # noqa: ASYNC110
            await anyio.sleep(0.1)
    return entries


async def test_a_standby_that_is_paused_and_goes_on(
    database: Server, standby: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tools.query(standby, "select pg_is_in_recovery()") == [(True,)]
    threshold(monkeypatch, "replica", str(1 << 20), "3600")
    async with agent(database) as door:
        assert await behind(door, expected=False) == []
        tools.execute(standby, "select pg_wal_replay_pause()")
        tools.execute(
            database,
            "create table written as select n, repeat('x', 100) as t"
            " from generate_series(1, 20000) as n",
        )
        (entry,) = await behind(door, expected=True)
        assert (entry["about"], entry["alone"]) == ("walreceiver", False)
        evidence = entry["evidence"]
        assert isinstance(evidence, dict)
        assert evidence["bytes"] >= 1 << 20
        healed = await heal(door, entry)
        assert (healed["outcome"], healed["healed"]) == ("left_to_a_person", False)
        assert attempts(database)[-1][:2] == ("left_to_a_person", "capacity")
        tools.execute(standby, "select pg_wal_replay_resume()")
        assert await behind(door, expected=False) == []
    copied = standby.with_database(database.database)
    assert tools.query(copied, "select count(*) from written") == [(20_000,)]
