"""An offer survives both of its forms; "nothing newer" is one byte; nothing else is taken for one."""

import contextlib
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.ids import ComponentName, Version
from neurath.wire import offer
from neurath.wire.offer import Kind, Offer
from tests.wire.test_check import NAMES
from tests.wire.vectors import LINE, cases, load, refused

WORD = st.integers(0, 0xFFFF_FFFF)
OFFERS = st.builds(
    Offer,
    kind=st.sampled_from(Kind),
    file=st.binary(min_size=32, max_size=32),
    size=WORD,
    need=WORD,
    envelope=st.binary(max_size=350),
    ticket=st.binary(max_size=220),
    version=LINE(64).map(Version),
    action=LINE(64),
    component=NAMES.map(ComponentName),
    remind=LINE(200),
    blocks=st.integers(0, 40).map(lambda n: bytes(16 * n)),
)
ONE = Offer(Kind.DELTA, bytes(32), 1, 1, b"e", b"t", Version("1"))


def words(value: Offer) -> dict[str, str]:
    return {pair["key"]: pair["value"] for pair in offer.to_metadata(value)}


@pytest.mark.parametrize("case", cases("offer"))
def test_the_vectors_of_the_offer_page_hold(case: dict[str, object]) -> None:
    fields = dict(case["fields"])  # type: ignore[call-overload]
    for name in ("file", "envelope", "ticket", "blocks"):
        fields[name] = bytes.fromhex(fields[name])
    value = Offer(**{**fields, "kind": Kind[fields["kind"].upper()]})
    assert offer.encode(value).hex() == case["cbor"]
    assert offer.decode(bytes.fromhex(str(case["cbor"]))) == value
    assert offer.to_metadata(value) == case["metadata"]
    assert offer.from_metadata(words(value), version=value.version, action=value.action) == value


@pytest.mark.parametrize("case", refused("offer"))
def test_what_the_offer_page_refuses_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(DataError):
        offer.decode(bytes.fromhex(case["cbor"]))


def test_nothing_newer_is_the_empty_map() -> None:
    assert offer.encode(None).hex() == load("offer")["nothing"]
    assert offer.decode(offer.encode(None)) is None


@given(OFFERS)
def test_every_offer_survives_both_forms(value: Offer) -> None:
    assert offer.decode(offer.encode(value)) == value
    assert offer.from_metadata(words(value), version=value.version, action=value.action) == value


@given(OFFERS, st.data())
def test_a_damaged_offer_is_refused_or_is_another_canonical_one(value: Offer, data: st.DataObject) -> None:
    raw = bytearray(offer.encode(value))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = offer.decode(bytes(raw))
    except DataError:
        return
    assert offer.encode(found) == bytes(raw)


@given(st.binary(max_size=200))
def test_no_byte_string_crashes_decode(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert offer.encode(offer.decode(data)) == data


@given(st.sampled_from(sorted(words(ONE))), st.none() | st.text(max_size=60))
def test_no_metadata_crashes_the_reader(key: str, text: str | None) -> None:
    given_ = words(ONE)
    if text is None:
        del given_[key]
    else:
        given_[key] = text
    with contextlib.suppress(DataError):
        offer.from_metadata(given_, version="1", action="")


@pytest.mark.parametrize("text", ["-1", " 1", "1_0", "4294967296", "1" * 5000, "", "0x10"])
def test_a_size_in_metadata_has_one_spelling(text: str) -> None:
    with pytest.raises(DataError):
        offer.from_metadata({**words(ONE), "neurath.size": text}, version="1", action="")


@pytest.mark.parametrize(
    "change",
    [
        {"file": bytes(16)}, {"blocks": bytes(15)}, {"envelope": bytes(351)}, {"ticket": bytes(221)}, {"size": -1},
        {"need": 1 << 32}, {"version": "v" * 65}, {"action": "\0"}, {"action": "a" * 65}, {"component": ""},
    ],
)  # fmt: skip
def test_an_offer_out_of_bounds_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(DataError):
        dataclasses.replace(ONE, **change)  # type: ignore[arg-type]
