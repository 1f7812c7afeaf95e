"""Orphans go to quarantine, in a process that can be killed: python -m tests.heal_orphans_once."""

import asyncio

from database.settings import Server
from tests.mcp_clients import agent


async def main() -> None:
    async with agent(Server.discover()) as door:
        await door.call("postgres_heal", orphans="quarantine")


if __name__ == "__main__":
    asyncio.run(main())
