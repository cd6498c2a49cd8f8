"""The relay in front of a site's own DHCP server, as a value: what becomes of each packet, either way. It knows which packets
are an enrolled client's and what is put in and taken out again; it must never hold up, drop or change anybody else's, nor
send more than came. Spec: docs/spec/dhcp.md."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from neurath.carriers.base import Seen
from neurath.carriers.dhcp.clients import Client, Clients
from neurath.carriers.dhcp.slots import USUAL, Slot
from neurath.errors import DataError
from neurath.wire import dhcp
from neurath.wire.cbor import malformed
from neurath.wire.dhcp import Code, Message, Op, Sub, Subs, Type, dotted

#: RFC 1542: a packet that went through so many relays goes round in a circle.
MOST_HOPS = 16
#: The enterprise number of our own words in sub-option 9, that for documentation (RFC 5612).
ENTERPRISE = 32473


class To(Enum):
    """How a packet leaves."""

    SERVER = "server"  # UDP to its port 67
    RELAY = "relay"  # UDP to port 67 of the relay below
    UNICAST = "unicast"  # UDP to port 68 of an address in use
    BROADCAST = "broadcast"  # port 68 of everybody on the client's link
    LINK = "link"  # port 68 of an address that is not in use yet: to the hardware address


@dataclass(frozen=True, slots=True)
class Heard:
    """A packet that came; `direct`: it was sent to our own address, not to everybody."""

    data: bytes
    direct: bool = False


@dataclass(frozen=True, slots=True)
class Send:
    """A packet that leaves; `mac` where it leaves to a hardware address."""

    data: bytes
    how: To
    address: bytes
    mac: bytes = b""


@dataclass(frozen=True, slots=True)
class Note:
    """One line for people; `points`: this client's packets come to us (True), or will not any more (False)."""

    text: str
    mac: bytes
    points: bool | None = None
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Enrich:
    """A packet for an enrolled client that has `room` bytes left for what rides; with() makes it whole. `note` is its line."""

    message: Message
    seen: Seen
    state: bytes | None
    room: int
    slot: Slot
    send: Send
    note: Note

    def with_(self, value: bytes) -> Send:
        """The packet with what rides, or as it was where nothing does."""
        if not value or len(value) > self.room:
            return self.send
        return replace(self.send, data=dhcp.packed(self.slot.put(self.message, value)))


Action = Send | Enrich | Note


@dataclass(frozen=True, slots=True)
class Site:
    """Where the relay stands: its address on the clients' side and that network, the servers, its circuit-id, and how it
    behaves. `slot`: where state and pieces stand."""

    address: bytes
    network: tuple[int, int]
    servers: tuple[bytes, ...]
    clients: Clients
    circuit: bytes = b"neurath"
    slot: Slot = USUAL
    observe: bool = False
    drain: bool = False

    def near(self, address: bytes) -> bool:
        """Whether an address is of the network that the relay's own lies in."""
        base, mask = self.network
        return int.from_bytes(address, "big") & mask == base & mask


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of an enrolled client between its packet and the answer: the server it has its lease from, its
    download state, what it takes, whether it asked for pieces, the relay below, whether its server was handed back to it,
    whether it was left without an answer since. Lost with the relay's life, learned with the next packet."""

    client: Client
    server: bytes = b""
    state: bytes | None = None
    maximum: int = dhcp.SMALLEST_MAXIMUM
    asked: bool = False
    below: bytes = dhcp.NOWHERE
    handed: bool = False
    left: bool = False


def clash(site: Site, data: bytes) -> str:
    """Who else uses the place of ours here, in a person's words; "" nobody in this packet. The site's server and clients that
    are not enrolled count."""
    try:
        message = dhcp.decode(data)
        if message.op == Op.REPLY:
            free = site.slot.piece(message) is None and site.slot.state(message) is None
            return "" if free else f"the server sends {site.slot.taken(message)} itself: nothing will ride where it does"
        if site.clients.of(message) is not None:
            return ""
        used = site.slot.taken(message)
        return f"{message.chaddr.hex(':')}, not enrolled, uses {used}" if used else ""
    except DataError:
        return ""


# ---- from a client to the servers ----------------------------------------------------------------------------------------


