"""Puts the rows of a call back as they were before it: all of them, or none.

The images are read by the audit's own login; they are written back by mcp_write, in the context of
the agent that asks. So whoever undoes a call needs to see its rows and may write them, whosever
call it was. A row is touched only where it still is as the call left it.

What is put back is the net effect on each row, since the order in which rows were written is not
one in which they can be put back: PostgreSQL cascades after it has recorded the row that it
cascades from. First come the rows that were deleted, parents before children; then those that were
updated; then those that were inserted go, children before parents.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from mcp_server.audit import Recorder
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.sql import sql_text
from mcp_server.writing import Written

_MOST_CONFLICTS = 20

Images = list[asyncpg.Record]


@dataclass
class _Effect:
    """What a call did to one row, as the JSON that PostgreSQL wrote; None where there was no row.

    Never taken apart and put together here: PostgreSQL's numbers are longer than Python's.
    """

    before: str | None
    after: str | None

    @property
    def statement(self) -> str:
        """The column of undo_statements.sql that reverts it."""
        if self.before is None:
            return "undo_insert"
        return "undo_delete" if self.after is None else "undo_update"

    def text(self) -> str:
        return f'{{"before": {self.before or "null"}, "after": {self.after or "null"}}}'


@dataclass
class _Table:
    """A table, and the statements that put its rows back.

    Attributes:
        new_columns: columns that it has, and the images have not.
        depth: how many references lead from it to a table without any.
    """

    name: str
    statements: asyncpg.Record
    new_columns: list[str]
    depth: int
    effects: list[_Effect]

    def key_of(self, row: str) -> str:
        values = _decoded(row)
        return _key({name: values[name] for name in self.statements["key"]})


async def load(recorder: Recorder, call_id: UUID) -> Images:
    """The images of a committed call, in the order in which they were written.

    Raises:
        Failure: there is no such call, it wrote no rows, or its rows cannot be put back.
    """
    status = await recorder.status(call_id)
    if status is None or status["state"] != "committed":
        raise _refused(
            f"Nothing was written under {call_id}.",
            "postgres_call_status says what became of a call."
            if status
            else "Take the call_id of the answer to the write.",
        )
    images = await recorder.images(call_id)
    if not images:
        raise _refused("The call changed no rows.", "A schema change is not undone by this.")
    flaws = sorted({f"{image['table_name']}: {image['flaw']}" for image in images if image["flaw"]})
    if flaws:
        raise _refused(
            f"A row of the call cannot be put back: {'; '.join(flaws[:3])}.",
            "Write the rows anew by postgres_execute.",
        )
    return images


async def revert(connection: AgentConnection, images: Images, *, own: bool) -> Written:
    """Put the rows back, within a transaction of its own.

    Args:
        own: the agent's own call is undone; of another's, rows that it does not see are not named.

    Raises:
        Failure: rows have changed since; `conflicts` says which.
    """
    tables = await _tables(connection, images)
    count = 0
    for statement in ("undo_delete", "undo_update", "undo_insert"):
        parents_first = sorted(tables, key=lambda table: table.depth)
        order = reversed(parents_first) if statement == "undo_insert" else parents_first
        for table in order:
            effects = [effect for effect in table.effects if effect.statement == statement]
            if effects:
                await _put_back(connection, table, effects, own=own)
            count += len(effects)
    return Written(count, f"UNDO {count}")


async def _put_back(
    connection: AgentConnection, table: _Table, effects: list[_Effect], *, own: bool
) -> None:
    statement = effects[0].statement
    texts = _array(effect.text() for effect in effects)
    arguments: list[object] = [texts]
    if statement != "undo_delete":
        arguments.append(table.new_columns)
    wanted = {table.key_of(effect.after or effect.before or "") for effect in effects}
    missing = wanted - await _keys(connection, table.statements[statement], *arguments)
    if missing and statement == "undo_update":
        # Put back already, by a cascade of the row that it refers to.
        missing -= await _keys(connection, table.statements["restored"], *arguments)
    if missing:
        raise await _conflict(connection, table, statement, missing, own=own)


async def _conflict(
    connection: AgentConnection, table: _Table, statement: str, keys: set[str], *, own: bool
) -> Failure:
    present = await _keys(connection, table.statements["present"], _array(sorted(keys)))
    conflicts: list[dict[str, object]] = []
    for key in sorted(keys):
        if statement == "undo_delete":
            reason = "its key, or another unique value of it, is taken"
        else:
            reason = "it has changed since" if key in present else "it is gone"
        # Whoever may not see a row is not told its key either.
        if own or key in present:
            conflicts.append({"table": table.name, "key": _decoded(key), "reason": reason})
    return Failure(
        f"Nothing was undone: {len(keys)} rows of {table.name} are not as the call left them.",
        sqlstate="40001",
        hint="Look at the rows, and write what is meant by postgres_execute; or undo the later "
        "call first.",
        outcome="nothing_changed",
        conflicts=conflicts[:_MOST_CONFLICTS],
    )


async def _tables(connection: AgentConnection, images: Images) -> list[_Table]:
    by_name: dict[str, Images] = {}
    for image in images:
        by_name.setdefault(image["table_name"], []).append(image)
    order = await connection.fetch(sql_text("undo_order"), list(by_name))
    depths = {record["name"]: record["depth"] for record in order}
    tables = []
    for name, own in by_name.items():
        table = await _table(connection, name, _decoded(own[0]["before"] or own[0]["after"]))
        table.depth = depths.get(name, 0)
        table.effects = _net_effects(table, own)
        tables.append(table)
    return tables


def _net_effects(table: _Table, images: Images) -> list[_Effect]:
    """One effect for each row, however often the call wrote it."""
    rows: dict[str, _Effect] = {}
    ended: list[_Effect] = []
    for image in images:
        before, after = image["before"], image["after"]
        effect = rows.get(table.key_of(before)) if before else None
        # The key alone does not say that it is the same row: keys may have been shifted.
        if effect is not None and effect.after == before:
            del rows[table.key_of(before)]
            effect.after = after
        else:
            effect = _Effect(before, after)
        if after is None:
            ended.append(effect)
        else:
            replaced = rows.get(table.key_of(after))
            if replaced is not None:
                ended.append(replaced)
            rows[table.key_of(after)] = effect
    return [e for e in (*ended, *rows.values()) if e.before != e.after]


async def _table(connection: AgentConnection, name: str, image: dict[str, Any]) -> _Table:
    statements = await connection.fetchrow(sql_text("undo_statements"), name, [])
    if statements is None:
        raise _refused(f"{name} does not exist any more.", "Its rows went with it.")
    if statements["key"] is None:
        raise _refused(
            f"{name} has no primary key: its rows cannot be told apart.",
            "Write the rows by postgres_execute.",
        )
    lost = sorted(set(image) - set(statements["columns"]))
    if lost:
        raise _refused(f"{name} has lost columns since: {', '.join(lost)}.")
    new = sorted(set(statements["columns"]) - set(image))
    if new:
        # Once more, without them: what they hold is nobody's to put back.
        statements = await connection.fetchrow(sql_text("undo_statements"), name, new)
        assert statements is not None
    return _Table(name, statements, new, 0, [])


async def _keys(connection: AgentConnection, text: str, *arguments: object) -> set[str]:
    return {_key(_decoded(record[0])) for record in await connection.fetch(text, *arguments)}


def _decoded(text: str) -> dict[str, Any]:
    return dict(json.loads(text, parse_float=str))


def _key(key: dict[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)


def _array(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _refused(error: str, hint: str = "") -> Failure:
    return Failure(error, sqlstate="55000", hint=hint, outcome="nothing_changed")
