"""What every gate promises; a gate's test module subclasses GateContract."""

from __future__ import annotations

import time

import pytest

from neurath.terminal.gate import Gate, Wish
from neurath.terminal.machine.events import MayInstall, MayNot

NOW = 1_700_000_000.0


class GateContract:
    """It answers at once, the same to the same question, and a no says why and until when."""

    @pytest.fixture
    def gate(self) -> Gate:
        raise NotImplementedError

    def test_the_answer_comes_at_once(self, gate: Gate) -> None:
        began = time.monotonic()
        gate.may_install(Wish(), NOW)
        assert time.monotonic() - began < 0.5

    def test_a_no_has_a_reason_and_a_time_worth_asking_again(self, gate: Gate) -> None:
        answer = gate.may_install(Wish(), NOW)
        assert isinstance(answer, MayInstall | MayNot)
        if isinstance(answer, MayNot):
            assert answer.reason
            assert answer.until > NOW

    def test_asking_changes_nothing(self, gate: Gate) -> None:
        assert gate.may_install(Wish(), NOW) == gate.may_install(Wish(), NOW)
