"""Real MCP clients on the server: in this process, over stdio, over HTTP."""

import json
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from database.settings import Server
from mcp_server.gate import Gate, Statement
from mcp_server.server import build_server, open_access
from mcp_server.settings import Settings
from tests.programs import CHECKOUT, environment, start_python

#: Lets everything through: what is refused then, PostgreSQL refuses.
OPEN_GATE = Gate(
    query=lambda text: Statement(text, "SELECT"),
    execute=lambda text, _confirm: Statement(text, "WRITE"),
    schema=lambda text, _confirm: Statement(text, "SCHEMA"),
)


class Agent:
    """A client that checks what holds for every result."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured result, which the one text block repeats as JSON."""
        result = await self.client.call_tool(tool, arguments)
        (block,) = result.content
        assert block.type == "text"
        assert json.loads(block.text) == result.structured_content
        fields: dict[str, Any] = result.structured_content
        assert fields["success"] is not result.is_error
        return fields

    async def query(self, sql: str, **arguments: Any) -> dict[str, Any]:
        return await self.call("postgres_query", query=sql, **arguments)

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        answer = await self.query(sql)
        assert answer["success"], answer
        rows: list[dict[str, Any]] = answer["rows"]
        return rows

    async def execute(self, sql: str, **arguments: Any) -> dict[str, Any]:
        return await self.call("postgres_execute", query=sql, **arguments)

    async def alter(self, ddl: str, **arguments: Any) -> dict[str, Any]:
        return await self.call("postgres_schema_alter", ddl=ddl, **arguments)


@asynccontextmanager
async def agent(
    server: Server, *, gate: Gate | None = None, **settings: Any
) -> AsyncIterator[Agent]:
    """An agent on a server in this process; `settings` as in `Settings`."""
    access = open_access(Settings(**settings), gate=gate, discover=lambda: server)
    async with Client(build_server(access)) as client:
        yield Agent(client)


@asynccontextmanager
async def stdio_agent(
    server: Server | None, *arguments: str, **variables: object
) -> AsyncIterator[Agent]:
    """An agent on a server process, over its stdin and stdout."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_server", *arguments],
        env=environment(server, **variables),
        cwd=CHECKOUT,
    )
    async with Client(parameters) as client:
        yield Agent(client)


@contextmanager
def http_server(
    server: Server | None,
    log: Path,
    *arguments: str,
    module: str = "mcp_server",
    **settings: object,
) -> Iterator[str]:
    """A server process on a free port; the URL of its root."""
    variables = environment(server, **settings)
    with (
        log.open("wb") as stderr,
        start_python(
            *("-m", module, "--http", "--port", "0", *arguments), variables=variables, errors=stderr
        ) as process,
    ):
        try:
            port = None
            while port is None:
                assert process.poll() is None, log.read_text()
                time.sleep(0.02)
                port = re.search(r'"port": (\d+)', log.read_text())
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            process.terminate()
            assert process.wait(20) == 0, log.read_text()


@asynccontextmanager
async def http_agent(url: str, token: str) -> AsyncIterator[Agent]:
    """An agent on a server over HTTP, with its token."""
    async with httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {token}"}, timeout=60
    ) as http_client:
        transport = streamable_http_client(f"{url}/mcp", http_client=http_client)
        async with Client(transport) as client:
            yield Agent(client)
