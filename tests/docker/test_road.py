"""From nothing to healthy by one command, and what an agent then finds behind the door."""

import json
import os
import shutil
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest

from tests.docker.agent import call, over_exec, over_http
from tests.docker.conftest import source_counts
from tests.docker.project import Project, docker, run

CAPABILITIES = ("postgres_query", "postgres_execute", "postgres_schema_alter")
TOOLS = (*CAPABILITIES, "postgres_list_tables", "postgres_describe_table", "postgres_health_check")


def test_everything_is_healthy_and_every_one_shot_ended_0(road: Project) -> None:
    containers = road.containers()
    for service in ("postgres", "mcp"):
        assert containers[service]["State"]["Health"]["Status"] == "healthy"
    for service in ("secrets", "schema", "migrate"):
        state = containers[service]["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 0)


def test_every_row_of_the_database_in_the_data_folder_arrived(
    road: Project, platform_database: Path
) -> None:
    expected = source_counts(platform_database)
    found = {name: int(road.psql(f'select count(*) from "{name}"')) for name in expected}
    assert found == expected
    assert sum(found.values()) > 100


def test_migrate_answers_other_verbs(road: Project) -> None:
    status = road.compose("run", "--rm", "-T", "migrate", "status").stdout
    assert "atlastrinity.db" in status
    assert "pgloader" in status


async def through(client: Any, tables: set[str]) -> None:
    """What every agent must get, whatever way it came."""
    listed = {tool.name for tool in (await client.list_tools()).tools}
    assert set(TOOLS) <= listed
    health = await call(client, "postgres_health_check")
    assert health["success"] is True
    assert health["status"] == "healthy"
    found = await call(client, "postgres_list_tables")
    assert {table["table_name"] for table in found["tables"]} == tables
    refused = await call(client, "postgres_query", query="DELETE FROM logs")
    assert refused["success"] is False
    counted = await call(client, "postgres_query", query="select count(*) as n from logs")
    assert counted["rows"][0]["n"] > 0


def test_an_agent_over_http(
    road: Project, secrets: dict[str, str], platform_database: Path
) -> None:
    async def talk() -> None:
        async with over_http(road, secrets["mcp_token"]) as client:
            await through(client, set(source_counts(platform_database)))

    anyio.run(talk)


def test_an_agent_over_docker_compose_exec(road: Project, platform_database: Path) -> None:
    async def talk() -> None:
        async with over_exec(road) as client:
            await through(client, set(source_counts(platform_database)))

    anyio.run(talk)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}])
def test_http_without_the_token_is_refused(road: Project, header: dict[str, str]) -> None:
    url = f"http://127.0.0.1:{road.mcp_port}/mcp"
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
    headers = {"Content-Type": "application/json", "Accept": "application/json", **header}
    request = urllib.request.Request(url, data=body, headers=headers)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 401


def test_the_platform_reaches_postgres_from_the_host(
    road: Project, secrets: dict[str, str]
) -> None:
    address: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": road.postgres_port,
        "dbname": "atlastrinity_prod",
    }
    with psycopg.connect(**address, user="atlas", password=secrets["atlas_password"]) as link:
        assert link.execute("select current_user").fetchone() == ("atlas",)
    for user in ("atlas", "postgres"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(**address, user=user, password="wrong")


def test_passwords_are_scram_and_pages_have_checksums(road: Project) -> None:
    verifiers = road.psql("select rolname, left(rolpassword, 13) from pg_authid where rolcanlogin")
    assert {line.split("|")[1] for line in verifiers.splitlines()} == {"SCRAM-SHA-256"}
    assert road.psql("show data_checksums") == "on"
    methods = road.psql("select distinct auth_method from pg_hba_file_rules order by 1")
    assert methods.split() == ["peer", "scram-sha-256"]
    assert int(road.psql("show server_version_num")) >= 170011


def test_the_agents_image_holds_no_migration_code(road: Project) -> None:
    image = f"{road.name}-mcp"
    for module in ("migration", "scripts"):
        command = ["docker", "run", "--rm", "--entrypoint", "python", image, "-c"]
        result = run([*command, f"import {module}"], check=False)
        assert "ModuleNotFoundError" in result.stderr
    where = ("run", "--rm", "--entrypoint", "sh", image, "-c", "command -v pgloader psql gcc pip")
    assert run(["docker", *where], check=False).stdout == ""


def test_every_process_is_unprivileged(road: Project) -> None:
    for service, container in road.containers().items():
        user = container["Config"]["User"].split(":")[0]
        assert int(user) > 0, service
        if container["State"]["Running"]:
            users = docker("top", container["Id"], "-eo", "pid,uid").split()[3::2]
            assert "0" not in users, service


def test_down_and_up_changes_nothing(road: Project) -> None:
    before = road.dump()
    road.compose("down")
    road.up()
    assert road.dump() == before
    assert road.containers()["migrate"]["State"]["ExitCode"] == 0


def test_an_empty_data_folder_is_nothing_to_migrate(project: Project) -> None:
    project.up()
    assert project.containers()["migrate"]["State"]["ExitCode"] == 0
    assert "nothing to migrate" in project.compose("logs", "migrate").stdout
    assert list(project.data.iterdir()) == []
    tables = project.psql("select count(*) from pg_tables where schemaname = 'public'")
    assert tables == "15"


def test_a_failed_migration_fails_up_and_keeps_no_agent_out(
    project: Project, platform_database: Path
) -> None:
    for name in ("one.db", "another.db"):
        shutil.copy(platform_database, project.data / name)
    result = project.up(check=False)
    assert result.returncode != 0
    assert project.containers()["migrate"]["State"]["ExitCode"] == 3
    said = project.compose("logs", "migrate").stdout
    assert "several SQLite databases" in said
    assert "Traceback" not in said
    assert project.psql("select count(*) from logs") == "0"
    assert project.containers()["mcp"]["State"]["Running"]


def test_a_database_that_its_owner_alone_can_read_is_read_as_that_owner(
    project: Project, platform_database: Path
) -> None:
    """Left in WAL mode by its last writer, as the platform leaves it."""
    source = Path(shutil.copy(platform_database, project.data / "atlastrinity.db"))
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("pragma journal_mode = wal")
    source.chmod(0o600)
    os.chown(source, 4321, 4321)
    project.compose("build", "secrets", "postgres", "schema", "migrate")
    run_migrate = ("run", "--rm", "-T", "migrate")
    refused = project.compose(*run_migrate, check=False)
    assert refused.returncode == 3
    assert "Traceback" not in refused.stderr
    project.settings["SQLITE_UID"] = "4321"
    assert "VERIFIED" in project.compose(*run_migrate).stdout
    assert [path.name for path in project.data.iterdir()] == ["atlastrinity.db"]
