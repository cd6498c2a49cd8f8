"""Records of a factory's enrolments: who gave which terminal its name, when, and what may be known of the key that it made
itself. Lines of JSON, each bound to the one before by its hash. It knows bytes and values; it must never decide whom to
believe, and never hold a secret. Spec: docs/spec/enrolment.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from neurath.errors import DataError, TrustError
from neurath.flash.trust import Alg, PublicKey, signature_holds
from neurath.ids import checked_name
from neurath.wire import keys
from neurath.wire.keys import Signer, fingerprint

FORM = 1
#: What the first record is bound to.
BEGINNING = 64 * "0"
#: Before the terminal is written to, and when its key is known.
BEGUN, ENROLLED = "begun", "enrolled"
#: Longest line, bytes.
LONGEST = 2048


@dataclass(frozen=True, slots=True)
class Record:
    """`at` in milliseconds since 1970; `by` the person, `station` the machine; `key` the terminal's public key and `token` the
    SHA-256 of the token it derives from the private one, both in hex, "" in a record that something was begun; `signer` and
    `signature` the station's own key and what it signed, "" where it has none."""

    n: int
    before: str
    at: int
    what: str
    by: str
    station: str
    id: str
    model: str
    key: str = ""
    token: str = ""
    signer: str = ""
    signature: str = ""

    @property
    def fingerprint(self) -> str:
        """Of the terminal's key, as people compare it."""
        return fingerprint(key_of(self.key))

    @property
    def said(self) -> bytes:
        """What is signed."""
        return _line(replace(self, signature=""))


def _line(record: Record) -> bytes:
    return json.dumps({"form": FORM, **asdict(record)}, sort_keys=True, separators=(",", ":")).encode()


def bytes_of(key: PublicKey) -> bytes:
    """A public key as the wire has it: one byte of algorithm, then the key."""
    return bytes([key.alg]) + key.data


def key_text(key: PublicKey) -> str:
    """The same as a record has it, in hex."""
    return bytes_of(key).hex()


def key_of(text: str) -> PublicKey:
    """The key in such a text, or DataError."""
    try:
        raw = bytes.fromhex(text)
        return PublicKey(Alg(raw[0]), raw[1:])
    except (ValueError, IndexError):
        raise DataError(
            "this is not a terminal's public key", "an algorithm's byte and the key, in hex", id="NRT-246"
        ) from None


def fingerprint_of(text: str) -> str:
    """Of the key in such a text, as people compare it; "" of none."""
    return fingerprint(key_of(text)) if text else ""


def any_key(text: str) -> PublicKey:
    """The key in such a text, or in PEM as people have it; DataError."""
    return keys.public_from_pem(text.encode()) if "-----BEGIN" in text else key_of(text.strip())


def written(record: Record, signer: Signer | None = None) -> bytes:
    """The record as a line, signed where there is somebody to sign."""
    if signer is not None:
        record = replace(record, signer=key_text(signer.public))
        record = replace(record, signature=signer.sign(record.said).hex())
    return _line(record) + b"\n"


def bound(line: bytes) -> str:
    """What the next record is bound to."""
    return hashlib.sha256(line.rstrip(b"\n")).hexdigest()


def read(lines: Iterable[bytes]) -> Iterator[Record]:
    """The records of a file, each checked against the one before and against its signature; DataError, TrustError."""
    before = BEGINNING
    for number, line in enumerate(lines, start=1):
        found = _record(number, line)
        if (found.n, found.before) != (number, before):
            why = f"line {number} is not bound to the one before it"
            raise TrustError("these records were changed", why, "take the file from the station again", id="NRT-245")
        if found.signature and not _holds(found):
            raise TrustError("these records were changed", f"line {number} is not what its station signed", id="NRT-245")
        before = bound(line)
        yield found


def _record(number: int, line: bytes) -> Record:
    try:
        raw: dict[str, Any] = json.loads(line[:LONGEST])
        if raw.pop("form") != FORM:
            raise ValueError("its form is not known")
        found = Record(**raw)
        kinds = {field.name: {"int": int, "str": str}[str(field.type)] for field in fields(Record)}
        if any(type(raw[name]) is not kind for name, kind in kinds.items()) or _line(found) != line.rstrip(b"\n"):
            raise ValueError("it is not in the one form a record has")
        _checked(found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as fault:
        why = f"line {number}: {str(fault)[:100]}"
        raise DataError("these are not records of enrolments", why, "docs/spec/enrolment.md", id="NRT-245") from None
    except DataError as fault:
        why = f"line {number}: {fault.what}"
        raise DataError("these are not records of enrolments", why, "docs/spec/enrolment.md", id="NRT-245") from None
    return found


def _checked(one: Record) -> None:
    for text, what in ((one.id, "terminal id"), (one.model, "model"), (one.station, "station")):
        checked_name(text, what)
    if one.what not in (BEGUN, ENROLLED):
        raise ValueError("neither begun nor enrolled")
    if one.what == ENROLLED and (key_text(key_of(one.key)) != one.key or not _digest(one.token)):
        raise ValueError("its key or its token's digest is malformed")


def _digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _holds(one: Record) -> bool:
    try:
        key, signature = key_of(one.signer), bytes.fromhex(one.signature)
    except ValueError:
        return False
    return signature_holds(int(key.alg), key.data, one.said, signature)
