"""Attacks with true tickets at a whole terminal: replay, another terminal's, another release's, another file's."""

from __future__ import annotations

import dataclasses

import pytest

from neurath.terminal.machine.events import Weight
from neurath.wire import ticket
from neurath.wire.offer import Offer
from tests.terminal.world import NEW, OLD, TICKET, World, image


def weigh(world: World, offer: Offer) -> Weight:
    return world.bank.weigh(offer, in_ram=True).weight


@pytest.fixture
def world() -> World:
    made = World.fresh()
    made.bank.start()
    return made


def test_an_older_ticket_is_refused_once_a_newer_was_accepted_even_after_a_power_cut(world: World) -> None:
    old = world.publish(serial=4)
    new = world.publish(image(7), 3, serial=5)
    assert weigh(world, new) is Weight.ACCEPTED
    for _ in range(2):
        assert weigh(world, old) is Weight.REFUSED
        assert weigh(world, new) is Weight.ACCEPTED  # the same again: a reset in mid-transfer
        world.power()
        world.bank.start()
    assert world.bank.facts.serial == 5


def test_a_refused_offer_uses_up_no_serial(world: World) -> None:
    offer = world.publish(serial=9)
    assert weigh(world, dataclasses.replace(offer, size=offer.size + 1)) is Weight.REFUSED
    assert weigh(world, dataclasses.replace(offer, need=1)) is Weight.REFUSED
    assert world.bank.facts.serial == 0


def test_a_ticket_does_not_outlive_the_update_it_was_for(world: World) -> None:
    world.publish(serial=3)
    world.until_rest()
    assert world.holds(NEW)
    stale = world.publish(image(9), 3, serial=8)
    raw = ticket.verify(stale.ticket, [TICKET.public])
    before = dataclasses.replace(raw, nonce=bytes(8))  # what an offer of before the update would carry
    assert weigh(world, dataclasses.replace(stale, ticket=ticket.sign(before, TICKET))) is Weight.REFUSED


@pytest.mark.parametrize(
    "change",
    [{"device": bytes(16)}, {"envelope": bytes(16)}, {"file": bytes(16)}, {"file_size": 1}, {"base": bytes(16)},
     {"kind": ticket.FULL, "base": b""}, {"blocks": b"b" * 16, "file": bytes(16)}, {"key_list": 1}],
)  # fmt: skip
def test_a_true_ticket_of_another_transfer_is_refused(world: World, change: dict[str, object]) -> None:
    offer = world.publish(serial=2)
    found = ticket.verify(offer.ticket, [TICKET.public])
    other = ticket.sign(dataclasses.replace(found, **change), TICKET)  # type: ignore[arg-type]
    assert weigh(world, dataclasses.replace(offer, ticket=other)) is Weight.REFUSED
    assert weigh(world, offer) is Weight.ACCEPTED


def test_no_attack_with_a_ticket_writes_to_the_bank(world: World) -> None:
    offer = world.publish(serial=2)
    for place in range(0, len(offer.ticket), 7):
        hurt = bytearray(offer.ticket)
        hurt[place] ^= 0x10
        assert weigh(world, dataclasses.replace(offer, ticket=bytes(hurt))) is Weight.REFUSED
    assert world.nor.operations == 0
    assert world.holds(OLD)
