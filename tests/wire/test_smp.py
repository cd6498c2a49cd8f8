"""Frames of the restoration wire and the identify map, against the framing library of a third party."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from smp import packet

from neurath.errors import DataError
from neurath.ids import ModelName, TerminalId
from neurath.wire import smp
from neurath.wire.smp import BirthState, Deframer, Fate, Held, Identity, Message, Wanted, Why

VECTOR = Path(__file__).resolve().parents[2] / "vectors" / "identify.json"
numbers = st.integers(0, 0xFFFF_FFFF)
held = st.builds(Held, st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32), numbers, numbers, numbers)
common = {
    "bank": numbers,
    "grains": st.tuples(numbers, numbers, numbers, numbers),
    "fate": st.sampled_from(Fate),
    "why": st.sampled_from(Why),
    "installed": st.none() | held,
    "candidate": st.booleans(),
    "confirmed": st.none() | held,
    "target": st.none() | st.builds(Wanted, held, st.binary(min_size=16, max_size=16), numbers),
    "restoring": st.booleans(),
    "progress": st.tuples(numbers, numbers, numbers),
    "installs": numbers,
    "last": numbers,
    "serial": numbers,
}
nameless = st.builds(Identity, birth=st.sampled_from([BirthState.BLANK, BirthState.UNREADABLE]), **common)
named = st.builds(
    Identity,
    birth=st.just(BirthState.WRITTEN),
    id=st.just(TerminalId("t-1")),
    model=st.just(ModelName("phone")),
    klass=st.binary(min_size=16, max_size=16),
    vendor=st.binary(min_size=16, max_size=16),
    nonce=st.binary(min_size=8, max_size=8),
    **common,
)


@given(nameless | named)
def test_an_identity_decodes_to_what_was_encoded(identity: Identity) -> None:
    assert smp.decode(smp.encode(identity)) == identity


@given(st.binary(max_size=300))
def test_no_byte_string_crashes_the_identity_decoder(data: bytes) -> None:
    for decode in (smp.decode, smp.identity_of, smp.message_of):
        try:
            decode(data)
        except DataError:
            continue


def test_the_identify_vector_decodes_to_what_it_says() -> None:
    vector = json.loads(VECTOR.read_text())
    found = smp.identity_of(bytes.fromhex(vector["response"]))
    assert (found.id, found.model, found.fate.name, found.why.name) == tuple(vector["says"])
    assert smp.encode(found) in bytes.fromhex(vector["response"])


messages = st.builds(
    Message,
    op=st.integers(0, 3),
    group=st.integers(0, 0xFFFF),
    command=st.integers(0, 255),
    body=st.binary(max_size=700),
    sequence=st.integers(0, 255),
    version=st.integers(0, 1),
)


@given(messages, st.integers(1, 50))
def test_a_frame_fed_in_any_pieces_gives_its_message(message: Message, piece: int) -> None:
    lines = smp.frame(message)
    assert all(len(line) <= smp.LINE for line in lines.splitlines(keepends=True))
    taker = Deframer()
    found = [m for at in range(0, len(lines), piece) for m in taker.feed(lines[at : at + piece])]
    assert found == [message]


@given(messages)
def test_frames_are_those_of_the_reference_library(message: Message) -> None:
    raw = smp.frame(message)
    decoder = packet.decode()
    next(decoder)
    whole = b""
    for line in raw.splitlines(keepends=True):
        try:
            decoder.send(line)
        except StopIteration as end:
            whole = end.value
    assert whole[8:] == message.body
    assert b"".join(packet.encode(whole, line_length=smp.LINE)) == raw


@given(messages, st.data())
def test_a_frame_with_a_flipped_bit_never_gives_another_message(message: Message, data: st.DataObject) -> None:
    raw = bytearray(smp.frame(message))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    assert Deframer().feed(bytes(raw)) in ([], [message])


@given(st.binary(max_size=400))
def test_no_byte_string_crashes_the_deframer_and_it_recovers(noise: bytes) -> None:
    taker = Deframer()
    taker.feed(noise + b"\n")
    message = Message(op=2, group=0, command=5)
    assert taker.feed(smp.frame(message)) == [message]
