"""How many calls run at once: by agent and by capability, fairly.

Invariant: whoever holds a slot finds a free connection in the pool of that capability, since there
are as many slots as connections. So calls wait here, where it is known whose they are, and not in
the pool, which serves whoever came first.

Where several agents share a pool, none takes all of it: an agent gets another slot only while it
holds fewer than are free (the "dynamic threshold" of switches that share a buffer: Choudhury and
Hahne, 1998). One agent alone gets half of the pool, the next one half of the rest; whoever holds
none gets the next free slot before those who hold some.
"""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

from mcp_server.caller import Caller
from mcp_server.failure import Failure
from mcp_server.hints import hint_for
from mcp_server.pools import Capability

_Waiting = deque[tuple[Caller, "asyncio.Future[None]"]]


class Slots:
    """The slots of one server process.

    Args:
        sizes: connections of each capability.
        timeout_ms: the longest wait for a slot, milliseconds.
    """

    def __init__(self, sizes: Mapping[Capability, int], timeout_ms: int) -> None:
        self._sizes = sizes
        self._timeout_ms = timeout_ms
        self._agents: set[str] = set()
        self._running: Counter[str] = Counter()
        self._held: dict[Capability, Counter[str]] = {one: Counter() for one in Capability}
        self._waiting: dict[Capability, dict[str, _Waiting]] = {
            one: defaultdict(deque) for one in Capability
        }
        #: Agent → the number of the slot that it got last; who waited longest is next.
        self._served: Counter[str] = Counter()
        self._count = 0

    def expect(self, agents: Iterable[str]) -> None:
        """Leave room for these agents, even before they have called."""
        self._agents.update(agents)

    def running(self) -> int:
        """How many calls have a slot."""
        return self._running.total()

    @asynccontextmanager
    async def taken(self, caller: Caller, capability: Capability) -> AsyncIterator[None]:
        """A slot of the agent's; others wait for it, in turn.

        Raises:
            Failure: 53300 where none became free in time.
        """
        await self._take(caller, capability)
        try:
            yield
        finally:
            self._give(caller, capability)

    async def _take(self, caller: Caller, capability: Capability) -> None:
        self._agents.add(caller.agent)
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[capability][caller.agent].append((caller, granted))
        self._grant(capability)
        try:
            async with asyncio.timeout(self._timeout_ms / 1000):
                await granted
        except BaseException as error:
            # Granted and given up at the same moment: the slot goes to the next one.
            if granted.done() and not granted.cancelled():
                self._give(caller, capability)
            granted.cancel()
            if isinstance(error, TimeoutError):
                raise self._refusal(caller, capability) from None
            raise

    def _give(self, caller: Caller, capability: Capability) -> None:
        self._running[caller.agent] -= 1
        self._held[capability][caller.agent] -= 1
        # What the agent waits for elsewhere may have waited for its number of calls alone.
        for one in Capability:
            self._grant(one)

    def _grant(self, capability: Capability) -> None:
        held = self._held[capability]
        waiting = self._waiting[capability]
        while (free := self._sizes[capability] - held.total()) > 0:
            for agent in list(waiting):
                while waiting[agent] and waiting[agent][0][1].done():
                    waiting[agent].popleft()
                if not waiting[agent]:
                    del waiting[agent]
            able = [agent for agent in waiting if self._may_take(agent, capability, free)]
            if not able:
                return
            agent = min(able, key=lambda one: (held[one], self._served[one]))
            _, granted = waiting[agent].popleft()
            self._count += 1
            self._served[agent] = self._count
            self._running[agent] += 1
            held[agent] += 1
            granted.set_result(None)

    def _may_take(self, agent: str, capability: Capability, free: int) -> bool:
        caller, _ = self._waiting[capability][agent][0]
        alone = len(self._agents) == 1
        return self._running[agent] < caller.budget.concurrency and (
            alone or self._held[capability][agent] < free
        )

    def _refusal(self, caller: Caller, capability: Capability) -> Failure:
        running = self._running[caller.agent]
        if running >= caller.budget.concurrency:
            return Failure(
                f"{caller.agent} has {running} calls under way, the most that it may have at "
                f"once, and none ended within {self._timeout_ms} ms.",
                sqlstate="53300",
                hint="Wait for the answers to the calls under way, then send it again.",
            )
        return Failure(
            f"No connection of {capability} became free for {caller.agent} within "
            f"{self._timeout_ms} ms.",
            sqlstate="53300",
            hint=hint_for("53300", ""),
        )
