"""Documents of JSON's shape, in JSON or in CBOR, from outside to checked values. It knows text forms and types; it must never
know what a document means."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import cbor2

from neurath.errors import DataError
from neurath.wire.cbor import malformed

#: No document is longer; swupdate's log batches stay below 64 KiB.
MAX_DOCUMENT = 1 << 20
#: No document has more values.
MOST_VALUES = 100_000
#: What a document is, where it is not JSON.
CBOR = "application/cbor"


def parse(body: bytes, form: str = "") -> object:
    """The document in the bytes, CBOR where the form says so and else JSON; or DataError."""
    if len(body) > MAX_DOCUMENT:
        raise malformed("document", f"{len(body)} bytes; the longest is {MAX_DOCUMENT}")
    if form.partition(";")[0].strip().lower() == CBOR:
        return _parse_cbor(body)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise malformed("document", f"not JSON: {str(fault)[:80]}") from None


def _parse_cbor(body: bytes) -> object:
    try:
        return _plain(cbor2.loads(body), 0, iter(range(MOST_VALUES)))
    except DataError:
        raise
    except Exception as fault:  # tags of a library's own reach far: whatever it could not build is no document
        raise malformed("document", f"not CBOR: {type(fault).__name__}") from None


def _plain(value: object, depth: int, left: Iterator[int]) -> object:
    """The value if JSON has it too; these documents are the same in both forms. Values that are shared (tag 29) are counted
    each time: a short document can stand for a very long one."""
    if depth > 16 or next(left, None) is None:
        raise malformed("document", "nested too deeply, or too long")
    match value:
        case dict() if all(isinstance(key, str) for key in value):
            return {key: _plain(item, depth + 1, left) for key, item in value.items()}
        case list():
            return [_plain(item, depth + 1, left) for item in value]
        case str() | bool() | int() | float() | None:
            return value
    raise malformed("document", f"{type(value).__name__} is nothing that JSON has")


def mapping(value: object, what: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise malformed(what, "not an object")
    return value


def listing(value: object, what: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise malformed(what, "not a list")
    return value


def text_of(values: Mapping[str, object], key: str, default: str | None = None) -> str:
    value = values.get(key, default)
    if not isinstance(value, str):
        raise malformed("document", f"{key} is not text")
    return value


def name_of(values: Mapping[str, object], key: str) -> str:
    """An id, which some write as text and some as a number."""
    value = values.get(key)
    if type(value) is int or (isinstance(value, str) and value):
        return str(value)[:64]
    raise malformed("document", f"{key} is not an id")


def count_of(values: Mapping[str, object], key: str) -> int:
    value = values.get(key, 0)
    return value if type(value) is int and 0 <= value <= 0xFFFF_FFFF else 0
