"""The transfer ticket: the server's word that this file is for this terminal now. It knows how a ticket is written down and
signed; reading and verifying are the core's. Spec: docs/spec/ticket.md."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from neurath.errors import DataError
from neurath.flash.trust import MAX_TICKET as MAX_TICKET
from neurath.flash.trust import PublicKey, read_ticket
from neurath.flash.trust import Ticket as Ticket
from neurath.flash.trust import nonce as nonce
from neurath.ids import TerminalId
from neurath.wire import cbor
from neurath.wire.cose import sign1
from neurath.wire.keys import SigningKey

DELTA = 1
FULL = 2
#: For a terminal in mid-rewrite: `base` is the digest of what its bank holds (docs/spec/rescue.md 2).
RESUME = 3


def device_of(terminal: TerminalId) -> bytes:
    """How a ticket names a terminal: the first 16 bytes of the SHA-256 of its id."""
    return hashlib.sha256(terminal.encode()).digest()[:16]


def sign(ticket: Ticket, key: SigningKey) -> bytes:
    """The signed ticket, at most 220 bytes; DataError when a field does not fit."""
    _check(ticket)
    payload = cbor.pack(
        {
            1: ticket.device,
            2: ticket.nonce,
            3: ticket.serial,
            4: ticket.kind,
            5: ticket.envelope,
            6: ticket.file,
            7: ticket.file_size,
            8: ticket.base or None,
            9: ticket.blocks,
            10: ticket.key_list,
        }
    )
    return sign1(payload, key, detached=False)


def verify(raw: bytes, keys: Sequence[PublicKey]) -> Ticket:
    """The ticket one of the keys signed; DataError when malformed, TrustError when not signed by them."""
    return read_ticket(raw, keys)


def derived_token(device_key: bytes) -> str:
    """The token of a terminal that keeps none: 32 hex digits that it and its factory derive from its device key (32 bytes).
    Source: docs/spec/ticket.md 5."""
    return "".join(nonce(device_key, b"neurath token\0\0\0", half).hex() for half in (0, 1))


def _check(t: Ticket) -> None:
    lengths = [len(t.device), len(t.nonce), len(t.envelope), len(t.file), len(t.blocks)]
    whole = 0 < t.serial <= 0xFFFF_FFFF and 0 < t.file_size <= 0xFFFF_FFFF and 0 <= t.key_list <= 0xFFFF_FFFF
    based = (t.kind in (DELTA, RESUME) and len(t.base) == 16) or (t.kind == FULL and not t.base)
    if lengths != [16, 8, 16, 16, 16] or not whole or not based:
        raise DataError(
            "this is not a ticket", "digests are 16 bytes, a delta has a base", "see docs/spec/ticket.md", id="NRT-217"
        )
