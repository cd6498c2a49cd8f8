"""A signed update file: the word of a release key that this very file makes this release (docs/spec/signed.md). It knows the
bytes in front of the file; it must never judge them: the core does (core/src/signed.c)."""

from __future__ import annotations

import hashlib

from neurath.errors import DataError, TrustError
from neurath.flash.trust import PublicKey, signature_holds
from neurath.wire import cbor
from neurath.wire.cose import sign1
from neurath.wire.keys import Signer

MAGIC = b"NRS\1"
#: Bytes before the file.
HEADER = 133
_PAYLOAD, _SIGNATURE = slice(13, 67), slice(69, 133)


def sign(file: bytes, envelope: bytes, key: Signer) -> bytes:
    """The file with a release key's word in front: for the release whose envelope has this digest (its first 16 bytes)."""
    if is_signed(file):
        raise DataError("this file is signed already", "one signature is enough", "give the update file itself", id="NRT-204")
    made = MAGIC + sign1(_statement(file, envelope), key, detached=False)
    assert len(made) == HEADER
    return made + file


def is_signed(data: bytes) -> bool:
    return data[: len(MAGIC)] == MAGIC


def verify(data: bytes, keys: list[PublicKey]) -> tuple[bytes, bytes]:
    """The first 16 bytes of the envelope's digest, and the file, once one of the keys signed them; DataError, TrustError."""
    file, payload = data[HEADER:], data[_PAYLOAD]
    envelope = payload[3:19]
    if not is_signed(data) or not file or payload != _statement(file, envelope):
        raise DataError("this is no signed update file", "or another file than was signed", "neurath delta sign", id="NRT-248")
    for key in keys:
        if data[:HEADER] == MAGIC + sign1(payload, _Same(key, data[_SIGNATURE]), detached=False):
            return envelope, file
    raise TrustError(
        "no release key of this model signed this file", "", "sign it with the key that signs releases", id="NRT-248"
    )


class _Same:
    """Gives the signature that is there, if it holds: what is made with it is what is there, byte for byte."""

    def __init__(self, key: PublicKey, signature: bytes) -> None:
        self.public, self.alg, self._signature = key, key.alg, signature

    def sign(self, message: bytes) -> bytes:
        return self._signature if signature_holds(self.alg, self.public.data, message, self._signature) else bytes(64)


def _statement(file: bytes, envelope: bytes) -> bytes:
    if len(envelope) != 16:
        raise DataError("an envelope is named by 16 bytes", f"{len(envelope)} were given", id="NRT-248")
    return cbor.pack({1: envelope, 2: hashlib.sha256(file).digest()})
