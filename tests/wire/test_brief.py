"""Brief check-ins and offers: what was left out is what the other end has, or the whole is asked for; never a guess."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.wire import brief, cbor, check, offer
from neurath.wire.brief import DIGEST, LIKE, Brief
from tests.wire.test_check import CHECKS
from tests.wire.vectors import cases, load, refused


def octets(text: str | None) -> bytes:
    return bytes.fromhex(text or "")


@pytest.mark.parametrize("case", cases("brief"), ids=lambda case: case["what"])
def test_the_vectors_of_brief_check_ins_hold(case: dict[str, str | None]) -> None:
    found = brief.read(octets(case["body"]))
    if case["like"] is None:
        assert found is None
        return
    assert found is not None
    assert found.like == octets(case["like"])
    assert brief.whole(found, octets(case["before"])) == (None if case["whole"] is None else octets(case["whole"]))
    if case["whole"] is not None:
        check.decode(octets(case["whole"]))  # and it is one that is taken


@pytest.mark.parametrize("case", refused("brief"), ids=lambda case: case["why"])
def test_what_is_no_brief_check_in_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(DataError):
        brief.read(octets(case["cbor"]))


def test_the_vectors_of_brief_offers_hold() -> None:
    for case in load("brief")["offers"]:
        assert brief.offered(octets(case["offer"])).hex() == case["brief"]
        kept = cbor.unpack(octets(case["brief"]), "offer").values()
        whole = cbor.unpack(octets(case["offer"]), "offer").values()
        assert kept == {key: value for key, value in whole.items() if key in kept}
        assert offer.decode(octets(case["offer"])).need == kept.get(4, 0)


def keys_of(raw: bytes) -> dict[int, object]:
    return dict(cbor.unpack(raw, "check").values())


def shortened(now: bytes, before: bytes) -> bytes:
    """What a terminal says that left `before` with the server."""
    had, has = keys_of(before), keys_of(now)
    return cbor.pack({LIKE: brief.digest(before)} | {key: value for key, value in has.items() if had.get(key) != value})


@given(CHECKS, CHECKS)
def test_a_brief_check_in_is_put_together_as_the_whole_one_byte_for_byte(before: check.Check, now: check.Check) -> None:
    old = check.encode(before)
    has = keys_of(old) | keys_of(check.encode(now))  # none goes back to its default: that needs a whole one
    new = cbor.pack(has)
    found = brief.read(shortened(new, old))
    assert found is not None
    assert brief.whole(found, old) == new
    assert found.component == (has.get(8) if has.get(8) != keys_of(old).get(8) else None)


@given(CHECKS, CHECKS, CHECKS)
def test_it_is_never_put_together_with_another_than_the_one_it_names(
    before: check.Check, now: check.Check, other: check.Check
) -> None:
    old, third = check.encode(before), check.encode(other)
    if old == third:
        return
    found = brief.read(shortened(check.encode(now), old))
    assert found is not None
    assert brief.whole(found, third) is None
    assert brief.whole(found, b"") is None


@given(CHECKS)
def test_like_none_is_the_check_in_itself(value: check.Check) -> None:
    raw = check.encode(value)
    assert brief.read(raw) is None
    found = brief.read(cbor.pack({LIKE: b""} | keys_of(raw)))
    assert found == Brief(b"", keys_of(raw))
    assert brief.whole(found, b"anything") == raw


@given(st.binary(max_size=80) | st.binary(max_size=20).map(lambda like: cbor.pack({LIKE: like})))
def test_no_byte_string_crashes_the_reader(data: bytes) -> None:
    try:
        found = brief.read(data)
    except DataError:
        return
    assert found is None or len(found.like) in (0, DIGEST)
