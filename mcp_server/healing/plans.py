"""Plans of queries whose values are not known: those that fit any.

Over the extended protocol EXPLAIN (GENERIC_PLAN) wants values for $1, $2, … all the same, and then
plans for these. So the query is prepared, and EXPLAIN EXECUTE has its generic plan.
"""

from collections.abc import Iterator
from typing import Any

from mcp_server.connection import AgentConnection
from mcp_server.failure import refuse
from mcp_server.gate import Statement
from mcp_server.sql import sql_text
from mcp_server.tool import Access


async def generic_plan(access: Access, query: str) -> dict[str, Any]:
    """The plan as EXPLAIN (FORMAT JSON) has it, with the rights of the agent that asks.

    Raises:
        Failure: the gate or PostgreSQL refuses the query.
    """
    statement = planned(access, query)
    plans: list[dict[str, Any]] = []

    async def work(connection: AgentConnection) -> None:
        plans.append(await plan_on(connection, statement))

    await access.sessions.read_by(access.caller, statement, work)
    return plans[0]


def planned(access: Access, query: str) -> Statement:
    """A query that may be planned.

    Raises:
        Failure: the gate refuses it, or it is EXPLAIN or SHOW.
    """
    statement = access.gate.query(query)
    if statement.operation != "SELECT":
        raise refuse("Only queries can be planned.", "Give the query alone.", "42601")
    return statement


async def plan_on(connection: AgentConnection, statement: Statement) -> dict[str, Any]:
    """The same within the transaction of a connection, which is to plan more.

    Args:
        statement: a query that the gate has taken.
    """
    await connection.execute("set local plan_cache_mode = force_generic_plan")
    await connection.execute(f"prepare planned as {statement.text}")
    count = await connection.fetchval(sql_text("plan_values"))
    values = f"({', '.join(['null'] * count)})" if count else ""
    document = await connection.fetchval(f"explain (format json) execute planned{values}")
    await connection.execute("deallocate planned")
    plan: dict[str, Any] = document[0]
    return plan


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of a plan, from the top."""
    waiting = [plan["Plan"]]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += node.get("Plans", ())
