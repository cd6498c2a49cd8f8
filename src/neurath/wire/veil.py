"""A veiled update file: AES-128-CTR under a key of its own, which is wrapped for one terminal (docs/spec/veil.md). It
knows the bytes on both sides; it must never encrypt two files under one key, nor pass for a signature: what a file says is
judged by digests and signatures alone."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cbor2

from neurath.errors import DataError
from neurath.flash import veil as core
from neurath.flash.veil import MAGIC, is_veiled

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

#: COSE algorithms (RFC 9053, RFC 9459): AES-128 in counter mode, AES key wrap, and that after an ephemeral agreement.
_CTR, _WRAP, _AGREE = -65534, -3, -29
_ENCRYPT = 96
#: The counter begins at 0: a key hides one file.
_IV = bytes(16)
_AGREED = cbor2.dumps({1: _AGREE}, canonical=True)
_FIELD = 2**255 - 19
#: Bytes before the hidden file, where its key was agreed on.
AGREED_HEADER = 107
#: How recipients are written down: their kinds, and bytes of the key.
KINDS = {"derived": 16, "device": 32}


@dataclass(frozen=True, slots=True, repr=False)
class Recipient:
    """Whom a file is hidden for. `derived`: 16 bytes that its factory derives (flash.veil.derived); who has them can read its
    files. `device`: the 32 bytes of its public device key (Ed25519); who has them can only write such files."""

    kind: str
    key: bytes

    @property
    def header(self) -> int:
        """Bytes before the hidden file."""
        return core.HEADER if self.kind == "derived" else AGREED_HEADER

    def __str__(self) -> str:
        return f"{self.kind}:{self.key.hex()}"


def recipient(text: str) -> Recipient:
    """The recipient in `derived:HEX` or `device:HEX`, or DataError."""
    kind, _, digits = text.partition(":")
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if not key or len(key) != KINDS.get(kind):
        why = "derived:32 hexadecimal digits, or device:64 of them"
        raise DataError("this is no key to veil files with", why, "docs/how-to/veil.md", id="NRT-239")
    return Recipient(kind, key)


def hide(plain: bytes, to: Recipient, key: bytes = b"") -> bytes:
    """The file for this terminal alone, under a fresh key (`key` is for vectors)."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = key or secrets.token_bytes(core.KEY)
    hidden = Cipher(algorithms.AES(key), modes.CTR(_IV)).encryptor().update(plain)
    return _head(_wrapped(to, key)) + hidden


def key_of(data: bytes | memoryview, device_key: bytes) -> tuple[int, bytes]:
    """Where the hidden file begins, and its key: for the terminal with this device key. (0, b""): the file is not veiled.
    DataError for a form that is not known here, TrustError for another terminal's."""
    if not is_veiled(data):
        return 0, b""
    for size, read in ((core.HEADER, _derived_key), (AGREED_HEADER, _agreed_key)):
        head = bytes(data[:size])
        wrapped, made = read(head, device_key)
        if wrapped and len(data) > size:
            return size, core.unwrapped(made, wrapped)
    raise _unknown("docs/spec/veil.md names two")


def _unknown(why: str) -> DataError:
    return DataError("this file is veiled in a way that is not known here", why, "check in again", id="NRT-203")


# ---- the two ways to wrap a key ----------------------------------------------------------------------------------------


def _wrapped(to: Recipient, key: bytes) -> list[object]:
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    if to.kind == "derived":
        return [b"", {1: _WRAP}, aes_key_wrap(to.key, key)]
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    ephemeral = X25519PrivateKey.generate()
    shown = {1: 1, -1: 4, -2: ephemeral.public_key().public_bytes_raw()}
    return [_AGREED, {-1: shown}, aes_key_wrap(_agree(ephemeral, _montgomery(to.key)), key)]


def _head(recipient: list[object]) -> bytes:
    structure = [b"", {1: _CTR, 5: _IV}, None, [recipient]]
    return MAGIC + cbor2.dumps(cbor2.CBORTag(_ENCRYPT, structure), canonical=True)


def _derived_key(head: bytes, device_key: bytes) -> tuple[bytes, bytes]:
    """The wrapped key and what it is wrapped under; (b"", b"") where the header is another."""
    wrapped = head[-core.WRAPPED :]
    if head != _head([b"", {1: _WRAP}, wrapped]):
        return b"", b""
    return wrapped, core.derived(device_key)


def _agreed_key(head: bytes, device_key: bytes) -> tuple[bytes, bytes]:
    wrapped, ephemeral = head[-core.WRAPPED :], head[-core.WRAPPED - 2 - 32 : -core.WRAPPED - 2]
    if head != _head([_AGREED, {-1: {1: 1, -1: 4, -2: ephemeral}}, wrapped]):
        return b"", b""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    own = X25519PrivateKey.from_private_bytes(hashlib.sha512(device_key).digest()[:32])
    return wrapped, _agree(own, X25519PublicKey.from_public_bytes(ephemeral))


def _agree(own: X25519PrivateKey, other: X25519PublicKey) -> bytes:
    """ECDH-ES with HKDF-SHA-256 (RFC 9053 6.3, 5.2): the key that wraps."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    try:
        shared = own.exchange(other)
    except ValueError:  # a point of low order: nothing was agreed on
        raise _unknown("its key is no key") from None
    nobody = [None, None, None]
    context = cbor2.dumps([_WRAP, nobody, nobody, [128, _AGREED]], canonical=True)
    return HKDF(SHA256(), core.KEY, None, context).derive(shared)


def _montgomery(device: bytes) -> X25519PublicKey:
    """The public device key for agreements: the same point on the other form of the curve (RFC 7748 4.1)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

    y = int.from_bytes(device, "little") & (2**255 - 1)
    u = (1 + y) * pow(1 - y, -1, _FIELD) % _FIELD if y % _FIELD != 1 else 0
    return X25519PublicKey.from_public_bytes(u.to_bytes(32, "little"))
