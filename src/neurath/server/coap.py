"""The device plane over CoAP: check-in, report, heartbeat, files block by block. It knows messages and their answers; every
decision is delivery's. Spec: docs/spec/coap.md."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from aiocoap import Context, Message
from aiocoap.numbers.codes import Code as Answered
from aiocoap.numbers.constants import TransportTuning
from aiocoap.optiontypes import BlockOption, OpaqueOption
from aiocoap.pipe import Pipe
from aiocoap.resource import PathCapable, Resource

from neurath.carriers.base import Seen
from neurath.carriers.datagram import address, free
from neurath.clock import agreed
from neurath.errors import DataError, NeurathError, NotFound, RefusedError
from neurath.server.admission import Admission
from neurath.server.app import Server
from neurath.server.beats import Beats, Quick
from neurath.server.delivery import told
from neurath.server.delivery.calls import Building, Delivery, Offered
from neurath.server.delivery.rescue import Rescue
from neurath.server.device import Policy
from neurath.server.fleet import access, actions
from neurath.server.fleet.access import Stranger, Terminal
from neurath.server.fleet.actions import Action
from neurath.server.links import Proof
from neurath.server.narrowed import Narrowed
from neurath.server.software import catalog, keylists
from neurath.server.transfers import Transfer
from neurath.wire import brief, check, coap, offer, report
from neurath.wire.cbor import count
from neurath.wire.coap import Code

log = logging.getLogger(__name__)

#: A transfer that was let in is not asked again for so many seconds; so long after a release is revoked a block still leaves.
LET_IN = 1.0
#: Seconds until a request whose answer takes longer is acknowledged apart. The library's 0.1 costs two datagrams more as soon
#: as the store is busy; a client repeats after 2 s at the earliest (RFC 7252 section 4.8).
ACKNOWLEDGED = 1.0
#: Transfers whose place is remembered.
MOST_TRANSFERS = 1024
_WELL_KNOWN = (".well-known", "core")
_LINKS = (
    f'</{coap.CHECK}>;rt="neurath.check";ct={coap.CBOR},</{coap.REPORT}>;rt="neurath.report";ct={coap.CBOR},'
    f'</{coap.HEARTBEAT}>;rt="neurath.heartbeat";ct={coap.OCTETS},</{coap.FILE}>;rt="neurath.file";ct={coap.OCTETS},'
    f'</{coap.ACTION}>;rt="neurath.action",</{coap.RESCUE}>;rt="neurath.rescue";ct={coap.OCTETS},'
    f'</{coap.KEYS}>;rt="neurath.keys";ct={coap.OCTETS}'
).encode()


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: path, tenant, token shown, payload, and from where it came."""

    path: tuple[str, ...]
    tenant: str
    token: str
    body: bytes
    address: str
    now: float
    proven: str = ""  # by OSCORE or a tag: tenant, id and the hash of the token that the keys are made from
    link: str = ""  # by which of them

    @property
    def verb(self) -> str:
        return self.path[0] if self.path else ""

    @property
    def carrier(self) -> str:
        """How it came, as it is shown: `coap` alone is in the clear, token and all."""
        return f"coap+{self.link}" if self.link else "coap"

    @property
    def given(self) -> str:
        """The token as HTTP carries it; or what a protected message has proven, which no client can say."""
        return f"Oscore {self.proven}" if self.proven else f"TargetToken {self.token}"


