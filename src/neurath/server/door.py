"""The door: an absolute deadline on request headers and a cap of connections per address, which no Python HTTP server has of
its own. It knows connections; it must never look into a request. Bodies have their deadline where they are read."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import socket
from collections import Counter
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

#: Headers are whole within so many seconds of the connection, or of their first byte.
HEAD_DEADLINE = 10.0
#: One address may hold so many connections; a site behind one address has a gateway or polls in turn.
PER_ADDRESS = 256


class Together:
    """A transport whose writes of one turn of the loop leave together: uvicorn writes headers and body apart, and each would
    be a packet of its own. Everything else is the transport's."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = bytearray()

    def write(self, data: bytes) -> None:
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


class Door(H11Protocol):
    """uvicorn's HTTP/1.1 protocol with a deadline and a cap."""

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
        self._address = self.client[0] if self.client else ""
        self._open[self._address] += 1
        if self._open[self._address] > self.per_address:
            transport.abort()
            return
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._open[self._address] -= 1
        if self._open[self._address] <= 0:
            del self._open[self._address]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._arm()
        else:
            self._disarm()

    def _arm(self) -> None:
        """Begins the deadline, unless it runs: later bytes do not move it."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_deadline, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.abort()


class Guard:
    """Before console and management plane: they have no login yet, so they answer this machine only, and no page of another
    origin may change anything through a visitor's browser. A restoration station, which stands elsewhere, shows the stations'
    token, and gets at the stock and the place for its records with it, nothing else."""

    def __init__(self, app: Any, station_token: str) -> None:
        self.app = app
        self._station = f"StationToken {station_token}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
            why = "" if self._is_station(scope, headers) else _objection(scope, headers)
            if why:
                body = ('{"error":"NRT-329","what":"refused","why":"' + why + '","try":"ask from this machine"}').encode()
                given = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
                await send({"type": "http.response.start", "status": 403, "headers": given})
                await send({"type": "http.response.body", "body": body})
                return
        await self.app(scope, receive, send)

    def _is_station(self, scope: Any, headers: dict[bytes, str]) -> bool:
        shown = headers.get(b"authorization", "").encode("latin-1")
        return hmac.compare_digest(shown, self._station) and _is_for_stations(scope["method"], scope["path"])


def _is_for_stations(method: str, path: str) -> bool:
    if method == "POST":
        return path == "/api/v1/restorations"
    return method == "GET" and (path == "/api/v1/stock" or path.startswith("/api/v1/stock/files/"))


def _objection(scope: Any, headers: dict[bytes, str]) -> str:
    client = scope.get("client")
    if client is None or not _is_local(client[0]):
        return "console and management answer this machine only"
    host = headers.get(b"host", "")
    if not _is_local(_without_port(host)):
        return "the address asked for is not this machine's"  # a foreign name that was made to point here
    origin = headers.get(b"origin")
    if scope["method"] not in ("GET", "HEAD") and origin is not None and origin.partition("://")[2] != host:
        return "the request comes from another origin"
    return ""


def _without_port(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_local(name: str) -> bool:
    """True for this machine's own address; names are compared whole, or 127.0.0.1.example would pass."""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
