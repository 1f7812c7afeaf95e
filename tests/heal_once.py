"""Heals what drifted, in a process that can be killed: python -m tests.heal_once.

With JSON as its argument, what that says: the arguments of postgres_heal.
"""

import asyncio
import json
import sys

from database.settings import Server
from tests.mcp_clients import agent


async def main() -> None:
    async with agent(Server.discover()) as door:
        await door.call("postgres_heal", **json.loads((*sys.argv, "{}")[1]))


if __name__ == "__main__":
    asyncio.run(main())
