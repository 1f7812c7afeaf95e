"""An MCP client, the SDK's own, over HTTP with the bearer token or over `docker compose exec`."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from tests.docker.project import Project


@asynccontextmanager
async def over_http(project: Project, token: str) -> AsyncIterator[Client]:
    """A client of the published port."""
    headers = {"Authorization": f"Bearer {token}"}
    async with create_mcp_http_client(headers=headers) as http:
        url = f"http://127.0.0.1:{project.mcp_port}/mcp"
        async with Client(streamable_http_client(url, http_client=http)) as client:
            yield client


@asynccontextmanager
async def over_exec(project: Project) -> AsyncIterator[Client]:
    """A client of a server started inside the running container, by stdio."""
    command, *arguments = project.command("exec", "-T", "mcp", "mcp-server-atlas-pg")
    parameters = StdioServerParameters(
        command=command, args=arguments, env=project.environment, cwd=project.root
    )
    async with Client(stdio_client(parameters)) as client:
        yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """A tool's structured result, which its one text block repeats."""
    result = await client.call_tool(tool, arguments)
    assert len(result.content) == 1, result
    text = json.loads(getattr(result.content[0], "text", "null"))
    assert isinstance(text, dict), result
    if result.structured_content is not None:
        assert text == result.structured_content
    return text
