"""What a write has around it: a key that makes it happen once, its end, or a trial instead."""

from dataclasses import dataclass
from typing import Any

import orjson

from mcp_server.audit import Call
from mcp_server.connection import AgentConnection
from mcp_server.context import bind_write
from mcp_server.failure import Failure
from mcp_server.gate import Statement
from mcp_server.rows import Rows
from mcp_server.sql import sql_text


@dataclass(frozen=True)
class Trial:
    """What a dry run found out before it was rolled back.

    Attributes:
        written: rows that were written, those of cascades included.
        locks: tables and views that it locked, with PostgreSQL's name of the lock.
        plan: lines of EXPLAIN; empty for a schema change.
    """

    written: int
    locks: list[dict[str, str]]
    plan: list[str]


@dataclass(frozen=True)
class Written:
    """What a write did.

    Attributes:
        affected: rows inserted, updated or deleted.
        command_tag: PostgreSQL's own word, `UPDATE 3`.
        rows: those of RETURNING, else None.
        trial: where it was a dry run.
    """

    affected: int
    command_tag: str
    rows: Rows | None = None
    trial: Trial | None = None


async def begin(connection: AgentConnection, call: Call) -> Written | None:
    """Open the transaction as a call.

    Returns:
        What was written before under the same idempotency key; None where nothing was.

    Raises:
        Failure: 22023 where the key was used for something else.
    """
    begun = await bind_write(connection, call)
    if not begun["replayed"]:
        return None
    if begun["request_sha256"] != call.request_sha256():
        raise Failure(
            f"The idempotency key was used for another call, {begun['call_id']}.",
            sqlstate="22023",
            hint="A new request needs a key of its own.",
            outcome="nothing_changed",
        )
    call.outcome = "replayed"
    call.replays = begun["call_id"]
    return _recalled(begun["result"])


async def end(connection: AgentConnection, call: Call, written: Written) -> None:
    """Close the transaction as a call; after it nothing can be written, and it can be committed.

    Raises:
        asyncpg.PostgresError: 54000 where it wrote more rows than the caller's budget has.
    """
    result = _noted(written, with_rows=call.idempotency_key is not None)
    record = await connection.fetchrow(sql_text("audit_end_write"), orjson.dumps(result).decode())
    assert record is not None
    call.affected, call.images_sha256 = record["affected"], record["images_sha256"]


async def plan(connection: AgentConnection, statement: Statement, *values: object) -> list[str]:
    """PostgreSQL's plan of a write that has not been run yet, with its parameters."""
    text = f"explain {statement.text}"
    return [record[0] for record in await connection.fetch(text, *values)]


async def trial(connection: AgentConnection, call: Call, plan: list[str]) -> Trial:
    """What the transaction has done, before it is rolled back.

    Raises:
        asyncpg.PostgresError: a constraint that is checked at COMMIT is broken.
    """
    await connection.execute("set constraints all immediate")
    locks = [dict(record) for record in await connection.fetch(sql_text("locks"))]
    call.outcome = "dry_run"
    # None of it stays.
    written, call.affected, call.images_sha256 = call.affected or 0, None, None
    return Trial(written, locks, plan)


def _noted(written: Written, *, with_rows: bool) -> dict[str, Any]:
    result: dict[str, Any] = {"affected": written.affected, "command_tag": written.command_tag}
    if with_rows and written.rows is not None:
        rows = written.rows
        result["rows"] = {
            "columns": rows.columns,
            "rows": orjson.Fragment(rows.text),
            "truncated": rows.truncated,
            "total": rows.total,
        }
    return result


def _recalled(result: dict[str, Any]) -> Written:
    rows = None
    if "rows" in result:
        noted = result["rows"]
        text = orjson.dumps(noted["rows"])
        rows = Rows(noted["columns"], noted["rows"], text, noted["truncated"], noted["total"])
    return Written(result["affected"], result["command_tag"], rows)
