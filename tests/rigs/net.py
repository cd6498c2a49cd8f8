"""Networks that tests lay: namespaces, veth pairs, bridges, captures, and tshark as the judge of packets. It knows how to make
them under names of their own and to take all of them away again; it must never touch the machine's own network."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import secrets
import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, Self, TypeVar

from tests.parts import need

P = ParamSpec("P")
T = TypeVar("T")

_NEWNET = 0x40000000
_EVERY_PROTOCOL = 0x0003
_OUTGOING = 4
_RCVBUFFORCE = 33
_FLAGS_OF, _UP, _RUNNING = 0x8913, 0x1, 0x40
_PCAP = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
_libc = ctypes.CDLL(None, use_errno=True)


def until(true: Callable[[], object], what: str, limit: float = 10.0) -> None:
    """Waits for something to become true; says what it was that did not."""
    end = time.monotonic() + limit
    while not true():
        assert time.monotonic() < end, f"not within {limit:g} s: {what}"
        time.sleep(0.02)


class Namespace:
    """One network namespace, with a name that no other test has. `lo` is up; IPv6 is off: no packet but those of the test."""

    def __init__(self, label: str = "") -> None:
        self.name = f"nrt-{label}-{secrets.token_hex(4)}"
        self._started: list[subprocess.Popen[bytes]] = []
        #: Of each end of a cable that is here: where the other end is.
        self.far: dict[str, tuple[Namespace, str]] = {}
        _ip("netns", "add", self.name)
        for name in ("all", "default"):
            self.set(f"net/ipv6/conf/{name}/disable_ipv6", 1)
        self.ip("link", "set", "lo", "up")

    # ---- what runs inside

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside: sockets and TUN devices opened here stay here, wherever they are used later."""
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.name}") as inside:
            _enter(inside.fileno())
            try:
                yield
            finally:
                _enter(before.fileno())

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, run inside, in this process."""
        with self.entered():
            return function(*args, **kwargs)

    def thread(self, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> threading.Thread:
        """A thread that runs the function inside until it returns."""

        def body() -> None:
            with self.entered():
                function(*args, **kwargs)

        made = threading.Thread(target=body, daemon=True)
        made.start()
        return made

    def words(self, *words: object) -> list[str]:
        """The command line that runs these words inside."""
        return ["ip", "netns", "exec", self.name, *map(str, words)]

    def run(self, *words: object, check: bool = True, limit: float = 60.0) -> subprocess.CompletedProcess[str]:
        """A command to its end; with `check` one that fails fails the test with what it said."""
        done = subprocess.run(self.words(*words), capture_output=True, text=True, timeout=limit, check=False)
        assert not check or done.returncode == 0, f"{words} ended with {done.returncode}: {done.stderr or done.stdout}"
        return done

    def start(self, *words: object, log: Path | None = None) -> subprocess.Popen[bytes]:
        """A command that goes on until the namespace is taken away; what it says goes to `log`."""
        with contextlib.ExitStack() as opened:
            out = opened.enter_context(log.open("ab")) if log else subprocess.DEVNULL
            process = subprocess.Popen(self.words(*words), stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self._started.append(process)
        return process

    # ---- what it is made of

    def ip(self, *words: object) -> None:
        """`ip` inside."""
        _ip("-n", self.name, *words)

    def set(self, key: str, value: object) -> None:
        """Writes one of /proc/sys of this namespace."""
        with self.entered():
            Path("/proc/sys", key).write_text(str(value))

    def up(self, interface: str, *addresses: str) -> None:
        """Brings an interface up with addresses such as 10.1.0.1/24; where both ends of a cable are up, it carries."""
        for address in addresses:
            self.ip("addr", "add", address, "dev", interface)
        self.ip("link", "set", interface, "up")
        if interface in self.far:
            self._carries(interface)

    def _carries(self, interface: str) -> None:
        """The kernel has noticed that both ends are up: some milliseconds later, on a busy machine more, and until then it
        throws away what is sent."""
        ends = ((self, interface), self.far[interface])
        if not all(where.flags(name) & _UP for where, name in ends):
            return
        until(lambda: all(where.flags(name) & _RUNNING for where, name in ends), f"the cable of {interface} carries")
        # Said under a lock, ahead of the queue's start: who has had the lock after that finds it started.
        self.ip("link", "set", interface, "up")

    def flags(self, interface: str) -> int:
        """Flags of an interface, IFF_UP and others (netdevice(7)); 0 where there is none of that name any more."""
        asked = struct.pack("16sH14x", interface.encode(), 0)
        with self.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            try:
                return int(struct.unpack("16sH14x", fcntl.ioctl(any_socket, _FLAGS_OF, asked))[1])
            except OSError:
                return 0

    def bridge(self, name: str, *ports: str) -> None:
        """A bridge that is up, of interfaces that are here."""
        self.ip("link", "add", name, "type", "bridge", "forward_delay", "0")
        for port in ports:
            self.ip("link", "set", port, "master", name)
            self.up(port)
        self.ip("link", "set", name, "up")

    def listens(self, port: int, kind: str = "tcp", limit: float = 10.0) -> None:
        """Waits until somebody inside listens at the port: no packet is sent to find out."""

        def there() -> bool:
            with self.entered():
                rows = Path(f"/proc/thread-self/net/{kind}").read_text().splitlines()[1:]
            state = "0A" if kind == "tcp" else "07"
            fields = [row.split() for row in rows]
            return any(int(f[1].rpartition(":")[2], 16) == port and f[3] == state for f in fields)

        until(there, f"{kind} port {port} of {self.name} answers", limit)

    def close(self) -> None:
        """Ends what was started, by its id, and takes the namespace away with all that is in it."""
        for process in reversed(self._started):
            process.terminate()
        for process in self._started:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _ip("netns", "del", self.name)


class Net:
    """All that one test lays; taken away in reverse."""

    def __init__(self) -> None:
        self._ending = contextlib.ExitStack()

    def namespace(self, label: str = "") -> Namespace:
        made = Namespace(label)
        self._ending.callback(made.close)
        return made

    def veth(self, one: Namespace, name: str, other: Namespace, other_name: str) -> None:
        """A cable from an interface in one namespace to one in another; both are down. No offload: what is captured is what
        would be on a wire."""
        one.ip("link", "add", name, "type", "veth", "peer", "name", other_name, "netns", other.name)
        one.far[name], other.far[other_name] = (other, other_name), (one, name)

    def capture(self, where: Namespace, interface: str, path: Path, keep: Callable[[bytes], bool] | None = None) -> Capture:
        """Captures into `path` (pcap) from now on, until closed or the test ends."""
        made = where.call(Capture, interface, path, keep)
        self._ending.callback(made.close)
        return made

    def later(self, ending: Callable[[], object]) -> None:
        """Something more to do at the end, before what was laid earlier is taken away."""
        self._ending.callback(ending)

    def close(self) -> None:
        self._ending.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextlib.contextmanager
def laid() -> Iterator[Net]:
    """A net for one test; the test is skipped, or fails when strict, on a machine where none can be made."""
    need("ip")
    need("namespaces")
    with Net() as made:
        yield made


@dataclass
class Capture:
    """Every frame of one interface, both ways, into a pcap file as it comes. Opened inside the namespace."""

    interface: str
    path: Path
    keep: Callable[[bytes], bool] | None = None
    count: int = 0
    _socket: socket.socket = field(init=False)
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERY_PROTOCOL))
        self._socket.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 32 << 20)  # beyond what the machine allows everybody
        self._socket.bind((self.interface, _EVERY_PROTOCOL))
        self._ended = threading.Event()
        self._until = 0.0
        self.path.write_bytes(_PCAP)
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        with self.path.open("ab", buffering=0) as out:
            while True:
                # What came before the end is written still; where it goes on for ever, half a second of it.
                ready, _, _ = select.select([self._socket], [], [], 0.05)
                if self._ended.is_set() and (not ready or time.monotonic() > self._until):
                    return
                if not ready:
                    continue
                try:
                    frame, whence = self._socket.recvfrom(65535)
                except OSError as fault:
                    if fault.errno != errno.ENETDOWN:
                        raise
                    continue  # the interface is down; it may come up again
                twice = self.interface == "lo" and whence[2] == _OUTGOING
                if twice or (self.keep is not None and not self.keep(frame)):
                    continue
                now = time.time_ns() // 1000
                out.write(struct.pack("<IIII", now // 1_000_000, now % 1_000_000, len(frame), len(frame)) + frame)
                self.count += 1

    def close(self) -> None:
        """Writes what has come, and ends."""
        if self._ended.is_set():
            return
        self._until = time.monotonic() + 0.5
        self._ended.set()
        self._thread.join()
        self._socket.close()


def udp(*ports: int) -> Callable[[bytes], bool]:
    """What to keep: IPv4 UDP from or to one of these ports, and fragments of UDP."""

    def keep(frame: bytes) -> bool:
        if frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_UDP:
            return False
        if int.from_bytes(frame[20:22], "big") & 0x1FFF:
            return True
        at = 14 + (frame[14] & 15) * 4
        return bool(set(struct.unpack_from(">HH", frame, at)) & set(ports))

    return keep


def frames(path: Path) -> list[bytes]:
    """The frames of a pcap file as written here."""
    data = path.read_bytes()
    at, found = 24, []
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        found.append(data[at + 16 : at + 16 + length])
        at += 16 + length
    return found


def tshark(path: Path, what: str = "", fields: Sequence[str] = (), *options: str) -> list[list[str]]:
    """What an independent dissector makes of a capture: one row a packet that passes the display filter, one text a field
    (several values joined by commas)."""
    words = [need("tshark"), "-n", "-r", str(path), *options]
    words += ["-Y", what] if what else []
    words += ["-T", "fields"] if fields else []
    for name in fields:
        words += ["-e", name]
    environment = {**os.environ, "HOME": str(path.parent)}
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert done.returncode == 0, f"tshark: {done.stderr}"
    return [line.split("\t") for line in done.stdout.splitlines()]


def _ip(*words: object) -> None:
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(map(str, words))}: {done.stderr}"


def _enter(handle: int) -> None:
    if _libc.setns(handle, _NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
