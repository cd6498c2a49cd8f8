"""CoAP messages have one form each, and nothing crashes the decoder."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.wire import coap
from neurath.wire.coap import Block, Message, Type

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/coap.json").read_text())
NUMBERS = st.integers(0, 0xFFFF)
OPTIONS = st.lists(st.tuples(NUMBERS, st.binary(max_size=300)), max_size=8).map(
    lambda found: tuple(sorted(found, key=lambda option: option[0]))
)
MESSAGES = st.builds(
    Message, st.sampled_from(Type), st.integers(1, 255), NUMBERS, st.binary(max_size=8), OPTIONS, st.binary(max_size=1100)
) | st.builds(Message, st.sampled_from(Type), st.just(0), NUMBERS)


@pytest.mark.parametrize("case", VECTORS["messages"], ids=lambda case: case["what"])
def test_the_messages_of_the_page_hold(case: dict[str, object]) -> None:
    options = tuple((number, bytes.fromhex(value)) for number, value in case["options"])  # type: ignore[attr-defined]
    message = Message(
        Type[str(case["type"])],
        int(str(case["code"]).split(".")[0]) * 32 + int(str(case["code"]).split(".")[1]),
        int(str(case["mid"])),
        bytes.fromhex(str(case["token"])),
        options,
        bytes.fromhex(str(case["payload"])),
    )
    assert coap.encode(message).hex() == case["bytes"]
    assert coap.decode(bytes.fromhex(str(case["bytes"]))) == message


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: case["why"])
def test_what_the_page_refuses_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(DataError):
        coap.decode(bytes.fromhex(case["bytes"]))


@given(MESSAGES)
def test_what_is_encoded_is_decoded(message: Message) -> None:
    assert coap.decode(coap.encode(message)) == message


@given(st.binary(max_size=80) | st.binary(max_size=60).map(lambda tail: b"\x44\x01" + tail))
def test_no_bytes_crash_the_decoder(data: bytes) -> None:
    with contextlib.suppress(DataError):
        message = coap.decode(data)
        assert coap.decode(coap.encode(message)) == message
        for number in (coap.BLOCK1, coap.BLOCK2, coap.MAX_AGE):
            with contextlib.suppress(DataError):
                message.block(number)


@given(st.builds(Block, st.integers(0, 0xFFFFF), st.booleans(), st.integers(0, 6)))
def test_a_block_option_goes_there_and_back(block: Block) -> None:
    message = Message(Type.CON, 1, 0, options=((coap.BLOCK2, coap.block_value(block)),))
    assert message.block(coap.BLOCK2) == block


def test_aiocoap_reads_the_same() -> None:
    """A second reader: every message of the page, read by aiocoap."""
    import aiocoap

    for case in VECTORS["messages"]:
        theirs = aiocoap.Message.decode(bytes.fromhex(case["bytes"]))
        ours = coap.decode(bytes.fromhex(case["bytes"]))
        assert (int(theirs.mtype), int(theirs.code), theirs.mid, theirs.token, theirs.payload) == (
            ours.type, ours.code, ours.mid, ours.token, ours.payload,
        )  # fmt: skip
        assert [(int(o.number), o.encode()) for o in theirs.opt.option_list()] == list(ours.options)


def test_a_series_is_the_blocks_it_names_or_the_rest_of_a_set_and_never_more_than_ten() -> None:
    one, rest = (coap.block_value(coap.Block(number, more)) for number, more in ((13, False), (17, True)))
    assert [block.number for block in coap.series([one, rest])] == [13, 17, 18, 19]
    assert [block.number for block in coap.series([coap.block_value(coap.Block(20, True))])] == list(range(20, 30))
    assert len(coap.series([coap.block_value(coap.Block(10 * at, True)) for at in range(9)])) == coap.MAX_PAYLOADS


@given(st.lists(st.binary(max_size=5), max_size=20))
def test_no_bytes_of_a_series_break_it(values: list[bytes]) -> None:
    with contextlib.suppress(DataError):
        assert all(0 <= block.number < 1 << 20 for block in coap.series(values))
