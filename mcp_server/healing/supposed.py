"""Judges indexes without building them: by hypopg, on what is really asked.

Invariant: nothing is built, run or changed. What is supposed is so in one session, for EXPLAIN
alone, and is ended before the session is given back.
"""

from dataclasses import dataclass
from typing import Any

from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.gate import Statement
from mcp_server.healing.plans import generic_plan, nodes_of, plan_on, planned
from mcp_server.healing.shapes import Candidate
from mcp_server.sql import sql_text
from mcp_server.tool import Access

_MOST_STATEMENTS = "20"
#: A narrower index with this share of the greatest gain costs writers less.
_AS_GOOD = 0.9
#: Kinds that hypopg can suppose.
_SUPPOSABLE = ("btree",)


@dataclass(frozen=True)
class _Asked:
    """A statement of the workload, and what its plan costs as it is."""

    statement: Statement
    calls: int
    cost: float


async def worthwhile(
    access: Access, wanted: list[Candidate], query: str, factor: float, report: dict[str, Any]
) -> list[Candidate]:
    """The candidates that are worth building: the one with the greatest gain, and those unjudged.

    Of those that are about as good, the first.

    The gain of an index is what all recorded statements on its table would cost less, by calls.

    Args:
        wanted: all that may help; as they are where hypopg is not there.
        query: what it is about; an index that it does not take, or that does not make it cost at
            most `factor` of what it does, is out.
        report: gets what was judged.

    Raises:
        Failure: the query or the catalogue cannot be read.
    """
    judged = [one for one in wanted if one.kind in _SUPPOSABLE]
    if not judged:
        return wanted
    asked = await _workload(access, {one.table for one in judged}, query)
    calls = frozenset(call for one in asked for call in one.statement.calls)
    gains: dict[Candidate, float] = {}
    notes: list[dict[str, Any]] = []

    async def work(connection: AgentConnection) -> None:
        for candidate in judged:
            note = await _judge(connection, candidate, asked)
            if note is None:
                return
            notes.append(note)
            if note["used"] and note["cost_after"] <= asked[0].cost * factor and note["gain"] > 0:
                gains[candidate] = note["gain"]

    await access.sessions.read_by(access.caller, Statement("", "SELECT", calls=calls), work)
    if not notes:
        return wanted
    report["supposed"] = notes
    enough = max(gains.values(), default=0.0) * _AS_GOOD
    best = [one for one in wanted if gains.get(one, -1.0) >= enough][:1]
    return best + [one for one in wanted if one.kind not in _SUPPOSABLE]


async def _workload(access: Access, tables: set[str], query: str) -> list[_Asked]:
    """The query first, then the other recorded statements that read these tables."""
    records = await access.sessions.catalogue(access.caller, "workload", _MOST_STATEMENTS)
    calls = {str(record["statement"]): int(record["calls"]) for record in records}
    asked = []
    for text in dict.fromkeys([query, *calls]):
        try:
            plan = await generic_plan(access, text)
        except Failure:
            if text == query:
                raise
            # What an agent may not ask, or what has lost a type with its values: judged without.
            continue
        if text == query or tables & {node.get("Relation Name") for node in nodes_of(plan)}:
            cost = plan["Plan"]["Total Cost"]
            asked.append(_Asked(planned(access, text), calls.get(text, 1), cost))
    return asked


async def _judge(
    connection: AgentConnection, candidate: Candidate, asked: list[_Asked]
) -> dict[str, Any] | None:
    """What an index would change; None where hypopg is not there."""
    await connection.execute("savepoint supposing")
    try:
        name = await connection.fetchval(sql_text("suppose_index"), candidate.supposed)
        if name is None:
            return None
        note: dict[str, Any] = {"index": candidate.name, "gain": 0.0, "used": False, "used_by": 0}
        for position, one in enumerate(asked):
            plan = await plan_on(connection, one.statement)
            cost = plan["Plan"]["Total Cost"]
            uses = [node["Node Type"] for node in nodes_of(plan) if node.get("Index Name") == name]
            note["gain"] += one.calls * (one.cost - cost)
            note["used_by"] += bool(uses)
            if position == 0:
                note["used"] = bool(uses) and (not candidate.include or "Index Only Scan" in uses)
                note["cost_before"], note["cost_after"] = one.cost, cost
        return note
    finally:
        # What is supposed is no part of a transaction, and stays when one is rolled back.
        await connection.execute("rollback to savepoint supposing")
        await connection.execute(sql_text("suppose_nothing"))
