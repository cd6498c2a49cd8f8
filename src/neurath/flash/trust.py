"""Trust as the core judges it: envelopes, tickets, birth records and nonces, through the very C code that a bare terminal
runs. It knows how C structures become values; it must never verify anything by itself except one signature, which is the
port that hosts give the core."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from neurath.errors import DataError, FlashError, NeurathError, RefusedError, TrustError
from neurath.flash._core import ffi, lib

#: An envelope never exceeds this, a ticket never that (docs/spec/envelope.md, docs/spec/ticket.md).
MAX_ENVELOPE = 350
MAX_TICKET = 220
MAX_VERSION = 32
MAX_KEYS = 4

#: verify(alg, key, message, signature) -> does it hold?
Verify = Callable[[int, bytes, bytes, bytes], bool]


class Alg(IntEnum):
    """Signature algorithms; the numbers are those of enum nrt_alg."""

    ES256 = 1
    ED25519 = 2


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may have signed: ES256 65 bytes (uncompressed point), Ed25519 32 bytes."""

    alg: Alg
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) != (65 if self.alg is Alg.ES256 else 32):
            raise DataError("this is not a public key", f"{len(self.data)} bytes for {self.alg.name}", id="NRT-212")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a release key says about one full image (docs/spec/envelope.md 3).

    `image` is the SHA-256 of the image, `leaves` that of its leaf list over leaves of `leaf` bytes. `version` is a word
    for people: nothing is ever decided by it.
    """

    vendor: bytes
    klass: bytes
    image: bytes
    image_size: int
    leaves: bytes
    leaf: int
    sequence: int
    epoch: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class Envelope(Contents):
    """Contents whose signature was verified; `raw` is the envelope itself, `digest` the SHA-256 that names it."""

    raw: bytes = b""
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Ticket:
    """One transfer to one terminal (docs/spec/ticket.md 2). Digests are cut to 16 bytes. `base` is b"" for a full image.
    `kind` is 1 delta, 2 full."""

    device: bytes
    nonce: bytes
    serial: int
    kind: int
    envelope: bytes
    file: bytes
    file_size: int
    base: bytes = b""
    blocks: bytes = bytes(16)
    key_list: int = 0


@dataclass(frozen=True, slots=True)
class Birth:
    """Who a terminal is and whom it believes (docs/spec/birth.md). `device_key` is the seed of its device key; `release`
    holds up to 4 release keys; `ticket` is None where no ticket key was given. `root` is the digest of the roots of the first
    key list (docs/spec/keylist.md), b"": there are none, and the keys are those for good."""

    id: str
    model: str
    vendor: bytes
    klass: bytes
    device_key: bytes
    release: tuple[PublicKey, ...] = ()
    ticket: PublicKey | None = None
    root: bytes = b""


# ---- the verify port of hosts ------------------------------------------------------------------------------------------


def signature_holds(alg: int, key: bytes, message: bytes, signature: bytes) -> bool:
    """True when `key` signed `message`. ES256 signatures are r and s, 32 bytes each (RFC 9053 2.1)."""
    if len(signature) == 64:
        said = lib.nrt_openssl_verify(alg, key, len(key), message, len(message), signature)
        if said != lib.NRT_E_STATE:
            return bool(said == lib.NRT_OK)
    # No OpenSSL to share. This weighs a third of an agent, which does without where it can (docs/decisions/0270).
    holds: Verify = importlib.import_module("neurath.flash.signature").holds
    return holds(alg, key, message, signature)


def verify_callback(verify: Verify = signature_holds) -> Any:
    """The C function pointer for nrt_port.verify. The caller keeps it alive as long as the port."""

    def ask(_ctx: Any, alg: int, *given: Any) -> int:
        key, key_len, msg, msg_len, sig = given
        holds = verify(alg, bytes(ffi.buffer(key, key_len)), bytes(ffi.buffer(msg, msg_len)), bytes(ffi.buffer(sig, 64)))
        return int(lib.NRT_OK if holds else lib.NRT_E_TRUST)

    signature = "int(void *, int, const uint8_t *, uint32_t, const uint8_t *, uint32_t, const uint8_t *)"
    return ffi.callback(signature, ask, error=int(lib.NRT_E_TRUST))


@cache
def _verifying() -> tuple[Any, Any]:
    """A port that can verify and nothing else, and what keeps it alive."""
    callback = verify_callback()
    return ffi.new("struct nrt_port *", {"verify": callback}), callback


def _port() -> Any:
    return _verifying()[0]


# ---- envelope and ticket -----------------------------------------------------------------------------------------------


def suit_verify(raw: bytes, keys: Sequence[PublicKey]) -> None:
    """Takes any conforming SUIT envelope that one of the keys signed; otherwise DataError or TrustError."""
    demand(lib.nrt_suit_verify(_port(), raw, len(raw), key_array(keys), len(keys)), "envelope")


def read_envelope(raw: bytes, keys: Sequence[PublicKey]) -> Envelope:
    """The verified contents of an envelope of our profile; otherwise DataError or TrustError."""
    out = ffi.new("struct nrt_envelope *")
    demand(lib.nrt_envelope_read(_port(), raw, len(raw), key_array(keys), len(keys), out), "envelope")
    return Envelope(
        vendor=bytes(out.vendor),
        klass=bytes(out.klass),
        image=bytes(out.image),
        image_size=out.image_size,
        leaves=bytes(out.leaves),
        leaf=out.leaf,
        sequence=out.sequence,
        epoch=out.epoch,
        version=ffi.string(out.version).decode("ascii"),
        raw=raw,
        digest=bytes(out.digest),
    )


def read_ticket(raw: bytes, keys: Sequence[PublicKey]) -> Ticket:
    """The verified fields of a ticket; otherwise DataError or TrustError."""
    out = ffi.new("struct nrt_ticket *")
    demand(lib.nrt_ticket_read(_port(), raw, len(raw), key_array(keys), len(keys), out), "ticket")
    return Ticket(
        device=bytes(out.device),
        nonce=bytes(out.nonce),
        serial=out.serial,
        kind=out.kind,
        envelope=bytes(out.envelope),
        file=bytes(out.file),
        file_size=out.file_size,
        base=bytes(out.base) if out.kind != lib.NRT_KIND_FULL else b"",
        blocks=bytes(out.blocks),
        key_list=out.key_list,
    )


def nonce(device_key: bytes, envelope: bytes, installs: int) -> bytes:
    """The 8 bytes that bind a ticket to what this terminal holds now (docs/spec/check.md 3)."""
    if len(device_key) != 32:
        raise DataError("this is not a device key", f"{len(device_key)} bytes; a device key is 32", id="NRT-212")
    out = ffi.new("uint8_t[8]")
    lib.nrt_nonce(device_key, envelope[:16].ljust(16, b"\0"), installs, out)
    return bytes(out)


# ---- keys and birth records --------------------------------------------------------------------------------------------


def fill_key(place: Any, key: PublicKey) -> None:
    place.alg, place.len = int(key.alg), len(key.data)
    place.key = key.data.ljust(65, b"\0")


def key_array(keys: Sequence[PublicKey]) -> Any:
    """The keys as `struct nrt_key[]`."""
    out = ffi.new("struct nrt_key[]", max(1, len(keys)))
    for place, key in zip(out, keys, strict=False):
        fill_key(place, key)
    return out


def c_birth(birth: Birth) -> Any:
    """The birth record as `struct nrt_birth *`; DataError when a field does not fit."""
    names = [birth.id.encode(), birth.model.encode()]
    fixed = [birth.vendor, birth.klass, birth.device_key]
    named = all(0 < len(n) <= 64 for n in names) and len(birth.release) <= MAX_KEYS
    if not named or [len(f) for f in fixed] != [16, 16, 32] or len(birth.root) not in (0, 32):
        raise DataError("this is not a birth record", "a field is too long, too short or missing", "see docs/spec/birth.md")
    out = ffi.new("struct nrt_birth *")
    out.id, out.model = names
    out.vendor, out.klass, out.device_key = fixed
    out.n_release = len(birth.release)
    for place, key in zip(out.release, birth.release, strict=False):
        fill_key(place, key)
    if birth.ticket is not None:
        fill_key(out.ticket, birth.ticket)
    if birth.root:
        out.root = birth.root
    return out


def birth_value(raw: Any) -> Birth:
    """The value of a `struct nrt_birth *` that the core has read."""

    def key(place: Any) -> PublicKey:
        return PublicKey(Alg(place.alg), bytes(place.key)[: place.len])

    return Birth(
        id=ffi.string(raw.id).decode("utf-8", "replace"),
        model=ffi.string(raw.model).decode("utf-8", "replace"),
        vendor=bytes(raw.vendor),
        klass=bytes(raw.klass),
        device_key=bytes(raw.device_key),
        release=tuple(key(raw.release[i]) for i in range(raw.n_release)),
        ticket=key(raw.ticket) if raw.ticket.alg else None,
        root=bytes(raw.root) if any(raw.root) else b"",
    )


# ---- results -----------------------------------------------------------------------------------------------------------


def demand(code: int, what: str) -> None:
    """Nothing for NRT_OK, else the error that a result of the core stands for."""
    if code != lib.NRT_OK:
        raise _error(code, what)


def _error(code: int, what: str) -> NeurathError:
    if code == lib.NRT_E_TRUST:
        return TrustError(
            f"this {what} is not to be trusted",
            "no key that is known signed it as it is",
            "check which key signed it: neurath key show",
            id="NRT-251",
        )
    if code == lib.NRT_E_FORMAT:
        return DataError(f"malformed {what}", "not the strict form", f"see docs/spec/{what}.md", id="NRT-211")
    if code == lib.NRT_E_STATE:
        return RefusedError(f"the {what} says no", "not allowed in this state")
    return FlashError(f"the {what} could not be used", f"the core answers {code}")
