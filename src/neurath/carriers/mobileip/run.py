"""Runs a home agent, and a node's end of the tunnel: dull loops around values. It knows sockets and threads; who may be bound
where is home's to say, what rides is the server's or a gateway's."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable

from neurath.carriers.base import Rides, Riding, Seen
from neurath.carriers.mobileip import kernel
from neurath.carriers.mobileip.home import Action, Answer, Bind, HomeAgent, Unbind
from neurath.carriers.mobileip.node import MobileIp
from neurath.carriers.mobileip.tunnel import DEVICE, MTU, UDP_MTU, HomeLink, Tunnel, ends, leave, live_at
from neurath.carriers.mobileip.way import Way, fragments
from neurath.clock import agreed
from neurath.errors import DataError, RefusedError
from neurath.wire import mobileip
from neurath.wire.mobileip import PORT, Address

log = logging.getLogger(__name__)

#: Seconds between two looks at what ended.
LOOK = 0.2


class Agent:
    """A running home agent. Registrations have a thread of their own, so that packets never wait for what is to ride.
    `tunnels`: `kernel`, `user` or `auto` (decision 0340); tunnels in UDP are always ours."""

    def __init__(self, state: HomeAgent, link: HomeLink, riding: Riding, tunnels: str = "auto") -> None:
        link.demand()
        kernel.cleared(state.address)
        self._kernel = kernel.Homes(state.address) if kernel.chosen(tunnels) else None
        self.state = state
        self._link = link
        self._riding = riding
        self._ended = threading.Event()
        self._registrations = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._registrations.bind((str(state.address), PORT))
        except OSError as fault:
            self._registrations.close()
            why = fault.strerror or str(fault)
            raise RefusedError(f"cannot listen at {state.address}:{PORT}", why, "is another agent running there?") from None
        self._registrations.settimeout(LOOK)
        fragments(self._registrations)
        self._tunnel = Tunnel(link.tunnel, state.address, raw=self._kernel is None)
        # Whoever ended without a word may have left an answer for a node that is long at home.
        for home in state.nodes:
            link.give_back(home)
        self._threads = [_started(self._register), _started(self._forward)]

    @property
    def tunnels(self) -> str:
        """Whose tunnels are used: `kernel` or `user`."""
        return "user" if self._kernel is None else "kernel"

    def _register(self) -> None:
        while not self._ended.is_set():
            self._do(self.state.tick(time.time()), None)
            with contextlib.suppress(TimeoutError, ConnectionError):
                packet, whence = self._registrations.recvfrom(65535)
                inner = mobileip.out_of_udp(packet)
                if inner is None:
                    self._do(self.state.handle(packet, time.time(), whence), whence)
                else:
                    self._came(inner, whence)

    def _came(self, inner: bytes, whence: tuple[str, int]) -> None:
        """A packet out of a tunnel in UDP."""
        with contextlib.suppress(DataError):
            if self.state.inbound_udp(whence, ends(inner)[0]):
                self._tunnel.unwrap(inner)

    def _do(self, found: tuple[HomeAgent, tuple[Action, ...]], whence: tuple[str, int] | None) -> None:
        self.state, actions = found
        for action in actions:
            try:
                self._act(action, whence)
            except Exception:
                # One node's trouble is not the others'.
                log.exception("%s was not done", action)

    def _act(self, action: Action, whence: tuple[str, int] | None) -> None:
        match action:
            case Bind(home, care_of, udp):
                log.info("%s is at %s", home, care_of)
                self._bind(home, care_of, udp)
            case Unbind(home):
                log.info("%s is nowhere", home)
                self._unbind(home)
            case Answer() if whence is not None:
                riding = b""
                if action.state is not None:
                    address = f"{action.reply.home} at {action.care_of}"
                    seen = Seen(action.node.terminal, "mobile ip", address, action.node.tenant)
                    riding = self._riding.answer(seen, action.state, action.room, agreed())
                self._registrations.sendto(action.packet(self.state.pen, riding), whence)
            case _:
                pass

    def _bind(self, home: Address, care_of: Address, udp: bool) -> None:
        if self._kernel is None or udp:
            self._link.take(home, self._link.tunnel)
            if self._kernel is not None:
                self._kernel.give_back(home)
        else:
            self._link.take(home, self._kernel.take(home, care_of))

    def _unbind(self, home: Address) -> None:
        self._link.give_back(home)
        if self._kernel is not None:
            self._kernel.give_back(home)

    def _forward(self) -> None:
        tunnel = self._tunnel
        while not self._ended.is_set():
            tunnel.wait(LOOK)
            while (left := tunnel.leaving()) is not None:
                match self.state.outbound(left[1]):
                    case Address() as care_of:
                        tunnel.wrap(left[2], care_of)
                    case (str(), int()) as whence:
                        with contextlib.suppress(OSError):
                            self._registrations.sendto(mobileip.in_udp(left[2]), whence)
            while (came := tunnel.coming()) is not None:
                outer, inner, _, packet = came
                if self.state.inbound(outer, inner):
                    tunnel.unwrap(packet)

    def close(self) -> None:
        """Ends the loops, gives every address back."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        for home in self.state.bindings:
            self._unbind(home)
        self._registrations.close()
        self._tunnel.close()


