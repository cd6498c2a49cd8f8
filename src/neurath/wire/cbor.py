"""Strict CBOR for every message of ours: deterministic (RFC 8949 4.2.1), maps with small integer keys, nothing after the
end. It knows types and bounds; it must never know what a message means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import cbor2

from neurath.errors import DataError
from neurath.flash._core import lib

T = TypeVar("T")

#: No message of ours is longer, envelope and ticket included.
MAX_MESSAGE = 16384


def pack(fields: Mapping[int, object]) -> bytes:
    """One deterministic map of numbers, strings and lists; keys whose value is None are left out."""
    # cbor2's "canonical" is the older, length-first order of RFC 7049; RFC 8949 4.2.1 orders keys bytewise.
    given = {key: fields[key] for key in sorted(fields, key=cbor2.dumps) if fields[key] is not None}
    return cbor2.dumps(given)


def unpack(data: bytes, what: str) -> Fields:
    """The map in the bytes, or DataError. Only the one canonical form of a map is taken."""
    if len(data) > MAX_MESSAGE:
        raise malformed(what, f"{len(data)} bytes; the longest is {MAX_MESSAGE}")
    # The core's strict cursor goes first: no tag, float, bignum or second spelling ever reaches the decoder.
    if lib.nrt_cbor_strict(data, len(data)) != lib.NRT_OK:
        raise malformed(what, "not deterministic CBOR, or bytes follow the end")
    try:
        value = cbor2.loads(data)
    except cbor2.CBORDecodeError as fault:
        raise malformed(what, f"not CBOR: {type(fault).__name__}") from None
    if not isinstance(value, dict):
        raise malformed(what, "not a map")
    return Fields(value, what)


def malformed(what: str, why: str) -> DataError:
    return DataError(f"malformed {what}", why, "send the message as docs/spec describes it", id="NRT-210")


#: The largest number a message carries.
MAX_NUMBER = 0xFFFF_FFFF


def count(text: str, what: str) -> int:
    """The number that the text form of a message spells: decimal, one spelling only, up to 32 bits."""
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and str(int(text)) == text and int(text) <= MAX_NUMBER):
        raise malformed(what, f"{text[:20]!r} is not a number")
    return int(text)


def octets(text: str, what: str) -> bytes:
    """The bytes that the text form of a message spells: lower-case hexadecimal."""
    if len(text) % 2 or not set(text) <= set("0123456789abcdef"):
        raise malformed(what, f"{text[:20]!r} is not lower-case hexadecimal")
    return bytes.fromhex(text)


def demand_numbers(what: str, *numbers: int) -> None:
    """DataError unless each fits the 32 bits that a message has for it."""
    if not all(type(n) is int and 0 <= n <= MAX_NUMBER for n in numbers):
        raise malformed(what, "a number is negative or above 32 bits")


def demand_texts(what: str, limit: int, *texts: str) -> None:
    """DataError unless each is one printable line (no control characters, no lone surrogates) of at most `limit`."""
    if not all(len(text) <= limit and text.isprintable() for text in texts):
        raise malformed(what, f"a text is longer than {limit} characters or not printable")


class Fields:
    """Typed access to a decoded map; every miss is a DataError that names the key."""

    def __init__(self, values: Mapping[Any, Any], what: str) -> None:
        self._values = dict(values)
        self._what = what

    def need(self, key: int, kind: type[T]) -> T:
        value = self._values.get(key)
        if type(value) is not kind:
            raise malformed(self._what, f"key {key} must be {kind.__name__}")
        return value

    def get(self, key: int, kind: type[T], default: T) -> T:
        return self.need(key, kind) if key in self._values else default

    def uint(self, key: int, limit: int = MAX_NUMBER, default: int | None = None) -> int:
        """An unsigned integer up to `limit`."""
        if default is not None and key not in self._values:
            return default
        value = self.need(key, int)
        if not 0 <= value <= limit:
            raise malformed(self._what, f"key {key} must lie in 0..{limit}")
        return value

    def octets(self, key: int, length: int | None = None, default: bytes | None = None) -> bytes:
        """A byte string, of exactly `length` where one is given."""
        if default is not None and key not in self._values:
            return default
        value = self.need(key, bytes)
        if length is not None and len(value) != length:
            raise malformed(self._what, f"key {key} must be {length} bytes long")
        return value

    def text(self, key: int, limit: int = 256, default: str | None = None) -> str:
        if default is not None and key not in self._values:
            return default
        value = self.need(key, str)
        if len(value) > limit:
            raise malformed(self._what, f"key {key} must be at most {limit} characters long")
        return value

    def only(self, keys: frozenset[int]) -> None:
        """DataError when the map holds a key this message does not have."""
        extra = sorted(str(k) for k in self._values if k not in keys)
        if extra:
            raise malformed(self._what, f"unknown key {extra[0][:20]}")
