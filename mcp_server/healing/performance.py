"""Slow statements: what their plan costs, which index would help, and whether it really does.

Invariant: an index stays only where the planner takes it, the plan costs at most `_FACTOR` of what
it did, and the query, where it can be run, really reads no more blocks. Plans are made with the
rights of the agent that asks.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

from database.catalogue.facts import Facts, Key, quoted
from mcp_server.failure import Failure
from mcp_server.gate import Statement
from mcp_server.healing.attempt import Outcome, check_not_paused
from mcp_server.healing.built import building
from mcp_server.healing.indexes import change_index
from mcp_server.healing.plans import generic_plan, nodes_of
from mcp_server.healing.proof import asserted, check_assertions
from mcp_server.healing.shapes import Candidate, asked_by
from mcp_server.healing.supposed import worthwhile
from mcp_server.tool import Access

_FACTOR = 0.7
#: A scan that throws away fewer rows than this is no reason for an index.
_FEWEST_ROWS = 1_000
#: What a scan costs at least for the order and the NULLs of its statement to be looked at.
_LEAST_COST = 50
_OPERATORS = re.compile(r" (?:jsonb_path_ops|(?:\w+\.)?gin_trgm_ops)")
#: Beginnings of the types of columns that an index may return, and that can have trigrams.
_NARROW = ("integer", "bigint", "smallint", "boolean", "uuid", "date", "timestamp", "double")
_TEXTS = ("text", "character varying")
#: `message = …`, `(status)::text >= …`: a column first, then what it is compared by.
_COMPARISON = re.compile(r'\(?"?(\w+)"?\)?(?:::[\w ]+)? (=|<=|>=|<|>|@>) (?!.* OR )')


async def plan_of(access: Access, query: str, *, analyze: bool = False) -> dict[str, Any]:
    """The plan as EXPLAIN (FORMAT JSON) has it; run for real where `analyze` says so.

    Raises:
        Failure: the gate or PostgreSQL refuses the query.
    """
    if not analyze:
        return await generic_plan(access, query)
    statement = access.gate.query(f"explain (analyze, buffers, format json) {query}")
    rows = await access.sessions.read(access.caller, statement, 1)
    (document,) = rows.rows[0].values()
    plan: dict[str, Any] = document[0]
    return plan


def candidates(
    plan: dict[str, Any], live: Facts, query: str, *, trigrams: bool = False
) -> list[Candidate]:
    """Indexes that a query and the sequential scans of its plan ask for, and that are not there.

    Args:
        trigrams: whether an index of trigrams can be built.
    """
    scans = [node for node in nodes_of(plan) if node["Node Type"] == "Seq Scan"]
    dear = {node["Relation Name"] for node in scans if node["Total Cost"] >= _LEAST_COST}
    asked = [one for one in asked_by(query) if one.table in dear and _is_possible(one, live)]
    for node in scans:
        condition = node.get("Filter")
        if not condition or node.get("Rows Removed by Filter", _FEWEST_ROWS) < _FEWEST_ROWS:
            continue
        candidate = _candidate(str(node["Relation Name"]), str(condition), live)
        if candidate is not None:
            asked.append(candidate)
    # First what costs writers least: an index that is as good without more columns is smaller.
    asked.sort(key=lambda one: (bool(one.include), one.kind == "trigram"))
    return [
        one
        for one in dict.fromkeys(asked)
        if not covering(one, live) and (trigrams or one.kind != "trigram")
    ]


async def can_have_trigrams(access: Access) -> bool:
    """Whether pg_trgm is where sql/ puts it.

    Raises:
        Failure: the catalogue cannot be read.
    """
    return bool(await access.sessions.catalogue(access.caller, "trigram_operators"))


def _is_possible(candidate: Candidate, live: Facts) -> bool:
    """Whether its columns are the table's own and fit, and no index has the name already."""
    types = _types(candidate.table, live)
    taken = any((key.kind, key.name) == ("index", candidate.name) for key in live)
    if taken or not types.keys() >= {*candidate.columns, *candidate.include}:
        return False
    if candidate.kind == "trigram":
        # A policy comes first, and LIKE on an index might tell of rows that it hides.
        table = live.get(Key("table", "public", "", candidate.table), {})
        texts = all(types[name].startswith(_TEXTS) for name in candidate.columns)
        return texts and not table.get("row_security")
    return all(types[name].startswith(_NARROW) for name in candidate.include)


