"""Plain HTTP to a server process, without the SDK: also what a decent client never sends."""

import http.client
import json
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from database.settings import Server

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def token_of(server: Server) -> str:
    return (server.secrets_dir / "mcp_token").read_text().strip()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def post(url: str, message: object, **headers: str | bytes) -> tuple[int, dict[str, str], bytes]:
    """One POST to /mcp; status, headers and body."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port or 80, timeout=20)
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    connection.request(
        "POST",
        "/mcp",
        body,
        {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )
    response = connection.getresponse()
    return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


def get(url: str, path: str) -> tuple[int, bytes]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port or 80, timeout=20)
    connection.request("GET", path)
    response = connection.getresponse()
    return response.status, response.read()


def tool_call(name: str, **arguments: Any) -> dict[str, Any]:
    """A tools/call as older protocols send it; a stateless server takes it without a handshake."""
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": name, "arguments": arguments},
    }


def call(url: str, token: str, name: str, **arguments: Any) -> dict[str, Any]:
    """The structured result of a tool."""
    status, _, body = post(url, tool_call(name, **arguments), **bearer(token))
    assert status == 200, body
    result: dict[str, Any] = json.loads(body)["result"]["structuredContent"]
    return result


def tools_of(url: str, token: str) -> set[str]:
    """The names that tools/list gives to whoever has the token."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    status, _, body = post(url, message, **bearer(token))
    assert status == 200, body
    return {tool["name"] for tool in json.loads(body)["result"]["tools"]}


def connected(url: str, *, trust: str | None = None) -> socket.socket:
    """A raw connection; over TLS where a certificate is to be trusted."""
    address = urlsplit(url)
    plain = socket.create_connection((str(address.hostname), address.port or 80), timeout=20)
    if trust is None:
        return plain
    return ssl.create_default_context(cafile=trust).wrap_socket(plain, server_hostname="localhost")


def status_of(connection: socket.socket) -> int | None:
    """The status line's code; None where the server closed or cut the connection."""
    try:
        with connection.makefile("rb") as file:
            line = file.readline()
    except ConnectionError:
        return None
    return int(line.split()[1]) if line else None
