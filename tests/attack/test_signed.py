"""A model that takes only update files that a release key signed: a server that was taken over (it has the ticket
key) can build, join, mix and replay what it likes, and brings nothing in. Written as the attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from neurath.errors import DataError, TrustError
from neurath.flash import veil as core
from neurath.terminal.machine import Policy
from neurath.wire import keys, signed, veil
from neurath.wire.cose import sign1
from neurath.wire.report import Verdict
from neurath.wire.veil import Recipient
from tests.attack.test_terminal import EVIL, GOOD, HONEST, Site, file_of, named
from tests.terminal.world import DEVICE, MODEL, NEW, OLD, RELEASE, TICKET, World

ENVELOPE = named(HONEST)
WORD = signed.sign(GOOD, ENVELOPE, RELEASE)


class Strict(Site):
    """A site whose terminal's model says `signed = true`."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World.fresh(policy=Policy(back_off=3600.0))
        self.world.nor.forget()
        self.world.bank.model = replace(MODEL, signed=True)

    def takes(self, data: bytes) -> None:
        self.offers(data, HONEST)
        world = self.world
        world.agent.power_up()
        for _ in range(12):
            world.agent.wait()
            world.clock.sleep(1800)
            if any(report.verdict is Verdict.CONFIRMED for report in self.told):
                break
        assert world.holds(NEW)
        assert world.nor.violations == 0


def test_what_the_release_key_signed_is_taken() -> None:
    Strict().takes(WORD)


def test_a_signed_file_is_taken_by_a_terminal_that_would_take_others_too() -> None:
    victim = Site()
    victim.offers(WORD, HONEST)
    victim.world.until_rest()
    assert victim.world.holds(NEW)


def test_a_signed_file_may_be_veiled_as_well() -> None:
    Strict().takes(veil.hide(WORD, Recipient("derived", core.derived(DEVICE))))


def stated(at: int, byte: int) -> bytes:
    """A true signature of the release key, over a statement of another form about this very file."""
    statement = bytearray(signed._statement(GOOD, ENVELOPE))
    statement[at] = byte
    return signed.MAGIC + sign1(bytes(statement), RELEASE, detached=False) + GOOD


FORGED: dict[str, Callable[[], bytes]] = {
    "a good file that nobody signed": lambda: GOOD,
    "signed with the ticket key": lambda: signed.sign(GOOD, ENVELOPE, TICKET),
    "signed with a key of its own": lambda: signed.sign(GOOD, ENVELOPE, keys.from_seed(b"x" * 32)),
    "a word for another release": lambda: signed.sign(GOOD, b"o" * 16, RELEASE),
    "another file behind the word": lambda: WORD[: signed.HEADER] + file_of(OLD, EVIL),
    "another good file behind the word": lambda: WORD[: signed.HEADER] + file_of(OLD[:9000], NEW),
    "a bit of the file": lambda: WORD[:-1] + bytes([WORD[-1] ^ 1]),
    "another statement, by its front": lambda: stated(1, 0),
    "another statement, in its middle": lambda: stated(19, 3),
    "the word alone": lambda: WORD[: signed.HEADER],
    "the word twice": lambda: WORD[: signed.HEADER] + WORD,
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_no_release_key_signed_is_refused_with_the_reason(forged: str) -> None:
    victim = Strict()
    victim.offers(FORGED[forged](), HONEST)
    told = victim.suffers(30)
    assert "update file was refused" in told
    if forged not in (
        "another file behind the word",
        "another good file behind the word",
        "a bit of the file",
        "another statement, by its front",
        "another statement, in its middle",
        "the word alone",
        "the word twice",
    ):
        assert "a release key signed" in told
    victim.world.far.told.clear()
    victim.serial += 1
    victim.takes(WORD)


def test_every_flipped_bit_of_the_word_is_refused() -> None:
    for bit in range(signed.HEADER * 8):
        flipped = bytearray(WORD)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((DataError, TrustError)):
            signed.verify(bytes(flipped), [RELEASE.public])
    assert signed.verify(WORD, [RELEASE.public]) == (ENVELOPE, GOOD)


@pytest.mark.parametrize("alg", list(keys.Alg))
def test_both_kinds_of_keys_sign(alg: keys.Alg) -> None:
    key = keys.create(alg)
    made = signed.sign(GOOD, ENVELOPE, key)
    assert signed.verify(made, [RELEASE.public, key.public]) == (ENVELOPE, GOOD)
    with pytest.raises(TrustError):
        signed.verify(made, [RELEASE.public])
    with pytest.raises(DataError):
        signed.sign(made, ENVELOPE, key)
