"""The narrow profile: CoAP messages that nobody can change, forge or play again, for eight bytes each. It knows keys, counters
and tags; it must never take an answer to another request, and hides nothing (OSCORE does). Spec: docs/spec/coap.md 7."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace

from neurath.errors import DataError, TrustError
from neurath.wire import coap
from neurath.wire.cbor import malformed
from neurath.wire.coap import Code, Message

#: The option of a request: its counter and its tag. Critical, safe to forward, of the range for experiments.
OPTION = 65005
#: The option by which a server says what it wants to see next (RFC 9175): its epoch, and its floor behind a mask.
ECHO = 252
TAG, EPOCH, FLOOR = 8, 8, 4
#: Counters of one epoch.
MOST = (1 << 32) - 1
#: The epoch of who was told none.
NONE = bytes(EPOCH)
_INFO = b"neurath narrow "


@dataclass(frozen=True, slots=True)
class Fresh:
    """What a server wants to see: requests of this epoch, with counters above the floor."""

    epoch: bytes
    floor: int


def secret_of(token: str) -> bytes:
    """What both sides have: the digest of the token, as the server keeps it."""
    return hashlib.sha256(token.encode()).digest()


def derive(secret: bytes, terminal: str, tenant: str) -> bytes:
    """The key of one terminal: the second half of HKDF (RFC 5869 2.3), for one block."""
    return hmac.digest(secret, _INFO + f"{tenant}/{terminal}".encode() + b"\x01", "sha256")


def _tag(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(parts), "sha256")[:TAG]


def _inside(message: Message) -> bytes:
    """Code, options and payload as they stand on the wire."""
    return bytes([message.code]) + coap.encode(message)[4 + len(message.token) :]


def _of_request(key: bytes, epoch: bytes, counter: int, request: Message) -> bytes:
    """The tag of a request, which is taken without OPTION."""
    return _tag(key, b"\0", epoch, counter.to_bytes(4, "big"), _inside(request))


def _of_answer(key: bytes, request: bytes, answer: Message) -> bytes:
    """The tag of an answer; `request` is that of its request. The marker counts always, for the tag stands behind it."""
    return _tag(key, b"\x01", request, _inside(answer), b"" if answer.payload else b"\xff")


def mask(key: bytes, request: bytes, floor: int) -> bytes:
    """A floor in clear would tell strangers which terminals there are, and how busy; turns it back, too."""
    return (floor ^ int.from_bytes(_tag(key, b"\x02", request)[:FLOOR], "big")).to_bytes(FLOOR, "big")


def seal(key: bytes, epoch: bytes, counter: int, request: Message) -> tuple[Message, bytes]:
    """The request with our option behind its own, and the tag that the answer will be bound to."""
    if not 0 < counter <= MOST:
        raise DataError("a counter of the narrow profile is used up", str(counter), "a new epoch is asked for", id="NRT-205")
    tag = _of_request(key, epoch, counter, request)
    return replace(request, options=(*request.options, (OPTION, coap.uint(counter) + tag))), tag


def shown(request: Message) -> tuple[int, bytes]:
    """Counter and tag of a request; DataError where they are not a counter and a tag, once."""
    value = request.all(OPTION)
    count = len(value[0]) - TAG if len(value) == 1 else 0
    if not 1 <= count <= 4 or not value[0][0]:
        raise malformed("narrow option", b"".join(value)[:16].hex())
    return int.from_bytes(value[0][:count], "big"), value[0][count:]


def is_whole(key: bytes, epoch: bytes, request: Message) -> bool:
    """Whether a request is of this epoch and as its sender made it."""
    counter, tag = shown(request)
    bare = replace(request, options=tuple(option for option in request.options if option[0] != OPTION))
    return hmac.compare_digest(_of_request(key, epoch, counter, bare), tag)


def answered(key: bytes, request: bytes, answer: Message) -> bytes:
    """The payload as it leaves: with its tag behind it."""
    return answer.payload + _of_answer(key, request, answer)


def opened(key: bytes, request: bytes, answer: Message) -> Message:
    """The answer without its tag; TrustError where it is none to this request, or was changed."""
    bare = replace(answer, payload=answer.payload[:-TAG])
    tag = answer.payload[-TAG:]
    if len(tag) != TAG or not hmac.compare_digest(_of_answer(key, request, bare), tag):
        raise TrustError("this answer is not to our request", f"{coap.dotted(answer.code)}", "it is asked again", id="NRT-206")
    return bare


def asked(key: bytes, request: bytes, answer: Message) -> Fresh | None:
    """What the server wants to see, where an opened answer says so."""
    value = answer.all(ECHO)
    if answer.code != Code.UNAUTHORIZED or len(value) != 1 or len(value[0]) != EPOCH + FLOOR:
        return None
    hidden = int.from_bytes(value[0][EPOCH:], "big")
    return Fresh(value[0][:EPOCH], int.from_bytes(mask(key, request, hidden), "big"))


class Window:
    """Counters that were heard, of one epoch: each counts once, the last 64 in any order."""

    __slots__ = ("_seen", "floor")

    def __init__(self) -> None:
        self.floor = 0
        self._seen = 0  # a bit for each counter from the floor down

    def take(self, counter: int) -> bool:
        """Whether it is new; it is not any more."""
        ahead = counter - self.floor
        if ahead > 0:
            self._seen = ((self._seen << min(ahead, 64)) | 1) & ((1 << 64) - 1)
            self.floor = counter
            return True
        if -ahead >= 64 or self._seen >> -ahead & 1:
            return False
        self._seen |= 1 << -ahead
        return True
