"""The leaf list names every leaf of an image, whatever its last one holds."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.wire.leaflist import leaf_count, leaf_digest, leaf_list
from tests.wire.vectors import load


def test_the_vectors_of_the_leaf_list_page_hold() -> None:
    page = load("leaflist")
    image = bytes((7 * i + i // 256) % 256 for i in range(page["image_size"]))
    listed = leaf_list(image, page["leaf"])
    assert listed.hex() == page["list"]
    assert leaf_digest(listed).hex() == page["digest"]
    for more in page["more"]:
        assert leaf_digest(leaf_list(image[: more["image_size"]], more["leaf"])).hex() == more["digest"]


@given(st.binary(min_size=1, max_size=5000), st.sampled_from([1, 512, 1024, 4096]))
def test_each_leaf_is_the_digest_of_its_own_bytes(image: bytes, leaf: int) -> None:
    listed = leaf_list(image, leaf)
    assert len(listed) == 16 * leaf_count(len(image), leaf)
    last = (len(image) - 1) // leaf
    for index in {0, last}:
        piece = image[index * leaf : (index + 1) * leaf]
        piece += b"\xff" * (leaf - len(piece))
        assert listed[16 * index : 16 * index + 16] == hashlib.sha256(piece).digest()[:16]


@pytest.mark.parametrize("leaf", [0, -1, 3, 4095])
def test_a_leaf_is_a_power_of_two(leaf: int) -> None:
    with pytest.raises(DataError):
        leaf_list(b"image", leaf)