def _types(table: str, live: Facts) -> dict[str, str]:
    """Column → its type."""
    return {
        key.name: fact["type"]
        for key, fact in live.items()
        if (key.kind, key.schema, key.relation) == ("column", "public", table)
    }


def _candidate(table: str, condition: str, live: Facts) -> Candidate | None:
    types = _types(table, live)
    equal: list[str] = []
    ranged: list[str] = []
    for term in conjunction(condition):
        found = _COMPARISON.match(term)
        if found is None or found[1] not in types:
            continue
        column, operator = found[1], found[2]
        if operator == "@>":
            return Candidate(table, (column,), "gin") if types[column] == "jsonb" else None
        (equal if operator == "=" else ranged).append(column)
    columns = tuple(dict.fromkeys([*equal, *ranged[:1]]))
    return Candidate(table, columns) if columns else None


def conjunction(condition: str) -> Iterator[str]:
    """The terms of a condition that AND joins at its top.

    What a policy adds is one of them, an OR of its own: no index on its columns is meant.
    """
    depth, start, text, in_text = 0, 0, _unwrapped(condition), False
    for position, character in enumerate(text):
        if character == "'":
            in_text = not in_text
        elif not in_text:
            depth += {"(": 1, ")": -1}.get(character, 0)
            if depth == 0 and text.startswith(" AND ", position):
                yield _unwrapped(text[start:position])
                start = position + len(" AND ")
    yield _unwrapped(text[start:])


def _unwrapped(text: str) -> str:
    """Without the one pair of brackets that is around all of it."""
    depth = 0
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0 and position < len(text) - 1:
            return text
    return text[1:-1] if text.startswith("(") else text


def covering(candidate: Candidate, live: Facts) -> str | None:
    """The valid index or key that has these columns first already; None where there is none."""
    start = ", ".join(candidate.columns)
    for key, fact in live.items():
        if key.relation != candidate.table or not fact.get("valid", True):
            continue
        text = fact.get("definition", "").replace('"', "")
        is_key = key.kind == "constraint" and fact.get("type") in ("p", "u")
        if not (key.kind == "index" and " WHERE " not in text) and not is_key:
            continue
        inside = _OPERATORS.split(text.split("(", 1)[-1])[0].split(") INCLUDE (")[0].rstrip(")")
        is_trigram = "gin_trgm_ops" in text
        right_kind = (is_key and candidate.kind == "btree") or (
            f"USING {candidate.method} " in text and is_trigram == (candidate.kind == "trigram")
        )
        if right_kind and f"{inside}, ".startswith(f"{start}, "):
            return key.name
    return None


async def improve(
    access: Access, query: str | None, *, dry_run: bool, tried: Collection[str] = ()
) -> tuple[Outcome, dict[str, Any]]:
    """Make a query cheaper by an index, where one really does.

    Args:
        tried: definitions of indexes that are not built, since they did not help it.

    Returns:
        The outcome of the attempt, and what was done.
    """
    if not query:
        return "left_to_a_person", {"error": "Give the statement that was slow."}
    report: dict[str, Any] = {"query": query}
    try:
        live = await access.sessions.facts(access.caller)
        plan = await plan_of(access, query)
        report["cost"] = plan["Plan"]["Total Cost"]
        wanted = candidates(plan, live, query, trigrams=await can_have_trigrams(access))
        report["candidates"] = [one.definition for one in wanted]
        if not wanted:
            report["words"] = "No index would help: rewrite the query, or ask for less."
            return "left_to_a_person", report
        wanted = [one for one in wanted if one.definition not in tried]
        if not wanted:
            report["words"] = (
                "The indexes that it asks for were built lately, did not help and were dropped: "
                "rewrite the query, or ask for less."
            )
        elif not (wanted := await worthwhile(access, wanted, query, _FACTOR, report)):
            report["words"] = (
                "Supposed to be there, the indexes that it asks for do not help enough: rewrite "
                "the query, or ask for less."
            )
        if dry_run or not wanted:
            return "left_to_a_person", report
        for candidate in wanted:
            await check_not_paused(access.recorder)
            if await try_index(access, candidate, query, report, healing=True):
                return "healed", report
    except Failure as failure:
        report["error"] = {"sqlstate": failure.sqlstate, "error": failure.error}
        return "failed", report
    return "undone", report


