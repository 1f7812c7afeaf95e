"""HTTP as strangers, slow clients and greedy agents use it: real connections to a real process."""

import asyncio
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from database.settings import Server
from tests.conftest import fresh_database
from tests.http_requests import (
    INITIALIZE,
    bearer,
    call,
    connected,
    get,
    post,
    status_of,
    token_of,
    tool_call,
)
from tests.mcp_clients import http_agent, http_server
from tests.programs import query, run_module
from tests.test_mcp_agents import one_agent
from tests.test_mcp_limits import ENDLESS, running, until

pytestmark = pytest.mark.anyio

MODERN = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": "tools/call"}


@pytest.fixture(scope="module")
def served(cluster: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """URL and token of a server on every address, as in a container."""
    log = tmp_path_factory.mktemp("http") / "log"
    with (
        fresh_database(cluster) as server,
        http_server(server, log, "--host", "0.0.0.0") as url,
    ):
        yield url, token_of(server)


def a_11_host(url: str, token: str, case: dict[str, Any]) -> None:
    assert post(url, INITIALIZE, **bearer(token), **case["header"])[0] == 421
    # The host alone, whatever the port says; and what only begins like an allowed one.
    for host in ("evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example:80", ""):
        assert post(url, INITIALIZE, **bearer(token), Host=host)[0] in (400, 421), host


def a_12_origin(url: str, token: str, case: dict[str, Any]) -> None:
    assert post(url, INITIALIZE, **bearer(token), **case["header"])[0] == 403
    for origin in ("null", "https://localhost.evil.example", "http://localhost@evil.example"):
        assert post(url, INITIALIZE, **bearer(token), Origin=origin)[0] == 403, origin


def a_14_no_token(url: str, token: str, case: dict[str, Any]) -> None:
    status, headers, _ = post(url, INITIALIZE, **case["header"])
    assert status == 401
    assert headers["www-authenticate"].startswith("Bearer ")


def a_17_large_body(url: str, token: str, case: dict[str, Any]) -> None:
    body = b"[" + b" " * (case["body_bytes"] - 2) + b"]"
    assert post(url, body, **bearer(token))[0] == 413
    # Told at the head already, before one byte of it was sent; and to whom nobody knows, nothing.
    for authorization, status in ((f"Authorization: Bearer {token}\r\n", 413), ("", 401)):
        with connected(url) as connection:
            connection.sendall(_head(authorization, f"Content-Length: {case['body_bytes']}"))
            assert status_of(connection) == status
    # Sent in chunks, so that nobody knows how large it will be: as soon as it is too large.
    with connected(url) as connection:
        connection.sendall(
            _head(f"Authorization: Bearer {token}\r\n", "Transfer-Encoding: chunked")
        )
        for _ in range(case["body_bytes"] // 65_536 + 1):
            connection.sendall(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        # The end of the body never comes.
        assert status_of(connection) == 413


def a_18_many_sessions(url: str, token: str, case: dict[str, Any]) -> None:
    # There are none to fill up: nothing is kept between two requests.
    for _ in range(50):
        status, headers, _body = post(url, INITIALIZE, **bearer(token))
        assert (status, headers.get("mcp-session-id")) == (200, None)


def a_20_other_tool_in_the_header(url: str, token: str, case: dict[str, Any]) -> None:
    name = {key.replace("-", "_"): value for key, value in case["header"].items()}
    message = tool_call(case["body_tool"], query="delete from tasks where true")
    for version in ({}, {"MCP_Protocol_Version": "2025-11-25"}, MODERN):
        status, _, body = post(url, message, **bearer(token), **version, **name)
        assert status == 400, body
        assert b"Mcp-Name" in body or b"mcp-name" in body.lower()
    for headers in (
        {"Mcp_Method": "tools/list"},
        {"Mcp_Name": "=?base64?cXVlcnk=?="},
        {"Mcp_Name": "postgres_execute"},
        {"Mcp_Name": ""},
    ):
        assert post(url, message, **bearer(token), **headers)[0] == 400, headers
    assert post(url, [message], **bearer(token), **name)[0] == 400
    right = {"Mcp_Name": case["body_tool"], "Mcp_Method": "tools/call"}
    assert post(url, message, **bearer(token), **right)[0] == 200


def _head(*lines: str) -> bytes:
    common = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    last = [f"{line}\r\n" if not line.endswith("\r\n") and line else line for line in lines]
    return (common + "".join(last) + "\r\n").encode()


CASES: dict[str, Callable[[str, str, dict[str, Any]], None]] = {
    "a-11": a_11_host,
    "a-12": a_12_origin,
    "a-14": a_14_no_token,
    "a-17": a_17_large_body,
    "a-18": a_18_many_sessions,
    "a-20": a_20_other_tool_in_the_header,
}


def http_attacks(shared: Path) -> dict[str, dict[str, Any]]:
    lines = (shared / "attacks" / "arguments.jsonl").read_text().splitlines()
    return {case["id"]: case["args"] for case in map(json.loads, lines) if case["tool"] == "http"}


def test_every_attack_on_http_has_a_test(shared: Path) -> None:
    assert set(http_attacks(shared)) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_attacks_on_http(shared: Path, served: tuple[str, str], name: str) -> None:
    url, token = served
    CASES[name](url, token, http_attacks(shared)[name])
    assert call(url, token, "query", query="select 1 as n")["rows"] == [{"n": 1}]


async def test_one_agent_s_errors_leave_the_pool_to_the_others(served: tuple[str, str]) -> None:
    # a-23
    url, token = served
    broken = [asyncio.to_thread(call, url, token, "query", query="syntax error") for _ in range(50)]
    right = [asyncio.to_thread(call, url, token, "query", query="select 1 n") for _ in range(50)]
    answers = await asyncio.gather(*broken, *right)
    assert {answer["sqlstate"] for answer in answers[:50]} == {"42601"}
    assert [answer["rows"] for answer in answers[50:]] == [[{"n": 1}]] * 50


def test_a_right_token_is_served_whatever_else_fails_from_its_address(
    database: Server, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"MCP_FAILED_LOGINS_PER_MINUTE": 5}
    with http_server(database, tmp_path / "log", **settings) as url:
        answers = [post(url, INITIALIZE, **bearer("wrong")) for _ in range(8)]
        assert [status for status, _, _ in answers] == [401] * 5 + [429] * 3
        assert 1 <= int(answers[-1][1]["retry-after"]) <= 12
        assert post(url, INITIALIZE, **bearer(token_of(database)))[0] == 200
        assert post(url, INITIALIZE)[0] == 429
        # Whoever asks how it is, has no token and needs none.
        assert get(url, "/healthz")[0] == 200


def test_requests_of_an_agent_are_limited_and_those_of_another_are_not(
    database: Server, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens"
    issued = run_module("mcp_server", "token", "issue", "grisha", MCP_TOKENS_FILE=tokens)
    settings: dict[str, Any] = {
        "MCP_REQUESTS_PER_SECOND": 0.5,
        "MCP_REQUEST_BURST": 4,
        "MCP_TOKENS_FILE": tokens,
    }
    with http_server(database, tmp_path / "log", **settings) as url:
        mine, other = bearer(token_of(database)), bearer(issued.stdout.strip())
        answers = [post(url, INITIALIZE, **mine) for _ in range(6)]
        assert [status for status, _, _ in answers] == [200] * 4 + [429] * 2
        assert answers[-1][1]["retry-after"] in ("1", "2")
        assert post(url, INITIALIZE, **other)[0] == 200
        time.sleep(2.1)
        assert post(url, INITIALIZE, **mine)[0] == 200


def test_connections_are_limited_and_silent_ones_are_cut(database: Server, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"MCP_MAX_CONNECTIONS": 10, "MCP_CLIENT_TIMEOUT_MS": 1_500}
    token = token_of(database)
    with http_server(database, tmp_path / "log", **settings) as url:
        silent = [connected(url) for _ in range(5)]
        # One byte now and then does not help.
        slow = [connected(url) for _ in range(5)]
        for connection in slow:
            connection.sendall(b"POST /mcp HTTP/1.1\r\nX: ")
        assert post(url, INITIALIZE, **bearer(token))[0] == 503
        deadline = time.monotonic() + 10
        while post(url, INITIALIZE, **bearer(token))[0] == 503:
            assert time.monotonic() < deadline, "silent connections are kept for ever"
            for connection in slow:
                with suppress(ConnectionError):
                    connection.sendall(b"x")
            time.sleep(0.2)
        assert [status_of(connection) for connection in silent] == [None] * 5
        for connection in (*silent, *slow):
            connection.close()


def test_a_body_that_does_not_come_is_not_waited_for(database: Server, tmp_path: Path) -> None:
    with http_server(database, tmp_path / "log", MCP_CLIENT_TIMEOUT_MS=300) as url:
        with connected(url) as connection:
            connection.sendall(
                _head(f"Authorization: Bearer {token_of(database)}", "Content-Length: 100") + b"{"
            )
            assert status_of(connection) == 408
        assert post(url, INITIALIZE, **bearer(token_of(database)))[0] == 200


def test_a_client_that_does_not_take_its_answer_is_cut(database: Server, tmp_path: Path) -> None:
    body = json.dumps(tool_call("query", query="select repeat('x', 390000) t")).encode()
    with http_server(database, tmp_path / "log", MCP_CLIENT_TIMEOUT_MS=1_000) as url:
        authorization = f"Authorization: Bearer {token_of(database)}"
        accept = "Accept: application/json, text/event-stream"
        with connected(url) as connection:
            request = _head(authorization, accept, f"Content-Length: {len(body)}") + body
            # Several at once, so that the kernel's buffers do not hold all of it.
            connection.sendall(request * 30)
            time.sleep(4)
            received = 0
            with suppress(ConnectionError):
                while part := connection.recv(65_536):
                    received += len(part)
            assert received < 30 * 780_000, "it was waited for"


async def test_a_client_that_goes_away_gives_its_slot_back(
    database: Server, tmp_path: Path
) -> None:
    path = one_agent(tmp_path, budget="{ concurrency = 1 }")
    settings: dict[str, Any] = {"MCP_AGENTS_FILE": path, "MCP_AGENT": "one"}
    with http_server(database, tmp_path / "log", **settings) as url:
        token = token_of(database)
        for _ in range(3):
            async with http_agent(url, token) as a:
                with anyio.move_on_after(0.7):
                    await a.query(ENDLESS)
            await until(lambda: running(database) == 0)
        body = json.dumps(tool_call("query", query=ENDLESS)).encode()
        connection = connected(url)
        connection.sendall(
            _head(
                f"Authorization: Bearer {token}",
                "Accept: application/json, text/event-stream",
                f"Content-Length: {len(body)}",
            )
            + body
        )
        await until(lambda: running(database) == 1)
        connection.close()
        await until(lambda: running(database) == 0)
        assert call(url, token, "query", query="select 1 as n")["rows"] == [{"n": 1}]


def test_how_it_is_is_asked_once_a_second(database: Server, tmp_path: Path) -> None:
    def asked() -> int:
        ((count,),) = query(
            database,
            "select xact_commit + xact_rollback from pg_stat_database where datname = %s",
            database.database,
        )
        return int(str(count))

    with http_server(database, tmp_path / "log") as url:
        assert get(url, "/healthz")[0] == 200
        before = asked()
        assert [get(url, "/healthz")[0] for _ in range(200)] == [200] * 200
        assert asked() - before < 100


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for localhost, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_tls(database: Server, tmp_path: Path, certificate: Path) -> None:
    files: dict[str, Any] = {
        "MCP_TLS_CERT": certificate / "cert.pem",
        "MCP_TLS_KEY": certificate / "key.pem",
    }
    body = json.dumps(INITIALIZE).encode()
    request = (
        _head(
            f"Authorization: Bearer {token_of(database)}",
            "Accept: application/json, text/event-stream",
            f"Content-Length: {len(body)}",
        )
        + body
    )
    with http_server(database, tmp_path / "log", **files) as url:
        with connected(url, trust=str(certificate / "cert.pem")) as connection:
            assert connection.version() in ("TLSv1.2", "TLSv1.3")  # type: ignore[attr-defined]
            connection.sendall(request)
            assert status_of(connection) == 200
        with connected(url) as connection:
            connection.sendall(request)
            assert status_of(connection) is None, "not in the clear"
    for settings, part in (
        ({"MCP_TLS_CERT": certificate / "cert.pem"}, "MCP_TLS_KEY go together"),
        ({**files, "MCP_TLS_KEY": tmp_path / "none"}, "Cannot use the certificate"),
        ({**files, "MCP_TLS_KEY": certificate / "cert.pem"}, "Cannot use the certificate"),
    ):
        result = run_module("mcp_server", "--http", "--port", "0", server=database, **settings)
        assert result.returncode == 2
        assert part in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr
