"""The token a bare terminal derives, computed by hand."""

from __future__ import annotations

import hashlib
import hmac

from neurath.wire.ticket import derived_token


def test_the_token_is_what_anybody_with_the_device_key_computes() -> None:
    key = bytes(range(32))
    halves = [
        hmac.digest(key, b"neurath token" + bytes(3) + half.to_bytes(4, "big"), hashlib.sha256)[:8].hex() for half in (0, 1)
    ]
    assert derived_token(key) == "".join(halves)
    assert derived_token(bytes(32)) != derived_token(key)
