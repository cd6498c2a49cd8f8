"""Real links to a far end in an attacker's hands: DDI over HTTP, and CoAP. It knows how each carries an offer and a file; what
is hostile about them is its callers'. It must never check anything: that is the terminal's part."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from neurath.carriers.coap import Coap
from neurath.carriers.http import Http, Place
from neurath.carriers.memory import Shelf
from neurath.errors import NeurathError, NotFound
from neurath.wire import coap
from neurath.wire.coap import Block, Code, Message, Type
from tests.attack.test_terminal import Site
from tests.carriers.ddi_stub import TOKEN, DdiStub, _Routes
from tests.terminal.world import NAME

#: What is handed on of [offset, offset + length) of a file.
Bend = Callable[[bytes, int, int], Iterator[bytes]]


def honest(data: bytes, offset: int, length: int) -> Iterator[bytes]:
    yield data[offset : offset + length]


class _Hands(_Routes):
    """Hands on what it likes, under the header of an honest answer."""

    def file(self, name: str) -> None:
        bend: Bend = getattr(self.server, "bend", honest)
        if bend is honest:
            super().file(name)
            return
        try:
            data = self.server.far.file(bytes.fromhex(name))
        except NeurathError:
            self.answer(409, b"{}")
            return
        first, last = (int(n) for n in self.headers["Range"].removeprefix("bytes=").split("-"))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        sent = 0
        for part in bend(data, first, last - first + 1):
            try:
                self.wfile.write(part)
            except OSError:
                break  # the terminal has heard enough
            sent += len(part)
            if sent > 1 << 15:
                break
        self.close_connection = True


class CoapEnd:
    """A Shelf behind the routes of docs/spec/coap.md, one datagram after the other."""

    def __init__(self, far: Shelf) -> None:
        self.far, self.bend = far, honest
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"coap://127.0.0.1:{self.socket.getsockname()[1]}"

    def close(self) -> None:
        self._ended.set()
        self._thread.join(10)
        self.socket.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                data, sender = self.socket.recvfrom(4096)
            except TimeoutError:
                continue
            asked = coap.decode(data)
            code, options, payload = self._answer(asked)
            self.socket.sendto(coap.encode(Message(Type.ACK, code, asked.mid, asked.token, options, payload)), sender)

    def _answer(self, asked: Message) -> tuple[Code, tuple[tuple[int, bytes], ...], bytes]:
        where = [part.decode() for part in asked.all(coap.URI_PATH)]
        try:
            if where[0] == coap.CHECK:
                return Code.CONTENT, (), self.far.check(asked.payload)
            if where[0] == coap.REPORT:
                self.far.report(asked.payload)
                return Code.CHANGED, (), b""
            if where[0] == coap.ACTION:
                found = where[-1] in self.far.open_actions()
                return (Code.CONTENT if found else Code.NOT_FOUND), (), b""
            return self._block(asked, bytes.fromhex(where[-1]))
        except NotFound:
            return Code.NOT_FOUND, (), b""
        except NeurathError:
            return Code.CONFLICT, (), b""

    def _block(self, asked: Message, name: bytes) -> tuple[Code, tuple[tuple[int, bytes], ...], bytes]:
        known = next((file for file in self.far.files if file.startswith(name)), name)
        data = self.far.file(known)
        block = asked.block(coap.BLOCK2) or Block(0)
        at = block.number * block.size
        part = b""
        for more_of_it in self.bend(data, at, block.size):
            part += more_of_it
            if len(part) >= block.size:
                break
        part = part[: block.size]
        more = at + block.size < len(data)
        return Code.CONTENT, ((coap.BLOCK2, coap.block_value(Block(block.number, more, block.exponent))),), part


@contextmanager
def over(victim: Site, link: str, bend: Bend = honest) -> Iterator[Callable[[Bend], None]]:
    """The terminal speaks to its far end over this link from now on; what is yielded bends files in another way."""
    far = victim.world.far
    if link == "coap":
        end = CoapEnd(far)
        end.bend = bend
        carrier = Coap(Place(end.url, str(NAME), TOKEN, message_limit=2.0))
        victim.world.carrier = carrier  # type: ignore[assignment]  # a carrier as good as any
        victim.world.power()
        try:
            yield lambda other: setattr(end, "bend", other)
        finally:
            carrier.close()
            end.close()
        return
    with DdiStub(far, str(NAME)) as stub:
        stub.RequestHandlerClass = _Hands
        stub.bend = bend  # type: ignore[attr-defined]
        carrier = Http(Place(f"http://127.0.0.1:{stub.place[1]}", str(NAME), TOKEN, message_limit=2.0, transfer_limit=2.0))  # type: ignore[assignment]
        victim.world.carrier = carrier  # type: ignore[assignment]
        victim.world.power()
        try:
            yield lambda other: setattr(stub, "bend", other)
        finally:
            carrier.close()
