"""Public keys in the form that we and OpenSSL write them: PEM of a SubjectPublicKeyInfo, Ed25519 or an uncompressed P-256
point. It knows two prefixes and a curve; it must never take a key that wire.keys would not, and asks it about all else."""

from __future__ import annotations

import binascii
import importlib
import re
from collections.abc import Callable
from pathlib import Path

from neurath.flash.trust import Alg, PublicKey

_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\r?\n([A-Za-z0-9+/=\r\n]{40,200})-----END PUBLIC KEY-----\s*", re.ASCII)
#: What stands before the key itself (RFC 8410 4, RFC 5480 2), DER.
_FORMS = {
    Alg.ED25519: (bytes.fromhex("302a300506032b6570032100"), 32),
    Alg.ES256: (bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"), 65),
}
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


def load_public(path: Path) -> PublicKey:
    """The public key in a PEM file, DataError where there is none."""
    pem = path.read_bytes()
    found = _plain(pem)
    if found is not None:
        return found
    # Another form, a private key, or nonsense: the reader that knows them weighs a third of an agent (docs/decisions/0230).
    read: Callable[[bytes], PublicKey] = importlib.import_module("neurath.wire.keys").public_from_pem
    return read(pem)


def _plain(pem: bytes) -> PublicKey | None:
    """The key of a PEM file in one of the two forms; None: not for here to say."""
    if (text := _PEM.fullmatch(pem)) is None:
        return None
    try:
        data = binascii.a2b_base64(re.sub(rb"[\r\n]", b"", text[1]), strict_mode=True)
    except binascii.Error:
        return None
    for alg, (prefix, length) in _FORMS.items():
        key = data.removeprefix(prefix)
        if data.startswith(prefix) and len(key) == length and (alg is Alg.ED25519 or _on_the_curve(key)):
            return PublicKey(alg, key)
    return None


def _on_the_curve(point: bytes) -> bool:
    """Whether an uncompressed point lies on P-256 (FIPS 186-4 D.1.2.3)."""
    x, y = int.from_bytes(point[1:33], "big"), int.from_bytes(point[33:], "big")
    return point[0] == 4 and x < _P and y < _P and (y * y - (x * x * x - 3 * x + _B)) % _P == 0