class CoapPlane(Resource, PathCapable):  # type: ignore[misc]  # aiocoap is not typed
    """The resources terminals use."""

    def __init__(self, delivery: Delivery, riding: Quick, policy: Policy) -> None:
        super().__init__()
        self.delivery = delivery
        self.beats = Beats(riding, delivery.store.marks)
        self.store = self.delivery.store
        self.policy = policy
        self.admission = Admission(self.store, policy.plug_and_play)
        self._waits = told.Waits()
        self._transfers: dict[tuple[str, ...], Transfer] = {}
        self._verbs: dict[tuple[str, str, int], Callable[[Ask], Message]] = {
            ("POST", coap.CHECK, 2): self.check,
            ("POST", coap.REPORT, 2): self.report,
            ("POST", coap.HEARTBEAT, 2): self.heartbeat,
            ("GET", coap.ACTION, 3): self.action,
            ("POST", coap.QUESTION, 2): self.question,
            ("GET", coap.KEYS, 2): self.key_list,
        }

    # ---- from a message to a handler and back ------------------------------------------------------------------------

    async def needs_blockwise_assembly(self, request: Message) -> bool:
        """Files are cut here, a block a request, so that a transfer begins anywhere and holds nothing."""
        return tuple(request.opt.uri_path)[:1] not in ((coap.FILE,), (coap.RESCUE,), (coap.HEARTBEAT,))

    async def render(self, request: Message) -> Message:
        try:
            ask = _ask(request)
            if ask.path == _WELL_KNOWN:
                return Message(code=Answered.CONTENT, payload=_LINKS, content_format=40)
            if ask.verb in (coap.FILE, coap.RESCUE) and str(request.code) == "GET":
                return await self._file(ask, request.opt.block2 or BlockOption.BlockwiseTuple(0, False, 6))
            if ask.verb == coap.HEARTBEAT and (data := self._at_once(ask)) is not None:
                return Message(code=Answered.CHANGED, payload=data)
            handler = self._verbs.get((str(request.code), ask.verb, len(ask.path)))
            if handler is None:
                raise NotFound("no such resource", "/".join(ask.path)[:80], "docs/spec/coap.md lists them", id="NRT-137")
            return await asyncio.to_thread(handler, ask)
        except NeurathError as error:
            return refused(error)

    async def render_to_pipe(self, pipe: Pipe) -> None:
        """A request for a series of blocks has an answer for each of them, others have one."""
        request = pipe.request
        series = [option.value for option in request.opt.get_option(coap.Q_BLOCK2)]
        if not series or tuple(request.opt.uri_path)[:1] not in ((coap.FILE,), (coap.RESCUE,)):
            await super().render_to_pipe(pipe)
            return
        answers: list[Message] = []
        try:
            answers = await self._series(_ask(request), coap.series(series))
        except NeurathError as error:
            answers = [refused(error)]
        for answer in answers:
            pipe.add_response(answer, is_last=answer is answers[-1])

    def _admit(self, ask: Ask) -> Terminal:
        everybody = self.store.marks.of(0)[0]
        if ask.proven:
            with self.store.read() as db:
                terminal = access.proven(db, ask.tenant, ask.path[1], ask.proven)
            self.admission.weighed(terminal, Proof(ask.link))
        elif self.policy.coap_protected:
            raise Stranger(
                "a message in the clear", "this server takes protected ones alone", "oscore or narrow at the terminal"
            )
        else:
            terminal = self.admission.admit(ask.tenant, ask.path[1], ask.given, ask.now)
        own = self.store.marks.of(terminal.n)[1]  # what is written about one terminal never changes its token
        self.beats.passed(terminal, ask.given, (everybody, own))
        self.delivery.heard(terminal, ask.carrier, ask.address, ask.now)
        return terminal

    def _at_once(self, ask: Ask) -> bytes | None:
        """What a heartbeat is answered where nothing has to be looked up."""
        if len(ask.path) != 2:
            return None
        return self.beats.at_once(Seen(ask.path[1], ask.carrier, ask.address, ask.tenant), ask.given, ask.body, ask.now)

    # ---- messages ------------------------------------------------------------------------------------------------------

    def check(self, ask: Ask) -> Message:
        """CBOR of a check in, CBOR of an offer out; Max-Age is when the server wants to hear again."""
        terminal = self._admit(ask)
        said, briefly = told.said(self.store, terminal, ask.body)
        if said is None:
            return Message(code=Answered.PRECONDITION_FAILED)
        if terminal.configured is None or terminal.model is None:
            with self.store.write() as db:
                access.configure(db, terminal, {**terminal.attributes, **check.to_attributes(said)}, ask.now)
                terminal = access.by_number(db, terminal.n)
        self.delivery.record(terminal, said, ask.now)
        made, again = None, self.policy.pace(terminal.n)
        match self.delivery.decide(terminal, said.component, ask.now):
            case Offered(action=action) if action.kind != "package":
                made = self.delivery.offer(terminal, action, ask.now)
            case Building():
                again = self._waits.again(terminal.n, ask.now) if briefly else 1
        data = offer.encode(made)
        if not briefly:
            return Message(code=Answered.CHANGED, payload=data, content_format=coap.CBOR, max_age=again)
        if made is not None:
            self._waits.over(self.store, terminal.n)
        return Message(code=Answered.CHANGED, payload=brief.offered(data), max_age=again)

    def report(self, ask: Ask) -> Message:
        terminal = self._admit(ask)
        word = report.decode(ask.body)
        with self.store.read() as db:
            action = actions.of_terminal(db, terminal.n, word.action)
        if action is None:
            raise NotFound(f"no action {word.action[:20]}", "it is none of this terminal's", id="NRT-136")
        self.delivery.reported(action, word, ask.now)
        return Message(code=Answered.CHANGED)

    def heartbeat(self, ask: Ask) -> Message:
        """The download state in, pieces out."""
        terminal = self._admit(ask)
        seen = Seen(terminal.id, ask.carrier, ask.address, terminal.tenant)
        return Message(code=Answered.CHANGED, payload=self.beats.answer(seen, ask.body, ask.now))

    def question(self, ask: Ask) -> Message:
        """What a terminal that cannot boot asks; 5.03 while its file is being built. No token: the nonce is one."""
        made = Rescue(self.delivery).answer(ask.tenant, ask.path[1], ask.body, ask.now)
        if made is None:
            return Message(code=Answered.SERVICE_UNAVAILABLE, max_age=1)
        return Message(code=Answered.CHANGED, payload=made, content_format=coap.OCTETS)

    def key_list(self, ask: Ask) -> Message:
        """A list of keys, block by block. No token: it is public, and believed for its signatures alone."""
        with self.store.read() as db:
            return Message(code=Answered.CONTENT, payload=keylists.find(db, count(ask.path[1], "version of a key list")))

    def action(self, ask: Ask) -> Message:
        """G7: whether this action is still what the server wants."""
        terminal = self._admit(ask)
        decisions = self.delivery.decide_all(terminal, ask.now).values()
        if not any(isinstance(d, Offered) and str(d.action.id) == ask.path[2] and d.action.state == "open" for d in decisions):
            raise NotFound(f"action {ask.path[2][:20]} is not open", "nothing is to be done for it", id="NRT-136")
        return Message(code=Answered.CONTENT)

    # ---- files -----------------------------------------------------------------------------------------------------------

    async def _file(self, ask: Ask, wanted: BlockOption.BlockwiseTuple) -> Message:
        """One block of a file."""
        transfer = await self._transfer(ask)
        size = 16 << min(wanted.size_exponent, 6)
        data, more = await self._block(transfer, wanted.block_number * size, size, ask.now)
        answer = Message(code=Answered.CONTENT, payload=data, etag=bytes.fromhex(transfer.file)[:8])
        answer.opt.block2 = BlockOption.BlockwiseTuple(wanted.block_number, more, min(wanted.size_exponent, 6))
        if wanted.block_number == 0:
            answer.opt.size2 = transfer.size
        return answer

    async def _series(self, ask: Ask, wanted: list[coap.Block]) -> list[Message]:
        """Several blocks for one request (RFC 9177); what lies behind the end is left out."""
        transfer = await self._transfer(ask)
        answers: list[Message] = []
        for block in wanted:
            if answers and block.number * block.size >= transfer.size:
                continue
            data, more = await self._block(transfer, block.number * block.size, block.size, ask.now)
            answer = Message(code=Answered.CONTENT, payload=data)  # no ETag: the path is the digest of what it names
            value = coap.block_value(coap.Block(block.number, more, block.exponent))
            answer.opt.add_option(OpaqueOption(coap.Q_BLOCK2, value))
            answers.append(answer)
        return answers

    async def _transfer(self, ask: Ask) -> Transfer:
        """The first request of a second is asked about in the store, the others only read."""
        key = (ask.tenant, ask.given, *ask.path)
        transfer = self._transfers.get(key)
        if transfer is None or ask.now - transfer.since > LET_IN:
            transfer = await asyncio.to_thread(self._let_in, ask, transfer)
            while len(self._transfers) >= MOST_TRANSFERS:
                del self._transfers[next(iter(self._transfers))]
            self._transfers[key] = transfer
        return transfer

    async def _block(self, transfer: Transfer, start: int, size: int, now: float) -> tuple[bytes, bool]:
        """The bytes that leave, counted, and whether more lie behind them."""
        if start >= transfer.size:
            raise DataError("there is no such block", f"byte {start} of {transfer.size}", id="NRT-263")
        with transfer.path.open("rb") as source:
            source.seek(start)
            data = source.read(size)
        more = start + len(data) < transfer.size
        if transfer.action is not None:
            transfer.count_in(start, len(data))
            if not more or now - transfer.noted > LET_IN:
                await asyncio.to_thread(self._note, transfer, now)
        return data, more

    def _let_in(self, ask: Ask, known: Transfer | None) -> Transfer:
        digest = ask.path[-1]
        named = ask.verb == coap.FILE and digest.isdecimal() and len(digest) < 32  # by its action
        if (len(digest) not in (32, 64) and not named) or set(digest) - set("0123456789abcdef"):
            raise DataError("this is not a digest of a file", "32 or 64 lower-case hex digits", id="NRT-263")
        if ask.verb == coap.RESCUE and len(ask.path) == 2:
            with self.store.read() as db:
                held = actions.held_file(db, digest)
            if held is None:
                raise NotFound(f"no file {digest[:16]}…", "no terminal is waiting for one", id="NRT-137")
            return self._found(held, None, ask.now)
        if ask.verb != coap.FILE or len(ask.path) != 3:
            raise NotFound("no such resource", "/".join(ask.path)[:80], "docs/spec/coap.md lists them", id="NRT-137")
        terminal = self._admit(ask)
        with self.store.read() as db:
            now = [a for a in actions.current_actions(db, terminal.n) if a.state == "open"]
            found = [a for a in now if (str(a.id) == digest if named else a.file.startswith(digest))]
        if not found:
            raise NotFound(f"no file {digest[:16]}…", "no open action of this terminal has it", id="NRT-137")
        if not self.delivery.may_fetch(found[0]):
            raise RefusedError(
                "the terminal has not said that it secured room for this file",
                f"secured {found[0].secured} of {found[0].size} bytes",
                "report `secured` first",
                id="NRT-328",
            )
        if known is not None and known.action is not None and known.action.id == found[0].id:
            known.since = ask.now
            return known
        return self._found(found[0].file, found[0], ask.now)

    def _found(self, file: str, action: Action | None, now: float) -> Transfer:
        with self.store.read() as db:
            size, _, _ = catalog.file_hashes(db, file)
        return Transfer(file, self.store.files.verified(file), size, action, now)

    def _note(self, transfer: Transfer, now: float) -> None:
        assert transfer.action is not None
        start, count = transfer.start, transfer.count
        transfer.start, transfer.count, transfer.noted = start + count, 0, now
        try:
            self.delivery.served(transfer.action, start, count, now)
        except NeurathError as fault:
            log.warning("%s bytes of action %s are not counted: %s", count, transfer.action.id, fault.what)


