"""HTTP messages signed by a key (RFC 9421) over a digest of their body (RFC 9530): what is signed, and how that is said. It
knows texts and bytes; it must never decide which key counts, nor take for covered what the signer did not name. Spec:
docs/spec/links.md."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from neurath.errors import DataError
from neurath.flash.trust import Alg

#: What our signatures cover, in this order, whatever the request: a body that is not there is one of no bytes.
COVERED = ("@method", "@path", "@query", "content-digest")
#: Name of our signature among those of a message, and the application it is for.
LABEL, TAG = "neurath", "neurath"
#: RFC 9421 3.3.4 and 3.3.6.
ALGORITHMS = {"ed25519": Alg.ED25519, "ecdsa-p256-sha256": Alg.ES256}
NAMES = {alg: name for name, alg in ALGORITHMS.items()}
#: Characters of a header that are looked at.
LONGEST = 2048
_NAME = r"[a-z*][a-z0-9_.*-]*"
_TOLD = rf'((?:;{_NAME}(?:=(?:"[^"\\]*"|-?\d{{1,15}}))?)*)'
_MEMBER = re.compile(rf'\s*({_NAME})=(\((?:"[^"\\]*"|[ ])*\){_TOLD})\s*')
_ITEM = re.compile(r'"([a-z0-9@-]+)"')
_PARAMETER = re.compile(rf';({_NAME})=(?:"([^"\\]*)"|(-?\d{{1,15}}))')
_BYTES = re.compile(rf"\s*({_NAME})=:([A-Za-z0-9+/=]*):\s*")
_NONCE = re.compile(r"([0-9a-f]{32}|0)\.(\d{1,15})")


@dataclass(frozen=True, slots=True)
class Message:
    """A request as both sides see it: `path` and `query` as they stand in its first line, header names in lower case."""

    method: str
    path: str
    query: str
    body: bytes
    headers: Mapping[str, str]
    authority: str = ""


@dataclass(frozen=True, slots=True)
class Signed:
    """One signature of a message: what it covers, its parameters, both as one text, and the signature itself."""

    covered: tuple[str, ...]
    parameters: Mapping[str, str]
    text: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Fresh:
    """That a message is new: a number that rises under a word of the server's."""

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"


#: The word of a terminal that knows none yet.
NONE = "0"


def fresh(text: str) -> Fresh:
    """The same read; DataError."""
    found = _NONCE.fullmatch(text)
    if found is None:
        raise malformed("its nonce is no word of the server's with a number")
    return Fresh(found[1], int(found[2]))


def malformed(why: str) -> DataError:
    return DataError("this signature is malformed", why, "docs/spec/links.md", id="NRT-208")


def digest(body: bytes) -> str:
    """Content-Digest of a body."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def holds_digest(text: str, body: bytes) -> bool:
    """Whether a Content-Digest has this body's SHA-256; those of other algorithms beside it are passed over."""
    return any(member.strip() == digest(body) for member in text[:LONGEST].split(","))


def base(covered: Sequence[str], message: Message, text: str) -> bytes:
    """The bytes that are signed (RFC 9421 2.5); DataError where the message has not all that is covered."""
    lines = [f'"{name}": {_value(name, message)}' for name in covered]
    lines.append(f'"@signature-params": {text}')
    return "\n".join(lines).encode("latin-1", "replace")


_DERIVED: dict[str, Callable[[Message], str]] = {
    "@method": lambda message: message.method,
    "@path": lambda message: message.path or "/",
    "@query": lambda message: "?" + message.query,
    "@authority": lambda message: message.authority.lower(),
}


def _value(name: str, message: Message) -> str:
    if name in _DERIVED:
        return _DERIVED[name](message)
    if name not in message.headers:
        raise malformed(f"it covers {name[:40]}, which is not there")
    return message.headers[name].strip()


def parameters(covered: Sequence[str], **given: str | int) -> str:
    """What is covered and how, as it is sent and signed."""
    said = [f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}" for name, value in given.items()]
    return ";".join(["(" + " ".join(f'"{name}"' for name in covered) + ")", *said])


def headers(message: Message, keyid: str, alg: Alg, nonce: Fresh, sign: Callable[[bytes], bytes]) -> dict[str, str]:
    """The headers that sign a request."""
    text = parameters(COVERED, alg=NAMES[alg], keyid=keyid, nonce=str(nonce), tag=TAG)
    told = digest(message.body)
    whole = Message(message.method, message.path, message.query, message.body, {"content-digest": told})
    made = base64.b64encode(sign(base(COVERED, whole, text))).decode()
    return {"Content-Digest": told, "Signature-Input": f"{LABEL}={text}", "Signature": f"{LABEL}=:{made}:"}


def read(given: str, signatures: str) -> Signed:
    """The signature that is for us: the one with our tag. DataError."""
    found = [one for one in _members(given) if one[2].get("tag") == TAG]
    if len(found) != 1:
        raise malformed(f"{len(found)} signatures are for {TAG!r}, one is needed")
    label, text, told = found[0]
    values = [one[2] for one in _split(_BYTES, signatures) if one[1] == label]
    if len(values) != 1:
        raise malformed("Signature-Input and Signature are not of one name")
    try:
        raw = base64.b64decode(values[0], validate=True)
    except (binascii.Error, ValueError):
        raise malformed("not base64") from None
    covered = tuple(_ITEM.findall(text.partition(")")[0]))
    if len(set(covered)) != len(covered):
        raise malformed("it covers something twice")
    return Signed(covered, told, text, raw)


def _members(text: str) -> list[tuple[str, str, dict[str, str]]]:
    """(label, inner list with parameters as sent, the parameters) of a Signature-Input or an Accept-Signature."""
    found = []
    for one in _split(_MEMBER, text):
        told = {match[1]: match[2] if match[2] is not None else match[3] for match in _PARAMETER.finditer(one[3] or "")}
        found.append((one[1], one[2], told))
    return found


def _split(form: re.Pattern[str], text: str) -> list[re.Match[str]]:
    found, at = [], 0
    while at < len(text) <= LONGEST:
        one = form.match(text, at)
        if one is None or text[one.end() : one.end() + 1] not in ("", ","):
            raise malformed("not the form of RFC 9421")
        found.append(one)
        at = one.end() + 1
    return found


def asks(epoch: str) -> str:
    """Accept-Signature (RFC 9421 5): sign this again, under this word."""
    return f"{LABEL}={parameters(COVERED, nonce=str(Fresh(epoch, 0)), tag=TAG)}"


def asked(text: str) -> str:
    """The word that an Accept-Signature asks for; "" where it asks for nothing of ours."""
    try:
        found = [told for _, _, told in _members(text) if told.get("tag") == TAG]
        return fresh(found[0].get("nonce", "")).epoch if found else ""
    except DataError:
        return ""
