"""Wheels for other processors: built under emulation, and an update in place by what they install. Minutes each, so only
`make assurance` has these tests; `tests/flash/test_foreign.py` runs the core itself on the same processors every time."""

from __future__ import annotations

import pytest

from tests.packaging import foreign
from tests.parts import ASSURANCE

if ASSURANCE:

    @pytest.mark.heavy
    @pytest.mark.network
    @pytest.mark.timeout(2 * foreign.LONG)
    @pytest.mark.parametrize("arch", foreign.MACHINES)
    def test_an_agent_from_our_wheel_updates_a_bank_in_place_on_another_processor(arch: str, seed: int) -> None:
        foreign.updates(arch, seed)
