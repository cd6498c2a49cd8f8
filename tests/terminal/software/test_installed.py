"""The record of a component: one form, round trip, damage seen, the vector of its specification."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.flash.bank import ImageRecord
from neurath.terminal.machine.events import Weight
from neurath.terminal.software.installed import Installed, decode, encode
from tests.terminal.software.site import SoftwareSite

VECTOR = json.loads((Path(__file__).parents[3] / "vectors/installed.json").read_text())
NUMBER = st.integers(0, 0xFFFF_FFFF)
IMAGES = st.just(ImageRecord()) | st.builds(
    ImageRecord, st.binary(min_size=32, max_size=32), st.integers(1, 0xFFFF_FFFF), st.binary(min_size=16, max_size=16),
    NUMBER, NUMBER,
)  # fmt: skip


@given(st.builds(Installed, IMAGES, IMAGES, NUMBER, NUMBER))
def test_what_was_written_is_read(record: Installed) -> None:
    assert decode(encode(record)) == record


@given(st.binary(max_size=300))
def test_no_byte_string_crashes_decode(data: bytes) -> None:
    with pytest.raises(DataError):
        decode(data)


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_changed_byte_is_seen(at: int, flip: int) -> None:
    data = bytearray(encode(Installed(ImageRecord(b"i" * 32, 5, b"e" * 16, 3, 1), installs=7)))
    data[at % len(data)] ^= flip
    with pytest.raises(DataError):
        decode(bytes(data))


def test_the_vector() -> None:
    record = Installed(
        confirmed=ImageRecord(bytes(range(32)), 1000, bytes(range(16)), 7, 1),
        target=ImageRecord(bytes(range(32, 64)), 2000, bytes(range(16, 32)), 8, 1),
        installs=3, serial=9, failed=bytes(range(16, 32)), failures=2,
    )  # fmt: skip
    assert encode(record).hex() == VECTOR["record"]
    assert decode(bytes.fromhex(VECTOR["record"])) == record


def test_with_a_damaged_record_nothing_is_installed(tmp_path: Path) -> None:
    site = SoftwareSite(tmp_path, "file")
    path = site.state / "tool.installed"
    path.write_bytes(path.read_bytes()[:-1])
    weighed = site.made_and_started().weigh(site.offer, in_ram=False)
    assert weighed.weight is Weight.REFUSED
    assert "damaged" in weighed.reason
