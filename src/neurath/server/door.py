"""The door: an absolute deadline on request headers, a bound on their length, and a cap of connections per address, which no
Python HTTP server has of its own. It knows connections; it must never look into a request. Bodies have their deadline where
they are read."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from neurath.server.patience import HEADS
from neurath.server.proxy import PEER

#: Headers are whole within so many seconds of the connection, or of their first byte; sooner where many are waited for.
HEAD_DEADLINE = 8.0
#: A request's headers, a chunk's line or trailers are no longer than this: the parser would keep whatever comes.
MOST_HEAD = 65536
#: One address may hold so many connections; a site behind one address has a gateway or polls in turn.
PER_ADDRESS = 256
#: What is longer leaves by itself: to join it with what comes before would cost more than a packet does.
LONG = 16384


class Together:
    """A transport whose writes of one turn of the loop leave together: uvicorn writes headers and body apart, and each would
    be a packet of its own. Everything else is the transport's."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = bytearray()

    def write(self, data: bytes) -> None:
        if len(data) > LONG:
            self._flush()
            self._transport.write(data)
            return
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held += data

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            self._transport.write(bytes(self._held))
            self._held.clear()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Door(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with a deadline, a bound and a cap."""

    head_deadline = HEAD_DEADLINE
    per_address = PER_ADDRESS
    _open: ClassVar[Counter[str]] = Counter()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn itself does
        super().connection_made(transport)
        self.transport = Together(transport, self.loop)  # type: ignore[assignment]  # a transport to all who use it
        # asyncio leaves it unset on sockets of a listener made by hand; head and body of an answer are two writes, and the
        # second would wait 40 ms for the other side's delayed acknowledgement.
        link = transport.get_extra_info("socket")
        if link is not None and link.family in (socket.AF_INET, socket.AF_INET6):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._deadline: asyncio.TimerHandle | None = None
        self._ahead = True  # the next thing to come is a request, or the rest of its head
        self._last = False  # the server ends: of what is still to come, one request is answered
        self._unread = 0  # bytes since the parser had something to say
        self._address = self.client[0] if self.client else ""
        secure = transport.get_extra_info("ssl_object")
        self._peer = (secure.getpeercert(binary_form=True) or b"") if secure is not None else b""
        self._open[self._address] += 1
        if self._open[self._address] > self.per_address:
            transport.abort()
            return
        self._arm()

    def shutdown(self) -> None:
        """Whoever has just connected, or is in the middle of a head, is answered before the server ends, or cut off at his
        deadline."""
        self._last = True
        if self.cycle is not None and not (self.cycle.response_complete and self._unread):
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._open[self._address] -= 1
        if self._open[self._address] <= 0:
            del self._open[self._address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        before = self._unread
        super().data_received(data)
        if self._unread > MOST_HEAD and not self.transport.is_closing():
            self.send_400_response("Headers are too long.")
        if self._ahead and self._unread == before:
            self._arm()  # a part of a head, and nothing else
        else:
            self._disarm()

    def on_headers_complete(self) -> None:
        self._ahead, self._unread = False, 0
        if self._peer:
            self.scope.update({PEER: self._peer})  # type: ignore[misc]  # as server.proxy says it
        super().on_headers_complete()
        if self._last and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._ahead, self._unread = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._ahead and not self.transport.is_closing():
            self.transport.close()  # it was answered before its body had come: nobody waits for the rest

    def _unsupported_upgrade_warning(self) -> None:
        """Nobody is advised to install more: there is nothing to upgrade to, and the request is answered as it is."""

    def _arm(self) -> None:
        """Begins the deadline, unless it runs: later bytes do not move it."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADS.begin(self.head_deadline), self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            HEADS.end()

    def _late(self) -> None:
        self._disarm()
        if self._ahead and not self.transport.is_closing():
            self.transport.abort()
