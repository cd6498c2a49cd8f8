"""Success or failure, read from the bank itself. It knows digests and a self-test; it must never assume: "the core returned"
is no verdict, and neither is "it booted"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from neurath.errors import NeurathError
from neurath.flash.bank import Facts
from neurath.terminal.machine.events import Judged, SelfTested

#: What a new image does to see whether it works; True: it does.
SelfTest = Callable[[], bool]


class Bank(Protocol):
    """What is judged."""

    @property
    def facts(self) -> Facts: ...

    def bank_digest(self, size: int) -> bytes: ...


def whole(bank: Bank) -> bool:
    """Whether the bank holds, byte for byte, the image that its state log names."""
    named = bank.facts.installed
    try:
        return named.size > 0 and bank.bank_digest(named.size) == named.image
    except NeurathError:
        return False  # what cannot be read is not whole


def after_rewrite(bank: Bank, image: bytes) -> Judged:
    """The bank holds this image (its SHA-256) and no plan is open any more."""
    facts = bank.facts
    return Judged(whole(bank) and facts.installed.image == image and not facts.plan_open)


def first_boot(bank: Bank, self_test: SelfTest) -> SelfTested:
    """The new image's first boot: digest right, then its own self-test."""
    return SelfTested(whole(bank) and self_test())
