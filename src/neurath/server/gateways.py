"""The plane of gateways: one exchange of words and courses, and the pieces of streams that ride to their terminals. It knows
requests and answers; what rides is trickle's to say. Spec: docs/spec/gateway.md."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from neurath.clock import agreed
from neurath.errors import DataError, NeurathError, NotFound
from neurath.ids import TerminalId
from neurath.server.delivery.course import Candidate
from neurath.server.delivery.trickle import Trickle
from neurath.server.device import read_body, refused
from neurath.server.fleet import gateway, pieces
from neurath.server.fleet.access import Terminal
from neurath.server.fleet.gateway import Gateway
from neurath.server.store.marks import NOBODY
from neurath.wire import gateway as wire
from neurath.wire import trickle
from neurath.wire.cbor import MAX_NUMBER
from neurath.wire.gateway import MOST, Course, Courses, Word

log = logging.getLogger(__name__)

#: A request for pieces is answered with so many bytes at the most.
MOST_BYTES = 1 << 18

Handler = Callable[[Gateway, Request, bytes, float], bytes]


class GatewayPlane:
    """The routes gateways use."""

    def __init__(self, riding: Trickle) -> None:
        self.trickle = riding
        self.store = riding.delivery.store

    def routes(self) -> list[Route]:
        return [
            Route("/gateway/v1/exchange", self._for(self.exchange), methods=["POST"]),
            Route("/gateway/v1/pieces/{program}/{size}/{first}/{count}", self._for(self.pieces), methods=["GET"]),
        ]

    def _for(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        def work(request: Request, body: bytes) -> bytes:
            with self.store.read() as db:
                found = gateway.admit(db, request.headers.get("authorization", ""))
            return handler(found, request, body, agreed())

        async def endpoint(request: Request) -> Response:
            try:
                data = await anyio.to_thread.run_sync(work, request, await read_body(request))
                return Response(data, media_type="application/octet-stream")
            except NeurathError as error:
                return refused(error)

        return endpoint

    def exchange(self, found: Gateway, _request: Request, body: bytes, now: float) -> bytes:
        """Takes words of its terminals, others are passed over; gives their courses, and those of the next in order."""
        batch = wire.decode_batch(body)
        words = {word.terminal: word for word in batch.words}
        with self.store.write(NOBODY) as db:
            gateway.heard(db, found, now)
        with self.store.read() as db:
            spoken = gateway.named(db, found, words)
            rest = gateway.after(db, found, batch.after, MOST)
        courses = [self._course(one, words[one.id], now) for one in spoken]
        courses += [self._course(one, None, now) for one in rest if one.id not in words]
        return wire.encode_courses(Courses(tuple(courses), rest[-1].id if len(rest) == MOST else ""))

    def _course(self, terminal: Terminal, word: Word | None, now: float) -> Course:
        state, sent = None, 0
        if word is not None:
            now -= word.age / 1000
            sent = word.sent
            state = trickle.decode_state(word.state) if word.state else None
            # A gateway does not say what room its carrier has beside a state: what fits every carrier stands for it.
            room = trickle.MAX_ROOM if state is not None else trickle.REPLY_HEADER + trickle.NAME + pieces.USUAL
            self.trickle.delivery.heard(terminal, word.carrier, word.address, now, pieces.shown(state, room))
        try:
            ahead = self.trickle.ahead(terminal, state, sent, now)
        except DataError:
            raise
        except NeurathError as fault:
            log.warning("no course for %s: %s (%s)", terminal.id, fault.what, fault.why)
            ahead = None
        return course(terminal.id, ahead)

    def pieces(self, found: Gateway, request: Request, _body: bytes, _now: float) -> bytes:
        """Consecutive pieces of a stream that rides to one of its terminals."""
        program, numbers = request.path_params["program"], []
        for name in ("size", "first", "count"):
            text = request.path_params[name]
            if not (text.isascii() and text.isdigit() and len(text) <= 8):
                raise DataError("this is no range of pieces", f"{name} {text[:20]!r} is not a number", id="NRT-269")
            numbers.append(int(text))
        size, first, count = numbers
        if len(program) != 8 or set(program) - set("0123456789abcdef") or size not in trickle.SIZES:
            raise DataError("this is no range of pieces", "a program is 8 lower-case hex digits", id="NRT-269")
        with self.store.read() as db:
            number = gateway.program(db, found, program)
        if number is None:
            raise NotFound(f"no program {program}", "none of this gateway's terminals is to have it", id="NRT-137")
        stream = self.trickle.stream_of(number)
        if stream.plan.piece != size:
            raise NotFound(f"program {program} has other pieces", f"of {stream.plan.piece} bytes", id="NRT-137")
        return b"".join(stream.cut(first, min(count, MOST_BYTES // size)))


def course(terminal: TerminalId, ahead: Candidate | None) -> Course:
    if ahead is None:
        return Course(terminal)
    plan = ahead.stream.plan
    return Course(terminal, ahead.program, plan.piece, plan.count, min(ahead.sent, MAX_NUMBER))
