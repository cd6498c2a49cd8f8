"""Tags of the narrow profile: the page's messages hold, nothing changed or exchanged passes, and a counter counts once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError, TrustError
from neurath.wire import coap, narrow
from neurath.wire.coap import Message, Type

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/narrow.json").read_text())
KEYS = st.binary(min_size=32, max_size=32)
COUNTERS = st.integers(1, narrow.MOST)
OPTIONS = st.lists(st.tuples(st.integers(1, 60_000), st.binary(max_size=20)), max_size=4).map(
    lambda found: tuple(sorted(found, key=lambda option: option[0]))
)
MESSAGES = st.builds(
    Message, st.just(Type.CON), st.integers(2, 255), st.integers(0, 0xFFFF), st.binary(max_size=8), OPTIONS,
    st.binary(max_size=80),
)  # fmt: skip


@pytest.mark.parametrize("case", VECTORS["exchanges"], ids=lambda case: case["what"])
def test_the_exchanges_of_the_page_hold(case: dict[str, str]) -> None:
    key = narrow.derive(narrow.secret_of(case["token"]), case["terminal"], case["tenant"])
    assert key.hex() == case["key"]
    request = coap.decode(bytes.fromhex(case["request"]))
    answer = coap.decode(bytes.fromhex(case["answer"]))
    epoch = bytes.fromhex(case["epoch"])
    assert narrow.is_whole(key, epoch, request)
    counter, tag = narrow.shown(request)
    assert counter == case["counter"]
    bare = replace(request, options=request.options[:-1])
    assert narrow.seal(key, epoch, counter, bare) == (request, tag)
    opened = narrow.opened(key, tag, answer)
    assert opened.payload.hex() == case["payload"]
    assert narrow.answered(key, tag, opened) == answer.payload
    fresh = narrow.asked(key, tag, opened)
    assert (None if fresh is None else [fresh.epoch.hex(), fresh.floor]) == case["asked"]


@given(KEYS, st.binary(min_size=8, max_size=8), COUNTERS, MESSAGES, st.data())
def test_a_message_passes_as_it_was_made_and_in_no_other_way(
    key: bytes, epoch: bytes, counter: int, message: Message, data: st.DataObject
) -> None:
    request, tag = narrow.seal(key, epoch, counter, message)
    assert narrow.is_whole(key, epoch, replace(request, mid=1, token=b""))  # the message layer's
    answer = replace(message, payload=narrow.answered(key, tag, message))
    assert narrow.opened(key, tag, answer) == message
    whole = coap.encode(request)
    at = data.draw(st.integers(4 + len(request.token), len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    for other, about in ((bytes(changed), epoch), (whole, bytes(b ^ 1 for b in epoch))):
        try:
            passes = narrow.is_whole(key, about, coap.decode(other))
        except DataError:
            passes = False
        assert not passes
    for other_tag, given_answer in ((bytes(8), answer), (tag, replace(answer, code=answer.code ^ 1))):
        if other_tag != tag or given_answer is not answer:
            with pytest.raises(TrustError):
                narrow.opened(key, other_tag, given_answer)


@given(KEYS, st.binary(min_size=8, max_size=8), st.integers(0, narrow.MOST))
def test_a_floor_goes_behind_its_mask_and_comes_back(key: bytes, tag: bytes, floor: int) -> None:
    assert int.from_bytes(narrow.mask(key, tag, int.from_bytes(narrow.mask(key, tag, floor), "big")), "big") == floor


@given(st.lists(st.integers(1, 200) | st.integers(1, narrow.MOST), max_size=300))
def test_of_counters_each_counts_once_and_the_newest_always(counters: list[int]) -> None:
    window, taken = narrow.Window(), set()
    for counter in counters:
        new = counter not in taken and counter > max(taken, default=0) - 64
        assert window.take(counter) == new
        if new:
            taken.add(counter)
    assert window.floor == max(taken, default=0)


@pytest.mark.parametrize("value", [b"", b"\x01" * 8, b"\x00" + bytes(8), b"\x01" * 13])
def test_an_option_that_is_no_counter_and_tag_is_refused(value: bytes) -> None:
    with pytest.raises(DataError):
        narrow.shown(Message(Type.CON, 2, 1, b"", ((narrow.OPTION, value),)))


def test_two_options_are_none() -> None:
    with pytest.raises(DataError):
        narrow.shown(Message(Type.CON, 2, 1, b"", ((narrow.OPTION, b"\x01" * 9), (narrow.OPTION, b"\x01" * 9))))
