"""A small DHCP server, for plants, labs and demonstrations that have none: a pool, leases on disk, T1 and T2, and what rides
on acknowledgements. It knows RFC 2131 as far as a pool needs it; it must never give an address to two clients, nor
acknowledge a lease before it is on the disk."""

from __future__ import annotations

import contextlib
import ipaddress
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from neurath.carriers.base import Seen
from neurath.carriers.dhcp.clients import Client, Clients
from neurath.carriers.dhcp.relay import Action, Enrich, Heard, Note, Send, To
from neurath.carriers.dhcp.slots import USUAL, Slot
from neurath.disk import write_whole
from neurath.errors import DataError, UsageError
from neurath.wire import dhcp
from neurath.wire.dhcp import CIADDR, FLAGS, GIADDR, YIADDR, Code, Message, Op, Type, dotted

#: Seconds for which an offered address is kept for its client.
OFFERED = 30.0


@dataclass(frozen=True, slots=True)
class Pool:
    """What is given: addresses from `first` to `last` (numbers), mask, lease, T1, and a default gateway where there is one."""

    server: bytes
    first: int
    last: int
    mask: int
    lease: int = 3600
    renew: int = 1800
    router: bytes = b""

    def __contains__(self, address: bytes) -> bool:
        number = int.from_bytes(address, "big")
        return self.first <= number <= self.last and address != self.server

    def words(self) -> list[tuple[int, bytes]]:
        """The options of every offer and lease, option 53 not."""
        seconds = (self.lease, self.renew, max(self.renew, self.lease * 7 // 8))
        times = zip((Code.LEASE, Code.RENEW, Code.REBIND), seconds, strict=True)
        found: list[tuple[int, bytes]] = [(Code.SERVER, self.server), *((code, s.to_bytes(4, "big")) for code, s in times)]
        found.append((Code.MASK, self.mask.to_bytes(4, "big")))
        return [*found, (Code.ROUTER, self.router)] if self.router else found


def pool(text: str, server: bytes, network: tuple[int, int]) -> Pool:
    """`FIRST-LAST`, both in the network of the interface; UsageError."""
    first, _, last = text.partition("-")
    try:
        ends = [int(ipaddress.IPv4Address(one.strip())) for one in (first, last)]
    except ValueError:
        raise UsageError(
            f"{text[:60]!r} is no pool", "FIRST-LAST, two IPv4 addresses", "--pool 10.77.0.50-10.77.0.99"
        ) from None
    base, mask = network
    if not (ends[0] <= ends[1] and all(one & mask == base for one in ends)):
        raise UsageError(
            f"the pool {text} cannot be used", "it lies in the interface's own network, first before last", "--pool"
        )
    return Pool(server, ends[0], ends[1], mask)


@dataclass(frozen=True, slots=True)
class Lease:
    """An address, whose it is (hardware address), until when; not `bound`: offered only, and `mac` b"": found in use."""

    mac: bytes
    until: float
    bound: bool = True


@dataclass(slots=True)
class Leases:
    """The table, in a file that is replaced whole. `path` None: in memory only."""

    path: Path | None = None
    by_address: dict[bytes, Lease] = field(default_factory=dict)
    _of: dict[bytes, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError, ValueError, TypeError, AttributeError):
            for address, (mac, until) in json.loads(self.path.read_text()).items():
                self._put(ipaddress.IPv4Address(address).packed, Lease(bytes.fromhex(mac), float(until)))

    def of(self, mac: bytes) -> bytes:
        """The address this client has or had last; b"" none."""
        return self._of.get(mac, b"")

    def free(self, address: bytes, mac: bytes, now: float) -> bool:
        held = self.by_address.get(address)
        return held is None or held.until <= now or (held.mac == mac and bool(mac))

    def choose(self, wanted: Pool, mac: bytes, asked: bytes, now: float) -> bytes:
        """The client's own, else the one it asks for, else one that nobody ever had, else the one that was free longest; b"":
        there is none."""
        for address in (self.of(mac), asked):
            if address and address in wanted and self.free(address, mac, now):
                return address
        numbers = range(wanted.first, wanted.last + 1)
        every = [address for n in numbers if (address := n.to_bytes(4, "big")) in wanted and self.free(address, mac, now)]
        return min(every, key=lambda a: self.by_address[a].until if a in self.by_address else 0.0, default=b"")

    def keep(self, address: bytes, lease: Lease) -> None:
        """Notes a lease; on return it is on the disk if it is bound. OSError: it is not, and does not count."""
        before = self.by_address.get(address)
        self._put(address, lease)
        if not lease.bound and not (before is not None and before.bound):
            return
        try:
            self._write()
        except OSError:
            if before is None:
                del self.by_address[address]
                self._of.pop(lease.mac, None)
            else:
                self._put(address, before)
            raise

    def _put(self, address: bytes, lease: Lease) -> None:
        self.by_address[address] = lease
        if lease.mac:
            self._of[lease.mac] = address

    def _write(self) -> None:
        if self.path is not None:
            rows = {dotted(a): [held.mac.hex(), held.until] for a, held in self.by_address.items() if held.bound}
            write_whole(self.path, json.dumps(rows).encode())


@dataclass(slots=True)
class Standalone:
    """The server's word on each packet."""

    pool: Pool
    clients: Clients
    leases: Leases
    slot: Slot = USUAL

    def __call__(self, heard: Heard, now: float) -> tuple[Action, ...]:
        try:
            message = dhcp.decode(heard.data)
        except DataError:
            return ()
        if message.op != Op.REQUEST or len(message.chaddr) != 6:
            return ()
        match message.type:
            case Type.DISCOVER:
                return self._offer(message, now)
            case Type.REQUEST:
                return self._request(message, now)
            case Type.INFORM:
                return self._said(message, Type.ACK, dhcp.NOWHERE)
            case Type.RELEASE | Type.DECLINE:
                self._give_back(message, now)
        return ()

    def _offer(self, message: Message, now: float) -> tuple[Action, ...]:
        address = self.leases.choose(self.pool, message.chaddr, message.get(Code.REQUESTED) or b"", now)
        if not address:
            return (Note("the pool is empty", message.chaddr),)
        held = self.leases.by_address.get(address)
        if held is None or held.until < now + OFFERED:
            self.leases.keep(address, Lease(message.chaddr, now + OFFERED, bound=False))
        return self._said(message, Type.OFFER, address)

    def _request(self, message: Message, now: float) -> tuple[Action, ...]:
        server = message.get(Code.SERVER)
        if server not in (None, self.pool.server):
            return ()  # it took another server's offer
        address = message.ciaddr if message.ciaddr != dhcp.NOWHERE else message.get(Code.REQUESTED) or b""
        if address not in self.pool or not self.leases.free(address, message.chaddr, now):
            return self._said(message, Type.NAK, dhcp.NOWHERE)
        try:
            self.leases.keep(address, Lease(message.chaddr, now + self.pool.lease))
        except OSError as fault:
            return (Note(f"no lease for {message.chaddr.hex(':')}: {fault}", message.chaddr),)
        return self._said(message, Type.ACK, address)

    def _give_back(self, message: Message, now: float) -> None:
        address = message.ciaddr if message.type is Type.RELEASE else message.get(Code.REQUESTED) or b""
        held = self.leases.by_address.get(address)
        if held is None or held.mac != message.chaddr:
            return
        with contextlib.suppress(OSError):
            # In use by a stranger: nobody gets it for the length of a lease.
            used = message.type is Type.DECLINE
            self.leases.keep(address, Lease(b"", now + self.pool.lease) if used else replace(held, until=now))

    def _said(self, message: Message, kind: Type, address: bytes) -> tuple[Action, ...]:
        words = self.pool.words() if kind is not Type.NAK else [(Code.SERVER, self.pool.server)]
        if message.type is Type.INFORM:
            words = [word for word in words if word[0] not in (Code.LEASE, Code.RENEW, Code.REBIND)]
        made = dhcp.message(Op.REPLY, message.xid, message.chaddr, [(Code.TYPE, bytes([kind])), *words])
        made = made.at(YIADDR, address).at(GIADDR, message.giaddr).at(FLAGS, message.fixed[FLAGS : FLAGS + 2])
        if kind is not Type.NAK:
            made = made.at(CIADDR, message.ciaddr)
        relayed = message.get(Code.RELAY)
        made = made if relayed is None else made.with_(Code.RELAY, relayed)
        send = _leaves(made, kind)
        note = Note(f"{kind.name} {dotted(address)} to {message.chaddr.hex(':')}", message.chaddr)
        client = self._enrolled(message) if kind is Type.ACK and address != dhcp.NOWHERE else None
        if client is None:
            return (send, note)
        maximum = max(int.from_bytes(message.get(Code.MAXIMUM) or b"", "big"), dhcp.SMALLEST_MAXIMUM)
        left = min(maximum - dhcp.BELOW, dhcp.LONGEST) - len(dhcp.encode(made))
        seen = Seen(client.name(message.chaddr), "dhcp", dotted(address))
        room = min(client.room, self.slot.room(left))
        return (Enrich(made, seen, self.slot.state(message), room, self.slot, send, note),)

    def _enrolled(self, message: Message) -> Client | None:
        """The client's line, where it asks for what rides."""
        try:
            return self.clients.of(message) if self.slot.wanted(message) else None
        except DataError:
            return None  # its lease does not suffer for what else it says


def _leaves(made: Message, kind: Type) -> Send:
    """RFC 2131 4.1."""
    data = dhcp.packed(made)
    if made.giaddr != dhcp.NOWHERE:
        return Send(data, To.RELAY, made.giaddr)
    if kind is Type.NAK or (made.broadcast and made.ciaddr == dhcp.NOWHERE):
        return Send(data, To.BROADCAST, b"\xff" * 4)
    if made.ciaddr != dhcp.NOWHERE:
        return Send(data, To.UNICAST, made.ciaddr)
    return Send(data, To.LINK, made.yiaddr, made.chaddr)
