"""The server as a program: over stdio and HTTP, with the token, quietly and without secrets."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from database.settings import Server
from mcp_server.tools import TOOLS
from tests.http_requests import INITIALIZE, get, post, token_of
from tests.mcp_clients import http_agent, http_server, stdio_agent
from tests.programs import CHECKOUT, environment, run_module

pytestmark = pytest.mark.anyio

NOWHERE = {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "1"}


async def test_stdio_serves_all_tools(database: Server) -> None:
    async with stdio_agent(database) as a:
        assert len((await a.client.list_tools()).tools) == len(TOOLS)
        assert (await a.call("postgres_health_check"))["status"] == "healthy"
        assert (await a.call("list_tables"))["count"] == 15
        assert (await a.query("delete from tasks"))["refused_by"] == "gate"


async def test_stdio_starts_without_postgresql(tmp_path: Path) -> None:
    async with stdio_agent(None, **NOWHERE, SECRETS_DIR=tmp_path) as a:
        answer = await a.call("postgres_health_check")
    assert (answer["status"], answer["sqlstate"]) == ("unhealthy", "08001")


def test_stdio_ends_with_its_client_and_keeps_stdout_for_the_protocol(database: Server) -> None:
    requests = [
        INITIALIZE,
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "query", "arguments": {"query": "select 'sécret' as v"}},
        },
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "mcp_server"],
        cwd=CHECKOUT,
        env=environment(database),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdin.write("".join(json.dumps(request) + "\n" for request in requests))
    process.stdin.flush()
    answers = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.stdin.close()
    assert process.wait(20) == 0
    assert process.stdout.read() == ""
    assert answers[1]["result"]["structuredContent"]["rows"] == [{"v": "sécret"}]
    log = process.stderr.read()
    assert '"tool": "postgres_query"' in log
    assert "sécret" not in log
    assert "select" not in log


async def test_http_serves_a_client_with_the_token(database: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with http_server(database, log) as url:
        async with http_agent(url, token_of(database)) as a:
            assert (await a.call("postgres_health_check"))["table_count"] == 15
            assert (await a.query("delete from tasks"))["refused_by"] == "gate"
            wide = await a.query("select n, repeat('x', 300) t from generate_series(1, 999) n")
            assert wide["count"] == 999
            assert wide["truncated"] is False
    secrets = [path.read_text().strip() for path in database.secrets_dir.iterdir()]
    assert not [secret for secret in secrets if secret in log.read_text()]


def test_http_refuses_whoever_should_not_be_served(database: Server, tmp_path: Path) -> None:
    token = {"Authorization": f"Bearer {token_of(database)}"}
    with http_server(database, tmp_path / "log") as url:
        status, headers, _ = post(url, INITIALIZE)
        assert status == 401
        assert headers["www-authenticate"].startswith("Bearer")
        assert post(url, INITIALIZE, Authorization="Bearer wrong")[0] == 401
        assert post(url, INITIALIZE, Authorization="Bearer")[0] == 401
        assert post(url, INITIALIZE, Authorization=f"Basic {token_of(database)}")[0] == 401
        assert post(url, INITIALIZE, **token)[0] == 200
        assert post(url, INITIALIZE, **token, Host="evil.example")[0] == 421
        assert post(url, INITIALIZE, **token, Origin="http://evil.example")[0] == 403
        assert post(url, INITIALIZE, **token, Origin="http://localhost:3000")[0] == 200
        assert post(url, b"x" * 5_000_000, **token)[0] == 413
        assert post(url, b"{", **token)[0] == 400
        mismatched = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "execute", "arguments": {"query": "delete from tasks"}},
        }
        named = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call"}
        assert post(url, mismatched, **token, **named, Mcp_Name="query")[0] == 400


def test_http_bound_to_every_address_still_checks_the_host(
    database: Server, tmp_path: Path
) -> None:
    token = {"Authorization": f"Bearer {token_of(database)}"}
    with http_server(
        database, tmp_path / "log", "--host", "0.0.0.0", MCP_ALLOWED_HOSTS="mcp:*, atlas.example"
    ) as url:
        assert post(url, INITIALIZE, **token, Host="evil.example")[0] == 421
        assert post(url, INITIALIZE, **token, Host="mcp:8765")[0] == 200
        assert post(url, INITIALIZE, **token, Host="atlas.example")[0] == 200


def test_http_does_not_start_open_to_other_machines(database: Server, tmp_path: Path) -> None:
    result = run_module(
        *("mcp_server", "--http", "--host", "0.0.0.0", "--port", "0"),
        server=database.model_copy(update={"secrets_dir": tmp_path}),
    )
    assert result.returncode == 2
    assert "no token" in result.stderr
    assert "MCP_TOKEN_FILE" in result.stderr
    assert "Traceback" not in result.stderr
    empty = tmp_path / "mcp_token"
    empty.write_text("\n")
    assert run_module("mcp_server", "--http", "--port", "0", MCP_TOKEN_FILE=empty).returncode == 2


def test_http_takes_the_token_from_the_file_that_is_named(database: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-the-operators\n")
    with http_server(database, tmp_path / "log", MCP_TOKEN_FILE=tmp_path / "token") as url:
        assert post(url, INITIALIZE, Authorization=f"Bearer {token_of(database)}")[0] == 401
        assert post(url, INITIALIZE, Authorization="Bearer a-token-of-the-operators")[0] == 200


def test_healthz_follows_the_database(database: Server, tmp_path: Path) -> None:
    with http_server(database, tmp_path / "log") as url:
        assert get(url, "/healthz") == (200, b'{"status":"ready"}')
    with http_server(None, tmp_path / "log", **NOWHERE, SECRETS_DIR=tmp_path) as url:
        assert get(url, "/healthz") == (503, b'{"status":"unavailable"}')


def test_an_address_in_use_is_explained(database: Server, tmp_path: Path) -> None:
    with http_server(database, tmp_path / "log") as url:
        result = run_module(
            *("mcp_server", "--http", "--port", str(urlsplit(url).port)), server=database
        )
    assert result.returncode == 2
    assert "Cannot listen" in result.stderr


def test_a_wrong_setting_is_explained() -> None:
    result = run_module("mcp_server", MCP_MAX_ROWS="many")
    assert result.returncode == 2
    assert "MAX_ROWS" in result.stderr
    assert "Traceback" not in result.stderr


def test_signal_right_after_the_start_is_obeyed(database: Server, tmp_path: Path) -> None:
    for number in range(5):
        with http_server(database, tmp_path / f"log{number}"):
            pass  # SIGTERM follows the line that says where it listens; waits for the exit code 0.


def test_secrets_are_not_on_the_command_line(database: Server, tmp_path: Path) -> None:
    with http_server(database, tmp_path / "log"):
        for pid in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            assert not re.search(re.escape(token_of(database)), command)