def away(heartbeat: MobileIp, tunnels: str = "auto") -> Away | Carried:
    """A node's home address follows it from now on, in a tunnel of the kernel or of ours (`tunnels` as for Agent; a node that
    may be behind a NAT has ours)."""
    home = heartbeat.state.home
    own = kernel.Own(DEVICE, home.agent)
    own.clear()
    if home.nat or not kernel.chosen(tunnels):
        return Away(heartbeat)
    return Carried(heartbeat, own)


class Carried:
    """A node's home address wherever it is, its packets carried by the kernel."""

    tunnels = "kernel"

    def __init__(self, heartbeat: MobileIp, own: kernel.Own) -> None:
        self.heartbeat: Rides = heartbeat
        self._home = heartbeat.state.home.address
        self._own = own
        own.lay()
        live_at(self._home)

    def close(self) -> None:
        leave(self._home)
        self._own.clear()


class Away:
    """A node's home address wherever it is: the heartbeat, and the tunnel that packets of that address go through, in UDP
    where the agent says so."""

    tunnels = "user"

    def __init__(self, heartbeat: MobileIp) -> None:
        home = heartbeat.state.home
        self._heartbeat = heartbeat
        self._home, self._agent = home.address, home.agent
        self._tunnel = Tunnel(mtu=UDP_MTU if home.nat else MTU)
        live_at(self._home)
        self._way = heartbeat.way = Way(home.agent, self._came) if home.nat else None
        self._ended = threading.Event()
        self._thread = _started(self._forward)

    @property
    def heartbeat(self) -> Rides:
        return self._heartbeat

    def _forward(self) -> None:
        tunnel = self._tunnel
        while not self._ended.is_set():
            tunnel.wait(LOOK)
            while (left := tunnel.leaving()) is not None:
                if left[0] == self._home and self._heartbeat.care_of is not None:
                    if self._way is not None and self._heartbeat.state.udp:
                        self._way.send(left[2])
                    else:
                        tunnel.wrap(left[2], self._agent)
            while (came := tunnel.coming()) is not None:
                outer, _, to, packet = came
                if outer == self._agent and to == self._home:
                    tunnel.unwrap(packet)

    def _came(self, packet: bytes) -> None:
        """A packet of the tunnel in UDP: only what is for our own address is let in."""
        with contextlib.suppress(DataError):
            if self._heartbeat.state.udp and ends(packet)[1] == self._home:
                self._tunnel.unwrap(packet)

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._heartbeat.close()
        leave(self._home)
        self._tunnel.close()


def _started(body: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread
