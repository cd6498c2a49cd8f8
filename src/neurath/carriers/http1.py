"""HTTP/1.1 as a client speaks it (RFC 9112), over TCP or TLS, through a proxy by CONNECT: one request, one answer, one after
the other. It knows messages and their lengths; it must never know what they are about, nor take for whole what was cut."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import ssl
    from io import BufferedReader

#: No line of a head is longer, bytes; no head has more lines.
LINE, LINES = 8192, 100
_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: ([^\r\n]*))?\r?\n")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_ONCE = frozenset({"content-length", "transfer-encoding"})
_UNSAFE = re.compile(r"[\r\n\0]")


class Lines(Protocol):
    """What an answer is read from."""

    def readline(self, size: int = -1, /) -> bytes: ...


class Broken(OSError):  # noqa: N818 (reads better in a raise)
    """What came is no answer, or not all of one."""


class Gone(Broken):
    """The other side had closed the connection before it said anything: a kept one may just have grown old."""


class Connection:
    """One connection, opened with its first request and kept while the other side keeps it. `tunnel` is where a proxy at `to`
    is asked to lead, and what is shown to it."""

    def __init__(
        self,
        to: tuple[str, int],
        timeout: float,
        secure: ssl.SSLContext | None = None,
        tunnel: tuple[str, int, Mapping[str, str]] | None = None,
    ) -> None:
        self.sock: socket.socket | None = None
        self._to = to
        self._timeout = timeout
        self._secure = secure
        self._tunnel = tunnel
        self._answers: BufferedReader | None = None
        self._method = ""

    def connect(self) -> None:
        """Opens it; OSError where that fails."""
        name, port = self._to
        self.sock = socket.create_connection((_resolvable(name), port), self._timeout)  # type: ignore[arg-type]  # bytes are taken
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tunnel is not None:
                self._lead(*self._tunnel)
            if self._secure is not None:
                asked = self._tunnel[0] if self._tunnel is not None else name
                named = _resolvable(asked)
                made = self._secure.wrap_socket(self.sock, server_hostname=named, do_handshake_on_connect=False)
                self.sock = made  # from here on whoever holds this connection can cut it off, in mid-handshake too
                made.do_handshake()
            self._answers = self.sock.makefile("rb")
        except BaseException:
            self.close()
            raise

    def _lead(self, host: str, port: int, shown: Mapping[str, str]) -> None:
        assert self.sock is not None
        to = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.sock.sendall(_head("CONNECT", to, {"Host": to} | dict(shown)))
        with self.sock.makefile("rb", 0) as raw:  # not a byte more than its answer: what follows is TLS's
            status, reason, _, _ = _answer_head(raw)
        if status != 200:
            raise OSError(f"the proxy says {status} {reason}")

    def request(self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> None:
        """Sends one request, whole at once: head and body apart would each be a packet."""
        if self.sock is None:
            self.connect()
        assert self.sock is not None
        host, port = (self._tunnel or self._to)[:2]
        usual = 80 if self._secure is None else 443
        name = f"[{host}]" if ":" in host else host
        own = {"Host": name if port == usual else f"{name}:{port}", "Accept-Encoding": "identity"}
        if body is not None or method in ("POST", "PUT"):
            own["Content-Length"] = str(len(body or b""))
        self._method = method
        whole = _head(method, target, own | dict(headers or {})) + (body or b"")
        self.sock.sendall(whole)

    def getresponse(self) -> Response:
        """The answer to it; its body is read from it before the next request."""
        assert self._answers is not None
        return Response(self._answers, self._method)

    def close(self) -> None:
        for one in (self._answers, self.sock):
            if one is not None:
                one.close()
        self._answers = self.sock = None


class Response:
    """One answer. `length` is how many bytes of its body are still to come, None where only its end will tell."""

    def __init__(self, lines: BufferedReader, method: str) -> None:
        self._lines = lines
        self.status = 100
        while self.status // 100 == 1:  # 100, 103: the answer itself follows
            self.status, self.reason, version, self._headers = _answer_head(lines)
        self.will_close = version == 0 or "close" in self.getheader("Connection").lower()
        self._chunked = self.getheader("Transfer-Encoding").lower() == "chunked"
        if not self._chunked and self.getheader("Transfer-Encoding"):
            raise Broken(f"nobody can read {self.getheader('Transfer-Encoding')[:40]!r}")
        self.length = None if self._chunked else self._told()
        if method == "HEAD" or self.status in (204, 304):
            self._chunked, self.length = False, 0
        if self.length is None and not self._chunked:
            self.will_close = True
        self._chunk = 0  # bytes of this chunk still to come
        self._ended = self.length == 0

    def getheader(self, name: str, default: str = "") -> str:
        return self._headers.get(name.lower(), default)

    def isclosed(self) -> bool:
        """Whether all of it was read."""
        return self._ended

    def _told(self) -> int | None:
        text = self.getheader("Content-Length")
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 16):
            raise Broken(f"{text[:40]!r} is no length")
        return int(text)

    def read1(self, most: int) -> bytes:
        """Up to `most` bytes as they come; b"" at the end, also where it comes too early (`length` tells)."""
        if self._ended:
            return b""
        if self._chunked and self._chunk == 0 and not self._next_chunk():
            return b""
        left = self._chunk if self._chunked else self.length
        data = self._lines.read1(most if left is None else min(most, left))
        self._counted(len(data))
        return data

    def _counted(self, count: int) -> None:
        if count == 0:
            self._ended = True
            if self._chunked:
                raise Broken("the answer was cut in a chunk")
        elif self._chunked:
            self._chunk -= count
            if self._chunk == 0 and self._lines.readline(LINE).strip():
                raise Broken("a chunk is longer than it says")
        elif self.length is not None:
            self.length -= count
            self._ended = self.length == 0

    def _next_chunk(self) -> bool:
        found = _CHUNK.fullmatch(self._lines.readline(LINE))
        if found is None:
            raise Broken("this is no chunk")
        self._chunk = int(found[1], 16)
        if self._chunk == 0:
            _fields(self._lines)
            self._ended = True
        return not self._ended

    def read(self, most: int) -> bytes:
        """Up to `most` bytes; fewer only at the end."""
        data = bytearray()
        while len(data) < most and (more := self.read1(most - len(data))):
            data += more
        return bytes(data)

    def readline(self, most: int) -> bytes:
        """One line of the body, or `most` bytes of it."""
        line = bytearray()
        while len(line) < most and not line.endswith(b"\n") and (more := self.read1(1)):
            line += more
        return bytes(line)


def _resolvable(name: str) -> str | bytes:
    """Names in our alphabet go as they are: what spells others stays unloaded."""
    return name.encode("ascii") if name.isascii() else name


def _head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if any(_UNSAFE.search(line) for line in lines) or " " in target:
        raise ValueError("a line of this request would be two")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _answer_head(lines: Lines) -> tuple[int, str, int, dict[str, str]]:
    """(status, reason, minor version, headers by their lower-case names)."""
    first = lines.readline(LINE)
    if not first:
        raise Gone("the connection was closed without an answer")
    found = _STATUS.fullmatch(first)
    if found is None:
        raise Broken(f"{first[:40]!r} is no answer")
    return int(found[2]), (found[3] or b"").decode("latin-1"), int(found[1]), _fields(lines)


def _fields(lines: Lines) -> dict[str, str]:
    headers: dict[str, str] = {}
    for _ in range(LINES):
        line = lines.readline(LINE)
        if line in (b"\r\n", b"\n"):
            return headers
        found = _HEADER.fullmatch(line)
        if found is None:
            raise Broken(f"{line[:40]!r} is no header, or it was cut")
        name, value = found[1].decode("ascii").lower(), found[2].decode("latin-1")
        if headers.setdefault(name, value) != value and name in _ONCE:
            raise Broken(f"two of {name}, which differ")
    raise Broken(f"more than {LINES} headers")
