"""Random damage to the schema, healed by postgres_heal: a person's is left, and no row moved."""

from functools import partial
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from database.catalogue import facts
from database.context_key import set_context_key
from mcp_server.healing.diagnosis import may_heal_alone
from tests import schema_tools as tools
from tests.mcp_clients import agent
from tests.test_drift import (
    _RANDOM,
    ROUNDS,
    Undamaged,
    _do,
    _filled_in,
    differences,
    digests,
    filled,
    printed,
    repair,
    undamaged,
)
from tests.test_healing import attempts

__all__ = ["filled", "undamaged"]

#: What mcp_heal may put back.
_ITS_OWN = (
    "drop index {index}",
    "alter table {table} drop constraint {constraint} cascade",
    "alter table {table} alter column {not_null} drop not null",
    "alter table {table} alter column {nullable} set default null",
    "alter table {table} alter column {text} type varchar(300)",
)
#: What a person decides, and what nobody minds.
_OTHERS = (
    "alter table {table} disable row level security",
    "alter table {table} no force row level security",
    "drop policy bound_session on {table}",
    "alter policy all_rows on {table} using (false)",
    "create policy open on {table} for select to public using (true)",
    "revoke all on {table} from {role}",
    "grant select on {table} to public",
    "alter table {table} disable trigger row_image",
    "drop trigger no_truncate on {table}",
    "alter table {table} add column surplus integer",
    "comment on table {table} is 'something else'",
    "alter sequence {sequence} increment 7",
    "alter table logs alter column id drop identity",
    "alter table task_steps alter column duration_ms type bigint",
    "create index surplus on {table} ({not_null})",
    "grant update ({not_null}) on {table} to mcp_read",
)


@pytest.fixture(scope="module")
def platform(undamaged: Undamaged) -> Undamaged:
    """One that agents can work with."""
    set_context_key(undamaged.server, admin="postgres")
    return undamaged


@st.composite
def damages(draw: st.DrawFn) -> list[str]:
    """Some of both, in any order."""
    own = draw(st.lists(st.sampled_from(_ITS_OWN), min_size=1, max_size=4))
    others = draw(st.lists(st.sampled_from(_OTHERS), max_size=4))
    declared = facts.declared_facts()
    return [_filled_in(draw, text, declared) for text in draw(st.permutations([*own, *others]))]


@settings(_RANDOM, max_examples=5, derandomize=True)
@given(damage=damages())
def test_random_damage_is_healed_but_for_what_is_a_person_s(
    platform: Undamaged, damage: list[str]
) -> None:
    _is_healed(platform, damage)


@pytest.mark.deep
@pytest.mark.timeout(ROUNDS * 60)
@settings(_RANDOM, max_examples=ROUNDS)
@given(damage=damages())
def test_any_random_damage_is_healed_but_for_what_is_a_person_s(
    platform: Undamaged, damage: list[str]
) -> None:
    _is_healed(platform, damage)


def _is_healed(undamaged: Undamaged, damage: list[str]) -> None:
    server = undamaged.server
    _do(server, damage)
    before = [one for one in differences(server, undamaged.declared) if one.is_drift]
    alone = {one.words for one in before if may_heal_alone(one)}
    answer = anyio.run(partial(_heal, undamaged))
    after = [one for one in differences(server, undamaged.declared) if one.is_drift]
    assert [one.words for one in after] == [one.words for one in before if one.words not in alone]
    assert answer["left"] == [one.words for one in after], damage
    assert (answer["outcome"] == "healed") is bool(alone), (damage, answer)
    assert digests(server) == undamaged.digests, damage
    recorded = attempts(server)[-1]
    assert (recorded[0], recorded[3]) == (answer["outcome"], True)
    # The rest as a person does it: nothing is left of the damage, and healing has left nothing.
    repair(server)
    tools.execute(
        server,
        "drop index if exists public.surplus",
        *(f"alter table {table} drop column if exists surplus" for table in tools.TABLES),
    )
    assert printed(server) == undamaged.printed, damage
    assert digests(server) == undamaged.digests, damage
    assert tools.check(server) == ""


async def _heal(undamaged: Undamaged) -> dict[str, Any]:
    async with agent(undamaged.server) as door:
        return await door.call("postgres_heal")
