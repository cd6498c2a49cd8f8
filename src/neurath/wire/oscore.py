"""OSCORE (RFC 8613), the client's side: a CoAP request protected under keys of one terminal, and its answer. It knows bytes,
keys and nonces; it must never use a sequence number that it was not given, nor take an answer to another request.
Spec: docs/spec/coap.md 6."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import cbor2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from neurath.errors import DataError, TrustError
from neurath.wire import coap
from neurath.wire.cbor import malformed
from neurath.wire.coap import Code, Message, Type

#: Options: the one that says how a message is protected, and the one that proves freshness (RFC 9175).
OSCORE, ECHO = 9, 252
#: AES-CCM-16-64-128 (RFC 9053 4.2): key, nonce, tag in bytes.
AEAD, _KEY, _NONCE, _TAG = 10, 16, 13, 8
#: Sequence numbers have 40 bits.
MOST = (1 << 40) - 1
#: The ids of both sides of every pair of ours.
CLIENT, SERVER = b"", b"\x01"
SALT = b"neurath coap"


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """What two ends share: derived once, kept in memory. `context`: the id context, b"" none is used."""

    sender: bytes
    recipient: bytes
    context: bytes | None
    sender_key: bytes
    recipient_key: bytes
    common_iv: bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """What binds an answer to its request: sequence number as it was sent."""

    piv: bytes


def master(token: str) -> bytes:
    """The master secret of a terminal: what its server keeps of its token (docs/spec/coap.md 6)."""
    return hashlib.sha256(token.encode()).digest()


def name_of(secret: bytes) -> str:
    """What a file that belongs to a secret is called."""
    return hashlib.sha256(secret).hexdigest()[:16]


def context_of(terminal: str, tenant: str) -> bytes:
    """The id context, by which a server knows whom it hears."""
    return f"{tenant}/{terminal}".encode()


def derive(secret: bytes, salt: bytes, sender: bytes, recipient: bytes, context: bytes | None = None) -> Keys:
    """RFC 8613 3.2.1 with HKDF SHA-256."""

    def made(role: bytes, kind: str, length: int) -> bytes:
        info = cbor2.dumps([role, context, AEAD, kind, length], canonical=True)
        return HKDF(SHA256(), length, salt, info).derive(secret)

    return Keys(
        sender,
        recipient,
        context,
        made(sender, "Key", _KEY),
        made(recipient, "Key", _KEY),
        made(b"", "IV", _NONCE),
    )


def protect(
    keys: Keys, code: int, options: tuple[tuple[int, bytes], ...], payload: bytes, sequence: int
) -> tuple[Message, Asked]:
    """The request as it goes out (type, message id and token are the message layer's), and what its answer needs."""
    if not 0 <= sequence <= MOST:
        raise DataError(
            "this key has been used up", "2^40 requests went out under it", "give the terminal a new token", id="NRT-205"
        )
    piv = sequence.to_bytes(5, "big").lstrip(b"\0") or b"\0"
    plain = bytes([code]) + coap.encode(Message(Type.CON, Code.GET, 0, b"", options, payload))[4:]
    sealed = AESCCM(keys.sender_key, _TAG).encrypt(_nonce(keys, keys.sender, piv), plain, _aad(keys.sender, piv))
    outer = Message(Type.CON, Code.POST, 0, b"", ((OSCORE, _option(keys, piv)),), sealed)
    return outer, Asked(piv)


def unprotect(keys: Keys, answer: Message, asked: Asked) -> Message:
    """The answer inside a protected one; TrustError where it is none to this request, or was changed."""
    shown = answer.all(OSCORE)
    if len(shown) != 1:
        raise TrustError(
            "an answer that nobody protected", f"{coap.dotted(answer.code)}", "is OSCORE on at the server?", id="NRT-206"
        )
    piv = _piv(shown[0])
    by, number = (keys.recipient, piv) if piv else (keys.sender, asked.piv)
    try:
        plain = AESCCM(keys.recipient_key, _TAG).decrypt(
            _nonce(keys, by, number), answer.payload, _aad(keys.sender, asked.piv)
        )
    except (InvalidTag, ValueError):
        raise TrustError("this answer is not to our request", "it does not open", "it is asked again", id="NRT-206") from None
    if not plain:
        raise malformed("OSCORE message", "nothing is in it")
    inner = coap.decode(bytes((0x40, plain[0], 0, 0)) + plain[1:])
    return Message(answer.type, inner.code, answer.mid, answer.token, inner.options, inner.payload)


def with_echo(options: tuple[tuple[int, bytes], ...], echo: bytes) -> tuple[tuple[int, bytes], ...]:
    """The same options with the proof of freshness that was asked for."""
    return tuple(sorted((*options, (ECHO, echo)), key=lambda option: option[0]))


def reserved(start: int, step: int) -> Iterator[tuple[int, int]]:
    """(number, bound to keep before it is used; 0: nothing) from `start` on: write-ahead in steps."""
    for number in range(start, MOST + 1):
        yield number, number + step if (number - start) % step == 0 else 0


def _option(keys: Keys, piv: bytes) -> bytes:
    context = b"" if keys.context is None else bytes([len(keys.context)]) + keys.context
    flags = len(piv) | 8 | (16 if keys.context is not None else 0)
    return bytes([flags]) + piv + context + keys.sender


def _piv(option: bytes) -> bytes:
    """The sequence number in an answer's option, b"" where it has none; an answer of ours names nobody."""
    if not option:
        return b""
    length = option[0] & 7
    if option[0] & 0xF8 or length == 0 or length > 5 or len(option) != 1 + length or (length > 1 and not option[1]):
        raise malformed("OSCORE option", option[:16].hex())
    return option[1:]


def _nonce(keys: Keys, by: bytes, piv: bytes) -> bytes:
    made = bytes([len(by)]) + by.rjust(_NONCE - 6, b"\0") + piv.rjust(5, b"\0")
    return bytes(a ^ b for a, b in zip(made, keys.common_iv, strict=True))


def _aad(kid: bytes, piv: bytes) -> bytes:
    external = cbor2.dumps([1, [AEAD], kid, piv, b""], canonical=True)
    return cbor2.dumps(["Encrypt0", b"", external], canonical=True)
