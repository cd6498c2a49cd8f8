"""The home agent as a value: who may be bound where, and until when. It knows registrations, its nodes and the time it is
told; it must never open a socket, take a registration twice, nor let a packet in that does not come from a registered care-of
address. Spec: docs/spec/mobileip.md."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from neurath.errors import DataError
from neurath.wire import mobileip
from neurath.wire.mobileip import MAX_LONG, MAX_SHORT, Address, Code, Reply, Request, Said, Security, Udp

#: How far a node's clock may be from the agent's, seconds (RFC 5944 5.7).
SKEW = 7.0
#: Seconds for which a binding is granted at most.
LIFETIME = 300
#: Seconds of silence after which a NAT may forget a node (RFC 3519 4.9): a heartbeat must come oftener.
KEEPALIVE = 110
_LOW = 0xFFFF_FFFF

#: Whence a datagram came: address and port.
Whence = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Node:
    """A terminal with a home here. `verifier` is the secret of its user's password (wire/mobileip.secret); `nonces`: replays
    are told by nonces and not by the time."""

    home: Address
    terminal: str
    security: Security
    user: str
    verifier: bytes
    tenant: str = "DEFAULT"
    nonces: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a node is, until when. Who proved to be its user has done so for as long as it is bound. `udp`: behind a NAT,
    whence its registrations come; its tunnel goes there."""

    care_of: Address
    until: float
    udp: Whence | None = None


@dataclass(frozen=True, slots=True)
class Bind:
    """From now on packets for `home` go to `care_of`; with `udp` to the port whence its registrations come."""

    home: Address
    care_of: Address
    udp: bool = False


