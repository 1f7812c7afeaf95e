"""Builds and drops indexes while others write, and while nobody else heals.

No transaction can hold CREATE INDEX CONCURRENTLY: what it leaves behind when it fails is removed,
and what a kill leaves is drift, which the next heal repairs.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio

from database.catalogue.compare import Difference, drift
from database.catalogue.facts import declared_facts, quoted
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.gate import Statement
from mcp_server.healing.patience import patiently
from mcp_server.session import facts_on
from mcp_server.sql import sql_text
from mcp_server.tool import Access


@dataclass
class _Build:
    """Whether there is something that a failure may leave behind."""

    begun: bool = False


#: What is done to an index, on a connection that holds the lock of healing.
_Work = Callable[[AgentConnection, _Build], Awaitable[None]]


async def build_index(access: Access, index: Difference, done: dict[str, object]) -> None:
    """Build an index without locking writers out; an invalid leftover goes first.

    Under the lock of healing, and where it is still wrong then: somebody may have been building it.

    Args:
        done: gets what was left behind, if anything.

    Raises:
        Failure: it cannot be built.
    """
    assert index.declared is not None
    drop = f"drop index concurrently if exists public.{quoted(index.key.name)}"
    text = index.declared["definition"].replace("INDEX ", "INDEX CONCURRENTLY ", 1)

    async def work(connection: AgentConnection, build: _Build) -> None:
        async with connection.transaction(readonly=True):
            found = drift(declared_facts(), await facts_on(connection))
        for one in found:
            if one.key == index.key and one.live is not None:
                await connection.execute(drop)
        if any(one.key == index.key for one in found):
            # Healing may have been paused meanwhile.
            await connection.fetchval(sql_text("healing_lock_session"))
            build.begun = True
            await (await connection.prepare(text)).fetch()

    await _alone(access, index.key.name, work, done)


async def change_index(access: Access, statement: Statement, done: dict[str, object]) -> None:
    """Build, or drop, an index that is none of sql/'s, under the lock of healing.

    Args:
        statement: CREATE or DROP INDEX CONCURRENTLY.
        done: gets what was left behind, if anything.

    Raises:
        Failure: it cannot be done.
    """

    async def work(connection: AgentConnection, build: _Build) -> None:
        build.begun = statement.operation == "CREATE INDEX"
        await (await connection.prepare(statement.text)).fetch()

    assert statement.name is not None
    await _alone(access, statement.name, work, done)


async def _alone(access: Access, name: str, work: _Work, done: dict[str, object]) -> None:
    """Do it while nobody else heals, and remove what a failure leaves behind."""

    async def remove(connection: AgentConnection) -> None:
        for leftover in await connection.fetch(sql_text("invalid_index"), name):
            await connection.execute(leftover["statement"])

    async def once() -> None:
        build = _Build()
        try:
            await access.sessions.maintain(access.caller, lambda one: work(one, build))
        except (Failure, asyncio.CancelledError) as error:
            # 42P07: the name was taken; then nothing was begun.
            if build.begun and not (isinstance(error, Failure) and error.sqlstate == "42P07"):
                with anyio.CancelScope(shield=True):
                    await _clean_up(access, name, remove, done)
            raise

    await patiently(once)


async def _clean_up(
    access: Access,
    name: str,
    remove: Callable[[AgentConnection], Awaitable[None]],
    done: dict[str, object],
) -> None:
    try:
        await access.sessions.maintain(access.caller, remove)
    except Failure as failure:
        # Whoever was in the way of the build is in the way of this too; it is drift, and the next
        # heal removes it.
        done["left_behind"] = {"index": name, "error": failure.error}
    else:
        done.pop("left_behind", None)


async def check_built(access: Access, differences: list[Difference]) -> None:
    """None of them is a difference any more.

    Raises:
        Failure: 22000, with those that are.
    """
    after = drift(declared_facts(), await access.sessions.facts(access.caller))
    left = {one.key for one in differences} & {one.key for one in after}
    if left:
        names = ", ".join(key.name for key in left)
        raise Failure(f"Still wrong: {names}", sqlstate="22000", outcome="unknown")
