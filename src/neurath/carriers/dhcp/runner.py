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
from neurath.carriers.dhcp.relay import Action, Enrich, Heard, Known, Note, Send, Site

log = logging.getLogger(__name__)

#: Enrolled clients remembered between packet and answer; of more, the one heard first is learned anew.
MOST = 50_000
#: Of more that use our option codes nothing is said.
MOST_CLASHES = 100


class Wires(Protocol):
    """Where packets come from and go to."""

    def heard(self, longest: float) -> list[Heard]: ...

    def send(self, out: Send) -> None: ...


class Word(Protocol):
    """A relay's or a server's word on one packet."""

    def __call__(self, heard: Heard, now: float) -> tuple[Action, ...]: ...


class Silent:
    """A Riding with nothing: what observes, or is being taken out."""

    def answer(self, seen: Seen, state: bytes | None, room: int, now: float) -> bytes:
        return b""


@dataclass(slots=True)
class Relay:
    """A relay's memory of its clients, and of who else was seen to use our option codes (said once each)."""

    site: Site
    _known: dict[bytes, Known] = field(default_factory=dict)
    _clashes: set[str] = field(default_factory=set)

    def __call__(self, heard: Heard, now: float) -> tuple[Action, ...]:
        return (*self._turn(heard), *self._clash(heard.data))

    def _clash(self, data: bytes) -> tuple[Action, ...]:
        found = relay.clash(self.site, data)
        if not found or found in self._clashes or len(self._clashes) >= MOST_CLASHES:
            return ()
        self._clashes.add(found)
        return (Note(f"codes: {found}", data[28:34]),)

    def _turn(self, heard: Heard) -> tuple[Action, ...]:
        key = heard.data[28:44]
        before = self._known.get(key)
        if heard.data[:1] == b"\x01":
            known, actions = relay.from_client(self.site, before, heard)
        else:
            known, actions = relay.from_server(self.site, before, heard.data)
        if known is not None:
            self._known[key] = known
            if len(self._known) > MOST:
                del self._known[next(iter(self._known))]
        return actions


@dataclass(slots=True)
class Runner:
    """Hears, asks the riding, sends. `say` gets a line for each packet that was changed."""

    wires: Wires
    word: Word
    riding: Riding
    clock: Callable[[], float]
    say: Callable[[str], None]
    pointing: Pointing = field(default_factory=Pointing)

    def turn(self, longest: float = 0.5) -> None:
        """What came within so many seconds."""
        for heard in self.wires.heard(longest):
            now = self.clock()
            try:
                for action in self.word(heard, now):
                    self._do(action, now)
            except Exception:
                log.exception("a packet of %d bytes was not handled", len(heard.data))

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