def _ask(request: Message) -> Ask:
    """What a message asks, or DataError."""
    names = dict(query.partition("=")[::2] for query in request.opt.uri_query)
    shown = request.opt.get_option(coap.TOKEN_OPTION)
    token = shown[0].value.decode("ascii", "replace") if shown else ""
    tenant = names.get("tenant", access.DEFAULT_TENANT)
    pair = getattr(request.remote, "pair", None)
    proven = "" if pair is None else f"{pair.tenant}/{pair.name}/{pair.proof}"
    address = str(request.remote.hostinfo)
    link = getattr(request.remote, "link", "")
    return Ask(tuple(request.opt.uri_path), tenant, token, request.payload, address, agreed(), proven, link)


def refused(error: NeurathError) -> Message:
    """An error as a code and a line for people (RFC 7252 section 5.5.2); a client's fault is never a 5.xx."""
    match error:
        case Stranger():
            code = Code.UNAUTHORIZED
        case NotFound():
            code = Code.NOT_FOUND
        case DataError():
            code = Code.BAD_REQUEST
        case RefusedError() if error.id != "NRT-310":
            code = Code.CONFLICT
        case _:
            code = Code.UNAVAILABLE
    text = f"{error.id} {error.what}: {error.why}" if error.why else f"{error.id} {error.what}"
    answer = Message(code=Answered(code), payload=text.encode()[:200])
    if code == Code.UNAVAILABLE:
        answer.opt.max_age = 10
    return answer


def readable(rest: str) -> None:
    """UsageError for words that name no place."""
    address(rest)


def _site(plane: CoapPlane) -> Resource:
    """The plane behind the narrow profile and OSCORE, the latter where what aiocoap wants for it is installed."""
    try:
        return Narrowed(importlib.import_module("neurath.server.shielded").Shielded(plane, plane.store), plane.store)
    except ModuleNotFoundError as fault:
        log.warning("no OSCORE: %s is missing (pip install filelock)", fault.name)
        return Narrowed(plane, plane.store)


@contextlib.asynccontextmanager
async def hosted(rest: str, server: Server) -> AsyncIterator[str]:
    """CoAP beside the server's other planes, in its event loop, while the context is open; yields its address."""
    host, port = address(rest)
    plane = CoapPlane(server.delivery, server.riding, server.policy)
    port = free(host, port)
    TransportTuning.EMPTY_ACK_DELAY = ACKNOWLEDGED
    context = await Context.create_server_context(_site(plane), bind=(host, port), transports=["udp6"])
    try:
        yield f"coap://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        await context.shutdown()
