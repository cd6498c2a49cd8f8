"""From a terminal's HTTP request to a handler and back: who asks, in which form, how an error is said. It knows headers; it
must never know what is asked for, nor believe a header that no proxy of ours has set."""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property

import anyio
import cbor2
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from neurath.carriers.base import Seen
from neurath.clock import agreed
from neurath.errors import DataError, NeurathError, NotFound, RefusedError
from neurath.server.admission import Admission
from neurath.server.beats import Beats, Quick
from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.streams import CHECK_INS
from neurath.server.delivery.trickle import PIECE
from neurath.server.fleet.access import Stranger, Terminal
from neurath.server.fleet.signing import Stale
from neurath.server.fleet.silence import AFTER
from neurath.server.patience import BODIES
from neurath.server.polls import Kept, Polls, alike, latest
from neurath.server.proxy import certificate, through_a_proxy
from neurath.server.serving import Conditions
from neurath.server.shares import TERMINAL, Overdrawn, Shares
from neurath.server.store.marks import Mark
from neurath.wire import ddi, httpsig
from neurath.wire.ddi import TooMuch
from neurath.wire.documents import CBOR, parse
from neurath.wire.httpsig import Message

#: A request's body is here within so many seconds, whatever trickles in; sooner where many are waited for.
BODY_DEADLINE = 8.0
_SIGNED = "signature-input"
#: Multiples of it fall apart as evenly as can be (the golden ratio, of 2**32).
_EVENLY = 0x9E3779B1
_WAIT = re.compile(r"\bwait=(\d{1,5})\b")


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator sets: how often terminals poll, seconds, whether unknown ones are let in; `piece` is the size of what
    rides on heartbeats, one of wire.trickle.SIZES: it must fit the smallest carrier there is; `proxies` are the addresses of
    those whose word about a client's certificate is believed; `offload`: an address of the object store is good for so many
    seconds, 0: none is given; `accel`: where the `proxies` find the directory of files, "": they do not; update files that
    nobody was given for `keep_days` go, 0: never; who was not heard for `silent_after` seconds is silent; `coap_protected`: no
    token is taken in the clear over CoAP."""

    sleep: int = 300
    plug_and_play: bool = False
    check_ins: float = CHECK_INS  # a second, that notices may lead to
    piece: int = PIECE
    proxies: tuple[str, ...] = ()
    offload: int = 0
    accel: str = ""
    keep_days: float = 0
    silent_after: float = AFTER
    coap_protected: bool = False

    def pace(self, terminal: int) -> int:
        """How many seconds this terminal sleeps: its own number of them, a tenth more or less than the usual. Those who come
        at once, since the power of a region came back, come apart by themselves (decision 0441)."""
        apart = self.sleep // 10
        return self.sleep - apart + (terminal * _EVENLY % (1 << 32) * (2 * apart + 1) >> 32)


@dataclass(frozen=True)
class Ask:
    """One request of a terminal that has shown who it is."""

    terminal: Terminal
    names: dict[str, str]
    body: bytes
    root: str
    conditions: Conditions
    now: float
    address: str = ""
    component: str = ""  # a poll about this one only: one that waits holds up no other
    poll: float | None = None  # of events: one of them, and how long it would wait for it
    again: bool = False
    form: str = ""  # of the body
    history: int = 0  # messages of an action's history that are wanted; below 0: all
    agent: str = ""  # the client's program
    method: str = "GET"
    proxied: bool = False  # a proxy that was named handed it on
    mark: Mark | None = None  # of the store, before anything was read; None where the answer is not to be kept

    @property
    def base(self) -> str:
        return self.root + ddi.base_path(self.terminal.tenant, self.terminal.id)

    @cached_property
    def document(self) -> object:
        """The body read as JSON or CBOR, or DataError."""
        return parse(self.body, self.form)

    @cached_property
    def word(self) -> object:
        """The same, None where there is no body."""
        return self.document if self.body else None


Handler = Callable[[Ask], Response]


class Document(Response):
    """A document in the form its asker wants: JSON, or CBOR. One that is `tagged` is sent only where it changed."""

    def __init__(self, value: object, status: int = 200, *, tagged: bool = False, until: float = 0.0) -> None:
        super().__init__(msgspec.json.encode(value), status, media_type="application/json")
        self.value = value
        self.tagged = tagged
        self.until = until  # it stands so long, if nobody writes

    def to(self, accept: str, known: str) -> Response:
        """The answer to `Accept` and `If-None-Match`."""
        form = _form(accept)
        body = cbor2.dumps(self.value) if form == CBOR else self.body
        made = Response(body, self.status_code, media_type=form)
        if self.tagged:
            tag = f'"{hashlib.sha1(body, usedforsecurity=False).hexdigest()}"'
            made.headers["ETag"] = tag
            if known == "*" or tag in [one.strip().removeprefix("W/") for one in known.split(",")]:
                return Response(status_code=304, headers={"ETag": tag})
        return made


def _form(accept: str) -> str:
    """What comes first of the forms there are; JSON for all else."""
    for word in accept.lower().split(","):
        name = word.partition(";")[0].strip()
        if name in (CBOR, "application/json", "application/hal+json"):
            return name
    return "application/json"


def answer(value: object, status: int = 200) -> Response:
    """JSON as clients expect it."""
    return Document(value, status)


def refused(error: NeurathError) -> Response:
    """An error as a status and hawkBit's problem document; a client's fault is never a 5xx."""
    match error:
        case Stranger():
            status = 401
        case NotFound():
            status = 404
        case TooMuch() | Overdrawn():
            status = 429
        case DataError():
            status = 400
        case RefusedError():
            status = 503 if error.id == "NRT-310" else 409
        case _:
            status = 503
    text = f"{error.what}: {error.why}" if error.why else error.what
    response = answer(ddi.problem(error, error.id, text), status)
    if status == 503:
        response.headers["Retry-After"] = "10"
    elif isinstance(error, Stale):
        response.headers["Accept-Signature"] = httpsig.asks(error.epoch)
    elif isinstance(error, Overdrawn):
        response.headers["Retry-After"] = str(math.ceil(error.wait))
    return response


class Reception:
    """Lets terminals in and hands their requests on."""

    def __init__(self, delivery: Delivery, riding: Quick, policy: Policy) -> None:
        self.delivery = delivery
        self.store = delivery.store
        self.beats = Beats(riding, self.store.marks)
        self.policy = policy
        self.admission = Admission(self.store, policy.plug_and_play)
        self.shares = Shares(TERMINAL)
        self.polls: Polls | None = None

    def brings(
        self, handler: Handler, *, stay: bool = False, quick: bool = False, open_to_all: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint. `stay`: the handler itself runs in the event loop. `quick`: most answers need no worker thread at all.
        `open_to_all`: where the tenant says so, without showing anything."""

        async def endpoint(request: Request) -> Response:
            try:
                body = await read_body(request)
                if quick and _SIGNED not in request.headers and (data := self._at_once(request, body)) is not None:
                    return Response(data, media_type="application/octet-stream")
                ask = await anyio.to_thread.run_sync(self._admit, request, body, open_to_all)
                if quick and ask.mark is not None:
                    self.beats.passed(ask.terminal, request.headers.get("authorization", ""), ask.mark)
                with self.shares.taken(f"{ask.terminal.n}"):
                    made = handler(ask) if stay else await anyio.to_thread.run_sync(handler, ask)
            except NeurathError as error:
                return refused(error)
            if not isinstance(made, Document):
                return made
            headers = request.headers
            told = made.to(headers.get("accept", ""), headers.get("if-none-match", ""))
            if made.until > ask.now and told.status_code == 200 and self.polls is not None and ask.mark is not None:
                known = alike(tuple(told.raw_headers), bytes(told.body))
                self.polls.keep(request.scope, ask.terminal.n, Kept(ask.mark, min(made.until, latest(ask.now)), known))
            return told

        return endpoint

    def _at_once(self, request: Request, body: bytes) -> bytes | None:
        names = request.path_params
        seen = Seen(names["id"], "http", request.client.host if request.client else "", names["tenant"])
        return self.beats.at_once(seen, request.headers.get("authorization", ""), body, agreed())

    def _admit(self, request: Request, body: bytes, open_to_all: bool) -> Ask:
        names, headers, now = dict(request.path_params), request.headers, agreed()
        tenant, name = names["tenant"], names["id"]
        given, shown = headers.get("authorization", ""), certificate(request.scope)
        everybody = self.store.marks.of(0)[0]
        message = signed_message(request, body)
        if message is not None:
            terminal = self.admission.admit_signed(tenant, name, message)
        elif open_to_all and not given and shown is None:
            terminal = self.admission.admit_to_files(tenant, name, now)
        else:
            terminal = self.admission.admit(tenant, name, given, now, shown)
        own = self.store.marks.of(terminal.n)[1]  # what is written about one terminal never changes its token
        address = request.client.host if request.client else ""
        self.delivery.heard(terminal, "http", address, now)
        return Ask(
            terminal,
            names,
            body,
            root=str(request.base_url).rstrip("/"),
            conditions=conditions(request),
            now=now,
            address=address,
            component=request.query_params.get("component", "")[:64],
            poll=long_poll(request),
            again="last-event-id" in headers,
            form=headers.get("content-type", ""),
            history=_number(request.query_params.get("actionHistory", "")),
            agent=headers.get("user-agent", "")[:64],
            method=request.method,
            proxied=through_a_proxy(request.scope),
            mark=(everybody, own) if shown is None and message is None and not open_to_all else None,
        )


