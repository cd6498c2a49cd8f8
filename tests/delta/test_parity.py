"""Block parity: one damaged block is mended, more are refused, nothing is ever made worse."""

from __future__ import annotations

import json
import random
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.flash._core import ffi, lib
from tests.parts import ASSURANCE

VECTORS = Path(__file__).resolve().parents[2] / "vectors" / "delta"
BLOCK = 512


def area(file: bytes) -> bytes:
    out = ffi.new("uint8_t[]", lib.nrt_parity_size(len(file)))
    lib.nrt_parity_make(file, len(file), out)
    return bytes(ffi.buffer(out))


def mended(file: bytes, parity: bytes) -> tuple[int, bytes, int]:
    held, count = ffi.new("uint8_t[]", file or b"\0"), ffi.new("uint32_t *")
    code = lib.nrt_parity_mend(held, len(file), parity, count)
    return code, bytes(ffi.buffer(held, len(file))), count[0]


def flipped(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


@given(st.binary(max_size=3000), st.data())
def test_one_damaged_block_comes_back_whatever_was_in_it(file: bytes, data: st.DataObject) -> None:
    parity = area(file)
    assert mended(file, parity) == (lib.NRT_OK, file, 0)
    if not file:
        return
    block = data.draw(st.integers(0, (len(file) - 1) // BLOCK))
    end = min(len(file), (block + 1) * BLOCK)
    broken = (
        file[: block * BLOCK] + data.draw(st.binary(min_size=end - block * BLOCK, max_size=end - block * BLOCK)) + file[end:]
    )
    assert mended(broken, parity) == (lib.NRT_OK, file, int(broken != file))


def test_every_bit_of_a_30_kib_file_is_mended() -> None:
    """A seeded sample, at least one bit a block; all 245,760 bits under NEURATH_ASSURANCE=1."""
    dice = random.Random(30)
    file = dice.randbytes(30 * 1024)
    parity = area(file)
    bits = (
        range(len(file) * 8)
        if ASSURANCE
        else [b * BLOCK * 8 + dice.randrange(BLOCK * 8) for b in range(60) for _ in range(10)]
    )
    held, count = ffi.new("uint8_t[]", file), ffi.new("uint32_t *")
    for bit in bits:
        held[bit // 8] ^= 1 << bit % 8
        assert lib.nrt_parity_mend(held, len(file), parity, count) == lib.NRT_OK
        assert count[0] == 1
        assert held[bit // 8] == file[bit // 8]
    assert bytes(ffi.buffer(held, len(file))) == file


def test_every_bit_of_the_area_leaves_the_file_as_it_is() -> None:
    file = random.Random(31).randbytes(3 * BLOCK + 100)
    parity = area(file)
    for bit in range(len(parity) * 8):
        assert mended(file, flipped(parity, bit)) == (lib.NRT_OK, file, 0)


def test_two_damaged_blocks_are_refused() -> None:
    file = random.Random(32).randbytes(4 * BLOCK)
    parity = area(file)
    for a, b in ((0, 1), (0, 3), (2, 3)):
        broken = flipped(flipped(file, a * BLOCK * 8 + 5), b * BLOCK * 8 + 77)
        assert mended(broken, parity) == (lib.NRT_E_DIGEST, broken, 0)


def test_a_damaged_block_and_a_damaged_area_are_refused() -> None:
    file = random.Random(33).randbytes(4 * BLOCK)
    parity = area(file)
    for bit in (3, 9 * 8, (BLOCK + 4) * 8, len(parity) * 8 - 1):
        broken = flipped(file, BLOCK * 8 + 5)
        code, after, _ = mended(broken, flipped(parity, bit))
        assert (code, after) in ((lib.NRT_E_DIGEST, broken), (lib.NRT_OK, file))


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 1024])
def test_the_area_has_the_size_the_page_says(size: int) -> None:
    assert lib.nrt_parity_size(size) == BLOCK + 4 * (-(-size // BLOCK) + 1)


def test_the_vector_of_the_page_holds() -> None:
    vector = json.loads((VECTORS / "parity.json").read_text())
    file = bytes(i * 7 % 256 for i in range(vector["size"]))
    parity = area(file)
    assert (len(parity), zlib.crc32(parity)) == (vector["area"], vector["crc32"])
