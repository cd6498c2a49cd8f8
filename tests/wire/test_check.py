"""A check-in survives both of its forms; nothing else is taken for one."""

import contextlib
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.ids import ComponentName, Floor, ModelName
from neurath.wire import check
from neurath.wire.check import Check
from tests.wire.vectors import LINE, cases, refused

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", fullmatch=True)
WORD = st.integers(0, 0xFFFF_FFFF)
NAMED = st.just(b"") | st.binary(min_size=16, max_size=16)
CHECKS = st.builds(
    Check,
    model=NAMES.map(ModelName),
    bank=st.binary(min_size=32, max_size=32),
    bank_size=WORD,
    ram=WORD,
    nonce=st.binary(min_size=8, max_size=8),
    envelope=NAMED,
    floor=st.builds(Floor, WORD, WORD),
    component=NAMES.map(ComponentName),
    version=LINE(64),
    stage=WORD,
    link=WORD,
    state=LINE(32),
    open_file=NAMED,
    staged=NAMED,
    staged_bytes=WORD,
    spare=WORD,
    profiles=WORD,
)
ONE = Check(ModelName("lamp"), bytes(32), 100, 2048, bytes(8))


def from_fields(fields: dict[str, object]) -> Check:
    given_ = dict(fields)
    for name in ("bank", "nonce", "envelope", "open_file", "staged"):
        given_[name] = bytes.fromhex(str(given_[name]))
    given_["floor"] = Floor(*given_["floor"])  # type: ignore[misc]
    return Check(**given_)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", cases("check"))
def test_the_vectors_of_the_check_page_hold(case: dict[str, object]) -> None:
    value = from_fields(case["fields"])  # type: ignore[arg-type]
    assert check.encode(value).hex() == case["cbor"]
    assert check.decode(bytes.fromhex(str(case["cbor"]))) == value
    assert check.to_attributes(value) == case["attributes"]
    assert check.from_attributes(case["attributes"]) == value  # type: ignore[arg-type]


@pytest.mark.parametrize("case", refused("check"))
def test_what_the_check_page_refuses_is_refused(case: dict[str, str]) -> None:
    with pytest.raises(DataError):
        check.decode(bytes.fromhex(case["cbor"]))


@given(CHECKS)
def test_every_check_in_survives_both_forms(value: Check) -> None:
    assert check.decode(check.encode(value)) == value
    assert check.from_attributes(check.to_attributes(value)) == value


@given(CHECKS, st.data())
def test_a_damaged_check_in_is_refused_or_is_another_canonical_one(value: Check, data: st.DataObject) -> None:
    raw = bytearray(check.encode(value))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = check.decode(bytes(raw))
    except DataError:
        return
    assert check.encode(found) == bytes(raw)


@given(st.binary(max_size=200))
def test_no_byte_string_crashes_decode(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert check.encode(check.decode(data)) == data


@given(CHECKS, st.sampled_from(sorted(check.to_attributes(ONE))), st.text(max_size=80))
def test_no_attribute_crashes_the_reader(value: Check, key: str, text: str) -> None:
    try:
        found = check.from_attributes({**check.to_attributes(value), key: text})
    except DataError:
        return
    assert found is not None
    assert check.from_attributes(check.to_attributes(found)) == found


def test_a_client_that_is_not_ours_has_no_check_in() -> None:
    assert check.from_attributes({"serial": "1", "neurath.model": "lamp"}) is None


@pytest.mark.parametrize(
    "change",
    [
        {"bank": bytes(31)}, {"nonce": bytes(9)}, {"model": ""}, {"model": "../x"}, {"component": "a b"},
        {"envelope": bytes(8)}, {"open_file": bytes(32)}, {"staged": bytes(1)}, {"version": "v" * 65},
        {"version": "\ud800"}, {"state": "a\nb"}, {"state": "s" * 33}, {"ram": -1}, {"link": 1 << 32},
        {"floor": Floor(1 << 32, 0)}, {"bank_size": 1 << 32},
    ],
)  # fmt: skip
def test_a_check_in_out_of_bounds_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(DataError):
        dataclasses.replace(ONE, **change)  # type: ignore[arg-type]