def signed_message(request: Request, body: bytes) -> Message | None:
    """The request as its signer saw it; None where nobody signed it."""
    if _SIGNED not in request.headers:
        return None
    scope = request.scope
    raw = scope.get("raw_path") or request.url.path.encode()
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value  # RFC 9421 2.1
    query = scope["query_string"].decode("latin-1")
    return Message(request.method, raw.decode("latin-1"), query, body, headers, headers.get("host", ""))


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"-?\d{1,6}", text, re.ASCII) else 0


def long_poll(request: Request) -> float | None:
    """The seconds of `Prefer: wait=N` (RFC 7240); None where a stream is wanted."""
    found = _WAIT.search(request.headers.get("prefer", ""))
    return None if found is None else float(found[1])


def conditions(request: Request) -> Conditions:
    headers = request.headers
    return Conditions(headers.get("range", ""), headers.get("if-range", ""), headers.get("if-match", ""))


async def read_body(request: Request) -> bytes:
    """The body, bounded in size and in time; DataError when it is too long or too slow."""
    body = bytearray()
    try:
        with BODIES.waiting(BODY_DEADLINE) as given:
            async with asyncio.timeout(given):
                async for block in request.stream():
                    body += block
                    if len(body) > ddi.MAX_DOCUMENT:
                        raise DataError("this document is too long", f"more than {ddi.MAX_DOCUMENT} bytes", id="NRT-264")
    except (TimeoutError, ClientDisconnect):
        raise DataError("this document did not arrive in time", f"{given:.0f} s are given", id="NRT-265") from None
    return bytes(body)
