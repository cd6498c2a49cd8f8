"""Check-in and offer as they are between ends that remember: what the other end has is not said again. It knows keys of maps
and digests; it must never guess what is missing. Spec: docs/spec/check.md 4, docs/spec/offer.md 3."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from neurath.wire import cbor
from neurath.wire.cbor import malformed

#: Of a check-in: the digest of the one that this one is like, b"" for one that says everything.
LIKE = 0
DIGEST = 8
#: Of an offer: what its ticket does not say, and no other message: need, envelope, ticket, action, reminder.
_KEPT = (4, 5, 6, 8, 11)


@dataclass(frozen=True, slots=True)
class Brief:
    """A check-in that is `like` another, but for the keys it has itself; b"": like none."""

    like: bytes
    keys: dict[int, object]

    @property
    def component(self) -> str | None:
        """Which component it is about; None: that of a terminal with one."""
        named = self.keys.get(8)
        return named if isinstance(named, str) else None


def digest(check: bytes) -> bytes:
    """By what name a whole check-in is meant."""
    return hashlib.sha256(check).digest()[:DIGEST]


def read(body: bytes) -> Brief | None:
    """The brief check-in in the bytes; None: it is a whole one of the usual kind."""
    keys = cbor.unpack(body, "check").values()
    if LIKE not in keys:
        return None
    like = keys.pop(LIKE)
    if not isinstance(like, bytes) or len(like) not in (0, DIGEST):
        raise malformed("check", f"key {LIKE} names a check-in by {DIGEST} bytes")
    return Brief(like, keys)


def whole(brief: Brief, before: bytes) -> bytes | None:
    """The check-in that is meant, as it would be without brevity; None where `before` is not the one it is like."""
    if not brief.like:
        return cbor.pack(brief.keys)
    if not before or digest(before) != brief.like:
        return None
    return cbor.pack(cbor.unpack(before, "check").values() | brief.keys)


def offered(offer: bytes) -> bytes:
    """An offer without what its ticket says, nor what a bare terminal does not read."""
    keys = cbor.unpack(offer, "offer").values()
    return cbor.pack({key: value for key, value in keys.items() if key in _KEPT})
