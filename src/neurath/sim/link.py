"""A link between a terminal and a server that can be cut after any byte: a small TCP proxy on loopback. It knows bytes and
connections; it must never change one."""

from __future__ import annotations

import contextlib
import socket
import threading


class CuttingLink:
    """Forwards to `upstream`; after `allow(n)` bytes from the server the connection is cut and every new one refused, until
    `mend`. `dead` refuses from the start."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._left: int | None = None
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.passed = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def allow(self, count: int) -> None:
        """This many more bytes pass towards the terminal, then the link is cut."""
        with self._lock:
            self._left = count

    def mend(self) -> None:
        """Everything passes again."""
        with self._lock:
            self._left = None

    def close(self) -> None:
        self._listener.close()
        self._cut()

    def __enter__(self) -> CuttingLink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cut(self) -> None:
        with self._lock:
            ended, self._open = self._open, set()
        for end in ended:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._left is not None and self._left <= 0:
                near.close()
                continue
            try:
                far = socket.create_connection(self._upstream, timeout=10)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {near, far}
            threading.Thread(target=self._pump, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, True), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                through = self._through(data) if counted else data
                sink.sendall(through)
                if len(through) < len(data):
                    self._cut()
                    return
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with self._lock:
                self._open.discard(end)
            end.close()

    def _through(self, data: bytes) -> bytes:
        with self._lock:
            if self._left is not None:
                data = data[: self._left]
                self._left -= len(data)
            self.passed += len(data)
            return data
