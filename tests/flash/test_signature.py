"""The OpenSSL that is in the process judges signatures as `cryptography` does, bit by bit, and leaves nothing behind that TLS
would trip over; an agent that has taken an update holds nothing of `cryptography`."""

from __future__ import annotations

import subprocess
import sys

import pytest

from neurath.flash import signature
from neurath.flash._core import lib
from neurath.flash.trust import Alg, signature_holds
from neurath.wire import keys

MESSAGE = b"what was signed"
#: Order of P-256's group (FIPS 186-4 D.1.2.3).
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def ours(alg: int, key: bytes, message: bytes, sig: bytes) -> bool:
    said = lib.nrt_openssl_verify(alg, key, len(key), message, len(message), sig)
    assert said in (lib.NRT_OK, lib.NRT_E_TRUST), "this Python shares no OpenSSL: nothing was compared"
    return said == lib.NRT_OK


def same(alg: int, key: bytes, message: bytes, sig: bytes) -> bool:
    found = ours(alg, key, message, sig)
    assert found == signature.holds(alg, key, message, sig), (alg, key.hex(), message.hex(), sig.hex())
    return found


@pytest.mark.parametrize("alg", list(Alg))
def test_every_flipped_bit_is_judged_as_cryptography_judges_it(alg: Alg) -> None:
    key = keys.create(alg)
    sig, public = key.sign(MESSAGE), key.public.data
    assert same(alg, public, MESSAGE, sig)
    for what in (sig, public, MESSAGE):
        for bit in range(8 * len(what)):
            bad = bytearray(what)
            bad[bit // 8] ^= 1 << bit % 8
            given = [bytes(bad) if part is what else part for part in (public, MESSAGE, sig)]
            assert not same(alg, *given), (len(what), bit)
    assert not same(alg, public, b"", sig)
    assert not same(3 - alg, public, MESSAGE, sig)


def test_numbers_of_every_length_are_written_as_der_wants_them() -> None:
    """Halves with leading zeros, and with their first bit set: of many signatures some have each."""
    key = keys.create(Alg.ES256)
    seen = set()
    for count in range(1500):
        sig = key.sign(count.to_bytes(2, "big"))
        for half in (sig[:32], sig[32:]):
            seen.add((half[0] == 0, half[0] >= 0x80, half[0] == 0 and half[1] >= 0x80))
        if count < 40 or 0 in (sig[0], sig[32]):
            assert same(Alg.ES256, key.public.data, count.to_bytes(2, "big"), sig)
    assert len(seen) == 4


@pytest.mark.parametrize("r", [0, 1, N - 1, N, N + 1, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, N - 1, N, N + 1, 2**256 - 1])
def test_numbers_at_the_edges_prove_nothing(r: int, s: int) -> None:
    key = keys.create(Alg.ES256).public.data
    assert not same(Alg.ES256, key, MESSAGE, r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def test_a_number_and_the_same_number_more_than_the_order_are_two() -> None:
    key = keys.create(Alg.ES256)
    for count in range(2000):
        sig = key.sign(count.to_bytes(2, "big"))
        s = int.from_bytes(sig[32:], "big")
        if s + N < 2**256:
            assert not same(Alg.ES256, key.public.data, count.to_bytes(2, "big"), sig[:32] + (s + N).to_bytes(32, "big"))
            return
        other = sig[:32] + (N - s).to_bytes(32, "big")  # the other root is as good: nothing is ever named by a signature
        if count < 5:
            assert same(Alg.ES256, key.public.data, count.to_bytes(2, "big"), other)


@pytest.mark.parametrize("first", [0, 2, 3, 5, 6, 7])
def test_points_are_taken_in_one_form_and_on_the_curve(first: int) -> None:
    key = keys.create(Alg.ES256)
    sig, point = key.sign(MESSAGE), key.public.data
    assert not same(Alg.ES256, bytes([first]) + point[1:], MESSAGE, sig)
    assert not same(Alg.ES256, point[:33], MESSAGE, sig)
    assert not same(Alg.ES256, point[:64] + bytes([point[64] ^ 1]), MESSAGE, sig)
    assert not same(Alg.ES256, b"\4" + bytes(64), MESSAGE, sig)


def test_points_of_small_order_are_judged_as_cryptography_judges_them() -> None:
    for text in ("01" + "00" * 31, "ec" + "ff" * 30 + "7f", "00" * 32, "00" * 31 + "80", "ff" * 32):
        for sig in (bytes(64), bytes.fromhex(text) + bytes(32)):
            same(Alg.ED25519, bytes.fromhex(text), MESSAGE, sig)


def test_a_python_without_openssl_to_share_asks_cryptography() -> None:
    code = (
        "import sys; sys.modules['_hashlib'] = None; sys.modules['_ssl'] = None\n"
        "from neurath.flash.trust import signature_holds\n"
        "from neurath.flash._core import lib\n"
        "key, message, sig = (bytes.fromhex(one) for one in sys.argv[1:4])\n"
        "assert lib.nrt_openssl_verify(2, key, 32, message, len(message), sig) == lib.NRT_E_STATE\n"
        "assert signature_holds(2, key, message, sig) and not signature_holds(2, key, message + b'x', sig)\n"
        "assert 'cryptography' in sys.modules\n"
    )
    key = keys.create(Alg.ED25519)
    words = [one.hex() for one in (key.public.data, MESSAGE, key.sign(MESSAGE))]
    subprocess.run([sys.executable, "-c", code, *words], check=True, timeout=60)


def test_a_refused_signature_leaves_no_error_that_tls_would_find() -> None:
    """OpenSSL keeps errors a thread; its own TLS reads a left one as the failure of the next operation."""
    code = (
        "import ctypes, hashlib, ssl\n"
        "from neurath.flash._core import lib\n"
        "crypto = ctypes.CDLL('libcrypto.so.3')\n"
        "assert lib.nrt_openssl_verify(1, b'\\4' + bytes(64), 65, b'm', 1, bytes(64)) == lib.NRT_E_TRUST\n"
        "assert crypto.ERR_peek_error() == 0\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_port_of_hosts_uses_it() -> None:
    code = (
        "import hashlib, sys\nfrom neurath.flash.trust import signature_holds\n"
        "key, message, sig = (bytes.fromhex(one) for one in sys.argv[1:4])\n"
        "assert signature_holds(1, key, message, sig) and not signature_holds(1, key, message + b'x', sig)\n"
        "assert 'cryptography' not in sys.modules\n"
    )
    key = keys.create(Alg.ES256)
    words = [one.hex() for one in (key.public.data, MESSAGE, key.sign(MESSAGE))]
    subprocess.run([sys.executable, "-c", code, *words], check=True, timeout=60)
    assert signature_holds(Alg.ES256, key.public.data, MESSAGE, key.sign(MESSAGE))
