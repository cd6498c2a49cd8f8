"""Strict CBOR for every message of ours: deterministic (RFC 8949 4.2.1), maps with small integer keys, nothing after the
end. It knows types and bounds; it must never know what a message means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from neurath.errors import DataError
from neurath.flash._core import lib

T = TypeVar("T")

#: No message of ours is longer, envelope and ticket included.
MAX_MESSAGE = 16384


def pack(fields: Mapping[int, object]) -> bytes:
    """One deterministic map of numbers, strings and lists; keys whose value is None are left out."""
    return _encoded({key: value for key, value in fields.items() if value is not None})


def unpack(data: bytes, what: str) -> Fields:
    """The map in the bytes, or DataError. Only the one canonical form of a map is taken."""
    if len(data) > MAX_MESSAGE:
        raise malformed(what, f"{len(data)} bytes; the longest is {MAX_MESSAGE}")
    # The core's strict cursor goes first: no tag, float, bignum or second spelling ever comes further.
    if lib.nrt_cbor_strict(data, len(data)) != lib.NRT_OK:
        raise malformed(what, "not deterministic CBOR, or bytes follow the end")
    try:
        value, _ = _decoded(data, 0)
    except (UnicodeDecodeError, TypeError, KeyError):
        raise malformed(what, "a text is not UTF-8, or a key is no plain value") from None
    if not isinstance(value, dict):
        raise malformed(what, "not a map")
    return Fields(value, what)


# ---- the forms our messages have (RFC 8949 3.1), written the one way there is (4.2.1) ----

_SIMPLE = {0xF4: False, 0xF5: True, 0xF6: None}


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes((major << 5 | argument,))
    size = next(n for n in range(4) if argument < 1 << (8 << n))
    return bytes((major << 5 | 24 + size,)) + argument.to_bytes(1 << size, "big")


def _encoded(value: object) -> bytes:
    match value:
        case bool() | None:
            return bytes(code for code, meant in _SIMPLE.items() if meant is value)
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes() | bytearray():
            return _head(2, len(value)) + value
        case str():
            text = value.encode()
            return _head(3, len(text)) + text
        case list() | tuple():
            return _head(4, len(value)) + b"".join(map(_encoded, value))
        case dict():
            items = sorted((_encoded(key), _encoded(one)) for key, one in value.items())
            return _head(5, len(items)) + b"".join(key + one for key, one in items)
    raise TypeError(f"no message of ours has a {type(value).__name__}")


def _decoded(data: bytes, at: int) -> tuple[Any, int]:
    """One item that the strict cursor has passed, and where the next begins."""
    first = data[at]
    major, info = first >> 5, first & 31
    if major == 7:
        return _SIMPLE[first], at + 1
    size = 0 if info < 24 else 1 << info - 24
    argument = int.from_bytes(data[at + 1 : at + 1 + size], "big") if size else info
    at += 1 + size
    if major < 2:
        return (-1 - argument if major else argument), at
    if major < 4:
        octets = data[at : at + argument]
        return (octets.decode() if major == 3 else octets), at + argument
    found = []
    for _ in range(argument * (major - 3)):
        one, at = _decoded(data, at)
        found.append(one)
    if major == 4:
        return found, at
    pairs = dict(zip(found[::2], found[1::2], strict=True))
    if len(pairs) != argument or any(type(key) is bool for key in pairs):
        raise KeyError("a key that Python takes for another: true for 1")
    return pairs, at


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

    def values(self) -> dict[Any, Any]:
        """What was decoded, for who puts maps together."""
        return dict(self._values)

    def only(self, keys: frozenset[int]) -> None:
        """DataError when the map holds a key this message does not have."""
        extra = sorted(str(k) for k in self._values if k not in keys)
        if extra:
            raise malformed(self._what, f"unknown key {extra[0][:20]}")
