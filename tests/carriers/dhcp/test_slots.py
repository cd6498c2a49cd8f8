"""Where state and pieces stand: both places give back what was put, and leave what is others' as it stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.carriers.dhcp.slots import LONGEST, PIECE, STATE, USUAL, Own, Vendor
from neurath.errors import DataError, UsageError
from neurath.wire import dhcp
from neurath.wire.dhcp import Code, Op, Type

MAC = bytes.fromhex("525400000001")
OURS = Vendor(32473)
SLOTS = st.sampled_from([USUAL, Own(240, 241), OURS, Vendor(9)])
OTHERS = st.lists(st.tuples(st.integers(100_000, 1 << 31), st.binary(max_size=60)), max_size=4)


def packet(*words, op=Op.REQUEST):
    return dhcp.message(op, b"1234", MAC, [(Code.TYPE, bytes([Type.REQUEST])), *words])


@given(SLOTS, st.binary(max_size=12))
def test_a_request_carries_its_state_and_asks(slot, state):
    made = packet(*slot.words(state))
    assert slot.state(dhcp.decode(dhcp.packed(made))) == state
    assert slot.wanted(made)
    assert slot.taken(made)


@given(SLOTS, OTHERS, st.binary(min_size=1, max_size=1200), st.integers(0, 1500))
def test_what_is_put_in_fits_the_room_and_leaves_the_others_as_they_stand(slot, others, value, left):
    before = packet((Code.VENDOR, dhcp.vendors_to(tuple(others))), op=Op.REPLY) if others else packet(op=Op.REPLY)
    assert slot.piece(before) is None
    value = value[: slot.room(left)]
    if not value:
        return
    after = dhcp.decode(dhcp.encode(slot.put(before, value)))
    assert slot.piece(after) == value
    assert len(dhcp.encode(after)) <= len(dhcp.encode(before)) + left
    assert after.options[: len(before.options)] == before.options
    if isinstance(slot, Vendor):
        assert dhcp.vendors(after.get(Code.VENDOR))[:-1] == tuple(others)


@given(SLOTS, st.binary(max_size=80), st.sampled_from([Code.VENDOR, Code.VENDOR_CLASS, 224, 225]))
def test_no_bytes_crash_it(slot, noise, code):
    message = packet((code, noise))
    for each in (slot.state, slot.wanted, slot.piece, slot.taken):
        try:
            each(message)
        except DataError:
            continue


def test_a_client_asks_by_its_list_by_its_class_or_by_its_state():
    assert OURS.wanted(packet((Code.WANTED, bytes([Code.VENDOR]))))
    assert OURS.wanted(packet((Code.VENDOR_CLASS, dhcp.vendors_to(((32473, b"\x03cam"),)))))
    assert not OURS.wanted(packet((Code.VENDOR_CLASS, dhcp.vendors_to(((9, b"\x03cam"),)))))
    assert not OURS.wanted(packet((Code.WANTED, bytes([225]))))
    assert not USUAL.wanted(packet((Code.WANTED, bytes([Code.VENDOR]))))


def test_where_the_sites_server_uses_the_number_itself_the_place_is_not_free():
    theirs = packet((Code.VENDOR, dhcp.vendors_to(((32473, dhcp.subs_to(((7, b"x"),))),))), op=Op.REPLY)
    assert OURS.piece(theirs) == b""
    assert OURS.taken(theirs) == "enterprise 32473"
    assert Vendor(9).piece(theirs) is None


def test_the_bytes_are_those_of_the_specification():
    """docs/spec/dhcp.md 1."""
    asked = packet(*OURS.words(bytes(range(12))))
    assert asked.get(Code.VENDOR).hex() == "00007ed90e010c000102030405060708090a0b"
    answered = OURS.put(packet(op=Op.REPLY), b"\xaa\xbb")
    assert answered.options[-1] == (125, bytes.fromhex("00007ed9040202aabb"))
    assert (STATE, PIECE, LONGEST) == (1, 2, 248)


@pytest.mark.parametrize("words", [(224, 224), (43, 225), (224, 255)])
def test_codes_outside_the_sites_range_are_refused(words):
    with pytest.raises(UsageError):
        Own(*words)


@pytest.mark.parametrize("number", [0, -1, 1 << 32])
def test_numbers_that_are_no_enterprise_are_refused(number):
    with pytest.raises(UsageError):
        Vendor(number)
