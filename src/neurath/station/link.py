"""One request of a station to its server or a mirror, over HTTP or TLS, with an end: handshake, headers and body have one
deadline together, which moves with what has come. It knows links; it must never know what is asked, nor wait for whoever
drips."""

from __future__ import annotations

import functools
import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from neurath.errors import DataError, LinkError
from neurath.units import Seconds

if TYPE_CHECKING:
    import ssl

#: Longest answer that is read, bytes; seconds to wait for one, and bytes a second below which a longer one is given up.
LONGEST = 1 << 30
TIMEOUT = 30.0
SLOWEST = 1000
#: What a link fails with, whatever it was about.
BROKEN = (http.client.HTTPException, OSError, ValueError)


class Patience:
    """The deadline of one request: a thread that cuts its link when it is over."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._got = 0
        self._done = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()

    def watch(self, link: socket.socket) -> None:
        """This is what is cut from now on."""
        self._socket = link

    def came(self, count: int) -> None:
        self._got += count

    @property
    def over(self) -> bool:
        """By the clock, not by who noticed: a handshake has the same time from the library, which may end it before the
        watch wakes."""
        return self._left() <= 0

    def _left(self) -> Seconds:
        return Seconds(self._begun + TIMEOUT + self._got / SLOWEST - time.monotonic())

    def _watch(self) -> None:
        while (left := self._left()) > 0:
            if self._done.wait(left):
                return
        while not self._done.wait(0.1):  # again for a link that is opened meanwhile
            if self._socket is not None:
                with suppress(OSError):  # not TLS's own, which would take the socket from under who reads
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def fault(self, address: str, reason: object) -> LinkError:
        if self.over:
            return LinkError("the server drips", f"{self._got} bytes in {TIMEOUT:.0f} s and more", "try another mirror")
        return LinkError(f"no answer from {address}", str(reason), "is the server running?")


class _Plain(http.client.HTTPConnection):
    def __init__(self, host: str, *, patience: Patience, **more: Any) -> None:
        super().__init__(host, **more)
        self._patience = patience

    def connect(self) -> None:
        super().connect()
        self._patience.watch(self.sock)


class _Secure(_Plain):
    """The library's own would shake hands before anybody could cut it off."""

    default_port = http.client.HTTPS_PORT

    def __init__(self, host: str, *, secure: ssl.SSLContext, **more: Any) -> None:
        super().__init__(host, **more)
        self._secure = secure

    def connect(self) -> None:
        super().connect()
        name = getattr(self, "_tunnel_host", None) or self.host
        self.sock = self._secure.wrap_socket(self.sock, server_hostname=name, do_handshake_on_connect=False)
        self._patience.watch(self.sock)
        self.sock.do_handshake()


class _Links(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """The library's way of asking, redirects and proxies included, over links that end."""

    def __init__(self, patience: Patience, secure: ssl.SSLContext | None) -> None:
        urllib.request.AbstractHTTPHandler.__init__(self)
        self._patience = patience
        self._tls = secure

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        made = functools.partial(_Plain, patience=self._patience)
        return self.do_open(made, req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        made = functools.partial(_Secure, patience=self._patience, secure=self._tls or _usual())
        return self.do_open(made, req)


def _usual() -> ssl.SSLContext:
    """Who is led from http:// to https:// believes whom the system believes."""
    from neurath.carriers.tls import trust

    return trust("")


def answer(request: urllib.request.Request, secure: ssl.SSLContext | None = None) -> Iterator[bytes]:
    """The body as it arrives, at most LONGEST bytes. HTTPError as the library has it; LinkError where the server drips, ends
    too early or is not there; DataError for what is no address."""
    with Patience() as patience:
        try:
            opener = urllib.request.build_opener(_Links(patience, secure))
            with opener.open(request, timeout=TIMEOUT) as found:  # the scheme was looked at: http or https
                yield from _timely(found, patience)
        except urllib.error.HTTPError:
            raise
        except (http.client.InvalidURL, UnicodeError) as fault:
            raise DataError(f"{request.full_url!r} is no address", str(fault), "say http://HOST:PORT") from None
        except BROKEN as fault:
            raise patience.fault(request.full_url, getattr(fault, "reason", fault)) from None


def _timely(found: http.client.HTTPResponse, patience: Patience) -> Iterator[bytes]:
    got = 0
    while got < LONGEST and (piece := found.read1(1 << 16)):
        got += len(piece)
        patience.came(len(piece))
        yield piece
    if patience.over:
        raise patience.fault("", "")
    if found.length:
        raise LinkError("the server stopped in mid-file", f"{found.length} bytes are missing", "synchronise again")
