"""The device plane: hawkBit's DDI for any client, and the few resources of our own beside it. It knows requests and
answers; every decision is delivery's. Spec: docs/spec/ddi.md."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

import anyio
import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from neurath.carriers.base import Seen
from neurath.errors import DataError, NeurathError, NotFound, RefusedError
from neurath.server.admission import Admission
from neurath.server.beats import Beats, Quick
from neurath.server.delivery.calls import Building, Delivery, Offered, components_for
from neurath.server.delivery.streams import CHECK_INS, StreamPush
from neurath.server.delivery.trickle import PIECE
from neurath.server.fleet import access, actions
from neurath.server.fleet.access import Stranger, Terminal
from neurath.server.fleet.actions import Action
from neurath.server.fleet.reach import channel
from neurath.server.serving import Conditions, Content, FileResponse
from neurath.server.software import catalog
from neurath.wire import check, ddi, offer, report
from neurath.wire.ddi import Artifact, Attributes, Chunk, Deployment, Execution, Feedback, Finished, Poll
from neurath.wire.report import Phase, Report, Verdict

log = logging.getLogger(__name__)

#: A request's body is here within so many seconds, whatever trickles in.
BODY_DEADLINE = 20.0
#: The name of an update file of ours ends so.
SUFFIX = ".nru"
_WAIT = re.compile(r"\bwait=(\d{1,5})\b")


@dataclass(frozen=True, slots=True)
class Policy:
    """What an operator sets: how often terminals poll, seconds, whether unknown ones are let in; `piece` is the size of what
    rides on heartbeats, one of wire.trickle.SIZES: it must fit the smallest carrier there is."""

    sleep: int = 300
    plug_and_play: bool = False
    check_ins: float = CHECK_INS  # a second, that notices may lead to
    piece: int = PIECE


@dataclass(frozen=True, slots=True)
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

    @property
    def base(self) -> str:
        return self.root + ddi.base_path(self.terminal.tenant, self.terminal.id)


Handler = Callable[[Ask], Response]


def answer(value: object, status: int = 200) -> Response:
    """JSON as clients expect it."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def refused(error: NeurathError) -> Response:
    """An error as a status and hawkBit's problem document; a client's fault is never a 5xx."""
    match error:
        case Stranger():
            status = 401
        case NotFound():
            status = 404
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
    return response