async def try_index(
    access: Access,
    candidate: Candidate,
    query: str | None,
    report: dict[str, Any],
    *,
    healing: bool = False,
) -> bool:
    """Build an index; drop it again where the query is not cheaper by it. Whether it stays.

    Args:
        healing: under the lock of healing, and only where what sql/checks asserts holds as before;
            else it is a change that an agent asks for.

    Raises:
        Failure: it cannot be built; then nothing of it is left.
    """
    statement = access.gate.schema(candidate.definition, False)
    if query is None:
        await access.sessions.change_schema(access.call, statement)
        report["built"] = candidate.name
        return True
    before = (await plan_of(access, query))["Plan"]["Total Cost"]
    read_before = await _blocks_read(access, query, report)
    held = await asserted(access) if healing else {}
    async with building(access.recorder, candidate, query) as trial:
        await _change(access, statement, report, healing=healing)
        trial.outcome = "kept"
        report["built"] = candidate.name
        helps = await _helps(access, candidate, query, report, (before, read_before))
        if helps and (not healing or await _holds(access, held, report)):
            return True
        drop = f"drop index concurrently public.{quoted(candidate.name)}"
        gone = Statement(drop, "DROP INDEX", candidate.name, in_transaction=False)
        await _change(access, gone, report, healing=healing)
        trial.outcome = "dropped"
    return False


async def _change(
    access: Access, statement: Statement, report: dict[str, Any], *, healing: bool
) -> None:
    if healing:
        await change_index(access, statement, report)
    else:
        await access.sessions.change_schema(access.call, statement)


async def _holds(access: Access, held: dict[str, str | None], report: dict[str, Any]) -> bool:
    """Whether what sql/checks asserts holds as before."""
    try:
        report["checks"] = check_assertions(held, await asserted(access))
    except Failure as failure:
        report["dropped"] = failure.error
        return False
    return True


async def _helps(
    access: Access,
    candidate: Candidate,
    query: str,
    report: dict[str, Any],
    was: tuple[float, int | None],
) -> bool:
    """Whether the query is cheaper by an index that was built.

    Args:
        was: the cost of its plan, and the blocks that it read, without the index.
    """
    before, read_before = was
    plan = await plan_of(access, query)
    after = plan["Plan"]["Total Cost"]
    uses = [
        node["Node Type"] for node in nodes_of(plan) if node.get("Index Name") == candidate.name
    ]
    # Columns that are only returned are worth their place where the table is not read.
    taken = "Index Only Scan" in uses if candidate.include else bool(uses)
    report |= {"cost_before": before, "cost_after": after, "index_is_used": taken}
    why = f"the query costs {after} instead of {before}"
    if taken and after <= before * _FACTOR:
        read_after = await _blocks_read(access, query, report) if read_before is not None else None
        report |= {"blocks_before": read_before, "blocks_after": read_after}
        if read_before is None or (read_after is not None and read_after <= read_before):
            return True
        why = f"the query, run for real, reads {read_after} blocks instead of {read_before}"
    report["dropped"] = f"{why}: not worth it"
    return False


async def _blocks_read(access: Access, query: str, report: dict[str, Any]) -> int | None:
    """Blocks of 8 kB that the query really reads; None where it cannot be run to its end.

    Blocks, not milliseconds: they are the same whatever else the machine does.
    """
    try:
        plan = await plan_of(access, query, analyze=True)
    except Failure as failure:
        # It fails at some row, or is as slow as it was said to be.
        report["not_measured"] = {"sqlstate": failure.sqlstate, "error": failure.error}
        return None
    return int(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"])
