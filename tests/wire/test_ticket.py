"""Tickets are written in one way, read by the core, and stay within 220 bytes."""

import dataclasses
import hashlib
import hmac

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError, TrustError
from neurath.ids import TerminalId
from neurath.wire import keys, ticket
from neurath.wire.cose import sign1
from neurath.wire.keys import Alg, PublicKey
from neurath.wire.ticket import Ticket
from tests.wire.vectors import cases, load

SIGNERS = {alg: keys.create(alg) for alg in Alg}
SHORT = st.binary(min_size=16, max_size=16)
COUNT = st.integers(1, 0xFFFF_FFFF)
TICKETS = st.builds(
    Ticket,
    device=SHORT,
    nonce=st.binary(min_size=8, max_size=8),
    serial=COUNT,
    kind=st.just(ticket.DELTA),
    envelope=SHORT,
    file=SHORT,
    file_size=COUNT,
    base=SHORT,
    blocks=SHORT,
    key_list=st.integers(0, 0xFFFF_FFFF),
)
ONE = Ticket(b"d" * 16, b"n" * 8, 1, ticket.DELTA, b"e" * 16, b"f" * 16, 100, b"b" * 16)


@given(TICKETS, st.booleans(), st.sampled_from(list(Alg)))
def test_whatever_is_signed_reads_back_equal_and_fits_220_bytes(one: Ticket, full: bool, alg: Alg) -> None:
    if full:
        one = dataclasses.replace(one, kind=ticket.FULL, base=b"")
    raw = ticket.sign(one, SIGNERS[alg])
    assert len(raw) <= 220
    assert ticket.verify(raw, [SIGNERS[alg].public]) == one


@pytest.mark.parametrize("case", cases("ticket"))
def test_the_vectors_of_the_ticket_page_hold(case: dict[str, object]) -> None:
    key = PublicKey(Alg[str(case["alg"]).upper()], bytes.fromhex(str(case["public"])))
    raw = bytes.fromhex(str(case["ticket"]))
    found = ticket.verify(raw, [key])
    for field in dataclasses.fields(Ticket):
        value = getattr(found, field.name)
        assert (value.hex() if isinstance(value, bytes) else value) == case[field.name]
    if key.alg is Alg.ED25519:
        assert ticket.sign(found, keys.from_seed(hashlib.sha256(b"neurath vector release key").digest())) == raw


def test_the_nonce_is_the_hmac_that_its_page_describes() -> None:
    given_ = load("ticket")["nonce"]
    key, envelope = bytes.fromhex(given_["device_key"]), bytes.fromhex(given_["envelope"])
    message = envelope + given_["installs"].to_bytes(4, "big")
    assert ticket.nonce(key, envelope, given_["installs"]).hex() == given_["nonce"]
    assert hmac.new(key, message, "sha256").digest()[:8].hex() == given_["nonce"]


@given(st.binary(min_size=32, max_size=32), SHORT, st.integers(0, 0xFFFF_FFFF))
def test_the_nonce_agrees_with_the_standard_library(key: bytes, envelope: bytes, installs: int) -> None:
    expected = hmac.new(key, envelope + installs.to_bytes(4, "big"), "sha256").digest()[:8]
    assert ticket.nonce(key, envelope, installs) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"device": b""}, {"nonce": bytes(7)}, {"serial": 0}, {"serial": 1 << 32}, {"kind": 4}, {"kind": ticket.FULL},
        {"base": b""}, {"file_size": 0}, {"file": bytes(32)}, {"blocks": b""}, {"key_list": -1},
    ],
)  # fmt: skip
def test_a_ticket_that_makes_no_sense_is_not_signed(change: dict[str, object]) -> None:
    with pytest.raises(DataError):
        ticket.sign(dataclasses.replace(ONE, **change), SIGNERS[Alg.ED25519])  # type: ignore[arg-type]