def from_client(site: Site, known: Known | None, heard: Heard) -> tuple[Known | None, tuple[Action, ...]]:
    """A packet that came from a client, or from a relay below."""
    data = heard.data
    try:
        message = dhcp.decode(data)
        client = site.clients.of(message)
        changed = _up(site, message) if client is not None else message
        state, wanted = (site.slot.state(message), site.slot.wanted(message)) if client is not None else (None, False)
    except DataError:
        return known, _plain_up(site, data)
    if client is None or site.observe:
        note = (
            () if client is None else (Note(f"would touch {_told(message)} as {client.name(message.chaddr)}", message.chaddr),)
        )
        return known, (*_plain_up(site, data), *note)
    if message.hops >= MOST_HOPS:
        return known, ()
    if site.drain and known is not None and known.handed and heard.direct and _renews(message):
        # It was told its server's name and comes here again (busybox keeps the first one): it shows that it can do without us.
        return replace(known, left=True), (Note(f"not answered: {_told(message)}, so that it asks everybody", message.chaddr),)
    server = known.server if known is not None else b""
    handed, left = (False, False) if known is None else (known.handed, known.left)
    maximum = int.from_bytes(message.get(Code.MAXIMUM) or b"\0\0", "big")
    known = Known(
        client,
        server,
        state,
        max(maximum, dhcp.SMALLEST_MAXIMUM),
        wanted,
        message.giaddr,
        handed,
        left,
    )
    sends = tuple(Send(dhcp.packed(_named(site, changed, server, to)), To.SERVER, to) for to in site.servers)
    return known, (*sends, Note(f"up: {_told(message)}: relay information, {len(sends)} server(s)", message.chaddr))


def _plain_up(site: Site, data: bytes) -> tuple[Action, ...]:
    """As any relay does it: nothing but giaddr and hops, and not even those where a relay below has set them."""
    if len(data) < dhcp.FIXED or data[0] != Op.REQUEST or data[dhcp.HOPS] >= MOST_HOPS:
        return ()
    if data[dhcp.GIADDR : dhcp.GIADDR + 4] == dhcp.NOWHERE:
        data = data[:3] + bytes([data[3] + 1]) + data[4:24] + site.address + data[28:]
    return tuple(Send(data, To.SERVER, server) for server in site.servers)


def _renews(message: Message) -> bool:
    return message.type is Type.REQUEST and message.ciaddr != dhcp.NOWHERE and message.giaddr == dhcp.NOWHERE


def _up(site: Site, message: Message) -> Message:
    """With our address as the relay's and with our relay information, last (RFC 3046)."""
    found = dhcp.subs(message.get(Code.RELAY) or b"")
    below, codes = message.giaddr, {code for code, _ in found}
    more: list[tuple[int, bytes]] = [] if Sub.CIRCUIT in codes else [(Sub.CIRCUIT, site.circuit)]
    link = below if below != dhcp.NOWHERE else message.ciaddr
    if Sub.LINK not in codes and link != dhcp.NOWHERE and not site.near(link):
        more.append((Sub.LINK, link))
    more.append((Sub.SERVER, site.address))
    ours = bytes(code for code, _ in more)
    more.append((Sub.VENDOR, _word(Trace(below, ours))))
    value = dhcp.subs_to((*found, *more))
    if len(value) > 255:
        raise malformed("DHCP packet", "no room for relay information")
    changed = message.without(Code.RELAY).at(dhcp.GIADDR, site.address).at(dhcp.HOPS, bytes([message.hops + 1]))
    return changed.with_(Code.RELAY, value)


def _named(site: Site, message: Message, server: bytes, to: bytes) -> Message:
    """With the server's own name where the client names us; a server whose name is not known is asked by its address."""
    if message.get(Code.SERVER) != site.address:
        return message
    return message.with_(Code.SERVER, server or to)


# ---- from a server to the client -----------------------------------------------------------------------------------------


