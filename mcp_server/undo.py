"""Puts the rows of a call back as they were before it: all of them, or none.

The images are read by the audit's own login; they are written back by mcp_write, in the context of
the agent that asks. So whoever undoes a call needs to see its rows and may write them, whosever
call it was. A row is touched only where it still is as the call left it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg

from mcp_server.audit import Recorder
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.sql import sql_text
from mcp_server.writing import Written

_MOST_CONFLICTS = 20
_STATEMENTS = {"INSERT": "undo_insert", "UPDATE": "undo_update", "DELETE": "undo_delete"}


@dataclass
class _Run:
    """Images of one table and one kind that one statement puts back."""

    table: str
    operation: str
    #: As the JSON that PostgreSQL wrote: its numbers are longer than Python's.
    images: list[str] = field(default_factory=list)
    #: Keys of these rows: the same row twice needs two statements.
    keys: set[str] = field(default_factory=set)


async def load(recorder: Recorder, call_id: UUID) -> list[asyncpg.Record]:
    """The images of a committed call, the last one first.

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
    flaws = sorted({f"{i['table_name']}: {i['flaw']}" for i in images if i["flaw"]})
    if flaws:
        raise _refused(
            f"A row of the call cannot be put back: {'; '.join(flaws[:3])}.",
            "Write the rows anew by postgres_execute.",
        )
    return images


async def revert(
    connection: AgentConnection, images: list[asyncpg.Record], *, own: bool
) -> Written:
    """Put the rows back, within a transaction of its own.

    Args:
        own: the agent's own call is undone; of another's, rows that it does not see are not named.

    Raises:
        Failure: rows have changed since; `conflicts` says which.
    """
    statements: dict[str, _Table] = {}
    count = 0
    for run in await _runs(connection, images, statements):
        await statements[run.table].put_back(connection, run, own=own)
        count += len(run.images)
    return Written(count, f"UNDO {count}")


@dataclass
class _Table:
    """A table, and the statements that put its rows back."""

    texts: asyncpg.Record
    #: Columns that it has, and its images have not.
    new_columns: list[str]

    def key_of(self, row: dict[str, Any]) -> dict[str, Any]:
        return {name: row[name] for name in self.texts["key"]}

    async def put_back(self, connection: AgentConnection, run: _Run, *, own: bool) -> None:
        arguments: list[object] = [_array(run.images)]
        if run.operation != "DELETE":
            arguments.append(self.new_columns)
        text = self.texts[_STATEMENTS[run.operation]]
        done = {_key(_decoded(record[0])) for record in await connection.fetch(text, *arguments)}
        if run.keys - done:
            raise await self._conflict(connection, run, run.keys - done, own=own)

    async def _conflict(
        self, connection: AgentConnection, run: _Run, keys: set[str], *, own: bool
    ) -> Failure:
        records = await connection.fetch(self.texts["present"], _array(sorted(keys)))
        present = {_key(_decoded(record["key"])) for record in records}
        if run.operation == "DELETE":
            reasons = dict.fromkeys(keys, "its key, or another unique value of it, is taken")
        else:
            reasons = {
                key: "it has changed since" if key in present else "it is gone" for key in keys
            }
        conflicts: list[dict[str, object]] = [
            {"table": run.table, "key": _decoded(key), "reason": reasons[key]}
            for key in sorted(keys)
            if own or key in present
        ]
        return Failure(
            f"Nothing was undone: {len(keys)} rows of {run.table} are not as the call left them.",
            sqlstate="40001",
            hint="Look at the rows, and write what is meant by postgres_execute; or undo the "
            "later call first.",
            outcome="nothing_changed",
            conflicts=conflicts[:_MOST_CONFLICTS],
        )


async def _runs(
    connection: AgentConnection, images: list[asyncpg.Record], tables: dict[str, _Table]
) -> list[_Run]:
    """The images, the last one first, in as few statements as their order allows."""
    runs: list[_Run] = []
    for image in images:
        name = image["table_name"]
        # The row as it is now: an UPDATE may have changed the key.
        row = _decoded(image["after"] or image["before"])
        if name not in tables:
            tables[name] = await _table(connection, name, row)
        key = _key(tables[name].key_of(row))
        run = runs[-1] if runs else None
        if (
            run is None
            or (run.table, run.operation) != (name, image["operation"])
            or key in run.keys
        ):
            run = _Run(name, image["operation"])
            runs.append(run)
        sides = (f'"{side}": {image[side] or "null"}' for side in ("before", "after"))
        run.images.append(f"{{{', '.join(sides)}}}")
        run.keys.add(key)
    return runs


async def _table(connection: AgentConnection, name: str, image: dict[str, Any]) -> _Table:
    # Asked twice: the columns that are new must be left out of what the statements write.
    texts = await connection.fetchrow(sql_text("undo_statements"), name, [])
    if texts is None:
        raise _refused(f"{name} does not exist any more.", "Its rows went with it.")
    if texts["key"] is None:
        raise _refused(
            f"{name} has no primary key: its rows cannot be told apart.",
            "Write the rows by postgres_execute.",
        )
    lost = sorted(set(image) - set(texts["columns"]))
    if lost:
        raise _refused(f"{name} has lost columns since: {', '.join(lost)}.", "")
    new = sorted(set(texts["columns"]) - set(image))
    if new:
        texts = await connection.fetchrow(sql_text("undo_statements"), name, new)
        assert texts is not None
    return _Table(texts, new)


def _decoded(text: str) -> dict[str, Any]:
    return dict(json.loads(text, parse_float=str))


def _key(key: dict[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)


def _array(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _refused(error: str, hint: str) -> Failure:
    return Failure(error, sqlstate="55000", hint=hint, outcome="nothing_changed")
