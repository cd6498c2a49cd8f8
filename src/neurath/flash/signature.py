"""One signature, judged: the port that hosts give the core, by `cryptography`. It knows two algorithms; it must never be
imported but where a signature has come to be judged (flash.trust), since it weighs a third of an agent that waits."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from neurath.flash.trust import Alg


def holds(alg: int, key: bytes, message: bytes, signature: bytes) -> bool:
    """True when `key` signed `message`. ES256 signatures are r and s, 32 bytes each (RFC 9053 2.1)."""
    try:
        if alg == Alg.ED25519:
            ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        elif alg == Alg.ES256:
            r, s = (int.from_bytes(signature[i : i + 32], "big") for i in (0, 32))
            point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
            point.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
        else:
            return False
    except (InvalidSignature, ValueError):
        return False
    return True
