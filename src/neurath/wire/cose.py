"""How a payload is signed: COSE_Sign1 (RFC 9052 4.2) as our core takes it. It knows the bytes that are signed; it must never
verify (the core does)."""

from __future__ import annotations

import cbor2

from neurath.flash.trust import Alg
from neurath.wire.keys import Signer

#: COSE algorithm numbers (RFC 9053): ES256 and EdDSA.
_LABEL = {Alg.ES256: -7, Alg.ED25519: -8}


def sign1(payload: bytes, key: Signer, *, detached: bool) -> bytes:
    """Tag 18, protected header {1: alg}, empty unprotected header; the payload inside, or null."""
    header = cbor2.dumps({1: _LABEL[key.alg]}, canonical=True)
    signature = key.sign(cbor2.dumps(["Signature1", header, b"", payload], canonical=True))
    block: list[object] = [header, {}, None if detached else payload, signature]
    return cbor2.dumps(cbor2.CBORTag(18, block), canonical=True)
