"""CoAP's message layer over one UDP socket: a request, its retransmissions, its one response (RFC 7252 section 4). It knows
datagrams, time and chance; it must never wait for ever, nor take an answer that belongs to another request."""

from __future__ import annotations

import contextlib
import random
import secrets
import socket
import time
from collections import deque
from dataclasses import dataclass
from urllib.parse import urlsplit

from neurath.errors import DataError, LinkError, NeurathError, UsageError
from neurath.wire import coap
from neurath.wire.coap import Code, Message, Type

#: RFC 7252 section 4.8. The first wait follows the measured round trip, between these bounds (RFC 6298).
ACK_TIMEOUT = 2.0
SHORTEST, LONGEST = 1.0, 20.0
RANDOM_FACTOR = 1.5
MAX_RETRANSMIT = 4
#: Bytes of a token: without DTLS an answer is known by nothing else, so that it is random (RFC 7252 section 5.3.1).
TOKEN = 4
#: Requests of the far end that wait to be looked at.
MOST_ASKED = 4
_REQUESTS = frozenset((Code.GET, Code.POST, Code.PUT, Code.DELETE))


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked: method, options in order, payload. `confirmable`: sent again until it is answered."""

    code: Code
    options: tuple[tuple[int, bytes], ...]
    payload: bytes = b""
    confirmable: bool = True


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """How long answers take, smoothed, and by how much they vary, seconds; 0: none was heard."""

    mean: float = 0.0
    spread: float = 0.0

    def heard(self, took: float) -> RoundTrip:
        if not self.mean:
            return RoundTrip(took, took / 2)
        spread = self.spread + (abs(took - self.mean) - self.spread) / 4
        return RoundTrip(self.mean + (took - self.mean) / 8, spread)

    @property
    def patience(self) -> float:
        """How long to wait before asking again."""
        return min(max(self.mean + 4 * self.spread, SHORTEST), LONGEST) if self.mean else ACK_TIMEOUT


class Link:
    """One far end. Opens when needed; every failure is a LinkError."""

    def __init__(self, url: str, limit: float) -> None:
        self.url = url
        self.limit = limit
        self.host, self.port = place_of(url)
        self.round_trip = RoundTrip()
        self._took = 0.0
        self._socket: socket.socket | None = None
        self._mid = secrets.randbelow(1 << 16)
        self._asked: deque[Message] = deque(maxlen=MOST_ASKED)
        self._answered: tuple[int, bytes, bytes] | None = None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask(self, request: Request, limit: float | None = None) -> Message:
        """The response to a request, within `limit` seconds whatever happens."""
        began = time.monotonic()
        end = began + (self.limit if limit is None else limit)
        self._mid = (self._mid + 1) & 0xFFFF
        kind = Type.CON if request.confirmable else Type.NON
        sent = Message(kind, request.code, self._mid, secrets.token_bytes(TOKEN), request.options, request.payload)
        try:
            if self._socket is None:
                self._open()
            found = self._exchange(sent, end)
        except OSError as fault:
            self.close()
            raise self._dead(fault.strerror or type(fault).__name__, began) from None
        if found is None:
            self.close()  # an answer that still comes belongs to nobody
            raise self._dead("no answer", began)
        return found

    def asked(self, end: float) -> Message | None:
        """A request of the far end to us, once; None where none came until then. It is to be answered."""
        while True:
            if self._asked:
                return self._asked.popleft()
            left = end - time.monotonic()
            if left <= 0 or self._socket is None:
                return None
            try:
                self._note(self._receive(left))
            except OSError:
                return None

    def answer(self, request: Message, code: Code) -> None:
        """Answers a request of the far end; the same again where it comes again."""
        kind = Type.ACK if request.type is Type.CON else Type.NON
        self._mid = (self._mid + 1) & 0xFFFF
        mid = request.mid if kind is Type.ACK else self._mid
        data = coap.encode(Message(kind, code, mid, request.token))
        self._answered = request.mid, request.token, data
        with contextlib.suppress(OSError):
            self._send(data)

    def _note(self, message: Message | None) -> bool:
        """Whether this is a request to us: kept until it is asked for, answered at once where it was answered before."""
        if message is None or message.code not in _REQUESTS:
            return False
        if self._answered is not None and self._answered[:2] == (message.mid, message.token):
            self._send(self._answered[2])
        elif all((one.mid, one.token) != (message.mid, message.token) for one in self._asked):
            self._asked.append(message)
        return True

    def _exchange(self, sent: Message, end: float) -> Message | None:
        wait = self.round_trip.patience * random.uniform(1, RANDOM_FACTOR)
        data = coap.encode(sent)
        tries = 1 + MAX_RETRANSMIT if sent.type is Type.CON else 1
        for attempt in range(tries):
            self._send(data)
            began = time.monotonic()
            last = attempt == tries - 1 and sent.type is Type.NON
            until = end if last else min(end, began + wait)
            self._took = 0.0
            found = self._listen(sent, until, end)
            if self._took and attempt == 0:  # of a request sent again nobody knows which one is answered (Karn)
                self.round_trip = self.round_trip.heard(max(self._took - began, 1e-6))
            if found is not None:
                return found
            if time.monotonic() >= end:
                break
            wait *= 2
        return None

    def _listen(self, sent: Message, until: float, end: float) -> Message | None:
        """The response, if it comes in time; an acknowledgement alone gives it until `end`. `_took` is when the far end was
        heard first, unless that was an answer apart: such a one tells how long the far end thought, not the way."""
        while (left := until - time.monotonic()) > 0:
            message = self._receive(left)
            if message is None or self._note(message):
                continue
            if message.type in (Type.ACK, Type.RST) and message.mid != sent.mid:
                continue
            if message.type is Type.RST:
                raise OSError("the far end does not know what to do with it")
            if message.code == Code.EMPTY:
                if message.type is Type.ACK:
                    until, self._took = end, self._took or time.monotonic()
                continue
            if message.token != sent.token:
                if message.type is Type.CON:
                    self._send(coap.encode(Message(Type.RST, Code.EMPTY, message.mid)))
                continue
            if message.type is Type.CON:
                self._send(coap.encode(Message(Type.ACK, Code.EMPTY, message.mid)))
            else:
                self._took = self._took or time.monotonic()
            return message
        return None

    def _open(self) -> None:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
        family, kind, protocol, _, address = found[0]
        self._socket = socket.socket(family, kind, protocol)
        self._socket.connect(address)

    def _send(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.send(data)

    def _receive(self, timeout: float) -> Message | None:
        """One message, None where none came or what came is none."""
        assert self._socket is not None
        self._socket.settimeout(timeout)
        try:
            return coap.decode(self._socket.recv(65535))
        except (TimeoutError, DataError):
            return None

    def _dead(self, why: str, began: float) -> LinkError:
        return LinkError(
            f"{self.url} does not answer",
            f"after {time.monotonic() - began:.1f} s: {why}",
            "is `neurath serve --coap` running there?",
            id="NRT-420",
        )


def place_of(url: str, usual: int = coap.PORT) -> tuple[str, int]:
    """Host and port of `coap://HOST[:PORT]`, or UsageError."""
    try:
        parts = urlsplit(url)
        port = parts.port or usual
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "coap" or not parts.hostname or parts.path.strip("/"):
        raise UsageError(f"{url!r} is no CoAP address", "coap://HOST[:PORT] is", "--server coap://127.0.0.1:5683")
    return parts.hostname, port


def address(text: str, usual: int = coap.PORT) -> tuple[str, int]:
    """Host and port of `[HOST:]PORT`; a host alone is this machine's loopback."""
    host, _, port = text.rpartition(":")
    port = port or str(usual)
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise UsageError(f"no port {port!r}", "ports are 0 to 65535", "coap:5683 or coap:127.0.0.1:5683")
    return host.strip("[]") or "127.0.0.1", int(port)


def free(host: str, port: int) -> int:
    """The port, or one that is free where it is 0. aiocoap shares ports (SO_REUSEPORT): two servers at one would each get half
    of the messages, so that it is tried without sharing first."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except OSError as fault:
        raise NeurathError(
            f"cannot listen at {host}:{port}",
            fault.strerror or str(fault),
            "choose a free port; `ss -lunp` shows who has this one",
            id="NRT-156",
        ) from None
