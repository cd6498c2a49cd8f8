"""Heartbeats of a pair: every one survives, no byte string crashes decode, and a seal is only made with the key."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError, TrustError
from neurath.wire import pair
from neurath.wire.pair import Beat, Role

VECTORS = json.loads((Path(__file__).resolve().parents[2] / "vectors/pair.json").read_text())
KEY = b"k" * 32
BEATS = st.builds(
    Beat, st.sampled_from([1, 2]), st.sampled_from(Role), st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 64) - 1),
    st.booleans(), st.binary(max_size=pair.ROOM),
)  # fmt: skip


@given(BEATS)
def test_every_heartbeat_survives_and_costs_32_bytes(beat: Beat) -> None:
    data = pair.encode(beat, KEY)
    assert pair.decode(data, KEY) == beat
    assert len(data) == 32 + len(beat.riding), "a piece costs the 8 bytes of its answer and nothing else"


@given(BEATS, st.data())
def test_no_bit_can_change_and_no_other_key_reads_it(beat: Beat, data: st.DataObject) -> None:
    sent = bytearray(pair.encode(beat, KEY))
    with pytest.raises(TrustError):
        pair.decode(bytes(sent), b"x" * 32)
    bit = data.draw(st.integers(0, len(sent) * 8 - 1))
    sent[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DataError):
        pair.decode(bytes(sent), KEY)


@given(st.binary(max_size=100) | st.binary(min_size=16, max_size=40).map(lambda body: body + pair._seal(KEY, body)))
def test_no_byte_string_crashes_decode(data: bytes) -> None:
    with contextlib.suppress(DataError):
        assert pair.encode(pair.decode(data, KEY), KEY) == data


@pytest.mark.parametrize("vector", VECTORS["heartbeats"], ids=lambda v: v["name"])
def test_the_heartbeats_of_the_page_hold(vector: dict[str, str]) -> None:
    beat = pair.decode(bytes.fromhex(vector["packet"]), bytes.fromhex(VECTORS["key"]))
    told = {"node": beat.node, "role": beat.role.value, "term": beat.term, "number": beat.number, "answer": beat.answer}
    assert told | {"riding": beat.riding.hex()} == vector["fields"]
    assert pair.encode(beat, bytes.fromhex(VECTORS["key"])).hex() == vector["packet"]
