"""The download state is 12 bytes, its answer 8 and pieces; each has one form, and nothing crashes the decoders."""

import contextlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.ids import ComponentName, Version
from neurath.wire import rateless, trickle
from neurath.wire.offer import Kind
from neurath.wire.rateless import Segments, Source
from neurath.wire.trickle import NOTHING, SIZES, About, Ask, Plan, Reply, State
from tests.wire.vectors import LINE, cases, refused

PROGRAMS = st.binary(min_size=4, max_size=4).filter(lambda name: name != NOTHING)
ROOMS = st.integers(0, 0xFFFF)
LINKS = st.integers(0, 255)
STATES = st.builds(State, room=ROOMS, link=LINKS) | st.builds(
    State, st.just(Ask.PIECES), PROGRAMS, st.integers(0, 0xFF_FFFF), ROOMS, LINKS
)


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    if draw(st.booleans()):
        return Reply(draw(PROGRAMS | st.just(NOTHING)), call=draw(st.booleans()))
    size, last = draw(st.sampled_from(SIZES)), draw(st.booleans())
    count = draw(st.integers(1, 5))
    if draw(st.booleans()):
        symbols = tuple(bytes([n]) * (size + 4) for n in range(count))
        return Reply(draw(PROGRAMS), draw(st.integers(1, 0xFF_FFFF)), size, symbols, coded=True)
    pieces = [bytes([n]) * size for n in range(count)]
    if last:
        pieces[-1] = pieces[-1][: draw(st.integers(1, size))]
    return Reply(draw(PROGRAMS), draw(st.integers(0, 0x100_0000 - count)), size, tuple(pieces), last)


@st.composite
def abouts(draw: st.DrawFn) -> About:
    size = draw(st.integers(1, 40_000))
    blocks = draw(st.binary(min_size=trickle.hashes(size), max_size=trickle.hashes(size)))
    digest = draw(st.binary(min_size=32, max_size=32))
    component = ComponentName(draw(st.sampled_from(["firmware", "radio"])))
    version = Version(draw(LINE(64)))
    return About(draw(st.sampled_from(Kind)), digest, size, draw(st.binary(max_size=300)), blocks, version, component)


def state_of(fields: dict[str, object]) -> State:
    program = bytes.fromhex(str(fields["program"]))
    numbers = [int(str(fields[key])) for key in ("sync", "room", "link")]
    return State(Ask(fields["ask"]), program, *numbers)


def reply_of(fields: dict[str, object]) -> Reply:
    pieces = tuple(bytes.fromhex(str(piece)) for piece in fields["pieces"])  # type: ignore[attr-defined]
    numbers = bytes.fromhex(str(fields["program"])), int(str(fields["first"])), int(str(fields["size"]))
    return Reply(*numbers, pieces, *(bool(fields.get(name)) for name in ("last", "coded", "call")))


@pytest.mark.parametrize("case", [c for c in cases("trickle") if c["what"] == "state"])
def test_the_states_of_the_page_hold(case: dict[str, dict[str, object]]) -> None:
    assert trickle.encode_state(state_of(case["fields"])).hex() == case["bytes"]
    assert len(trickle.encode_state(state_of(case["fields"]))) == 12
    assert trickle.decode_state(bytes.fromhex(str(case["bytes"]))) == state_of(case["fields"])


@pytest.mark.parametrize("case", [c for c in cases("trickle") if c["what"] == "reply"])
def test_the_answers_of_the_page_hold(case: dict[str, dict[str, object]]) -> None:
    reply = reply_of(case["fields"])
    assert trickle.encode_reply(reply).hex() == case["bytes"]
    assert len(trickle.encode_reply(reply)) == 8 + sum(map(len, reply.pieces))
    assert trickle.decode_reply(bytes.fromhex(str(case["bytes"]))) == reply


