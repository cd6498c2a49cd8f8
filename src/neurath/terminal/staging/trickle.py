"""A terminal's end of trickle delivery: what its next heartbeat asks for, and what becomes of the pieces in the answer. It
knows programs under way, their headers and block hashes, and what a power cut would leave; it must never open a link, ask a
tenant to leave, nor call a file proven. Spec: docs/spec/trickle.md."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from neurath.errors import DataError, RefusedError
from neurath.terminal.staging.area import Staging
from neurath.terminal.staging.gathering import Gathering
from neurath.terminal.staging.place import HEADER, Known, Place, Ram
from neurath.terminal.staging.symbols import Symbols, marked
from neurath.wire import rateless, trickle
from neurath.wire.rateless import SEGMENT, Segments
from neurath.wire.trickle import REPLY_HEADER, About, Ask, Reply, State

__all__ = ["Heard", "Place", "Ram", "Session"]

#: Programs kept at a time; of more, the one that was begun first is forgotten.
MOST = 4


@dataclass(frozen=True, slots=True)
class Heard:
    """What an answer came to: pieces that were new, pieces dropped, and the program that is complete, if one is. `called`:
    somebody wants this terminal to check in."""

    program: bytes = trickle.NOTHING
    new: int = 0
    dropped: int = 0
    complete: About | None = None
    called: bool = False


class Session:
    """What one terminal asks for and takes, heartbeat by heartbeat."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.power_up()

    def power_up(self) -> None:
        """What a power cut leaves: all of it in a durable place, nothing in RAM."""
        place = self._place
        if isinstance(place, Ram):
            place = self._place = Ram(place.room)
        self._known: dict[bytes, Gathering] = {}
        self._coded: dict[bytes, Symbols] = {}
        self._active = trickle.NOTHING
        left = place.known()
        for one in left:
            if one.name[4:] == HEADER:
                self._take_up(one)
        while len(self._known) > MOST:
            self._known.pop(next(iter(self._known))).drop()
        for one in left:
            if (about := marked(one.name)) is not None:
                self._symbols(*about).open(one.name[5])

    @property
    def active(self) -> Gathering | None:
        """The program that the next heartbeat asks for, if some of it is here."""
        return self._known.get(self._active)

    def state(self, room: int, link: int = 0) -> State:
        """The download state of the next heartbeat, whose answer may have `room` bytes."""
        if self._active == trickle.NOTHING:
            return State(room=room, link=link)
        active = self.active
        if active is None:
            return State(Ask.PIECES, self._active, 0, room, link)
        if active.gap and not active.done:
            room = min(room, REPLY_HEADER + active.gap * active.plan.piece)
        return State(Ask.PIECES, self._active, active.sync, room, link)

    @property
    def spare(self) -> int:
        """Bytes of RAM that no tenant wants and that files gather in; 0 where they gather durably."""
        return self._place.room if isinstance(self._place, Ram) else 0

    def whole(self, file: bytes) -> Staging | None:
        """The staging of a complete file (16 bytes of its digest or more) that lies in RAM, for who installs it."""
        known = self._known.get(file[:4])
        staged = None if known is None or self._place.durable else known.file
        return staged if staged is not None and staged.complete and staged.file[: len(file)] == file else None

    def accept(self, data: bytes) -> Heard:
        """Takes an answer, whatever it is and whenever it comes. What does not fit is dropped."""
        try:
            reply = trickle.decode_reply(data)
        except DataError:
            return Heard(dropped=1)
        if reply.call:
            return Heard(reply.program, called=True)
        if not reply.pieces:
            return self._named(reply.program)
        if reply.coded:
            return self._take_coded(reply)
        gathering = self._gathering(reply)
        if gathering is None:
            return Heard(reply.program, dropped=len(reply.pieces))
        self._active = reply.program
        if gathering.done:
            return Heard(reply.program, dropped=len(reply.pieces), complete=gathering.again())
        try:
            return self._take(gathering, reply)
        except OSError:
            # The disk is full, say: the sync point stays where it is, and the next heartbeats ask again.
            return Heard(reply.program, dropped=len(reply.pieces))

    def _take(self, gathering: Gathering, reply: Reply) -> Heard:
        new = 0
        for index, piece in enumerate(reply.pieces, reply.first):
            try:
                had = gathering.about is not None
                new += gathering.take(index, piece)
                if not had and gathering.about is not None:
                    self._graft(gathering)
            except (DataError, RefusedError):
                continue
        gathering.settle()
        return Heard(reply.program, new, len(reply.pieces) - new, gathering.finish())

    # ---- symbols -----------------------------------------------------------------------------------------------------

    def _take_coded(self, reply: Reply) -> Heard:
        done = self._known.get(reply.program)
        if done is not None and done.done:
            return Heard(reply.program, dropped=len(reply.pieces), complete=done.again())
        new = 0
        try:
            coded = self._symbols(reply.program, Segments(reply.first, reply.size))
            for data in reply.pieces:
                with contextlib.suppress(DataError, RefusedError):
                    new += self._take_symbol(coded, data)
            self._solve(coded)
            coded.settle()
        except (DataError, RefusedError, OSError):
            return Heard(reply.program, new, len(reply.pieces) - new)
        gathering = self._known.get(reply.program)
        if gathering is None:
            return Heard(reply.program, new, len(reply.pieces) - new)
        self._active = reply.program
        gathering.settle()
        complete = gathering.finish()
        if complete is not None:
            self._coded.pop(reply.program).drop_all()
        return Heard(reply.program, new, len(reply.pieces) - new, complete)

    def _symbols(self, program: bytes, segments: Segments) -> Symbols:
        known = self._coded.get(program)
        if known is None or known.segments != segments:
            if known is not None:
                known.drop_all()
            while len(self._coded) >= MOST:
                self._coded.pop(next(iter(self._coded))).drop_all()
            known = self._coded[program] = Symbols(program, segments, self._place)
        return known

    def _take_symbol(self, coded: Symbols, data: bytes) -> bool:
        segment, number, symbol = rateless.named(data, coded.segments)
        if number < coded.segments.length(segment):
            index = segment * SEGMENT + number
            gathering = self._begun(coded, index, symbol)
            if gathering is not None and gathering.has(index):
                return False
            if gathering is not None and gathering.place(index, symbol):
                return True
        return coded.take(data)

    def _begun(self, coded: Symbols, index: int, first: bytes) -> Gathering | None:
        """The program that these symbols are of, begun with its first piece if this is that."""
        known = self._known.get(coded.program)
        if known is None and index == 0:
            known = self._gathering(Reply(coded.program, 0, coded.segments.piece, (first,)))
        same = known is not None and (known.plan.piece, known.plan.count) == (coded.segments.piece, coded.segments.count)
        return known if same else None

    def _solve(self, coded: Symbols) -> None:
        """Makes pieces of what suffices for a segment, in order: the file has no place before its header is whole."""
        for segment in range(coded.segments.number):
            begin, length = segment * SEGMENT, coded.segments.length(segment)
            gathering = self._begun(coded, -1, b"")
            if segment and (gathering is None or (gathering.file is None and begin >= gathering.plan.begin)):
                return
            have = [number for number in range(length) if gathering is not None and gathering.has(begin + number)]
            if len(have) == length:
                coded.drop(segment)
            if len(have) == length or len(have) + coded.count(segment) < length:
                continue
            pieces = coded.solve(segment, {n: gathering.piece(begin + n) for n in have} if gathering is not None else {})
            if pieces is None:
                if coded.full(segment):
                    coded.drop(segment)  # they are gathered anew
                continue
            gathering = self._begun(coded, begin, pieces[0])
            if gathering is None:
                coded.drop(segment)  # its first piece is no header's start: a symbol was false
                continue
            try:
                placed = [gathering.place(begin + number, data) for number, data in enumerate(pieces)]
            except DataError:
                placed = [False]  # a header that makes no sense
            if all(placed) or gathering.file is not None or coded.full(segment):
                coded.drop(segment)

    def _named(self, program: bytes) -> Heard:
        if program == trickle.NOTHING and self._active != trickle.NOTHING:
            # What was handed on and is gone was installed: its header is of no use any more.
            for name in [name for name, one in self._known.items() if one.done and one.again() is None]:
                self._known.pop(name).drop()
        self._active = program
        known = self._known.get(program)
        if known is None or not known.done:
            return Heard(program)
        return Heard(program, complete=known.again())

    def _gathering(self, reply: Reply) -> Gathering | None:
        known = self._known.get(reply.program)
        if known is not None and known.plan.piece == reply.size:
            return known
        if reply.first:
            return None
        try:
            made = Gathering(reply.program, trickle.plan(reply.pieces[0], reply.size), self._place)
        except (DataError, RefusedError, OSError):
            return None
        self._known.pop(reply.program, None)
        while len(self._known) >= MOST:
            oldest = next(iter(self._known))
            self._known.pop(oldest).drop()
        self._known[reply.program] = made
        return made

    def _take_up(self, left: Known) -> None:
        """A program that an earlier life began."""
        try:
            backend = self._place.open(left)
            start = Staging(left.name, left.size, backend, piece=left.piece)
            if not start.has(0):
                return
            made = Gathering(left.name[:4], trickle.plan(start.read(0, left.piece), left.piece), self._place)
            if made.head.complete:
                made.read_header()
        except (DataError, RefusedError):
            return
        made.settle()
        self._known[made.program] = made
        if made.finish() is None or self._active == trickle.NOTHING:
            self._active = made.program

    def _graft(self, made: Gathering) -> None:
        for other in self._known.values():
            if other is not made:
                made.graft(other)
