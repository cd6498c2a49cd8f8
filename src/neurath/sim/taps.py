"""A line between two TAP devices, forwarded by a process of its own: a narrow link on a kernel that has no means for one. It
knows frames, two devices and a clock; what the line does is sim/line's to say, and it must never touch the network that it was
started from: its devices are made where its caller stands. Needs root rights and /dev/net/tun."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import json
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from neurath.errors import RefusedError
from neurath.sim.line import Line, Way

_TUNSETIFF, _TAP, _NO_INFO = 0x400454CA, 0x0002, 0x1000
_SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8916, 0x891C, 0x8913, 0x8914
_UP = 0x1
_NEWNET = 0x40000000
_LONGEST = 2048
_libc = ctypes.CDLL(None, use_errno=True)


class Space:
    """A network namespace without a name; it is gone when nothing runs in it any more."""

    def __init__(self) -> None:
        with self._back():
            if _libc.unshare(_NEWNET) != 0:
                raise _refused(OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))
            self._handle = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            # No packet but those of the experiment.
            for name in ("all", "default"):
                with contextlib.suppress(OSError):
                    Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")
            _configure("lo", "127.0.0.1/8")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside; what it starts and opens stays inside."""
        with self._back():
            _libc.setns(self._handle, _NEWNET)
            yield

    @staticmethod
    @contextlib.contextmanager
    def _back() -> Iterator[None]:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield
        finally:
            _libc.setns(before, _NEWNET)
            os.close(before)

    def close(self) -> None:
        os.close(self._handle)


def tap(name: str, address: str) -> int:
    """Opens a TAP device in the namespace of the calling thread and brings it up with an address such as 10.90.0.1/24. Its
    handle; closing it takes the device away."""
    handle = -1
    try:
        handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(handle, _TUNSETIFF, struct.pack("16sH", name.encode(), _TAP | _NO_INFO))
        _configure(name, address)
        # Asked for three times in three seconds, a neighbour beyond a slow and lossy line counts as not there.
        with contextlib.suppress(FileNotFoundError):
            Path(f"/proc/sys/net/ipv4/neigh/{name}/mcast_solicit").write_text("20")
    except OSError as fault:
        if handle >= 0:
            os.close(handle)
        raise _refused(fault) from None
    return handle


def _configure(name: str, address: str) -> None:
    """Gives an interface its address and brings it up."""
    text, _, bits = address.partition("/")
    mask = (0xFFFFFFFF << (32 - int(bits))) & 0xFFFFFFFF
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for request, value in ((_SIOCSIFADDR, socket.inet_aton(text)), (_SIOCSIFNETMASK, mask.to_bytes(4, "big"))):
            fcntl.ioctl(asked, request, struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, value))
        flags = struct.unpack_from("16sH", fcntl.ioctl(asked, _SIOCGIFFLAGS, struct.pack("16sH14x", name.encode(), 0)))[1]
        fcntl.ioctl(asked, _SIOCSIFFLAGS, struct.pack("16sH14x", name.encode(), flags | _UP))


def _refused(fault: OSError) -> RefusedError:
    return RefusedError("no network of its own can be made", fault.strerror or str(fault), "run it as root, with /dev/net/tun")


@dataclass
class Taps:
    """The process that forwards between two TAP handles as a line says; the handles are its own from now on."""

    line: Line
    one: int
    other: int
    _process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        words = [sys.executable, "-m", "neurath.sim.taps", str(self.one), str(self.other)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(self.one, self.other)
        )
        os.close(self.one)
        os.close(self.other)
        self.change(self.line)

    def change(self, line: Line) -> None:
        """From now on the line is this one; frames under way arrive as they would have. Draws begin again only with another
        seed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(line)) + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()  # it is so
        self.line = line

    def close(self) -> list[dict[str, int]]:
        """Ends it; what became of the frames from `one` and from `other`."""
        if self._process.poll() is not None:
            return []
        said, _ = self._process.communicate()
        return list(json.loads(said or "[]"))


# ---- the process -----------------------------------------------------------------------------------------------------------


def forward(handles: tuple[int, int], control: int) -> list[dict[str, int]]:
    """Forwards until `control` ends. Each line there is a Line as JSON, answered by an empty one."""
    ways: list[Way] = []
    coming: list[tuple[float, int, int, bytes]] = []
    number = 0
    pending = b""
    while True:
        _deliver(coming)
        wait = max(0.0, coming[0][0] - time.monotonic()) if coming else None
        ready, _, _ = select.select([*(handles if ways else ()), control], [], [], wait)
        if control in ready:
            data = os.read(control, 4096)
            if not data:
                return [asdict(way.counts) for way in ways]
            *lines, pending = (pending + data).split(b"\n")
            for said in lines:
                ways = _changed(ways, Line(**json.loads(said)))
                os.write(1, b"\n")
        for way, handle in enumerate(handles):
            if handle not in ready:
                continue
            frame = os.read(handle, _LONGEST)
            for at in ways[way].takes(len(frame), time.monotonic()):
                number += 1
                heapq.heappush(coming, (at, number, handles[1 - way], frame))


def _deliver(coming: list[tuple[float, int, int, bytes]]) -> None:
    while coming and coming[0][0] <= time.monotonic():
        _, _, handle, frame = heapq.heappop(coming)
        with contextlib.suppress(OSError):  # the other side is down: its frames are lost
            os.write(handle, frame)


def _changed(ways: list[Way], line: Line) -> list[Way]:
    if not ways:
        return [Way(line, 0), Way(line, 1)]
    for way in ways:
        way.change(line)
    return ways


def _first(nice: int) -> None:
    """Before all others, where that is allowed: a line must not wait for a busy machine."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, nice)


if __name__ == "__main__":
    _first(-15)
    found = forward((int(sys.argv[1]), int(sys.argv[2])), sys.stdin.fileno())
    sys.stdout.write(json.dumps(found))
