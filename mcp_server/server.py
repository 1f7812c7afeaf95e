"""The MCP server: which tools there are, and what becomes of a call.

Why the SDK's low-level server and not MCPServer: the latter validates and encodes each result
several times and costs 0.35 ms more a call and a quarter more on 10 000 rows. Here a result is
built as JSON once, sent as one text block (never a block per row), with the structured copy that
the tools' output schemas describe.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from time import perf_counter
from typing import Any

import structlog
from mcp.server.lowlevel import Server as McpServer
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    ListToolsResult,
    PaginatedRequestParams,
)
from mcp_types import Tool as ListedTool
from pydantic import ValidationError

from database.settings import Server
from mcp_server.agents import load_agents
from mcp_server.audit import Call, Recorder
from mcp_server.caller import Caller
from mcp_server.failure import Failure
from mcp_server.gate import Gate
from mcp_server.pools import Capability, Pools
from mcp_server.session import Sessions
from mcp_server.settings import Settings
from mcp_server.tool import elapsed_ms
from mcp_server.tools import BY_NAME, PREFIX, TOOLS, Access, Answer, Tool

NAME = "mcp-server-atlas-pg"

_INSTRUCTIONS = (
    "PostgreSQL 17 with the platform's data. Look with postgres_list_tables and "
    "postgres_describe_table, read with postgres_query, write rows with postgres_execute, add what "
    "the schema lacks with postgres_schema_alter. One statement per call. A failed call says "
    "success=false with PostgreSQL's sqlstate and a hint; follow the hint before trying again."
)

_log = structlog.get_logger()


def open_access(
    settings: Settings,
    *,
    gate: Gate | None = None,
    discover: Callable[[], Server] = Server.discover,
) -> Access:
    """What the tools work with. Connects to nothing yet.

    Args:
        gate: judges of statements; tests pass one that lets everything through.
        discover: where PostgreSQL is, asked anew for each connection.
    """
    agents = load_agents(settings)
    pools = Pools(settings, discover)
    return Access(
        settings,
        agents,
        agents.caller(settings.agent),
        gate or Gate(),
        pools,
        Sessions(settings, pools),
        Recorder(settings, discover),
    )


def build_server(
    access: Access, identify: Callable[[], Caller] | None = None
) -> "McpServer[Access]":
    """The server, to be run over any transport.

    Args:
        identify: who calls, where the transport tells callers apart; asked within each call.
    """

    def of_this_call() -> Access:
        return access if identify is None else replace(access, caller=identify())

    @asynccontextmanager
    async def lifespan(_server: "McpServer[Access]") -> AsyncIterator[Access]:
        try:
            yield access
        finally:
            await access.recorder.close()
            await access.pools.close()

    async def list_tools(
        _context: object, _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        capabilities = of_this_call().caller.capabilities
        return ListToolsResult(tools=listed_tools(access.settings, capabilities))

    async def call_tool(_context: object, params: CallToolRequestParams) -> Any:  # noqa: ANN401 - the result is a dict, which the SDK takes but does not declare
        return await answer_call(of_this_call(), params.name, params.arguments or {})

    return McpServer(
        NAME,
        version=_version(),
        title="PostgreSQL for AtlasTrinity",
        instructions=_INSTRUCTIONS,
        lifespan=lifespan,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def listed_tools(
    settings: Settings, capabilities: frozenset[Capability] = frozenset(Capability)
) -> list[ListedTool]:
    """The entries of tools/list, for an agent with these capabilities.

    The unprefixed names work without being listed: a second copy of six definitions would cost
    every conversation its tokens. MCP_LIST_ALIASES lists them in one line each, for a client that
    calls nothing but what is listed.
    """
    return _listed_tools(settings.list_aliases, capabilities)


# The SDK asks for the list at every call, too.
@cache
def _listed_tools(aliases: bool, capabilities: frozenset[Capability]) -> list[ListedTool]:
    tools = [tool.listed() for tool in TOOLS if tool.capability in capabilities]
    if aliases:
        tools += [
            tool.model_copy(
                update={
                    "name": tool.name.removeprefix(PREFIX),
                    "description": f"Same as {tool.name}.",
                    "output_schema": None,
                }
            )
            for tool in tools
        ]
    return tools


async def answer_call(access: Access, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a tool; the result of tools/call, whether it succeeded or not.

    Raises:
        MCPError: there is no such tool.
    """
    tool = BY_NAME.get(name)
    if tool is None:
        raise MCPError(
            code=INVALID_PARAMS,
            message=f"There is no tool {name}; there are {', '.join(t.name for t in TOOLS)}.",
        )
    start = perf_counter()
    call = Call(access.caller, tool.name, arguments)
    try:
        async with access.recorder.recorded(call, writes=not tool.read_only):
            access.caller.check(tool.capability)
            answer = await tool.run(replace(access, current=call), _arguments(tool, arguments))
            call.returned = answer.fields.get("count")
    except Failure as failure:
        if not tool.read_only:
            failure.call_id = str(call.id)
            failure.outcome = failure.outcome or "nothing_changed"
        _report(access, tool, start, failure=failure)
        return _result(Answer({**failure.fields(), **tool.failure_fields}), is_error=True)
    except Exception:  # noqa: BLE001 - the agent gets an answer to every call
        # A fault of this server. The cause is for its log; the agent learns that it was not its.
        _log.exception("call failed", tool=tool.name, agent=access.caller.agent)
        fault = Failure("The server failed.", hint="This is a fault of the server; see its log.")
        if not tool.read_only:
            fault.call_id, fault.outcome = str(call.id), "unknown"
        return _result(Answer({**fault.fields(), **tool.failure_fields}), is_error=True)
    _report(access, tool, start, answer=answer)
    return _result(answer)


