"""A terminal that lends too little for any file to the selected release gets there by way of a signed release between; each of
the two is an action of its own, with envelope and ticket as always."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from neurath.server.fleet import actions, recall
from neurath.wire import manifest, ticket
from neurath.wire.offer import Kind
from neurath.wire.report import Phase, Report, Verdict
from tests.contracts.delivery import NEW, OLD
from tests.server.test_delivery import Directly
from tests.server.world import KEY, build, image

MIDDLE, LATER = image(71), image(72)
#: RAM in bytes lent: enough for a file of an eighth of an image, not for one of half of it.
LENT = 12_000


@pytest.fixture
def phone(world):
    """1.0 runs, 2.0 is selected; two releases lie between, and the direct delta is as large as half the image."""
    world.release("1.0", OLD, 1)
    hands = Directly(world)
    hands.middle, hands.later = world.release("1.4", MIDDLE, 2), world.release("1.8", LATER, 4)
    hands.goal = world.release("2.0", NEW, 5)
    world.start(hands.goal)
    asked = hands.asked = []

    def builder(job):
        made = build(job)
        images = tuple(path.read_bytes() if path else b"" for path in (job.old, job.new))
        asked.append(images)
        far = images in ((OLD, NEW), (OLD, LATER), (b"", NEW), (b"", MIDDLE), (b"", LATER))
        return replace(made, data=made.data * 6) if far and images[0] else made

    world.delivery.deltas.builder = builder
    return hands


def said(phone, bank, sequence, ram=LENT):
    return phone.check(phone.says(bank, sequence, ram=ram, profiles=0b10000))


def installed(phone, offer, bank):
    phone.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
    phone.report(Report(offer.action, Phase.UPDATED, Verdict.CONFIRMED, bank=hashlib.sha256(bank).digest()))


def test_it_gets_there_in_two_steps_each_signed_and_ticketed(phone):
    key = phone.world.delivery.key.public
    first = said(phone, OLD, 1)
    assert (first.kind, first.version) == (Kind.DELTA, "1.4")
    assert manifest.verify(first.envelope, [KEY.public]).sequence == 2
    assert ticket.verify(first.ticket, [key]).file == first.file[:16]
    again = said(phone, OLD, 1)
    assert (again.action, again.file) == (first.action, first.file), "it stays the same offer until it is done"
    installed(phone, first, MIDDLE)
    second = said(phone, MIDDLE, 2)
    assert (second.kind, second.version) == (Kind.DELTA, "2.0")
    assert manifest.verify(second.envelope, [KEY.public]).sequence == 5
    assert ticket.verify(second.ticket, [key]).file == second.file[:16]
    installed(phone, second, NEW)
    assert said(phone, NEW, 5) is None


def test_who_lends_enough_goes_directly(phone):
    assert said(phone, OLD, 1, ram=60_000).version == "2.0"
    assert (OLD, MIDDLE) not in phone.asked


def test_no_step_is_offered_that_leads_no_farther(phone):
    """1.8 is near the goal but too far from here; with 1.4 revoked nothing is left, and the reason is the direct one."""
    with phone.world.store.write() as db:
        recall.revoke(db, phone.middle, phone.world.now)
    assert said(phone, OLD, 1) is None
    assert "cannot lend" in phone.world.delivery.why(phone.terminal, "firmware", phone.world.now)


def test_a_step_that_failed_is_not_offered_again(phone):
    first = said(phone, OLD, 1)
    phone.report(Report(first.action, Phase.FAILED, Verdict.FAILED, reason="no"))
    assert said(phone, OLD, 1) is None
    with phone.world.store.read() as db:
        assert actions.current_action(db, phone.terminal.n, "firmware") is None


def test_a_step_is_withdrawn_when_its_release_is_revoked(phone):
    first = said(phone, OLD, 1)
    with phone.world.store.write() as db:
        recall.revoke(db, phone.middle, phone.world.now)
    with phone.world.store.read() as db:
        action = actions.of_terminal(db, phone.terminal.n, first.action)
    assert not phone.world.delivery.may_have(action)
    assert said(phone, OLD, 1) is None
