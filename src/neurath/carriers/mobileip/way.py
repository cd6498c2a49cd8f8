"""A node's way to its home agent through NATs (RFC 3519): one UDP socket for registrations and for the tunnel, so that both
have the same address and port on the other side. It knows datagrams of the agent's; it must never hand on what comes from
elsewhere."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable

from neurath.wire import mobileip
from neurath.wire.mobileip import PORT, Address

#: Seconds between two looks at what ended.
LOOK = 0.2
_MTU_DISCOVER, _NEVER = 10, 0


def fragments(link: socket.socket) -> None:
    """Lets what is too long for the path go in fragments, as tunnelled packets may be."""
    link.setsockopt(socket.IPPROTO_IP, _MTU_DISCOVER, _NEVER)


class Way:
    """Open for a node's life. `deliver` gets each packet that comes in the tunnel, in a thread."""

    def __init__(self, agent: Address, deliver: Callable[[bytes], None]) -> None:
        self._agent = (str(agent), PORT)
        self._deliver = deliver
        self._replies: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("", 0))
        self._socket.settimeout(LOOK)
        fragments(self._socket)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="mobileip-way", daemon=True)
        self._thread.start()

    def register(self, packet: bytes) -> None:
        """Sends a registration; replies to earlier ones are forgotten. OSError where it cannot leave."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._replies.get_nowait()
        self._socket.sendto(packet, self._agent)

    def reply(self, seconds: float) -> bytes:
        """What the agent answered; TimeoutError."""
        try:
            return self._replies.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None

    def send(self, packet: bytes) -> None:
        """Sends a packet through the tunnel. What cannot be sent is lost, as packets are."""
        with contextlib.suppress(OSError):
            self._socket.sendto(mobileip.in_udp(packet), self._agent)

    def _listen(self) -> None:
        while not self._ended.is_set():
            try:
                datagram, whence = self._socket.recvfrom(65535)
            except (TimeoutError, ConnectionError):
                continue
            except OSError:
                return
            if whence != self._agent:
                continue
            inner = mobileip.out_of_udp(datagram)
            if inner is None:
                self._replies.put(datagram)
            else:
                self._deliver(inner)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()