@pytest.mark.parametrize("case", [c for c in cases("trickle") if c["what"] == "coded"])
def test_the_symbols_of_the_page_hold(case: dict[str, list[dict[str, object]]]) -> None:
    data = bytes((7 * n + n // 64) & 255 for n in range(600 * 64))
    source = Source(Segments(600, 64), lambda segment: data[segment * 512 * 64 : (segment + 1) * 512 * 64])
    for symbol in case["symbols"]:
        assert source.symbol(int(str(symbol["order"]))).hex() == symbol["bytes"]


@given(st.integers(1, 40), st.sampled_from(SIZES[:3]), st.randoms(use_true_random=False))
def test_any_symbols_as_many_as_pieces_and_a_few_make_the_pieces_again(length: int, piece: int, rng: random.Random) -> None:
    data = rng.randbytes(length * piece)
    source = Source(Segments(length, piece), lambda segment: data)
    numbers = rng.sample(range(3 * length + 10), length + 4)
    symbols = {number: source.symbol(number)[4:] for number in numbers}
    assert rateless.solve(length, piece, dict(list(symbols.items())[: length - 1])) is None
    pieces = rateless.solve(length, piece, symbols)
    assert pieces is not None
    assert b"".join(pieces) == data


def test_a_stream_with_more_pieces_than_segments_can_name_is_not_coded() -> None:
    with pytest.raises(DataError):
        Segments(256 * 512 + 1, 200)
    for symbol in (rateless.name(2, 0) + bytes(64), rateless.name(0, 0) + bytes(63)):
        with pytest.raises(DataError):
            rateless.named(symbol, Segments(600, 64))


@pytest.mark.parametrize("case", [c for c in cases("trickle") if c["what"] == "header"])
def test_the_headers_of_the_page_hold(case: dict[str, dict[str, object]]) -> None:
    fields = case["fields"]
    octets = [bytes.fromhex(str(fields[key])) for key in ("file", "envelope", "blocks")]
    value = About(
        Kind(fields["kind"]), octets[0], int(str(fields["size"])), octets[1], octets[2], Version(str(fields["version"]))
    )
    data = bytes.fromhex(str(case["bytes"]))
    assert trickle.header(value) == data
    assert trickle.about(data) == value
    where = trickle.plan(data, 200)
    assert {"begin": where.begin, "count": where.count} == case["plan"]


@pytest.mark.parametrize("case", refused("trickle"), ids=lambda case: case["why"])
def test_what_the_page_refuses_is_refused(case: dict[str, str]) -> None:
    decode = {"state": trickle.decode_state, "reply": trickle.decode_reply, "header": trickle.about}[case["what"]]
    with pytest.raises(DataError):
        decode(bytes.fromhex(case["bytes"]))


@given(STATES)
def test_every_state_survives_in_12_bytes(state: State) -> None:
    data = trickle.encode_state(state)
    assert len(data) == 12
    assert trickle.decode_state(data) == state


@given(replies())
def test_every_answer_survives_and_its_pieces_cost_8_bytes_once(reply: Reply) -> None:
    data = trickle.encode_reply(reply)
    assert len(data) == 8 + sum(len(piece) for piece in reply.pieces)
    assert trickle.decode_reply(data) == reply


@given(abouts(), st.sampled_from(SIZES))
def test_every_header_survives_with_its_padding_and_its_start_says_where_the_file_begins(value: About, piece: int) -> None:
    data = trickle.header(value)
    where = trickle.plan(data[:8], piece)
    padded = data.ljust(where.begin * piece, b"\0")
    assert len(padded) - piece < len(data) == where.length <= len(padded)
    assert trickle.about(padded) == value
    assert (where.count - where.begin) * piece >= value.size > (where.count - where.begin - 1) * piece


@given(st.integers(8, 3000), st.integers(1, 100_000), st.sampled_from(SIZES), st.data())
def test_a_sync_point_and_the_bytes_before_it_are_the_same_fact(
    length: int, size: int, piece: int, data: st.DataObject
) -> None:
    where = Plan(piece, length, size)
    sync = data.draw(st.integers(where.begin, where.count))
    assert where.sync(where.held(sync)) == sync
    assert where.held(where.count) == size
    assert where.held(where.begin) == where.held(0) == 0


@given(st.binary(max_size=40) | st.binary(min_size=11, max_size=11).map(lambda b: b"\x40" + b))
def test_no_byte_string_crashes_the_decoder_of_states(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert trickle.encode_state(trickle.decode_state(data)) == data


@given(st.binary(max_size=300) | st.tuples(st.integers(0x40, 0x5F), st.binary(min_size=7, max_size=400)).map(
    lambda pair: bytes([pair[0]]) + pair[1]
))  # fmt: skip
def test_no_byte_string_crashes_the_decoder_of_answers(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert trickle.encode_reply(trickle.decode_reply(data)) == data


@given(st.binary(max_size=100), abouts(), st.integers(0, 200), st.binary(min_size=1, max_size=4))
def test_no_byte_string_crashes_the_decoder_of_headers(data: bytes, value: About, at: int, noise: bytes) -> None:
    good = trickle.header(value)
    for hurt in (data, good[:at], good[:at] + noise + good[at + len(noise) :]):
        with contextlib.suppress(DataError):
            found = trickle.header(trickle.about(hurt))
            assert hurt.startswith(found)
            assert not any(hurt[len(found) :])


@given(st.floats(1.0, 1e9))
def test_a_link_class_is_within_a_tenth_of_the_rate(rate: float) -> None:
    assert trickle.rate_of(trickle.link_class(rate)) == pytest.approx(max(rate, 2**0.125), rel=0.1)
    assert 0 < trickle.link_class(rate) <= 255


def test_an_unknown_rate_is_class_0() -> None:
    assert trickle.link_class(0) == 0
    assert trickle.rate_of(0) == 0


@pytest.mark.parametrize("piece", [0, 100, 8192])
def test_a_piece_size_is_one_of_eight(piece: int) -> None:
    with pytest.raises(DataError):
        Plan(piece, 100, 100)


def test_a_stream_has_no_more_pieces_than_24_bits_count() -> None:
    with pytest.raises(DataError):
        Plan(64, 100, 64 * 0x100_0000)
