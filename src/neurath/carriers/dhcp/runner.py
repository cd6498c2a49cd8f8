"""The dull loop of relay and server: a packet in, what the value says out. It knows sockets, a clock and a Riding; it must
never decide anything itself, nor end because of one packet."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from neurath.carriers.base import Riding, Seen
from neurath.carriers.dhcp import relay
from neurath.carriers.dhcp.pointing import Pointing
from neurath.carriers.dhcp.relay import Action, Enrich, Known, Note, Send, Site

log = logging.getLogger(__name__)

#: Enrolled clients remembered between packet and answer; of more, the one heard first is learned anew.
MOST = 50_000


class Wires(Protocol):
    """Where packets come from and go to."""

    def heard(self, longest: float) -> list[bytes]: ...

    def send(self, out: Send) -> None: ...


class Heard(Protocol):
    """A relay's or a server's word on one packet."""

    def __call__(self, data: bytes, now: float) -> tuple[Action, ...]: ...


class Silent:
    """A Riding with nothing: what observes, or is being taken out."""

    def answer(self, seen: Seen, state: bytes | None, room: int, now: float) -> bytes:
        return b""


@dataclass(slots=True)
class Relay:
    """A relay's memory of its clients."""

    site: Site
    _known: dict[bytes, Known] = field(default_factory=dict)

    def __call__(self, data: bytes, now: float) -> tuple[Action, ...]:
        key = data[28:44]
        turn = relay.from_client if data[:1] == b"\x01" else relay.from_server
        known, actions = turn(self.site, self._known.get(key), data)
        if known is not None:
            self._known[key] = known
            if len(self._known) > MOST:
                del self._known[next(iter(self._known))]
        return actions


@dataclass(slots=True)
class Runner:
    """Hears, asks the riding, sends. `say` gets a line for each packet that was changed."""

    wires: Wires
    heard: Heard
    riding: Riding
    clock: Callable[[], float]
    say: Callable[[str], None]
    pointing: Pointing = field(default_factory=Pointing)

    def turn(self, longest: float = 0.5) -> None:
        """What came within so many seconds."""
        for data in self.wires.heard(longest):
            now = self.clock()
            try:
                for action in self.heard(data, now):
                    self._do(action, now)
            except Exception:
                log.exception("a packet of %d bytes was not handled", len(data))

    def _do(self, action: Action, now: float) -> None:
        match action:
            case Note():
                self._note(action, "", now)
            case Enrich():
                value = self.riding.answer(action.seen, action.state, action.room, now)
                out = action.with_(value)
                self._send(out)
                ridden = "" if out is action.send else f", {len(value)} bytes ride to {action.seen.terminal}"
                self._note(action.note, ridden, now)
            case Send():
                self._send(action)

    def _note(self, note: Note, more: str, now: float) -> None:
        if note.points is not None:
            self.pointing.note(note.mac, note.points, note.lease, now)
        self.say(note.text + more)

    def _send(self, out: Send) -> None:
        try:
            self.wires.send(out)
        except OSError as fault:
            log.warning("%d bytes to %s did not leave: %s", len(out.data), ".".join(map(str, out.address)), fault)
