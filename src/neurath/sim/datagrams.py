"""A link for datagrams between a terminal and a server: a small UDP proxy on loopback that loses, doubles and reorders them as
a seed says, and can be cut after any byte. It must never change a datagram."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Weather:
    """Shares of the datagrams of each way that are lost, come twice, or come after the next one; `rate` is the line's bytes a
    second towards the terminal, 0: as fast as it goes."""

    loss: float = 0.0
    double: float = 0.0
    late: float = 0.0
    rate: float = 0.0


CLEAR = Weather()
#: Told each datagram that is handed on: whether it goes towards the terminal, and its bytes.
Seen = Callable[[bool, bytes], None]


class DatagramLink:
    """Forwards to `upstream`, each address that speaks to it from a port of its own. After `allow(n)` bytes towards the
    terminal nothing passes, until `mend`. `towards` counts what a terminal sent; `datagrams` (both ways) and `passed` (bytes
    towards the terminal) what was handed on."""

    def __init__(self, upstream: tuple[str, int], weather: Weather = CLEAR, seed: int = 0, seen: Seen | None = None) -> None:
        self.upstream = upstream
        self.weather = weather
        self._seen = seen
        self.passed = 0
        self.datagrams = self.towards = 0
        self._rng = random.Random(seed)
        self._left: int | None = None
        self._lock = threading.Lock()
        self._near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._near.bind(("127.0.0.1", 0))
        self._far: dict[tuple[str, int], socket.socket] = {}
        self._held: dict[bool, tuple[socket.socket, bytes, tuple[str, int]]] = {}
        self._watch = selectors.DefaultSelector()
        self._watch.register(self._near, selectors.EVENT_READ, None)
        self._ended = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._near.getsockname()[1])

    @property
    def url(self) -> str:
        return f"coap://127.0.0.1:{self.port}"

    def allow(self, count: int) -> None:
        """This many more bytes pass towards the terminal, then none does, either way; what was late is lost."""
        with self._lock:
            self._left = count
            self._held.clear()

    def mend(self) -> None:
        with self._lock:
            self._left = None

    def close(self) -> None:
        self._ended = True
        self._thread.join(5)
        for end in (self._near, *self._far.values()):
            end.close()
        self._watch.close()

    def __enter__(self) -> DatagramLink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        while not self._ended:
            for key, _ in self._watch.select(0.05):
                source = key.fileobj
                assert isinstance(source, socket.socket)
                with contextlib.suppress(OSError):
                    data, sender = source.recvfrom(65535)
                    if source is self._near:
                        self.towards += 1
                        self._pass(self._far_of(sender), data, self.upstream, counted=False)
                    else:
                        self._pass(self._near, data, key.data, counted=True)

    def _far_of(self, sender: tuple[str, int]) -> socket.socket:
        if sender not in self._far:
            made = self._far[sender] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._watch.register(made, selectors.EVENT_READ, sender)
        return self._far[sender]

    def _pass(self, sink: socket.socket, data: bytes, to: tuple[str, int], *, counted: bool) -> None:
        with self._lock:
            if self._left is not None:
                if self._left < len(data) or self._left == 0:
                    self._left = 0
                    return
                self._left -= len(data) if counted else 0
        fate = self._rng.random()
        if fate < self.weather.loss:
            return
        late = self._held.pop(counted, None)
        if late is None and self._rng.random() < self.weather.late:
            self._held[counted] = (sink, data, to)
            return
        for one in ((sink, data, to), *([late] if late else []), *([(sink, data, to)] if self._doubled() else [])):
            if counted and self.weather.rate:
                time.sleep(len(one[1]) / self.weather.rate)
            self.passed += len(data) if counted else 0
            self.datagrams += 1
            if self._seen is not None:
                self._seen(counted, one[1])
            with contextlib.suppress(OSError):
                one[0].sendto(one[1], one[2])

    def _doubled(self) -> bool:
        return self._rng.random() < self.weather.double