class DevicePlane:
    """The routes terminals use."""

    def __init__(self, delivery: Delivery, riding: Quick, push: StreamPush, policy: Policy) -> None:
        self.delivery = delivery
        self.store = self.delivery.store
        self.beats = Beats(riding, self.store.marks)
        self.push = push
        self.policy = policy
        self.admission = Admission(self.store, policy.plug_and_play)

    def routes(self) -> list[Route]:
        base = "/{tenant}/controller/v1/{id}"
        module = base + "/softwaremodules/{module}/artifacts"
        action = base + "/deploymentBase/{action}"
        cancel = base + "/cancelAction/{action}"
        return [
            Route("/{tenant}/neurath/v1/{id}/heartbeat", self._for(self.heartbeat, quick=True), methods=["POST"]),
            Route(base, self._for(self.poll), methods=["GET"]),
            Route(base + "/configData", self._for(self.configure), methods=["PUT"]),
            Route(action, self._for(self.deployment), methods=["GET"]),
            Route(action + "/feedback", self._for(self.feedback), methods=["POST"]),
            Route(cancel, self._for(self.cancellation), methods=["GET"]),
            Route(cancel + "/feedback", self._for(self.cancelled), methods=["POST"]),
            Route(module, self._for(self.artifacts), methods=["GET"]),
            Route(module + "/{file}", self._for(self.artifact), methods=["GET", "HEAD"]),
            Route("/{tenant}/neurath/v1/file/{digest}", self.rescue, methods=["GET", "HEAD"]),
            Route("/{tenant}/neurath/v1/{id}/events", self._for(self.events, stay=True), methods=["GET"]),
        ]

    # ---- from a request to a handler and back ------------------------------------------------------------------------

    def _for(self, handler: Handler, *, stay: bool = False, quick: bool = False) -> Callable[[Request], Awaitable[Response]]:
        """`stay`: the handler itself runs in the event loop. `quick`: most answers need no worker thread at all."""

        async def endpoint(request: Request) -> Response:
            try:
                body = await read_body(request)
                if quick and (data := self._at_once(request, body)) is not None:
                    return Response(data, media_type="application/octet-stream")
                ask = await anyio.to_thread.run_sync(self._admit, request, body)
                return handler(ask) if stay else await anyio.to_thread.run_sync(handler, ask)
            except NeurathError as error:
                return refused(error)

        return endpoint

    def _at_once(self, request: Request, body: bytes) -> bytes | None:
        names = request.path_params
        seen = Seen(names["id"], "http", request.client.host if request.client else "", names["tenant"])
        return self.beats.at_once(seen, request.headers.get("authorization", ""), body, time.time())

    def _admit(self, request: Request, body: bytes) -> Ask:
        names = dict(request.path_params)
        tenant, name = names["tenant"], names["id"]
        given = request.headers.get("authorization", "")
        now = time.time()
        everybody = self.store.marks.of(0)[0]
        terminal = self.admission.admit(tenant, name, given, now)
        own = self.store.marks.of(terminal.n)[1]  # what is written about one terminal never changes its token
        self.beats.passed(terminal, given, (everybody, own))
        address = request.client.host if request.client else ""
        self.delivery.heard(terminal, "http", address, now)
        root, about = str(request.base_url).rstrip("/"), request.query_params.get("component", "")[:64]
        poll, again = long_poll(request), "last-event-id" in request.headers
        return Ask(terminal, names, body, root, conditions(request), now, address, about, poll, again)

    # ---- DDI ---------------------------------------------------------------------------------------------------------

    def poll(self, ask: Ask) -> Response:
        """The base poll. Where the disk is full or the store busy, the answer is "nothing" and not an error: old software
        keeps running."""
        result = Poll(self.policy.sleep)
        if ask.terminal.configured is None:
            result = replace(result, config=f"{ask.base}/configData")
        try:
            result = self._with_work(ask, result)
        except DataError:
            raise
        except NeurathError as fault:
            log.warning("poll of %s answered without work: %s (%s)", ask.terminal.id, fault.what, fault.why)
        return answer(ddi.poll_to(result))

    def _with_work(self, ask: Ask, result: Poll) -> Poll:
        with self.store.read() as db:
            names = [ask.component] if ask.component else components_for(db, ask.terminal)
        decisions = [self.delivery.decide(ask.terminal, name, ask.now) for name in names]
        with self.store.read() as db:
            current = [one for one in actions.current_actions(db, ask.terminal.n) if one.component in names]
        for action in current:
            if action.state == "cancelling":
                return replace(result, cancel=f"{ask.base}/cancelAction/{action.id}")
        found = sorted(d.action.id for d in decisions if isinstance(d, Offered))
        if found:
            return replace(result, deployment=f"{ask.base}/deploymentBase/{found[0]}")
        return replace(result, sleep=1) if any(isinstance(d, Building) for d in decisions) else result

    def configure(self, ask: Ask) -> Response:
        given = ddi.attributes_from(ddi.parse(ask.body))
        said = self._checked(given)
        known = given.onto(ask.terminal.attributes)
        terminal = ask.terminal
        if known != terminal.attributes or terminal.configured is None or terminal.model is None:
            with self.store.write(ask.terminal.n) as db:
                access.configure(db, terminal, known, ask.now)
                terminal = access.by_number(db, terminal.n)
        if said is not None:
            self.delivery.record(terminal, said, ask.now)
        return Response(status_code=200)

    def _checked(self, given: Attributes) -> check.Check | None:
        return check.from_attributes(given.data) if given.mode != "remove" else None

    def _action(self, ask: Ask) -> Action:
        with self.store.read() as db:
            found = actions.of_terminal(db, ask.terminal.n, ask.names["action"])
        if found is None:
            raise NotFound(f"no action {ask.names['action'][:20]}", "it is none of this terminal's", id="NRT-136")
        return found

    def deployment(self, ask: Ask) -> Response:
        action = self._action(ask)
        if action.state != "open":
            raise NotFound(f"action {action.id} is {action.state}", "there is nothing to fetch any more", id="NRT-136")
        metadata: tuple[tuple[str, str], ...] = ()
        if action.kind == "package":
            with self.store.write(ask.terminal.n) as db:
                actions.fetched(db, action, ask.now)
        else:
            made = self.delivery.offer(ask.terminal, action, ask.now)
            metadata = tuple((word["key"], word["value"]) for word in offer.to_metadata(made))
        with self.store.read() as db:
            release = catalog.find_release(db, str(action.release))
        chunk = Chunk(
            name=str(action.component),
            version=str(release.version),
            artifacts=(self._artifact(ask, action),),
            metadata=metadata,
        )
        return answer(ddi.deployment_to(Deployment(str(action.id), (chunk,))))

    def _artifact(self, ask: Ask, action: Action) -> Artifact:
        with self.store.read() as db:
            size, sha1, md5 = catalog.file_hashes(db, action.file)
            name = self._filename(catalog.find_release(db, str(action.release)), action)
        href = f"{ask.base}/softwaremodules/{action.release}/artifacts/{name}"
        return Artifact(name, size, href, sha256=action.file, sha1=sha1, md5=md5)

    def _filename(self, release: catalog.Release, action: Action) -> str:
        return release.filename if action.kind == "package" else action.file + SUFFIX

    def feedback(self, ask: Ask) -> Response:
        action = self._action(ask)
        given = ddi.feedback_from(ddi.parse(ask.body))
        ours = report.from_feedback(str(action.id), given.details)
        if ours is None and action.state in ("closed", "cancelled", "superseded"):
            return answer({"exceptionClass": "Gone", "errorCode": "NRT-136", "message": f"action is {action.state}"}, 410)
        word = ours or _word(action, given)
        if word is not None:
            self.delivery.reported(action, word, ask.now)
        return Response(status_code=200)

    def cancellation(self, ask: Ask) -> Response:
        action = self._action(ask)
        if action.state != "cancelling":
            raise NotFound(f"action {action.id} is not being cancelled", f"it is {action.state}", id="NRT-136")
        return answer({"id": str(action.id), "cancelAction": {"stopId": str(action.id)}})

    def cancelled(self, ask: Ask) -> Response:
        action = self._action(ask)
        given = ddi.feedback_from(ddi.parse(ask.body))
        if action.state != "cancelling":
            return answer({"exceptionClass": "NotCancelable", "errorCode": "NRT-136", "message": action.state}, 405)
        with self.store.write(ask.terminal.n) as db:
            if given.execution is Execution.CLOSED:
                actions.end(db, action, "cancelled", ask.now)
                actions.settle(db, action)
            elif given.execution is Execution.REJECTED:
                actions.reopen(db, action)
        return Response(status_code=200)

    def artifacts(self, ask: Ask) -> Response:
        return answer([ddi.artifact_to(self._artifact(ask, action)) for action in self._of_module(ask)])

    def _of_module(self, ask: Ask) -> list[Action]:
        """Open actions of the terminal whose release has this number: no other file is this terminal's business."""
        with self.store.read() as db:
            found = actions.current_actions(db, ask.terminal.n)
        return [a for a in found if a.state == "open" and str(a.release) == ask.names["module"]]

    def artifact(self, ask: Ask) -> Response:
        wanted = ask.names["file"]
        for action in self._of_module(ask):
            about = self._artifact(ask, action)
            if wanted == about.filename + ".MD5SUM":
                return Response(f"{about.md5}  {about.filename}", media_type="text/plain")
            if wanted == about.filename:
                return self._file(ask, action, about)
        raise NotFound(f"no artifact {wanted[:80]}", "no open action of this terminal has it", id="NRT-137")

    def _file(self, ask: Ask, action: Action, about: Artifact) -> Response:
        if not self.delivery.may_fetch(action):
            raise RefusedError(
                "the terminal has not said that it secured room for this file",
                f"secured {action.secured} of {action.size} bytes",
                "report `secured` first",
                id="NRT-328",
            )
        content = Content(self.store.files.verified(action.file), about.size, about.filename, about.sha1, action.created)
        return FileResponse(content, ask.conditions, partial(self._count, action))

    def _count(self, action: Action, start: int, count: int) -> None:
        try:
            self.delivery.served(action, start, count, time.time())
        except NeurathError as fault:
            log.warning("%s bytes of action %s are not counted: %s", count, action.id, fault.what)

    # ---- our own resources ---------------------------------------------------------------------------------------------

    async def rescue(self, request: Request) -> Response:
        """A pinned update file by its digest, without a token: a boot core that was torn has nothing but the digest."""
        try:
            return await anyio.to_thread.run_sync(self._rescue, request.path_params["digest"], conditions(request))
        except NeurathError as error:
            return refused(error)

    def _rescue(self, name: str, wanted: Conditions) -> Response:
        if len(name) not in (32, 64) or set(name) - set("0123456789abcdef"):
            raise DataError("this is not a digest of a file", "32 or 64 lower-case hex digits", id="NRT-263")
        with self.store.read() as db:
            found = actions.held_file(db, name)
            if found is None:
                raise NotFound(f"no file {name[:16]}…", "no terminal is waiting for one", id="NRT-137")
            size, sha1, _ = catalog.file_hashes(db, found)
        content = Content(self.store.files.verified(found), size, found + SUFFIX, sha1, 0.0)
        return FileResponse(content, wanted, lambda start, count: None)

    def heartbeat(self, ask: Ask) -> Response:
        """A heartbeat with the terminal's download state; pieces ride on its answer."""
        seen = Seen(ask.terminal.id, "http", ask.address, ask.terminal.tenant)
        return Response(self.beats.answer(seen, ask.body, ask.now), media_type="application/octet-stream")

    def events(self, ask: Ask) -> Response:
        return self.push.respond(channel(ask.terminal.tenant, ask.terminal.id), ask.poll, ask.again)


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
        async with asyncio.timeout(BODY_DEADLINE):
            async for block in request.stream():
                body += block
                if len(body) > ddi.MAX_DOCUMENT:
                    raise DataError("this document is too long", f"more than {ddi.MAX_DOCUMENT} bytes", id="NRT-264")
    except (TimeoutError, ClientDisconnect):
        raise DataError("this document did not arrive in time", f"{BODY_DEADLINE:.0f} s are given", id="NRT-265") from None
    return bytes(body)


def _word(action: Action, given: Feedback) -> Report | None:
    """What a third-party client's feedback amounts to; None where it says nothing new."""
    reason = given.details[-1][:512] if given.details else ""
    number = str(action.id)
    match given.execution, given.finished:
        case Execution.CLOSED, Finished.FAILURE:
            return Report(number, Phase.FAILED, Verdict.FAILED, reason=reason or "the client says it failed")
        case Execution.CLOSED, _:
            return Report(number, Phase.UPDATED, Verdict.CONFIRMED, done=action.size, reason=reason)
        case Execution.DOWNLOADED, _:
            return Report(number, Phase.DOWNLOADED, done=action.size)
    return None