def _arguments(tool: Tool, arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - the tool's model
    try:
        return tool.arguments.model_validate(arguments)
    except ValidationError as error:
        problems = "; ".join(
            ": ".join(part for part in (".".join(map(str, item["loc"])), item["msg"]) if part)
            for item in error.errors(include_input=False, include_url=False, include_context=False)
        )
        names = ", ".join(
            field.alias or name for name, field in tool.arguments.model_fields.items()
        )
        raise Failure(
            f"Wrong arguments: {problems}.",
            hint=f"{tool.name} takes {names}." if names else f"{tool.name} takes no arguments.",
            refused_by="gate",
        ) from None


def _result(answer: Answer, *, is_error: bool = False) -> dict[str, Any]:
    return {
        "content": [{"type": "text", "text": answer.text()}],
        "structuredContent": answer.fields,
        "isError": is_error,
        # Protocol 2026-07-28 wants it; for older ones the SDK leaves it out.
        "resultType": "complete",
    }


def _report(
    access: Access,
    tool: Tool,
    start: float,
    *,
    answer: Answer | None = None,
    failure: Failure | None = None,
) -> None:
    """One line per call: numbers and codes, never the statement or a value."""
    if failure is not None:
        _log.info(
            "refused" if failure.refused_by == "gate" else "failed",
            tool=tool.name,
            agent=access.caller.agent,
            sqlstate=failure.sqlstate,
            refused_by=failure.refused_by,
            outcome=failure.outcome,
            duration_ms=elapsed_ms(start),
        )
    elif answer is not None:
        _log.info(
            "done",
            tool=tool.name,
            agent=access.caller.agent,
            rows=answer.fields.get("count"),
            affected=answer.fields.get("affected"),
            truncated=answer.fields.get("truncated"),
            duration_ms=elapsed_ms(start),
        )


def _version() -> str:
    # Late, since it is slow and needed once; a checkout that is not installed has none.
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("atlas-postgres")
    except PackageNotFoundError:
        return "0"
