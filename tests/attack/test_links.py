"""Each class of attack over each real link that brings offers and files, HTTP and CoAP, by a server or relay in an attacker's
hands; and by who has stolen one key alone. Nothing but the state log is written, a reason is told, and the honest update is
taken afterwards over the same link."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import pytest

from neurath import delta
from neurath.delta.match import Segment
from neurath.errors import LinkError
from neurath.flash.geometry import Model
from neurath.ids import ModelName, TerminalId, digest
from neurath.wire import keys, manifest, ticket
from neurath.wire.keys import SigningKey
from neurath.wire.report import Verdict
from tests.attack.links import Bend, honest, over
from tests.attack.test_decoder import filed, headed
from tests.attack.test_terminal import (
    EVIL,
    GOOD,
    HONEST,
    LAYOUT,
    Site,
    another_file,
    endless,
    file_of,
    from_elsewhere,
    half,
    nothing,
    swapped_amid,
)
from tests.parts import ASSURANCE
from tests.terminal.world import DEVICE, MODEL, NEW, OLD, RELEASE, TICKET, envelope_of, image

LINKS = ("http", "coap")
BUILD = functools.cache(delta.build)


@pytest.fixture(autouse=True)
def built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same few files are offered again and again."""
    monkeypatch.setattr(delta, "build", BUILD)


OTHER = Model(ModelName("other"), LAYOUT, ram=MODEL.ram)


def hazard() -> tuple[bytes, bytes]:
    """A delta that is right on whole flash and destructive in place, and the envelope of what it makes."""
    new = bytes(b ^ 0xFF for b in OLD[:2048]) + OLD[:2048] + OLD[4096:]
    table = [Segment(2048, 0, 2048)]
    return filed(headed(OLD, new, (0, 1), table), OLD, new, table), envelope_of(new, 2)


def signed(data: bytes, sequence: int, key: SigningKey, model: Model = MODEL) -> bytes:
    return manifest.sign(manifest.contents_of(data, model, sequence=sequence), key)


def component(key: SigningKey) -> bytes:
    """An envelope in perfect order for a component that is not this terminal's firmware."""
    of = replace(MODEL, klass=digest(b"maps")[:16])
    return manifest.sign(manifest.contents_of(NEW, of, sequence=2), key)


#: What somebody offers who holds the server with its ticket key and no release key.
TAKEN_OVER: dict[str, Callable[[Site], object]] = {
    "arbitrary software": lambda v: v.offers(file_of(OLD, EVIL), HONEST),
    "arbitrary software, whole": lambda v: v.offers(delta.full(EVIL, LAYOUT).data, HONEST, kind=ticket.FULL, base=b""),
    "arbitrary software, its own envelope": lambda v: v.offers(file_of(OLD, EVIL), signed(EVIL, 2, TICKET)),
    "rollback": lambda v: v.offers(file_of(OLD, image(5)), envelope_of(image(5), 1)),
    "fast-forward": lambda v: v.offers(GOOD, signed(NEW, 0xFFFF_FFFF, TICKET)),
    "endless data": lambda v: v.offers(GOOD, HONEST, size=0xFFFF_FFFF, file_size=0xFFFF_FFFF),
    "extraneous dependency": lambda v: v.offers(GOOD, component(RELEASE)),
    "mix-and-match: ticket of another release": lambda v: v.offers(GOOD, HONEST, envelope=bytes(16)),
    "mix-and-match: ticket of another terminal": lambda v: v.offers(
        GOOD, HONEST, device=ticket.device_of(TerminalId("unit-2"))
    ),
    "mix-and-match: file of another release": lambda v: v.offers(file_of(OLD, image(7)), HONEST),
    "wrong model": lambda v: v.offers(GOOD, signed(NEW, 2, RELEASE, OTHER)),
    "hazard delta": lambda v: v.offers(*hazard()),
    "an old message again": lambda v: v.offers(GOOD, HONEST, nonce=bytes(8)),
}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("name", TAKEN_OVER)
def test_a_server_that_was_taken_over_brings_nothing_in(link: str, name: str) -> None:
    victim = Site()
    with over(victim, link):
        TAKEN_OVER[name](victim)
        assert victim.suffers(3)
        assert any(report.verdict in (Verdict.REFUSED, Verdict.FAILED) and report.reason for report in victim.told)
        assert victim.world.bank.facts.confirmed.sequence == 1
        victim.then_takes_the_honest_update()


