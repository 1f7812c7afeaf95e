"""Builds indexes that sql/ declares, while others write.

No transaction can hold CREATE INDEX CONCURRENTLY: what it leaves behind when it fails is removed,
and what a kill leaves is drift, which the next heal repairs.
"""

import asyncio
from collections.abc import Awaitable, Callable

import anyio

from database.catalogue.compare import Difference, drift
from database.catalogue.facts import declared_facts, quoted
from mcp_server.connection import AgentConnection
from mcp_server.failure import Failure
from mcp_server.healing.patience import patiently
from mcp_server.session import facts_on
from mcp_server.sql import sql_text
from mcp_server.tools.tool import Access


async def build_index(access: Access, index: Difference, done: dict[str, object]) -> None:
    """Build an index without locking writers out; an invalid leftover goes first.

    Under the lock of healing, and where it is still wrong then: somebody may have been building it.

    Args:
        done: gets what was left behind, if anything.

    Raises:
        Failure: it cannot be built.
    """
    assert index.declared is not None
    name = index.key.name
    drop = f"drop index concurrently if exists public.{quoted(name)}"
    build = index.declared["definition"].replace("INDEX ", "INDEX CONCURRENTLY ", 1)
    begun = False

    async def work(connection: AgentConnection) -> None:
        nonlocal begun
        async with connection.transaction(readonly=True):
            found = drift(declared_facts(), await facts_on(connection))
        for one in found:
            if one.key == index.key and one.live is not None:
                await connection.execute(drop)
        if any(one.key == index.key for one in found):
            # Healing may have been paused meanwhile.
            await connection.fetchval(sql_text("healing_lock_session"))
            begun = True
            await (await connection.prepare(build)).fetch()

    async def remove(connection: AgentConnection) -> None:
        for leftover in await connection.fetch(sql_text("invalid_index"), name):
            await connection.execute(leftover["statement"])

    async def once() -> None:
        nonlocal begun
        begun = False
        try:
            await access.sessions.maintain(access.caller, work)
        except (Failure, asyncio.CancelledError) as error:
            # 42P07: the name was taken; then nothing was begun.
            if begun and not (isinstance(error, Failure) and error.sqlstate == "42P07"):
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
