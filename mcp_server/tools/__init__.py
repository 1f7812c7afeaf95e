"""The fourteen tools, in the order in which agents see them."""

from mcp_server.tool import Access, Answer, Tool
from mcp_server.tools import (
    call_status,
    describe_table,
    diagnose,
    drift,
    execute,
    heal,
    health_check,
    helpers,
    list_tables,
    query,
    schema_alter,
    undo,
)

PREFIX = "postgres_"

TOOLS: tuple[Tool, ...] = (
    query.TOOL,
    execute.TOOL,
    schema_alter.TOOL,
    undo.TOOL,
    call_status.TOOL,
    list_tables.TOOL,
    describe_table.TOOL,
    health_check.TOOL,
    drift.TOOL,
    diagnose.TOOL,
    heal.TOOL,
    helpers.FIX_MISSING_COLUMN,
    helpers.CREATE_PERFORMANCE_INDEX,
    helpers.ANALYZE_QUERY_PERFORMANCE,
)

#: Every name that can be called → its tool: the plan's names, and the same without the prefix,
#: which is how the platform calls a tool of a server named `postgres`.
BY_NAME: dict[str, Tool] = {
    **{tool.name: tool for tool in TOOLS},
    **{tool.name.removeprefix(PREFIX): tool for tool in TOOLS},
}

__all__ = ["BY_NAME", "PREFIX", "TOOLS", "Access", "Answer", "Tool"]
