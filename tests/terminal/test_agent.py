"""The agent's whole way on the real core: update, cuts, refusals, in one process and with nothing but the flash."""

from __future__ import annotations

from tests.terminal.world import NEW, World


def test_an_update_ends_confirmed() -> None:
    world = World.fresh()
    world.publish()
    world.until_rest()
    assert world.holds(NEW)
    assert [r.verdict.value for r in world.far.told][-1] == "confirmed"
    assert world.nor.violations == 0
