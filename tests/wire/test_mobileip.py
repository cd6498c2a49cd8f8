"""Registrations: every message survives, no byte string crashes decode, and nothing is taken that the authenticator does not
cover."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.wire import mobileip
from neurath.wire.mobileip import Address, Algorithm, Reply, Request, Said, Security, Udp, decode, encode

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors/mobileip.json").read_text())
KEY = Security(256, b"sixteen-byte-key", Algorithm.HMAC_MD5)
ADDRESSES = st.ip_addresses(v=4)
NAMES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=255)
SECURITY = st.builds(Security, st.integers(256, 0xFFFFFFFF), st.binary(min_size=16, max_size=64), st.sampled_from(Algorithm))
NUMBERS = st.integers(0, 0xFFFF), st.integers(0, (1 << 64) - 1)
BOTH = st.booleans()
REQUESTS = st.builds(
    Request, NUMBERS[0], ADDRESSES, ADDRESSES, ADDRESSES, NUMBERS[1],
    st.integers(0, 0x7F).map(lambda n: n << 1),
    st.builds(
        Said, NAMES, st.binary(max_size=247), st.none() | st.binary(max_size=247), BOTH, st.none() | st.builds(Udp, BOTH)
    ),
)  # fmt: skip
TOLD = st.none() | st.builds(Udp, BOTH, st.integers(0, 255), NUMBERS[0])
RIDES = st.one_of(
    st.builds(Said, udp=TOLD),
    st.builds(Said, data=st.binary(max_size=247), udp=TOLD),
    st.builds(Said, data=st.binary(max_size=1400), wide=st.just(True), udp=TOLD),
)
REPLIES = st.builds(Reply, st.integers(0, 255), NUMBERS[0], ADDRESSES, ADDRESSES, NUMBERS[1], RIDES)


@given(REQUESTS | REPLIES, SECURITY)
def test_every_message_survives_and_its_seal_holds(message: Request | Reply, security: Security) -> None:
    found, seal = decode(encode(message, security))
    assert found == message
    assert seal.by(security)
    assert not seal.by(Security(security.spi, security.key + b"x", security.algorithm))


@given(REQUESTS | REPLIES, st.data())
def test_no_bit_can_change(message: Request | Reply, data: st.DataObject) -> None:
    """Whatever is flipped: refused, or the seal says no."""
    packet = bytearray(encode(message, KEY))
    bit = data.draw(st.integers(0, len(packet) * 8 - 1))
    packet[bit // 8] ^= 1 << bit % 8
    try:
        _, seal = decode(bytes(packet))
    except DataError:
        return
    assert not seal.by(KEY)


@given(
    st.binary(max_size=300) | st.tuples(st.sampled_from([1, 3]), st.binary(max_size=300)).map(lambda t: bytes(t[:1]) + t[1])
)
def test_no_byte_string_crashes_decode(data: bytes) -> None:
    with contextlib.suppress(DataError):
        decode(data)


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda v: v["name"])
def test_the_messages_of_the_page_hold(vector: dict[str, object]) -> None:
    security = Security(256, bytes.fromhex(str(vector["key"])), Algorithm(vector["algorithm"]))
    packet = bytes.fromhex(str(vector["packet"]))
    message, seal = decode(packet)
    assert seal.by(security)
    assert encode(message, security) == packet
    fields = vector["fields"]
    assert isinstance(fields, dict)
    for name, value in fields.items():
        found = getattr(message, name, None) if hasattr(message, name) else getattr(message.said, name)
        assert (found.hex() if isinstance(found, bytes) else found if isinstance(found, int) else str(found)) == value, name


def test_the_secret_of_the_page_holds() -> None:
    told = VECTORS["secret"]
    known = mobileip.secret(told["password"], told["nai"])
    assert known.hex() == told["secret"]
    at = Address(told["home"]), Address(told["care_of"]), told["identification"]
    assert mobileip.proof(known, told["nai"], *at).hex() == told["proof"]


def test_what_comes_after_the_authenticator_or_without_one_is_refused() -> None:
    message = Request(60, Address("10.1.0.7"), Address("10.1.0.1"), Address("10.2.0.9"), 5)
    packet = encode(message, KEY)
    for bad in (packet + b"\0", packet + packet[-22:], packet[:24], packet[:-1]):
        with pytest.raises(DataError):
            decode(bad)


def test_foreign_extensions_are_skipped_or_refuse_the_message_by_their_type() -> None:
    plain = encode(Request(60, Address("10.1.0.7"), Address("10.1.0.1"), Address("10.2.0.9"), 5), KEY)
    skipped = (bytes([200, 3]) + b"abc", bytes([134, 8, 0, 0, 0, 0, 0, 9, 0, 1]), b"\0\0\0")
    for extension in skipped:
        assert decode(plain[:24] + extension + plain[24:])[0] == decode(plain)[0]
    refused = (bytes([100, 3]) + b"abc", bytes([38, 0, 0, 6, 0, 0, 0, 9, 0, 1]), bytes([33, 200]))
    for extension in refused:
        with pytest.raises(DataError):
            decode(plain[:24] + extension + plain[24:])


@given(st.integers(0, 4_000_000_000))
def test_time_stamps_tell_the_moment(at: int) -> None:
    assert mobileip.moment(mobileip.stamp(at / 2)) % (1 << 32) == pytest.approx(at / 2 % (1 << 32), abs=1e-3)
