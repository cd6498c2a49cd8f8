"""Keys as files: PEM (PKCS #8 private, SubjectPublicKeyInfo public), Ed25519 and ES256. It knows how a key is loaded, made
and used to sign; it must never decide who is trusted, and never write a private key anywhere but where it is told."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from neurath.errors import DataError
from neurath.flash.trust import Alg as Alg
from neurath.flash.trust import PublicKey as PublicKey

_Public = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey
_SPKI = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
_PKCS8 = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)


class Signer(Protocol):
    """What signs: a key in a file, or one that never leaves its token."""

    @property
    def public(self) -> PublicKey: ...

    @property
    def alg(self) -> Alg: ...

    def sign(self, message: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A private key; its repr shows nothing of it."""

    private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey

    @property
    def public(self) -> PublicKey:
        return _public_value(self.private.public_key())

    @property
    def alg(self) -> Alg:
        return self.public.alg

    def sign(self, message: bytes) -> bytes:
        """64 bytes: Ed25519 as RFC 8032 has it, ES256 as r and s (RFC 9053 2.1)."""
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        r, s = decode_dss_signature(self.private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def pem(self) -> bytes:
        """PKCS #8, not encrypted."""
        return self.private.private_bytes(*_PKCS8, serialization.NoEncryption())


def create(alg: Alg) -> SigningKey:
    """A new key from the system's random source."""
    if alg is Alg.ED25519:
        return SigningKey(ed25519.Ed25519PrivateKey.generate())
    return SigningKey(ec.generate_private_key(ec.SECP256R1()))


def from_seed(seed: bytes) -> SigningKey:
    """The Ed25519 key of a 32-byte seed: device keys, and keys of tests."""
    return SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(seed))


def private_from_pem(pem: bytes, passphrase: bytes | None = None) -> SigningKey:
    """The private key in a PEM file, or DataError."""
    try:
        key = serialization.load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _not_a_key("private") from None
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return SigningKey(key)
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return SigningKey(key)
    raise _not_a_key("private")


def public_from_pem(pem: bytes) -> PublicKey:
    """The public key in a PEM file; the public half where the file holds a private key; or DataError."""
    if b"PRIVATE KEY" in pem:
        return private_from_pem(pem).public
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise _not_a_key("public") from None
    if isinstance(key, ed25519.Ed25519PublicKey):
        return _public_value(key)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return _public_value(key)
    raise _not_a_key("public")


def public_pem(key: PublicKey) -> bytes:
    """The public key as a PEM file; `public_from_pem` of it gives an equal key."""
    if key.alg is Alg.ED25519:
        return ed25519.Ed25519PublicKey.from_public_bytes(key.data).public_bytes(*_SPKI)
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key.data).public_bytes(*_SPKI)


def fingerprint(key: PublicKey) -> str:
    """SHA-256 over the algorithm's number and the key: what people compare."""
    return hashlib.sha256(bytes([key.alg]) + key.data).hexdigest()


def load_private(path: Path) -> SigningKey:
    return private_from_pem(path.read_bytes())


def load_public(path: Path) -> PublicKey:
    return public_from_pem(path.read_bytes())


def write_private(path: Path, key: SigningKey) -> None:
    """A new file that only its owner may read; FileExistsError where there is one: a key is never written over."""
    write_secret(path, key.pem())


def write_secret(path: Path, data: bytes) -> None:
    """The same for any other secret."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    except OSError:
        path.unlink(missing_ok=True)  # half a key is no key
        raise


def _public_value(key: _Public) -> PublicKey:
    if isinstance(key, ed25519.Ed25519PublicKey):
        return PublicKey(Alg.ED25519, key.public_bytes_raw())
    point = key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    return PublicKey(Alg.ES256, point)


def _not_a_key(kind: str) -> DataError:
    return DataError(
        f"this is not a {kind} key of ours",
        f"a PEM file with an Ed25519 or P-256 {kind} key, not encrypted, is needed",
        "neurath key create NAME makes one",
        id="NRT-214",
    )
