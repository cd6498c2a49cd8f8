"""AES-128 and its key wrap in the core, against published vectors, and files that are read through it from any offset."""

from __future__ import annotations

import random

import pytest

from neurath.errors import DataError, TrustError
from neurath.flash import veil as core
from neurath.flash._core import ffi, lib
from neurath.wire import keys, veil
from neurath.wire.veil import Recipient

#: NIST SP 800-38A, F.5.1: CTR-AES128.
KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
BLOCKS = [
    ("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", "6bc1bee22e409f96e93d7e117393172a", "874d6191b620e3261bef6864990db6ce"),
    ("f0f1f2f3f4f5f6f7f8f9fafbfcfdff00", "ae2d8a571e03ac9c9eb76fac45af8e51", "9806f66b7970fdff8617187bb9fffdff"),
    ("f0f1f2f3f4f5f6f7f8f9fafbfcfdff01", "30c81c46a35ce411e5fbc1191a0a52ef", "5ae4df3edbd5d35e5b4f09020db03eab"),
    ("f0f1f2f3f4f5f6f7f8f9fafbfcfdff02", "f69f2445df4f9b17ad2b417be66c3710", "1e031dda2fbe03d1792170a0f3009cee"),
]
DEVICE, OTHER = b"d" * 32, b"e" * 32
PLAIN = random.Random(5).randbytes(1000)


def encrypted(key: bytes, *blocks: bytes) -> list[bytes]:
    a, both = ffi.new("struct nrt_aes *"), ffi.new("uint8_t[32]", b"".join(blocks))
    lib.nrt_aes_key(a, key)
    lib.nrt_aes_encrypt2(a, both)
    return [bytes(both)[:16], bytes(both)[16:]]


def decrypted(key: bytes, block: bytes) -> bytes:
    a, one = ffi.new("struct nrt_aes *"), ffi.new("uint8_t[16]", block)
    lib.nrt_aes_key(a, key)
    lib.nrt_aes_decrypt(a, one)
    return bytes(one)


def recipients(device: bytes) -> list[Recipient]:
    return [Recipient("derived", core.derived(device)), Recipient("device", keys.from_seed(device).public.data)]


def opened(data: bytes, device: bytes, kind: str) -> tuple[int, bytes]:
    """What the core reads in a veiled file: in pieces of every size, from anywhere."""
    start, key = veil.key_of(data, device)
    held, out = ffi.from_buffer(data), b""
    staged = ffi.new("struct nrt_bytes *", {"data": held, "size": len(data)})
    read = ffi.callback(
        "int(void *, uint32_t, uint8_t *, uint32_t)",
        lambda _ctx, off, buf, n: ffi.memmove(buf, data[off : off + n], n) or 0,
    )
    whole = ffi.new("struct nrt_file *", {"ctx": staged, "size": len(data), "read": read})
    one, plain = ffi.new("struct nrt_veil *"), ffi.new("struct nrt_file *")
    if kind == "derived":
        assert lib.nrt_veil_open(one, whole, device, plain) == lib.NRT_OK
    else:
        assert lib.nrt_veil_begin(one, whole, start, key, plain) == lib.NRT_OK
    assert plain.whole == whole
    rng, at = random.Random(9), 0
    while at < plain.size:
        n = min(rng.randrange(1, 70), plain.size - at)
        buf = ffi.new("uint8_t[]", n)
        assert plain.read(plain.ctx, at, buf, n) == lib.NRT_OK
        out, at = out + bytes(buf), at + n
    for _ in range(200):
        at = rng.randrange(plain.size)
        n = rng.randrange(1, plain.size - at + 1)
        buf = ffi.new("uint8_t[]", n)
        assert plain.read(plain.ctx, at, buf, n) == lib.NRT_OK
        assert bytes(buf) == out[at : at + n]
    assert plain.read(plain.ctx, plain.size, ffi.new("uint8_t[1]"), 1) == lib.NRT_E_READ
    return start, out


def test_the_cipher_gives_what_fips_197_prints() -> None:
    key, plain = bytes(range(16)), bytes.fromhex("00112233445566778899aabbccddeeff")
    cipher = bytes.fromhex("69c4e0d86a7b0430d8cdb78070b4c55a")
    assert encrypted(key, plain, plain) == [cipher, cipher]
    assert decrypted(key, cipher) == plain