def from_server(site: Site, known: Known | None, data: bytes) -> tuple[Known | None, tuple[Action, ...]]:
    """A packet that came from a server."""
    try:
        message = dhcp.decode(data)
        trace, rest = _traced(message)
    except DataError:
        return known, _plain_down(site, data)
    if trace is None:
        below = dhcp.NOWHERE if known is None else known.below
        if below != dhcp.NOWHERE and message.giaddr == site.address:
            return known, _plain_down(site, data[: dhcp.GIADDR] + below + data[dhcp.GIADDR + 4 :])
        return known, _plain_down(site, data)
    server = message.get(Code.SERVER) or b""
    changed = message.without(Code.RELAY).at(dhcp.GIADDR, trace.below)
    if rest:
        changed = changed.with_(Code.RELAY, dhcp.subs_to(rest))
    ours = not site.drain and not site.observe and message.type in (Type.OFFER, Type.ACK)
    if ours and server:
        changed = changed.with_(Code.SERVER, site.address)
    known = None if known is None else replace(known, server=server, handed=not ours)
    send = _down(changed)
    told = Note(f"down: {_told(message)}: server {dotted(server) if server else '-'}", message.chaddr)
    if message.type is Type.ACK and message.yiaddr != dhcp.NOWHERE:
        lease = int.from_bytes(message.get(Code.LEASE) or b"", "big")
        # One that asked everybody, since nobody answered it here, has shown that it does without us.
        lease = 0 if not ours and known is not None and known.left else lease
        told = replace(told, text=told.text + ("" if ours else ", handed back"), points=ours, lease=lease)
    if not ours or known is None or not _takes(site, known, message):
        return known, (send, told)
    room = min(known.client.room, site.slot.room(_room(known) - len(dhcp.encode(replace(changed, tail=b"")))))
    where = message.yiaddr if message.ciaddr == dhcp.NOWHERE else message.ciaddr
    seen = Seen(known.client.name(message.chaddr), "dhcp", dotted(where))
    return replace(known, asked=False), (Enrich(changed, seen, known.state, room, site.slot, send, told),)


def _takes(site: Site, known: Known, message: Message) -> bool:
    """Pieces ride on acknowledged leases only, where the client asks for them and the site's server does not use the place."""
    try:
        return message.type is Type.ACK and known.asked and site.slot.piece(message) is None
    except DataError:
        return False


def _room(known: Known) -> int:
    return min(known.maximum - dhcp.BELOW, dhcp.LONGEST)


def _plain_down(site: Site, data: bytes) -> tuple[Action, ...]:
    """As it came. BOOTP included: what is needed stands in the fixed part."""
    if len(data) < dhcp.FIXED or data[0] != Op.REPLY:
        return ()
    below = data[dhcp.GIADDR : dhcp.GIADDR + 4]
    if below not in (site.address, dhcp.NOWHERE):
        return (Send(data, To.RELAY, below),)
    return (_address(data),)


def _down(message: Message) -> Send:
    data = dhcp.packed(message)
    if message.giaddr != dhcp.NOWHERE:
        return Send(data, To.RELAY, message.giaddr)
    if message.type is Type.NAK:
        return Send(data, To.BROADCAST, b"\xff" * 4)
    return _address(data)


def _address(data: bytes) -> Send:
    """RFC 2131 4.1: to the address in use, else to everybody where the client wants that, else to the one it is given."""
    ciaddr, yiaddr = data[12:16], data[16:20]
    if ciaddr != dhcp.NOWHERE:
        return Send(data, To.UNICAST, ciaddr)
    if data[dhcp.FLAGS] & 0x80 or yiaddr == dhcp.NOWHERE or data[2] != 6:
        return Send(data, To.BROADCAST, b"\xff" * 4)
    return Send(data, To.LINK, yiaddr, data[28:34])


# ---- our words in sub-option 9: what servers hand back, so that nothing need be remembered -------------------------------


@dataclass(frozen=True, slots=True)
class Trace:
    """What was done to a packet on its way up: the relay below (its giaddr), and the sub-options that are ours."""

    below: bytes
    ours: bytes


def _word(trace: Trace) -> bytes:
    return dhcp.vendors_to(((ENTERPRISE, trace.below + trace.ours),))


def _traced(message: Message) -> tuple[Trace | None, Subs]:
    """Our trace in what the server hands back, and the sub-options that are not ours; None: it went up untouched."""
    trace, rest = None, []
    found = dhcp.subs(message.get(Code.RELAY) or b"")
    for code, data in found:
        if code == Sub.VENDOR and data[:4] == ENTERPRISE.to_bytes(4, "big"):
            words = dict(dhcp.vendors(data))[ENTERPRISE]
            if len(words) >= 4:
                trace = Trace(words[:4], words[4:])
                continue
        rest.append((code, data))
    if trace is None:
        return None, found
    ours = trace.ours
    return trace, tuple(one for one in rest if one[0] not in ours)


def _told(message: Message) -> str:
    name = message.type.name if message.type is not None else "BOOTP"
    return f"{name} {message.chaddr.hex(':')}"