@dataclass(frozen=True, slots=True)
class Unbind:
    """Packets for `home` stay on the home link."""

    home: Address


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply to send. Where `state` is not None it was accepted, and something of at most `room` bytes may ride."""

    reply: Reply
    node: Node
    state: bytes | None = None
    wide: bool = False
    care_of: str = ""
    udp: Udp | None = None

    @property
    def room(self) -> int:
        return MAX_LONG if self.wide else MAX_SHORT

    def packet(self, pen: int, riding: bytes = b"") -> bytes:
        """The bytes to send, sealed after what rides was put in."""
        said = Said(udp=self.udp)
        if 0 < len(riding) <= self.room:
            said = Said(data=riding, wide=len(riding) > MAX_SHORT, udp=self.udp)
        return mobileip.encode(replace(self.reply, said=said), self.node.security, pen)


Action = Bind | Unbind | Answer


@dataclass(frozen=True, slots=True)
class HomeAgent:
    """One home agent. `last` is the identification last taken from each home address, `nonces` what the next one of it has to
    begin with where the two use nonces; both outlive bindings."""

    address: Address
    nodes: Mapping[Address, Node]
    lifetime: int = LIFETIME
    pen: int = mobileip.PEN
    bindings: Mapping[Address, Binding] = field(default_factory=dict)
    last: Mapping[Address, int] = field(default_factory=dict)
    nonces: Mapping[Address, int] = field(default_factory=dict)

    def handle(self, packet: bytes, now: float, whence: Whence | None = None) -> tuple[HomeAgent, tuple[Action, ...]]:
        """What came to the registration port from `whence` at `now`, Unix seconds. What makes no sense, or is not from a
        node of ours, is not answered: there is no key to answer with."""
        try:
            request, seal = mobileip.decode(packet, self.pen)
        except DataError:
            return self, ()
        node = self.nodes.get(request.home)
        if not isinstance(request, Request) or node is None:
            return self, ()
        refusal = self._refusal(request, node, seal.by(node.security), now)
        if refusal is not None:
            return self._refused(request, node, refusal, now)
        return self._taken(request, node, now, whence)

    def tick(self, now: float) -> tuple[HomeAgent, tuple[Action, ...]]:
        """Time passes: bindings end."""
        over = [home for home, binding in self.bindings.items() if binding.until <= now]
        if not over:
            return self, ()
        left = {home: binding for home, binding in self.bindings.items() if home not in over}
        return replace(self, bindings=left), tuple(Unbind(home) for home in over)

    def inbound(self, outer: Address, inner: Address) -> bool:
        """Whether a packet of `inner` that came in a tunnel from `outer` is let through: only from where that node is."""
        binding = self.bindings.get(inner)
        return binding is not None and binding.udp is None and binding.care_of == outer

    def inbound_udp(self, whence: Whence, inner: Address) -> bool:
        """The same for a tunnel in UDP."""
        binding = self.bindings.get(inner)
        return binding is not None and binding.udp == whence

    def outbound(self, home: Address) -> Address | Whence | None:
        """Where a packet for a home address is to be tunnelled; in UDP where that is a port too."""
        binding = self.bindings.get(home)
        return None if binding is None else binding.udp or binding.care_of

    def _refusal(self, request: Request, node: Node, sealed: bool, now: float) -> Code | None:
        if not sealed:
            return Code.FAILED_AUTHENTICATION
        if request.agent != self.address:
            return Code.UNKNOWN_HOME_AGENT
        if not self._fresh(request, node, now):
            return Code.IDENTIFICATION_MISMATCH
        if not request.said.nai and (request.home in self.bindings or request.lifetime == 0):
            return None  # a keep-alive or a good-bye: who it is was proven at the first registration
        return None if request.said.nai == node.user and _proven(request, node) else Code.PROHIBITED

    def _fresh(self, request: Request, node: Node, now: float) -> bool:
        """Whether it was not heard before."""
        if node.nonces:
            return request.identification >> 32 == self.nonces.get(request.home)
        near = abs(mobileip.moment(request.identification) - now) <= SKEW
        return near and request.identification > self.last.get(request.home, 0)

    def _refused(self, request: Request, node: Node, code: Code, now: float) -> tuple[HomeAgent, tuple[Action, ...]]:
        agent, identification = self, request.identification
        if node.nonces and code in (Code.IDENTIFICATION_MISMATCH, Code.PROHIBITED):
            # Who repeats what was heard before does not take the nonce away from the node.
            agent, identification = self._drawn(request, node, now, again=code is Code.IDENTIFICATION_MISMATCH)
        elif code is Code.IDENTIFICATION_MISMATCH:
            # The agent's time in the upper half, so that the node sets its clock by it (RFC 5944 5.7.1).
            identification = mobileip.stamp(now) & ~_LOW | identification & _LOW
        return agent, (Answer(Reply(code, 0, request.home, self.address, identification), node),)

    def _drawn(self, request: Request, node: Node, now: float, *, again: bool = False) -> tuple[HomeAgent, int]:
        """The nonce for the node's next request, and the identification of the reply that tells it. `again`: the one that it
        was told before, where there is one."""
        before = self.nonces.get(request.home)
        what = request.identification.to_bytes(8, "big") + mobileip.stamp(now).to_bytes(8, "big")
        nonce = mobileip.drawn(node.security, what)
        if before is not None:
            nonce = before if again else nonce if nonce != before else nonce ^ 1
        return replace(self, nonces={**self.nonces, request.home: nonce}), nonce << 32 | request.identification & _LOW

    def _taken(self, request: Request, node: Node, now: float, whence: Whence | None) -> tuple[HomeAgent, tuple[Action, ...]]:
        home, last = request.home, {**self.last, request.home: request.identification}
        agent, identification = self._drawn(request, node, now) if node.nonces else (self, request.identification)
        granted = min(request.lifetime, self.lifetime)
        reply = Reply(Code.ACCEPTED, granted, home, self.address, identification)
        udp = whence if _through_nat(request, whence) else None
        told = None if udp is None else Udp(keepalive=KEEPALIVE)
        where = str(request.care_of) if udp is None else f"{request.care_of} behind {udp[0]}:{udp[1]}"
        answer = Answer(reply, node, request.said.data, request.said.wide, where, told)
        before = self.bindings.get(home)
        left = {name: binding for name, binding in self.bindings.items() if name != home}
        if granted == 0:
            gone: tuple[Action, ...] = (Unbind(home),) if before is not None else ()
            return replace(agent, bindings=left, last=last), (*gone, answer)
        bindings = {**left, home: Binding(request.care_of, now + granted, udp)}
        moved: tuple[Action, ...] = ()
        if before is None or before.care_of != request.care_of or (before.udp is None) != (udp is None):
            moved = (Bind(home, request.care_of, udp is not None),)
        return replace(agent, bindings=bindings, last=last), (*moved, answer)


def _through_nat(request: Request, whence: Whence | None) -> bool:
    """Whether the tunnel goes in UDP: the node can, and its care-of address is not whence it came, or it insists (RFC 3519
    4.6). Address and port stand outside the seal: a NAT writes them."""
    if whence is None or request.said.udp is None or not request.lifetime:
        return False
    return request.said.udp.force or str(request.care_of) != whence[0]


def _proven(request: Request, node: Node) -> bool:
    at = request.home, request.care_of, request.identification
    return hmac.compare_digest(mobileip.proof(node.verifier, request.said.nai, *at), request.said.proof)