@pytest.mark.parametrize(("counter", "plain", "cipher"), BLOCKS)
def test_counter_mode_gives_what_sp_800_38a_prints(counter: str, plain: str, cipher: str) -> None:
    stream = encrypted(KEY, bytes(16), bytes.fromhex(counter))[1]
    assert bytes(a ^ b for a, b in zip(stream, bytes.fromhex(plain), strict=True)).hex() == cipher


def test_a_key_is_unwrapped_as_rfc_3394_prints() -> None:
    kek = bytes.fromhex("000102030405060708090A0B0C0D0E0F")
    wrapped = bytes.fromhex("1FA68B0A8112B447AEF34BD8FB5A7B829D3E862371D2CFE5")
    assert core.unwrapped(kek, wrapped) == bytes.fromhex("00112233445566778899AABBCCDDEEFF")
    for bit in range(len(wrapped) * 8):
        flipped = bytearray(wrapped)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(TrustError):
            core.unwrapped(kek, bytes(flipped))


def test_every_byte_is_substituted_and_back(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(50):
        key, one, two = rng.randbytes(16), rng.randbytes(16), rng.randbytes(16)
        cipher = encrypted(key, one, two)
        assert [decrypted(key, block) for block in cipher] == [one, two]


@pytest.mark.parametrize("kind", ["derived", "device"])
def test_a_file_is_read_from_anywhere_without_being_decrypted_anywhere(kind: str) -> None:
    to = next(one for one in recipients(DEVICE) if one.kind == kind)
    data = veil.hide(PLAIN, to)
    assert opened(data, DEVICE, kind) == (to.header, PLAIN)
    assert len(data) == to.header + len(PLAIN)


@pytest.mark.parametrize("kind", ["derived", "device"])
def test_another_terminals_key_opens_nothing(kind: str) -> None:
    data = veil.hide(PLAIN, next(one for one in recipients(DEVICE) if one.kind == kind))
    with pytest.raises(TrustError, match="another terminal"):
        veil.key_of(data, OTHER)


@pytest.mark.parametrize("kind", ["derived", "device"])
def test_every_flipped_bit_of_a_header_is_refused_or_leaves_no_veil(kind: str) -> None:
    to = next(one for one in recipients(DEVICE) if one.kind == kind)
    data = veil.hide(PLAIN, to)
    for bit in range(to.header * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        if bit // 8 < len(core.MAGIC):
            assert veil.key_of(flipped, DEVICE) == (0, b"")
            continue
        # The highest bit of a point does not count (RFC 7748 5): the key is the same, and so is the file.
        if kind == "device" and bit == (to.header - core.WRAPPED - 2) * 8 - 1:
            continue
        with pytest.raises((DataError, TrustError)):
            veil.key_of(flipped, DEVICE)


@pytest.mark.parametrize("size", [0, 3, 4, 5, 63, 64])
def test_what_ends_too_early_is_no_veiled_file(size: int) -> None:
    data = veil.hide(PLAIN, recipients(DEVICE)[0])[:size]
    read = ffi.callback(
        "int(void *, uint32_t, uint8_t *, uint32_t)",
        lambda _ctx, off, buf, n: ffi.memmove(buf, data[off : off + n], n) or 0,
    )
    whole = ffi.new("struct nrt_file *", {"size": len(data), "read": read})
    one, plain = ffi.new("struct nrt_veil *"), ffi.new("struct nrt_file *")
    code = lib.nrt_veil_open(one, whole, DEVICE, plain)
    assert code == (lib.NRT_MORE if size < 4 else lib.NRT_E_FORMAT)


def test_no_two_files_are_hidden_under_one_key() -> None:
    to = recipients(DEVICE)[0]
    seen = {veil.key_of(veil.hide(PLAIN, to), DEVICE)[1] for _ in range(64)}
    assert len(seen) == 64


def test_recipients_are_written_down_and_read_again() -> None:
    for to in recipients(DEVICE):
        assert veil.recipient(str(to)) == to
        assert to.key.hex() not in repr(to)
    for wrong in ("", "derived:", "derived:00", "device:zz", "ed25519:" + 64 * "0", 64 * "0"):
        with pytest.raises(DataError):
            veil.recipient(wrong)
