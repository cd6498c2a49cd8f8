"""Loads on a server and what each finds: polls one after the other and many at once, a download, an upload, clients that are
slow on purpose. It knows sockets; it must never know whose server it is."""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from peers import Peer

#: Slow clients come from so many addresses of this machine: one address may hold only so many connections.
ADDRESSES = 50
MB = 1 << 20


def reply(link: socket.socket, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer."""
    link.sendall(request)
    data = b""
    while b"\r\n\r\n" not in data:
        got = link.recv(65536)
        if not got:
            raise ConnectionError("it hung up")
        data += got
    head, _, body = data.partition(b"\r\n\r\n")
    length = _length(head)
    while len(body) < length:
        body += link.recv(65536)
    return head, body


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return int(next((line for line in lines if line.startswith(b"content-length:")), b":0").split(b":")[1])


def talk(peer: Peer, request: bytes, link: socket.socket | None = None) -> bytes:
    """The body of a good answer, over a connection of its own or this one."""
    with contextlib.nullcontext(link) if link else socket.create_connection(("127.0.0.1", peer.port)) as used:
        head, body = reply(used, request)
    if b" 200 " not in head[:15] and b" 201 " not in head[:15]:
        raise SystemExit(f"{head[:200]!r} {body[:200]!r}")
    return body


def in_turn(peer: Peer, devices: range) -> bytes:
    """Polls of the devices in turn over one kept connection: what a reverse proxy does."""
    body = b""
    with socket.create_connection(("127.0.0.1", peer.port)) as link:
        for n in devices:
            body = talk(peer, peer.request(n), link)
    return body


@dataclass(frozen=True, slots=True)
class Found:
    """What a load of `wrk` found: polls answered, milliseconds of the server's CPU each, milliseconds that half of them and 99
    of a hundred took at most."""

    polls: int
    cpu: float
    half: float
    most: float


def wrk(peer: Peer, devices: int, links: int, seconds: int) -> Found:
    """Polls by Debian's wrk over so many connections, each of which asks again at once for a device drawn anew. Every device
    was heard before.

    Raises SystemExit if a poll was not answered with 200.
    """
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "polls")
        asked.write_bytes(b"\0".join(peer.request(n) for n in range(devices)))
        script = Path(__file__).with_name("polls.lua")
        words = ["wrk", "-t1", f"-c{links}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", str(script)]
        before = peer.cpu()
        done = subprocess.run(
            [*words, f"http://127.0.0.1:{peer.port}", "--", str(asked)], capture_output=True, text=True, check=True
        )
        spent = peer.cpu() - before
    said = next(line for line in done.stdout.splitlines() if line.startswith("FOUND "))
    polls, failed, half, most = (int(word) for word in said.split()[1:])
    if failed or not polls:
        raise SystemExit(f"{peer.name}: {failed} of {polls} polls failed")
    return Found(polls, spent / polls * 1000, half / 1000, most / 1000)


def download(peer: Peer, request: bytes) -> tuple[float, float]:
    """Of one answer: MB/s, and milliseconds of CPU of the server a MB."""
    into = bytearray(4 * MB)
    before, begun = peer.cpu(), time.perf_counter()
    with socket.create_connection(("127.0.0.1", peer.port)) as link:
        link.sendall(request)
        first = link.recv(65536)
        head, _, body = first.partition(b"\r\n\r\n")
        if b" 200 " not in head[:15]:
            raise SystemExit(f"{head[:200]!r}")
        size, got = _length(head), len(body)
        while got < size:
            got += link.recv_into(into)
    took = time.perf_counter() - begun
    return size / MB / took, (peer.cpu() - before) * 1000 / (size / MB)


@dataclass(slots=True)
class Growth:
    """How far a server's memory rose while something was done, MB: its own, and with the pages of files that it maps."""

    own: float = 0.0
    whole: float = 0.0


@contextlib.contextmanager
def growth(peer: Peer) -> Iterator[Growth]:
    found, over = Growth(), threading.Event()
    own, whole = peer.memory("RssAnon:"), peer.memory()

    def look() -> None:
        while not over.wait(0.005):
            found.own = max(found.own, peer.memory("RssAnon:") - own)
            found.whole = max(found.whole, peer.memory() - whole)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


def upload(peer: Peer, path: str, fields: dict[str, str], size: int) -> None:
    """A file of so many bytes as a form, sent as fast as it goes."""
    mark = "----bench"
    parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n' for key, value in fields.items()]
    parts.append(f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="big.dat"\r\n\r\n')
    first, last = "".join(parts).encode(), f"\r\n--{mark}--\r\n".encode()
    length = len(first) + size + len(last)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary={mark}\r\n"
    with socket.create_connection(("127.0.0.1", peer.port)) as link:
        link.sendall(f"{head}Content-Length: {length}\r\n\r\n".encode() + first)
        block, drawn = MB, random.Random(7)
        for start in range(0, size, block):
            link.sendall(drawn.randbytes(min(block, size - start)))
        talk(peer, last, link)


@dataclass(slots=True)
class Watch:
    """Polls at a steady pace while something else goes on."""

    peer: Peer
    devices: int
    every: float = 0.005
    took: list[float] = field(default_factory=list)
    refused: int = 0

    @contextlib.contextmanager
    def going(self, heed: Callable[[bytes], None] = lambda body: None) -> Iterator[None]:
        over = threading.Event()

        def poll() -> None:
            drawn, link = random.Random(5), None
            while not over.wait(self.every):
                begun = time.perf_counter()
                try:
                    link = link or socket.create_connection(("127.0.0.1", self.peer.port), timeout=30)
                    heed(talk(self.peer, self.peer.request(drawn.randrange(self.devices)), link))
                except OSError:
                    link, self.refused = None, self.refused + 1
                self.took.append(time.perf_counter() - begun)

        poller = threading.Thread(target=poll)
        poller.start()
        try:
            yield
        finally:
            over.set()
            poller.join()

    def share(self, part: float) -> float:
        return sorted(self.took)[min(len(self.took) - 1, int(len(self.took) * part / 100))] * 1000


@dataclass(frozen=True, slots=True)
class Slow:
    """How slow clients fared: how many there were, how many the server shut, and the longest that one was let, seconds."""

    there: int
    shut: int
    longest: float


@dataclass(slots=True)
class Dripping:
    """Connections that are held open by a byte now and then; `lived`: how long each was let that the server shut, seconds."""

    port: int
    ready: selectors.DefaultSelector
    begun: dict[socket.socket, float] = field(default_factory=dict)
    lived: list[float] = field(default_factory=list)

    def enter(self, address: str, first: bytes) -> None:
        link = socket.socket()
        link.bind((address, 0))
        try:
            link.connect(("127.0.0.1", self.port))
            link.sendall(first)
        except OSError:
            self.lived.append(0.0)
            link.close()
            return
        link.setblocking(False)
        self.begun[link] = time.monotonic()
        self.ready.register(link, selectors.EVENT_READ)

    def look(self, wait: float) -> None:
        """Takes leave of those that the server shut."""
        for key, _ in self.ready.select(wait):
            link = key.fileobj
            assert isinstance(link, socket.socket)
            with contextlib.suppress(OSError):
                if link.recv(4096):
                    continue  # a word of why; the end comes after it
            self.lived.append(time.monotonic() - self.begun.pop(link))
            self.ready.unregister(link)
            link.close()

    def drip(self) -> None:
        for link in self.begun:
            with contextlib.suppress(OSError):
                link.send(b"x")


def slow(peer: Peer, count: int, patience: float = 30.0) -> Slow:
    """So many connections that send their headers, and as many that send their bodies, a byte in two seconds each."""
    bodies = peer.request(0).replace(b"GET ", b"PUT ", 1).replace(b" HTTP", b"/configData HTTP", 1)
    heads = (peer.request(0)[:-2] + b"X-Slow: ", bodies[:-2] + b"Content-Length: 100000\r\n\r\n{")
    with selectors.DefaultSelector() as ready:
        crowd = Dripping(peer.port, ready)
        for n in range(2 * count):
            crowd.enter(f"127.0.1.{n % ADDRESSES + 1}", heads[n % 2])
            if n % 50 == 0:
                crowd.look(0)
        end, dripped = time.monotonic() + patience, time.monotonic()
        while crowd.begun and time.monotonic() < end:
            crowd.look(0.1)
            if time.monotonic() - dripped > 2:
                crowd.drip()
                dripped = time.monotonic()
        for link in crowd.begun:
            link.close()
    return Slow(2 * count, len(crowd.lived), max(crowd.lived, default=0.0))