FIELDS: dict[object, object] = {
    1: b"d" * 16, 2: b"n" * 8, 3: 1, 4: 1, 5: b"e" * 16, 6: b"f" * 16, 7: 100, 8: b"b" * 16, 9: bytes(16), 10: 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("why", "payload"),
    [
        *((f"field {key} is missing", cbor2.dumps({k: v for k, v in FIELDS.items() if k != key})) for key in FIELDS),
        ("unknown field", cbor2.dumps({**FIELDS, 11: 0})),
        ("field of another type", cbor2.dumps({**FIELDS, 3: "1"})),
        ("short digest", cbor2.dumps({**FIELDS, 6: b"f" * 15})),
        ("full with a base", cbor2.dumps({**FIELDS, 4: 2})),
        ("kind 4", cbor2.dumps({**FIELDS, 4: 4})),
        ("serial 0", cbor2.dumps({**FIELDS, 3: 0})),
        ("no file", cbor2.dumps({**FIELDS, 7: 0})),
        ("64-bit size", cbor2.dumps({**FIELDS, 7: 1 << 32})),
        ("fields out of order", cbor2.dumps(dict(reversed(FIELDS.items())))),
        ("a byte follows", cbor2.dumps(FIELDS) + b"\0"),
        ("serial in five bytes", cbor2.dumps(FIELDS).replace(b"\x03\x01\x04", b"\x03\x1a\0\0\0\x01\x04")),
    ],
)
def test_a_signed_ticket_that_is_not_strict_is_refused(why: str, payload: bytes) -> None:
    signer = SIGNERS[Alg.ED25519]
    assert ticket.verify(sign1(cbor2.dumps(FIELDS), signer, detached=False), [signer.public]) == ONE
    with pytest.raises(DataError, match="malformed"):
        ticket.verify(sign1(payload, signer, detached=False), [signer.public])


@pytest.mark.parametrize(
    ("why", "header", "unprotected"),
    [
        ("a byte follows the header", cbor2.dumps({1: -8}) + b"\0", {}),
        ("a second header", cbor2.dumps({1: -8, 4: b"k"}), {}),
        ("an algorithm in a longer form", b"\xa1\x01\x38\x07", {}),
        ("an unknown algorithm", cbor2.dumps({1: -19}), {}),
        ("no header", cbor2.dumps({}), {}),
        ("an unprotected header", cbor2.dumps({1: -8}), {4: b"k"}),
    ],
)
def test_a_true_signature_under_another_header_is_refused(why: str, header: bytes, unprotected: dict[int, bytes]) -> None:
    signer, payload = SIGNERS[Alg.ED25519], cbor2.dumps(FIELDS)
    signature = signer.sign(cbor2.dumps(["Signature1", header, b"", payload]))
    raw = cbor2.dumps(cbor2.CBORTag(18, [header, unprotected, payload, signature]))
    with pytest.raises(DataError, match="malformed"):
        ticket.verify(raw, [signer.public])


def test_a_ticket_is_not_an_envelope_and_detached_is_not_embedded() -> None:
    signer = SIGNERS[Alg.ES256]
    with pytest.raises(DataError):
        ticket.verify(sign1(cbor2.dumps(FIELDS), signer, detached=True), [signer.public])


def test_every_bit_flip_and_every_truncation_of_a_ticket_is_refused() -> None:
    for signer in SIGNERS.values():
        raw = ticket.sign(ONE, signer)
        for bit in range(8 * len(raw)):
            hurt = bytearray(raw)
            hurt[bit // 8] ^= 1 << bit % 8
            with pytest.raises(DataError):
                ticket.verify(bytes(hurt), [signer.public])
        for length in range(len(raw)):
            with pytest.raises(DataError):
                ticket.verify(raw[:length], [signer.public])
        for more in (b"\0", b"\xf6", raw):
            with pytest.raises(DataError):
                ticket.verify(raw + more[:20], [signer.public])


def test_a_ticket_of_another_key_is_not_trusted() -> None:
    raw = ticket.sign(ONE, SIGNERS[Alg.ES256])
    with pytest.raises(TrustError):
        ticket.verify(raw, [keys.create(Alg.ES256).public, SIGNERS[Alg.ED25519].public])


def test_a_terminal_is_named_by_the_digest_of_its_id() -> None:
    assert ticket.device_of(TerminalId("lamp-0001")).hex() == cases("ticket")[0]["device"]
