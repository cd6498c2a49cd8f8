"""G1 and the ticket's part of G2: class, floor, epoch, terminal, nonce, serial, release, base."""

import dataclasses
import hashlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError, TrustError
from neurath.flash import gates
from neurath.flash.bank import Facts, ImageRecord, Target, Why
from neurath.flash.trust import Birth, Contents, Envelope, Ticket
from neurath.ids import TerminalId
from neurath.wire import ticket as tickets

V, K = b"v" * 16, b"k" * 16


def release(sequence: int, epoch: int = 0, klass: bytes = K) -> Contents:
    return Contents(V, klass, bytes(32), 100, bytes(32), 4096, sequence, epoch)


def standing(sequence: int, epoch: int = 0, **more: Any) -> Facts:
    image = ImageRecord(size=100, sequence=sequence, epoch=epoch)
    return Facts(installed=image, confirmed=image, **more)


def passes(contents: Contents, facts: Facts) -> bool:
    try:
        gates.gate_envelope(contents, V, K, facts)
    except TrustError:
        return False
    return True


def test_a_release_of_another_class_or_vendor_is_refused_in_any_state() -> None:
    for facts in (Facts(), standing(1), standing(1, restoring=True)):
        assert not passes(release(9, klass=b"x" * 16), facts)
        with pytest.raises(TrustError, match="may not come here"):
            gates.gate_envelope(release(9), b"x" * 16, K, facts)


def test_a_newer_release_passes_and_the_same_or_an_older_does_not() -> None:
    assert passes(release(6), standing(5))
    assert not passes(release(5), standing(5))
    assert not passes(release(4), standing(5))


BACK: list[dict[str, Any]] = [
    {"restoring": True},
    {"candidate": True},
    {"broken": Why.DIGEST},
    {"target": Target(file_size=100)},
]


@pytest.mark.parametrize("state", BACK)
def test_where_no_confirmed_image_runs_the_last_confirmed_may_come_back_and_no_older_one(state: dict[str, Any]) -> None:
    assert passes(release(5), standing(5, **state))
    assert passes(release(6), standing(5, **state))
    assert not passes(release(4), standing(5, **state))
    assert not passes(release(9, epoch=0), standing(5, epoch=1, **state))


def test_the_epoch_never_goes_down_and_a_new_one_ends_a_sequence_driven_up() -> None:
    assert not passes(release(0xFFFF_FFFF, epoch=1), standing(1, epoch=2))
    driven_up = standing(0xFFFF_FFFF, epoch=1)
    assert not passes(release(7, epoch=1), driven_up)
    assert passes(release(7, epoch=2), driven_up)


def test_a_candidate_raises_no_floor() -> None:
    facts = replace(standing(5, candidate=True), installed=ImageRecord(size=100, sequence=9))
    assert passes(release(6), facts)


def test_a_blank_terminal_has_no_floor() -> None:
    assert passes(release(0), Facts())


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.sampled_from([{}, *BACK]))
def test_the_gate_is_the_order_of_epoch_and_sequence(e: int, s: int, fe: int, fs: int, state: dict[str, Any]) -> None:
    assert passes(release(s, e), standing(fs, fe, **state)) == ((e, s) > (fe, fs) or bool(state and (e, s) == (fe, fs)))


BIRTH = Birth("lamp-0001", "lamp", V, K, b"s" * 32)
BANK = hashlib.sha256(b"bank").digest()
ENVELOPE = Envelope(V, K, bytes(32), 100, bytes(32), 4096, 6, 0, "", b"", hashlib.sha256(b"manifest").digest())
FACTS = dataclasses.replace(standing(5, serial=7, key_list=1), installs=3)
TICKET = Ticket(
    device=tickets.device_of(TerminalId("lamp-0001")),
    nonce=tickets.nonce(b"s" * 32, bytes(16), 3),
    serial=8,
    kind=tickets.DELTA,
    envelope=ENVELOPE.digest[:16],
    file=bytes(16),
    file_size=50,
    base=BANK[:16],
    key_list=1,
)


def test_the_ticket_made_for_this_terminal_now_passes() -> None:
    gates.gate_ticket(TICKET, ENVELOPE, BIRTH, FACTS, BANK)
    gates.gate_ticket(replace(TICKET, serial=7), ENVELOPE, BIRTH, FACTS, BANK)  # shown again after a reset
    gates.gate_ticket(replace(TICKET, serial=0xFFFF_FFFF), ENVELOPE, BIRTH, FACTS, BANK)
    gates.gate_ticket(replace(TICKET, kind=tickets.FULL, base=b""), ENVELOPE, BIRTH, FACTS, BANK)


@pytest.mark.parametrize(
    "change",
    [
        {"device": bytes(16)}, {"nonce": bytes(8)}, {"serial": 6}, {"serial": 1}, {"envelope": bytes(16)}, {"key_list": 0},
        {"key_list": 2},
    ],
)  # fmt: skip
def test_a_ticket_of_another_terminal_time_release_or_key_list_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(TrustError):
        gates.gate_ticket(replace(TICKET, **change), ENVELOPE, BIRTH, FACTS, BANK)


def test_a_ticket_does_not_outlive_the_bank_it_was_made_for() -> None:
    for facts in (replace(FACTS, installs=4), replace(FACTS, installed=ImageRecord(envelope=b"e" * 16, size=100))):
        with pytest.raises(TrustError):
            gates.gate_ticket(TICKET, ENVELOPE, BIRTH, facts, BANK)


def test_what_passed_becomes_the_target() -> None:
    target = gates.target_of(ENVELOPE, TICKET)
    assert (target.envelope, target.file, target.serial) == (ENVELOPE.digest[:16], TICKET.file, TICKET.serial)
    assert (target.image, target.leaves, target.image_size) == (ENVELOPE.image, ENVELOPE.leaves, ENVELOPE.image_size)
    assert (target.sequence, target.epoch, target.file_size) == (ENVELOPE.sequence, ENVELOPE.epoch, TICKET.file_size)


def test_a_delta_for_another_base_is_refused() -> None:
    with pytest.raises(DataError, match="another base"):
        gates.gate_ticket(TICKET, ENVELOPE, BIRTH, FACTS, hashlib.sha256(b"other").digest())


def test_another_terminal_with_the_same_bank_refuses_the_ticket() -> None:
    for birth in (replace(BIRTH, id="lamp-0002"), replace(BIRTH, device_key=b"t" * 32)):
        with pytest.raises(TrustError):
            gates.gate_ticket(TICKET, ENVELOPE, birth, FACTS, BANK)
