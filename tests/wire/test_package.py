"""The restoration package: what it takes and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.wire import package

VECTOR = Path(__file__).resolve().parents[2] / "vectors" / "package.json"


@given(
    envelope=st.binary(min_size=1, max_size=350),
    image=st.binary(min_size=1, max_size=3000),
    leaf=st.sampled_from([256, 512, 4096]),
)
def test_a_package_read_back_is_what_was_built(envelope: bytes, image: bytes, leaf: int) -> None:
    found = package.read(package.build(envelope, image, leaf))
    assert (found.envelope, found.image, found.leaf) == (envelope, image, leaf)
    assert package.build(found.envelope, found.image, found.leaf)[: found.header][-len(found.leaves) :] == found.leaves


@given(st.binary(max_size=600))
def test_no_byte_string_crashes_the_reader(data: bytes) -> None:
    for candidate in (data, package.MAGIC + data):
        try:
            package.read(candidate)
        except DataError:
            continue


def test_every_truncation_and_every_flipped_bit_of_structure_or_image_is_refused() -> None:
    whole = package.build(b"e" * 20, bytes(range(256)) * 3, 256)
    body = 16 + 20
    for cut in range(len(whole)):
        with pytest.raises(DataError):
            package.read(whole[:cut])
    with pytest.raises(DataError):
        package.read(whole + b"\0")
    for bit in range(8 * len(whole)):
        if 16 <= bit // 8 < body:
            continue  # the envelope: its signature protects it, not the package
        bad = bytearray(whole)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DataError):
            package.read(bytes(bad))


def test_the_vector_is_what_the_code_builds() -> None:
    vector = json.loads(VECTOR.read_text())
    envelope, image = bytes.fromhex(vector["envelope"]), bytes.fromhex(vector["image"])
    assert package.build(envelope, image, vector["leaf"]).hex() == vector["package"]
    assert package.read(bytes.fromhex(vector["package"])).leaves.hex() == vector["leaves"]


@pytest.mark.parametrize(("envelope", "image"), [(b"", b"x"), (b"e" * 351, b"x"), (b"e", b"")])
def test_impossible_sizes_are_not_built(envelope: bytes, image: bytes) -> None:
    with pytest.raises(DataError):
        package.build(envelope, image)
