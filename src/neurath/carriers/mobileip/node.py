"""The mobile node: a registration with the home agent as a terminal's heartbeat. It knows where its home is, what it shares
with the agent, and the address it has here; it must never send a password, send a second packet where one will do, nor hand on
what the agent did not seal. Spec: docs/spec/mobileip.md."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from neurath.carriers.base import Descriptor, Rides
from neurath.carriers.http import Place
from neurath.carriers.mobileip.way import Way
from neurath.errors import DataError, LinkError, RefusedError
from neurath.wire import mobileip
from neurath.wire.mobileip import MAX_LONG, MAX_SHORT, PORT, Address, Code, Reply, Request, Said, Security, Udp

#: Seconds until an answer is given up.
PATIENCE = 4.0
#: Seconds between two looks whether the node has moved while it waits.
LOOK = 0.25


@dataclass(frozen=True, slots=True)
class Home:
    """What a node knows of its home: its address there, the agent's, what they share; its user and what stands for the user's
    password (wire/mobileip.secret). `wide`: long extensions are taken; `nat`: the tunnel may go in UDP (RFC 3519);
    `nonces`: replays are told by nonces and not by the time."""

    address: Address
    agent: Address
    security: Security
    user: str
    secret: bytes
    lifetime: int = 300
    wide: bool = False
    pen: int = mobileip.PEN
    nat: bool = False
    nonces: bool = False


class Again(Enum):
    """Why a registration has to be sent again, at once."""

    CLOCK = "its clock was set by the agent's"
    NONCE = "it did not know the agent's nonce"
    USER = "the agent asks who its user is"


@dataclass(frozen=True, slots=True)
class Registered:
    """Accepted for so many seconds; what rode on the answer."""

    lifetime: int
    riding: bytes


@dataclass(frozen=True, slots=True)
class Registration:
    """A node's registration as a value. `known`: the agent has its user's proof, as far as the node knows; `offset`: agent's
    clock less own, seconds; `sent`: the identification of the request that waits for its answer, 0: none; `udp`: the agent
    tunnels in UDP; `nonce`: what the agent wants the next request to begin with."""

    home: Home
    known: bool = False
    offset: float = 0.0
    sent: int = 0
    last: int = 0
    granted: int = 0
    udp: bool = False
    nonce: int = 0

    def request(self, care_of: Address, state: bytes | None, now: float) -> tuple[Registration, bytes]:
        """The packet to send from this address. With the first one, and whenever the agent forgot, goes the user's identity
        with its proof; keep-alives omit both."""
        return self._packet(care_of, state, now, self.home.lifetime)

    def farewell(self, care_of: Address, now: float) -> tuple[Registration, bytes]:
        """The packet that ends the binding."""
        made, packet = self._packet(care_of, None, now, 0)
        return replace(made, known=False, granted=0), packet

    def _packet(self, care_of: Address, state: bytes | None, now: float, lifetime: int) -> tuple[Registration, bytes]:
        home = self.home
        identification = self._identification(now)
        said = Said(data=state, wide=home.wide, udp=Udp() if home.nat and lifetime else None)
        if not self.known and lifetime:
            proof = mobileip.proof(home.secret, home.user, home.address, care_of, identification)
            said = replace(said, nai=home.user, proof=proof)
        request = Request(lifetime, home.address, home.agent, care_of, identification, said=said)
        packet = mobileip.encode(request, home.security, home.pen)
        return replace(self, sent=identification, last=identification), packet

    def _identification(self, now: float) -> int:
        """Never the same twice, also where the clock stood still or went back."""
        if self.home.nonces:
            what = self.last.to_bytes(8, "big") + mobileip.stamp(now).to_bytes(8, "big")
            own = mobileip.drawn(self.home.security, what)
            return self.nonce << 32 | (own if own != self.last & 0xFFFF_FFFF else own ^ 1)
        return max(mobileip.stamp(now + self.offset), self.last + 1)

    def heard(self, packet: bytes, now: float) -> tuple[Registration, Registered | Again | None]:
        """What came back: the result, a reason to ask again, or None for what is not the answer. RefusedError where the
        agent says no, TrustError where the two do not share a key."""
        try:
            reply, seal = mobileip.decode(packet, self.home.pen)
        except DataError:
            return self, None
        ours = isinstance(reply, Reply) and reply.home == self.home.address and reply.agent == self.home.agent
        if not isinstance(reply, Reply) or not ours or not self.sent or not seal.by(self.home.security):
            return self, None
        if self.home.nonces and not (reply.identification ^ self.sent) & 0xFFFF_FFFF:
            # Our own nonce came back, so it is the answer to this very request: the other half is for the next one.
            told = replace(self, nonce=reply.identification >> 32)
            if reply.code == Code.IDENTIFICATION_MISMATCH:
                return replace(told, sent=0), Again.NONCE
            return told._result(reply)
        if reply.code == Code.IDENTIFICATION_MISMATCH and not (reply.identification ^ self.sent) & 0xFFFF_FFFF:
            offset = mobileip.moment(reply.identification) - now
            # What was sent by a clock that ran ahead must not keep the next one from the agent's time.
            return replace(self, offset=offset, sent=0, last=0), Again.CLOCK
        return self._result(reply) if reply.identification == self.sent else (self, None)

    def _result(self, reply: Reply) -> tuple[Registration, Registered | Again | None]:
        """What the answer to our request says."""
        if reply.code == Code.ACCEPTED:
            udp = self.home.nat and reply.said.udp is not None and reply.said.udp.code == 0
            made = replace(self, known=reply.lifetime > 0, sent=0, granted=reply.lifetime, udp=udp)
            return made, Registered(reply.lifetime, reply.said.data or b"")
        if reply.code == Code.PROHIBITED and self.known:
            return replace(self, known=False, sent=0), Again.USER
        raise _no(reply.code)


def _no(code: int) -> RefusedError:
    words = {
        Code.PROHIBITED: ("the user's identity or password is not the agent's", "check user and password"),
        Code.FAILED_AUTHENTICATION: ("the two do not share this key", "check spi, algorithm and key at both ends"),
    }
    why, hint = words.get(Code(code) if code in set(Code) else Code.ACCEPTED, (f"code {code}", "RFC 5944 3.4 lists the codes"))
    return RefusedError("the home agent refused the registration", why, hint, id="NRT-333")


class MobileIp:
    """The heartbeat of a terminal with a home: one registration, one answer. `moved` is told the care-of address whenever it
    is another one, after the agent has accepted it."""

    def __init__(
        self, home: Home, *, moved: Callable[[Address], None] | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.state = Registration(home)
        self.care_of: Address | None = None
        #: The one socket of registrations and tunnel, where the node may be behind a NAT.
        self.way: Way | None = None
        self._moved = moved or (lambda care_of: None)
        self._clock = clock
        self._descriptor = Descriptor("mobile ip", MAX_LONG if home.wide else MAX_SHORT, "dynamic", False, True)

    @property
    def descriptor(self) -> Descriptor:
        return self._descriptor

    def beat(self, state: bytes) -> bytes:
        """Registers from wherever it is now. A second packet only where the agent corrected the clock or asks for the user,
        once each."""
        for _ in range(3):
            result = self._exchange(lambda care_of: self.state.request(care_of, state, self._clock()))
            if isinstance(result, Registered):
                return result.riding
        raise LinkError("no registration", "the agent asked for another one twice", "look at the clocks of both")

    def farewell(self) -> None:
        """Ends the binding."""
        self._exchange(lambda care_of: self.state.farewell(care_of, self._clock()))
        self.care_of = None

    def _exchange(self, made: Callable[[Address], tuple[Registration, bytes]]) -> Registered | Again:
        with _Once(self.state.home.agent) if self.way is None else contextlib.nullcontext(self.way) as link:
            try:
                care_of = self._here()
                self.state, packet = made(care_of)
                link.register(packet)
                result = self._answer(link, care_of)
            except OSError as fault:
                raise LinkError(
                    "the home agent cannot be reached", fault.strerror or str(fault), "is there a network?"
                ) from None
        if isinstance(result, Registered) and result.lifetime and care_of != self.care_of:
            self.care_of = care_of
            self._moved(care_of)
        return result

    def _answer(self, link: Way | _Once, care_of: Address) -> Registered | Again:
        end = time.monotonic() + PATIENCE
        while (left := end - time.monotonic()) > 0:
            try:
                packet = link.reply(min(left, LOOK))
            except TimeoutError:
                if self._here() != care_of:
                    raise LinkError(
                        "the node moved", f"it is no longer at {care_of}", "the next one says where it is"
                    ) from None
                continue
            self.state, result = self.state.heard(packet, self._clock())
            if result is not None:
                return result
        raise LinkError("the home agent does not answer", f"nothing sealed by it in {PATIENCE:g} s", "is it running?")

    def close(self) -> None:
        """Closes the way, where there is one."""
        if self.way is not None:
            self.way.close()

    def _here(self) -> Address:
        """The address from which this machine reaches the agent now; nothing is sent to find out."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((str(self.state.home.agent), PORT))
            return Address(probe.getsockname()[0])


class _Once:
    """A socket for one registration."""

    def __init__(self, agent: Address) -> None:
        self._agent = (str(agent), PORT)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def register(self, packet: bytes) -> None:
        self._socket.connect(self._agent)
        self._socket.send(packet)

    def reply(self, seconds: float) -> bytes:
        self._socket.settimeout(seconds)
        return self._socket.recv(2048)

    def __enter__(self) -> _Once:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def rides(spec: str, place: Place) -> Rides:
    """`mobileip:FILE.toml`: registrations as the file says, with the tunnel of the home address where it asks for one."""
    from neurath.carriers.mobileip.settings import node  # what reads files is not the machine

    return node(spec.partition(":")[2])
