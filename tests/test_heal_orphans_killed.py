"""kill -9 while orphans are moved: each row is in one place, and the key is back or is not."""

import pytest

from database.settings import Server
from tests import schema_tools as tools
from tests.mcp_clients import agent
from tests.test_drift import digests
from tests.test_heal_orphans import orphaned
from tests.test_healing import platform, wrong
from tests.test_healing_killed import Killer, heal_and_die

__all__ = ["orphaned", "platform"]
pytestmark = pytest.mark.anyio

_MOVE = b"ops.quarantine_orphans"

_COMMIT = b"commit\0"

#: As of test_healing_killed.py.
_STEPS = [
    pytest.param(_MOVE, 1, 2, id="in the proof, rows moved"),
    pytest.param(_MOVE, 2, 2, id="rows moved, the key not validated"),
    pytest.param(_COMMIT, 1, 0, id="before the commit"),
    pytest.param(_COMMIT, 1, 1, id="after the commit was sent"),
]


@pytest.mark.parametrize(("step", "which", "deliver"), _STEPS)
async def test_killed_while_rows_move_each_is_in_one_place(
    orphaned: Server, step: bytes, which: int, deliver: int
) -> None:
    rows = digests(orphaned)
    kept = "select count(*) from migration.quarantine"
    await heal_and_die(orphaned, Killer(step, which, deliver), program="tests.heal_orphans_once")
    moved = (step, deliver) == (_COMMIT, 1)
    assert tools.query(orphaned, kept) == [(3 if moved else 0,)]
    assert (digests(orphaned) == rows) is not moved
    assert (wrong(orphaned) == []) is moved
    async with agent(orphaned) as door:
        answer = await door.call("postgres_heal", orphans="quarantine")
    assert answer["outcome"] == ("not_needed" if moved else "healed"), answer
    assert (tools.query(orphaned, kept), wrong(orphaned)) == ([(3,)], [])
