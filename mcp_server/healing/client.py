"""The plan's class, over any MCP manager that has `call_tool`."""

import json
from typing import Any, Literal, Protocol


class Manager(Protocol):
    """What calls tools: `await manager.call_tool(server, tool, arguments)`, as the platform's."""

    async def call_tool(self, server: str, tool: str, arguments: dict[str, Any], /) -> Any:  # noqa: ANN401 - each manager has a type of its own
        """Call a tool of a server."""


class Sdk:
    """The SDK's client as a manager: it knows one server, and is told no name."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - mcp.Client or ClientSession
        self._client = client

    async def call_tool(self, _server: str, tool: str, arguments: dict[str, Any], /) -> Any:  # noqa: ANN401 - the SDK's result
        """Call a tool."""
        return await self._client.call_tool(tool, arguments)


class PostgreSQLSelfHealing:
    """Self-healing with full database capabilities, under the plan's names.

    Every method answers the tool's structured result as a dict, whatever the manager wraps it in;
    `success` says whether it worked.

    Args:
        manager: with `call_tool(server, tool, arguments)`.
        server: the name that the manager knows the MCP server by.
    """

    def __init__(self, manager: Manager, server: str = "postgres") -> None:
        self._manager = manager
        self._server = server

    async def fix_missing_column(self, table: str, column: str, column_type: str) -> dict[str, Any]:
        """Add a missing column for schema consistency."""
        return await self._call(
            "postgres_fix_missing_column", table=table, column=column, column_type=column_type
        )

    async def create_performance_index(
        self, table: str, columns: list[str], query: str | None = None
    ) -> dict[str, Any]:
        """Create an index for performance; with a query, only if it helps."""
        given: dict[str, Any] = {"table": table, "columns": columns}
        if query is not None:
            given["query"] = query
        return await self._call("postgres_create_performance_index", **given)

    async def analyze_query_performance(self, query: str) -> dict[str, Any]:
        """Analyze a slow query and suggest optimizations."""
        return await self._call("postgres_analyze_query_performance", query=query)

    async def diagnose(self, error: str, statement: str | None = None) -> dict[str, Any]:
        """What an error means, and what would heal it."""
        return await self._call("postgres_diagnose", **_given(error, statement))

    async def heal(
        self, error: str, statement: str | None = None, step_id: str | None = None
    ) -> dict[str, Any]:
        """Heal an error, verified and recorded, or say what a person must do."""
        given = _given(error, statement)
        return await self._call(
            "postgres_heal", **given, **({"step_id": step_id} if step_id else {})
        )

    async def heal_orphans(self, how: Literal["parents", "quarantine"]) -> dict[str, Any]:
        """Make the missing parents of rows, or move rows without one to migration.quarantine."""
        return await self._call("postgres_heal", orphans=how)

    async def _call(self, tool: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
        return structured(await self._manager.call_tool(self._server, tool, arguments))


def _given(error: str, statement: str | None) -> dict[str, Any]:
    return {"error": error} if statement is None else {"error": error, "statement": statement}


def structured(result: Any) -> dict[str, Any]:  # noqa: ANN401 - each manager has a type of its own
    """The structured result, from the SDK's object, a dict of the protocol, or its text.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(result, dict) and "success" in result:
        return result
    for name in ("structured_content", "structuredContent"):
        fields = result.get(name) if isinstance(result, dict) else getattr(result, name, None)
        if isinstance(fields, dict):
            return fields
    content = (
        result.get("content") if isinstance(result, dict) else getattr(result, "content", None)
    )
    for block in content or ():
        text = block.get("text") if isinstance(block, dict) else getattr(block, "text", None)
        if text:
            fields = json.loads(text)
            if isinstance(fields, dict):
                return fields
    raise ValueError("the manager answered no result of a tool")
