"""The offer, called *update file information* before a transfer and a *notice* when it is pushed. It knows two forms of
the same value, CBOR and the metadata of a hawkBit chunk; it must never fetch what it names. Spec: docs/spec/offer.md."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from neurath.flash.trust import MAX_ENVELOPE, MAX_TICKET
from neurath.ids import FIRMWARE, ComponentName, Version, checked_name
from neurath.wire import cbor
from neurath.wire.cbor import malformed

PREFIX = "neurath."
#: Characters of what an operator reminds a user of.
MAX_REMIND = 200
_KEYS = frozenset(range(1, 12))


class Kind(Enum):
    """What the update file is."""

    DELTA = 1
    FULL = 2


@dataclass(frozen=True, slots=True)
class Offer:
    """One update file for this terminal: exists, kind, size, digests; the envelope of the FULL image and the ticket.

    `file` is the SHA-256 of the update file, `size` its bytes, `need` the RAM in bytes that nrt_need() asks for,
    `blocks` the block hashes of the file (16 bytes for each 4 KiB, may be empty where the carrier authenticates).
    `remind` is what an operator wants the user to be told now, "" nothing.
    """

    kind: Kind
    file: bytes
    size: int
    need: int
    envelope: bytes
    ticket: bytes
    version: Version
    action: str = ""
    component: ComponentName = FIRMWARE
    blocks: bytes = b""
    remind: str = ""

    def __post_init__(self) -> None:
        checked_name(self.component, "component")
        if len(self.file) != 32 or len(self.blocks) % 16:
            raise malformed("offer", "file is 32 bytes, blocks a multiple of 16")
        if len(self.envelope) > MAX_ENVELOPE or len(self.ticket) > MAX_TICKET:
            raise malformed("offer", "envelope or ticket too long")
        cbor.demand_texts("offer", 64, self.version, self.action)
        cbor.demand_texts("offer", MAX_REMIND, self.remind)
        cbor.demand_numbers("offer", self.size, self.need)


def encode(offer: Offer | None) -> bytes:
    """CBOR; "nothing newer" is the empty map."""
    if offer is None:
        return cbor.pack({})
    return cbor.pack(
        {
            1: offer.kind.value,
            2: offer.file,
            3: offer.size,
            4: offer.need,
            5: offer.envelope,
            6: offer.ticket,
            7: offer.version,
            8: offer.action or None,
            9: None if offer.component == FIRMWARE else offer.component,
            10: offer.blocks or None,
            11: offer.remind or None,
        }
    )


def decode(data: bytes) -> Offer | None:
    """The offer in the bytes, None for "nothing newer", or DataError."""
    f = cbor.unpack(data, "offer")
    if data == b"\xa0":
        return None
    f.only(_KEYS)
    found = Offer(
        kind=_kind(f.uint(1)),
        file=f.octets(2, 32),
        size=f.uint(3),
        need=f.uint(4),
        envelope=f.octets(5),
        ticket=f.octets(6),
        version=Version(f.text(7, 64)),
        action=f.text(8, 64, ""),
        component=ComponentName(f.text(9, 64, str(FIRMWARE))),
        blocks=f.octets(10, default=b""),
        remind=f.text(11, MAX_REMIND, ""),
    )
    if encode(found) != data:
        raise malformed("offer", "a default value is spelled out")
    return found


def _kind(value: int) -> Kind:
    try:
        return Kind(value)
    except ValueError:
        raise malformed("offer", f"kind {value} is not known") from None


def to_metadata(offer: Offer) -> list[dict[str, str]]:
    """The offer as metadata of a hawkBit chunk."""
    pairs = {
        "kind": offer.kind.name.lower(),
        "file": offer.file.hex(),
        "size": str(offer.size),
        "need": str(offer.need),
        "envelope": _b64(offer.envelope),
        "ticket": _b64(offer.ticket),
        "component": offer.component,
        "blocks": _b64(offer.blocks),
    }
    if offer.remind:
        pairs["remind"] = offer.remind
    return [{"key": PREFIX + key, "value": value} for key, value in pairs.items()]


def from_metadata(metadata: Mapping[str, str], *, version: str, action: str) -> Offer:
    """The offer in a hawkBit chunk's metadata, or DataError."""
    found: dict[str, str] = {}
    for key in ("kind", "file", "size", "need", "envelope", "ticket"):
        value = metadata.get(PREFIX + key)
        if not isinstance(value, str):
            raise malformed("offer", f"metadata {PREFIX}{key} is missing")
        found[key] = value
    if found["kind"] not in ("delta", "full"):
        raise malformed("offer", f"kind {found['kind'][:20]!r} is not known")
    return Offer(
        kind=Kind[found["kind"].upper()],
        file=cbor.octets(found["file"], "offer"),
        size=cbor.count(found["size"], "offer"),
        need=cbor.count(found["need"], "offer"),
        envelope=_unb64(found["envelope"]),
        ticket=_unb64(found["ticket"]),
        version=Version(version),
        action=action,
        component=ComponentName(metadata.get(PREFIX + "component", str(FIRMWARE))),
        blocks=_unb64(metadata.get(PREFIX + "blocks", "")),
        remind=metadata.get(PREFIX + "remind", ""),
    )


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unb64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        raise malformed("offer", "metadata is not base64") from None
