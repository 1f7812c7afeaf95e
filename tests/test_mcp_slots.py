"""Slots: how many calls of whom run at once, and who is next. Without a database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from mcp_server.agents import load_agents
from mcp_server.caller import Caller
from mcp_server.failure import Failure
from mcp_server.pools import Capability
from mcp_server.settings import Settings
from mcp_server.slots import Slots

pytestmark = pytest.mark.anyio

READ, WRITE, HEAL = Capability.READ, Capability.WRITE, Capability.HEAL
SIZES = {READ: 6, WRITE: 3, HEAL: 1}


def caller(name: str, concurrency: int = 100) -> Caller:
    someone = load_agents(Settings()).caller("atlas")
    return replace(someone, agent=name, budget=replace(someone.budget, concurrency=concurrency))


class Crowd:
    """Calls that hold their slots until they are told to end."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.inside: list[str] = []
        self.tasks: dict[str, list[asyncio.Task[None]]] = {}

    async def send(self, who: Caller, count: int, capability: Capability = READ) -> None:
        async def call() -> None:
            async with self.slots.taken(who, capability):
                self.inside.append(who.agent)
                try:
                    await asyncio.Event().wait()
                finally:
                    self.inside.remove(who.agent)

        for _ in range(count):
            self.tasks.setdefault(who.agent, []).append(asyncio.create_task(call()))
        await asyncio.sleep(0)

    async def end_one(self, agent: str) -> None:
        """End a call of the agent's that runs; the first ones that were sent run first."""
        self.tasks[agent].pop(0).cancel()
        for _ in range(3):
            await asyncio.sleep(0)


@asynccontextmanager
async def crowd(timeout_ms: int = 60_000) -> AsyncIterator[Crowd]:
    people = Crowd(Slots(SIZES, timeout_ms))
    try:
        yield people
    finally:
        tasks = [task for some in people.tasks.values() for task in some]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert people.slots.running() == 0


async def test_an_agent_alone_may_have_the_whole_pool() -> None:
    async with crowd() as people:
        await people.send(caller("a"), 100)
        assert people.inside == ["a"] * 6


async def test_an_agent_has_no_more_calls_than_its_budget_over_all_capabilities() -> None:
    async with crowd() as people:
        a = caller("a", concurrency=3)
        await people.send(a, 2, WRITE)
        await people.send(a, 5, READ)
        assert len(people.inside) == 3
        await people.end_one("a")
        assert len(people.inside) == 3, "one of those that wait for reading came in"


async def test_a_flood_leaves_room_for_those_who_are_expected() -> None:
    async with crowd() as people:
        people.slots.expect(["a", "b", "c"])
        await people.send(caller("a"), 1000)
        assert people.inside == ["a"] * 3
        await people.send(caller("b"), 1000)
        assert people.inside.count("b") == 2
        await people.send(caller("c"), 1)
        assert people.inside.count("c") == 1
        assert len(people.inside) == 6


async def test_whoever_holds_none_is_next() -> None:
    async with crowd() as people:
        people.slots.expect(["a", "b", "c", "d"])
        for name in "abc":
            await people.send(caller(name), 50)
        assert len(people.inside) == 6
        await people.send(caller("d"), 1)
        await people.end_one("a")
        assert people.inside.count("d") == 1


async def test_a_single_slot_goes_round() -> None:
    async with crowd() as people:
        people.slots.expect(["a", "b"])
        await people.send(caller("a"), 20, HEAL)
        await people.send(caller("b"), 2, HEAL)
        order = list(people.inside)
        for _ in range(4):
            await people.end_one(people.inside[0])
            order += people.inside
        assert order == ["a", "b", "a", "b", "a"]


async def test_over_the_budget_a_call_waits_and_is_then_refused_with_the_reason() -> None:
    slots = Slots(SIZES, 50)
    a = caller("a", concurrency=1)
    async with slots.taken(a, READ):
        with pytest.raises(Failure) as refusal:
            await slots.taken(a, READ).__aenter__()
        assert refusal.value.sqlstate == "53300"
        assert "a has 1 calls under way, the most" in refusal.value.error
        async with slots.taken(caller("b"), READ):
            pass
    async with slots.taken(a, READ):
        pass
    assert slots.running() == 0


async def test_a_full_pool_is_another_reason() -> None:
    slots = Slots(SIZES, 50)
    async with slots.taken(caller("a"), HEAL):
        with pytest.raises(Failure) as refusal:
            await slots.taken(caller("b"), HEAL).__aenter__()
    assert "No connection of mcp_heal became free for b" in refusal.value.error


async def test_slots_survive_calls_that_give_up_at_any_moment() -> None:
    slots = Slots(SIZES, 60_000)

    async def call(number: int) -> None:
        async with slots.taken(caller("abc"[number % 3], 4), list(Capability)[number % 3 - 1]):
            await asyncio.sleep(0)

    for pause in range(6):
        tasks = [asyncio.create_task(call(number)) for number in range(60)]
        for _ in range(pause):
            await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in results[1::2] if one is not None]
        assert slots.running() == 0
    # All slots are there again.
    async with AsyncExitStack() as stack:
        for name in "abcdef":
            await asyncio.wait_for(stack.enter_async_context(slots.taken(caller(name), READ)), 5)
