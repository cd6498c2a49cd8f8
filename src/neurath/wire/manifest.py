"""The envelope of a full image: a SUIT envelope in Neurath's profile. It knows how contents are written down and signed;
reading and verifying are the core's, the same code that a terminal runs. Spec: docs/spec/envelope.md."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cbor2

from neurath.errors import DataError
from neurath.flash.geometry import Model
from neurath.flash.trust import MAX_ENVELOPE as MAX_ENVELOPE
from neurath.flash.trust import MAX_VERSION, PublicKey, read_envelope, suit_verify
from neurath.flash.trust import Contents as Contents
from neurath.flash.trust import Envelope as Envelope
from neurath.ids import digest
from neurath.wire.cose import sign1
from neurath.wire.keys import Signer
from neurath.wire.leaflist import leaf_digest, leaf_list

_SHA256 = -16
_SUIT = 107


def contents_of(image: bytes, model: Model, *, sequence: int, epoch: int = 0, version: str = "") -> Contents:
    """What there is to sign about a full image for this model."""
    return Contents(
        vendor=model.vendor,
        klass=model.klass,
        image=digest(image),
        image_size=len(image),
        leaves=leaf_digest(leaf_list(image, model.layout.leaf)),
        leaf=model.layout.leaf,
        sequence=sequence,
        epoch=epoch,
        version=version,
    )


def manifest(contents: Contents) -> bytes:
    """The manifest as it is signed: one deterministic CBOR map (docs/spec/envelope.md 3)."""
    _check(contents)
    parameters: dict[int, object] = {
        1: contents.vendor,
        2: contents.klass,
        3: _digest(contents.image),
        14: contents.image_size,
        -256: _digest(contents.leaves),
        -257: contents.leaf,
        -258: contents.epoch,
    }
    if contents.version:
        parameters[-259] = contents.version
    shared = _pack([20, parameters, 1, 15, 2, 15])
    common = _pack({2: [[b"\x00"]], 4: shared})
    return _pack({1: 1, 2: contents.sequence, 3: common, 7: _pack([3, 15]), 9: _pack([23, 2])})


def sign(contents: Contents, key: Signer) -> bytes:
    """The signed envelope, at most 350 bytes; DataError when a field does not fit."""
    statement = manifest(contents)
    named = _digest(hashlib.sha256(_pack(statement)).digest())
    wrapper = _pack([named, sign1(named, key, detached=True)])
    return _pack(cbor2.CBORTag(_SUIT, {2: wrapper, 3: statement}))


def verify(raw: bytes, keys: Sequence[PublicKey]) -> Envelope:
    """The contents one of the keys signed; DataError when malformed, TrustError when not signed by them."""
    return read_envelope(raw, keys)


def verify_any(raw: bytes, keys: Sequence[PublicKey]) -> None:
    """Takes any conforming SUIT envelope that one of the keys signed, ours or not; else DataError or TrustError."""
    suit_verify(raw, keys)


def _digest(value: bytes) -> bytes:
    return _pack([_SHA256, value])


def _pack(value: object) -> bytes:
    return cbor2.dumps(value, canonical=True)


def _check(c: Contents) -> None:
    numbers = (c.sequence, c.epoch, c.image_size, c.leaf)
    if [len(c.vendor), len(c.klass), len(c.image), len(c.leaves)] != [16, 16, 32, 32]:
        raise _bad("vendor and class are 16 bytes, digests 32")
    if not all(0 <= n <= 0xFFFF_FFFF for n in numbers) or not c.image_size:
        raise _bad("sequence, epoch and sizes are 32-bit numbers; an image is not empty")
    if c.leaf <= 0 or c.leaf & (c.leaf - 1):
        raise _bad("a leaf is a power of two")
    if len(c.version) > MAX_VERSION or not all("\x21" <= x <= "\x7e" for x in c.version):
        raise _bad(f"a version is up to {MAX_VERSION} printable ASCII characters without spaces")


def _bad(why: str) -> DataError:
    return DataError("this cannot be signed", why, "see docs/spec/envelope.md", id="NRT-216")
