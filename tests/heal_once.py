"""Heals what drifted, or a finding by check and about, in a process that can be killed.

python -m tests.heal_once [check about]
"""

import asyncio
import sys

from database.settings import Server
from tests.mcp_clients import agent


async def main(check: str = "", about: str = "") -> None:
    finding = {"finding": {"check": check, "about": about}} if check else {}
    async with agent(Server.discover()) as door:
        await door.call("postgres_heal", **finding)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
