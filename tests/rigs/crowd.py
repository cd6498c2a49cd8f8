"""Many DHCP clients on one cable, each with its own hardware address, as RFC 2131 says, at a pace that tests can bear. It
knows frames and answers ARP for its addresses; it must never be gentler than a real client about an answer that does not
come."""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from neurath.carriers.dhcp.relay import Send, To
from neurath.carriers.dhcp.sockets import datagram
from neurath.wire import dhcp
from neurath.wire.dhcp import CIADDR, Code, Message, Op, Type

#: Seconds between two tries of the same question. RFC 2131: 60 at the least in RENEWING; leases here are 450 times shorter.
RETRY = 1.0


@dataclass
class Member:
    """One client. `lost`: how often its lease ended before it was renewed."""

    mac: bytes
    state: str = "init"
    address: bytes = dhcp.NOWHERE
    server: bytes = dhcp.NOWHERE
    due: float = 0.0
    rebind: float = 0.0
    ends: float = 0.0
    xid: bytes = b""
    acks: int = 0
    lost: int = 0
    naks: int = 0
    ridden: int = 0
    servers: list[bytes] = field(default_factory=list)


@dataclass
class Crowd:
    """`count` clients on an interface (opened inside its namespace). `next_hop`: the hardware address of the way out. `words`
    gives what a member adds to its requests; `heard` gets each acknowledgement. `renew`: T1 in place of the server's."""

    interface: str
    count: int
    next_hop: bytes
    prefix: bytes = b"\x52\x54\x00\x77"
    words: Callable[[Member], list[tuple[int, bytes]]] = lambda member: []
    heard: Callable[[Member, Message], None] = lambda member, ack: None
    renew: float | None = None
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.count)
        self.members = [Member(self.prefix + struct.pack(">H", n)) for n in range(self.count)]
        now = time.monotonic()
        for member in self.members:
            member.due = now + self._rng.random()
        self._by_mac = {member.mac: member for member in self.members}
        self._by_address: dict[bytes, Member] = {}
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind((self.interface, 0))
        index = socket.if_nametoindex(self.interface)
        self._socket.setsockopt(
            263, 1, struct.pack("iHH8s", index, 1, 0, b"")
        )  # SOL_PACKET, PACKET_ADD_MEMBERSHIP: all frames
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def bound(self) -> int:
        return sum(member.state in ("bound", "renewing", "rebinding") for member in self.members)

    @property
    def lost(self) -> int:
        return sum(member.lost for member in self.members)

    @property
    def acks(self) -> int:
        return sum(member.acks for member in self.members)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    # ---- the loop

    def _run(self) -> None:
        while not self._ended.is_set():
            ready, _, _ = select.select([self._socket], [], [], 0.01)
            for _ in range(200 if ready else 0):
                try:
                    frame, whence = self._socket.recvfrom(65535, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    break
                if whence[2] != 4:  # not our own
                    self._frame(frame)
            now = time.monotonic()
            for member in self.members:
                if now >= member.due:
                    self._due(member, now)

    def _frame(self, frame: bytes) -> None:
        kind = frame[12:14]
        if kind == b"\x08\x06" and frame[20:22] == b"\0\x01" and frame[38:42] in self._by_address:
            mac = self._by_address[frame[38:42]].mac
            answer = frame[14:20] + b"\0\x02" + mac + frame[38:42] + frame[22:32]
            self._socket.send(frame[6:12] + mac + b"\x08\x06" + answer)
        elif kind == b"\x08\0" and frame[23] == 17 and frame[36:38] == b"\0\x44":
            message = dhcp.decode(frame[42 : 34 + struct.unpack_from(">H", frame, 38)[0]])
            member = self._by_mac.get(message.chaddr)
            if member is not None and message.xid == member.xid and message.op == Op.REPLY:
                self._answer(member, message, time.monotonic())

    def _answer(self, member: Member, message: Message, now: float) -> None:
        server = message.get(Code.SERVER) or dhcp.NOWHERE
        if message.type is Type.OFFER and member.state == "selecting":
            member.address, member.server, member.state = message.yiaddr, server, "requesting"
            self._ask(member, now)
        elif message.type is Type.NAK and member.state != "bound":
            member.naks += 1
            member.lost += member.state in ("renewing", "rebinding")
            member.state, member.due = "init", now
        elif message.type is Type.ACK and member.state not in ("init", "selecting", "bound"):
            lease, t1, t2 = (self._seconds(message, code) for code in (Code.LEASE, Code.RENEW, Code.REBIND))
            member.acks += 1
            member.state, member.server, member.ends = "bound", server, now + lease
            member.servers.append(server)
            wait = self.renew if self.renew is not None else (t1 or lease / 2)
            member.due, member.rebind = now + wait, now + (t2 or lease * 7 / 8)
            self._by_address[member.address] = member
            self.heard(member, message)

    @staticmethod
    def _seconds(message: Message, code: int) -> float:
        return float(int.from_bytes(message.get(code) or b"", "big"))

    def _due(self, member: Member, now: float) -> None:
        if member.state in ("bound", "renewing", "rebinding"):
            if now >= member.ends:
                member.lost += 1
                member.state, member.address = "init", dhcp.NOWHERE
            elif now >= member.rebind:
                member.state = "rebinding"
            elif member.state == "bound":
                member.state = "renewing"
        if member.state in ("init", "requesting"):
            member.state = "selecting"
        self._ask(member, now)

    def _ask(self, member: Member, now: float) -> None:
        member.due = now + RETRY * (0.9 + 0.2 * self._rng.random())
        if member.state != "requesting" or not member.xid:
            member.xid = self._rng.randbytes(4)
        kind = Type.DISCOVER if member.state == "selecting" else Type.REQUEST
        options: list[tuple[int, bytes]] = [(Code.TYPE, bytes([kind]))]
        if member.state == "requesting":
            options += [(Code.REQUESTED, member.address), (Code.SERVER, member.server)]
        message = dhcp.message(Op.REQUEST, member.xid, member.mac, options + self.words(member))
        if member.state in ("renewing", "rebinding"):
            message = message.at(CIADDR, member.address)
        self._send(member, Send(dhcp.packed(message), To.LINK, dhcp.NOWHERE))

    def _send(self, member: Member, out: Send) -> None:
        near = member.state == "renewing"
        to, target = (self.next_hop, member.server) if near else (b"\xff" * 6, b"\xff" * 4)
        source = member.address if member.state in ("renewing", "rebinding") else dhcp.NOWHERE
        self._socket.send(to + member.mac + b"\x08\0" + datagram(source, target, (68, 67), out.data))
