"""The server's half of LwM2M: registrations with lifetimes, and after each Update the stream's next pieces as one write to
object 5. It knows who is registered from where; it must never write twice for one Update, nor write to one that is asleep.
Spec: docs/spec/lwm2m.md."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiocoap import Context, Message, Reliable, Unreliable
from aiocoap.error import Error as CoapError
from aiocoap.error import NetworkError
from aiocoap.error import TimeoutError as Unheard
from aiocoap.numbers.codes import Code as Answered
from aiocoap.resource import PathCapable, Resource

from neurath.carriers.base import Riding, Seen
from neurath.carriers.lwm2m import ROOM
from neurath.clock import agreed
from neurath.errors import DataError, NotFound
from neurath.wire import coap, lwm2m, trickle
from neurath.wire.lwm2m import Registration
from neurath.wire.trickle import Ask, State

log = logging.getLogger(__name__)

#: Registrations remembered; more are refused.
MOST = 100_000
#: A terminal is awake after its Update for so long, seconds: later nothing is written.
AWAKE = 10.0
#: Seconds after an Update's answer until a client that is not ours is written to, and until the next try where nobody listens
#: yet; each further pause is twice as long, up to the longest.
MOMENT, LONGEST = 0.05, 1.0


@dataclass(slots=True)
class Session:
    """One registration. `state` is what a client that sends none has taken so far, by its own answers to our writes."""

    who: Registration
    until: float
    state: State
    writing: asyncio.Task[None] | None = None


class Registry(Resource, PathCapable):  # type: ignore[misc]  # aiocoap is not typed
    """`/rd`: Register, Update, Deregister. `text`: packages as base64 in text/plain, the text form of an opaque resource, for
    clients that take nothing else."""

    def __init__(self, riding: Riding, *, text: bool = False) -> None:
        super().__init__()
        self.riding = riding
        self.context: Context | None = None
        self.sessions: dict[str, Session] = {}
        #: Writes that were answered 2.04, and those that were not.
        self.written = self.lost = 0
        self._text = text

    async def render(self, request: Message) -> Message:
        try:
            return await self._render(request)
        except NotFound as fault:
            return Message(code=Answered.NOT_FOUND, payload=fault.what.encode()[:200])
        except DataError as fault:
            return Message(code=Answered.BAD_REQUEST, payload=f"{fault.what}: {fault.why}".encode()[:200])

    async def _render(self, request: Message) -> Message:
        path = tuple(part for part in request.opt.uri_path if part)
        given = lwm2m.queries(request.opt.uri_query)
        verb = str(request.code)
        if path == (lwm2m.ROOT,) and verb == "POST":
            return self._register(given, request.payload)
        if len(path) != 2 or path[0] != lwm2m.ROOT or path[1] not in self._living():
            raise NotFound("no such registration", "it ended, or never was", "register again")
        if verb == "DELETE":
            self._end(path[1])
            return Message(code=Answered.DELETED)
        if verb in ("POST", "PUT"):  # 1.0 says POST; early clients PUT
            return await self._update(self.sessions[path[1]], given, request.remote)
        return Message(code=Answered.METHOD_NOT_ALLOWED)

    def _living(self) -> dict[str, Session]:
        now = agreed()
        for name in [name for name, one in self.sessions.items() if one.until < now]:
            del self.sessions[name]
        return self.sessions

    def _end(self, name: str) -> None:
        """Forgets a registration, and writes nothing more for it."""
        ended = self.sessions.pop(name)
        if ended.writing is not None:
            ended.writing.cancel()

    def _register(self, given: dict[str, str], objects: bytes) -> Message:
        who = lwm2m.registration(given, objects)
        state = State(room=ROOM)
        for name, one in list(self._living().items()):
            if (one.who.tenant, one.who.terminal) == (who.tenant, who.terminal):
                state = one.state  # it lost its registration, not what it has
                self._end(name)
        if len(self.sessions) >= MOST:
            return Message(code=Answered.SERVICE_UNAVAILABLE)
        name = secrets.token_hex(4)
        self.sessions[name] = Session(who, agreed() + who.lifetime, state)
        answer = Message(code=Answered.CREATED)
        answer.opt.location_path = (lwm2m.ROOT, name)
        return answer

    async def _update(self, session: Session, given: dict[str, str], remote: object) -> Message:
        """The answer itself is empty, as the standard has it; what rides is written after it. An ETag names the program of the
        package that follows: a client of ours need not wait where there is none."""
        seconds = lwm2m.lifetime(given)
        session.until = agreed() + (session.who.lifetime if seconds is None else seconds)
        said = lwm2m.download_state(given)
        asked = trickle.encode_state(session.state) if said is None else said
        answer = Message(code=Answered.CHANGED)
        if not session.who.firmware:
            return answer
        seen = Seen(session.who.terminal, "lwm2m", str(getattr(remote, "hostinfo", "")), session.who.tenant)
        data = await asyncio.to_thread(self.riding.answer, seen, asked, ROOM, agreed())
        if not 0 < len(data) <= ROOM:
            return answer
        if said is None and not self._worth(session, data):
            return answer
        answer.opt.etag = data[1:5].ljust(4, b"\0")
        if session.writing is not None:
            session.writing.cancel()  # what an earlier Update was to bring is lost; this one asks for it again
        write = self._write(session, remote, data, ours=said is not None)
        session.writing = asyncio.get_running_loop().create_task(write)
        return answer

    def _worth(self, session: Session, data: bytes) -> bool:
        """Whether an answer to a client without a state of its own has pieces; one that only names a program is noted."""
        try:
            reply = trickle.decode_reply(data)
        except DataError:
            return False
        if not reply.pieces and reply.program not in (trickle.NOTHING, session.state.program):
            session.state = State(Ask.PIECES, reply.program, 0, ROOM)
        return bool(reply.pieces)

    async def _write(self, session: Session, remote: object, data: bytes, ours: bool) -> None:
        """One write to the package resource, and what its answer means. A client of ours waits for it: it is sent once. Any
        other may take a moment until it listens, and is asked again."""
        if not ours:
            await asyncio.sleep(MOMENT)
        try:
            answer = await asyncio.wait_for(self._heard(remote, data, ours), AWAKE)
        except (CoapError, TimeoutError, OSError) as fault:
            self.lost += 1
            log.info("%s did not take its piece: %s", session.who.terminal, type(fault).__name__)
            return
        if answer.code != Answered.CHANGED:
            self.lost += 1
            log.info("%s refused its piece: %s", session.who.terminal, answer.code)
            return
        self.written += 1
        with contextlib.suppress(DataError):
            reply = trickle.decode_reply(data)
            if reply.pieces:
                session.state = State(Ask.PIECES, reply.program, reply.first + len(reply.pieces), ROOM)

    async def _heard(self, remote: object, data: bytes, ours: bool) -> Message:
        """The answer to a write. Where the terminal's host says that nobody listens at the port, nobody has taken it: a client
        may open its port only after the answer to its Update, and is written to again until it has."""
        assert self.context is not None
        payload, pause = base64.b64encode(data) if self._text else data, MOMENT
        while True:
            request = Message(code=Answered.PUT, payload=payload, content_format=0 if self._text else coap.OCTETS)
            request.transport_tuning = Unreliable if ours else Reliable
            request.remote = remote
            request.opt.uri_path = (lwm2m.OBJECT, lwm2m.INSTANCE, lwm2m.PACKAGE)
            try:
                return await self.context.request(request, handle_blockwise=False).response
            except NetworkError as fault:
                if ours or isinstance(fault, Unheard):
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST)


@contextlib.asynccontextmanager
async def listening(host: str, port: int, registry: Registry) -> AsyncIterator[None]:
    """Answers at this address while the context is open."""
    context = await Context.create_server_context(registry, bind=(host, port), transports=["udp6"])
    registry.context = context
    try:
        yield
    finally:
        writing = [one.writing for one in registry.sessions.values() if one.writing is not None]
        for task in writing:
            task.cancel()
        await asyncio.gather(*writing, return_exceptions=True)
        await asyncio.sleep(0)  # aiocoap hears of a cancelled request in the next turn
        await context.shutdown()