BENDS: dict[str, Bend] = {
    "arbitrary software": another_file,
    "endless data": endless,
    "mix-and-match": swapped_amid,
    "bytes of another place": from_elsewhere,
    "half of it": half,
    "nothing of it": nothing,
}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("name", BENDS)
def test_a_relay_that_lies_costs_air_time_and_nothing_else(link: str, name: str) -> None:
    """The offer is the honest server's, the file passes a mirror, gateway or proxy."""
    victim = Site()
    with over(victim, link, BENDS[name]) as bend:
        victim.offers(GOOD, HONEST)
        assert victim.suffers(3)
        bend(honest)
        victim.then_takes_the_honest_update()


@pytest.mark.parametrize("link", LINKS)
def test_who_drops_every_request_leaves_the_old_software_running(link: str) -> None:
    victim = Site()
    with over(victim, link):
        victim.offers(GOOD, HONEST)
        carrier = victim.world.carrier
        asked = carrier.check
        carrier.check = _dropped  # type: ignore[method-assign,assignment]
        assert victim.suffers(3)
        assert victim.told == []
        carrier.check = asked  # type: ignore[method-assign]
        victim.then_takes_the_honest_update()


def _dropped(_check: object) -> None:
    raise LinkError("no answer", "every request is dropped", "it is tried again")


# ---- one key alone -----------------------------------------------------------------------------------------------------

#: Whoever holds it has this key, what passes on the link, and no other key.
STOLEN = {
    "root": keys.from_seed(b"root" * 8),
    "release": RELEASE,
    "ticket": TICKET,
    "device": keys.from_seed(DEVICE),
    "station": keys.from_seed(b"stat" * 8),
    "gateway": keys.from_seed(b"gate" * 8),
}
WITH_ONE: dict[str, Callable[[Site, SigningKey], object]] = {
    "arbitrary software": lambda v, k: v.offers(file_of(OLD, EVIL), signed(EVIL, 2, k), signer=k),
    "rollback": lambda v, k: v.offers(file_of(OLD, image(5)), envelope_of(image(5), 1), signer=k),
    "fast-forward": lambda v, k: v.offers(GOOD, signed(NEW, 0xFFFF_FFFF, k), signer=k),
    "endless data": lambda v, k: v.offers(GOOD, HONEST, size=0xFFFF_FFFF, file_size=0xFFFF_FFFF, signer=k),
    "extraneous dependency": lambda v, k: v.offers(GOOD, component(k), signer=k),
    "mix-and-match": lambda v, k: v.offers(file_of(OLD, image(7)), HONEST, signer=k),
    "wrong model": lambda v, k: v.offers(GOOD, signed(NEW, 2, k, OTHER), signer=k),
    "hazard delta": lambda v, k: v.offers(*hazard(), signer=k),
    "an old message again": lambda v, k: v.offers(GOOD, HONEST, nonce=bytes(8), signer=k),
}


#: Every pair under NEURATH_ASSURANCE=1; else every key with two attacks, and every attack with the two keys that count most.
PAIRS = [
    (key, name)
    for key in STOLEN
    for name in WITH_ONE
    if ASSURANCE or key in ("release", "ticket") or name in ("arbitrary software", "mix-and-match")
]


@pytest.mark.parametrize(("key", "name"), PAIRS)
def test_one_stolen_key_brings_nothing_in(key: str, name: str) -> None:
    """The release key signs software, but without the server's it makes no ticket, and no offer is taken over the air."""
    victim = Site()
    with over(victim, "http"):
        WITH_ONE[name](victim, STOLEN[key])
        assert victim.suffers(4 if key == "ticket" else 2)
        assert any(report.verdict in (Verdict.REFUSED, Verdict.FAILED) and report.reason for report in victim.told)
        assert victim.world.bank.facts.confirmed.sequence == 1
        victim.then_takes_the_honest_update()
