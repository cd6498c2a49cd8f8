"""The device plane: hawkBit's DDI for any client, and the few resources of our own beside it. It knows requests and
answers; every decision is delivery's. Spec: docs/spec/ddi.md."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection
from starlette.responses import Response
from starlette.routing import Route

from neurath.carriers.base import Seen
from neurath.errors import DataError, NeurathError, NotFound
from neurath.server.artifacts import Artifacts
from neurath.server.beats import Quick
from neurath.server.confirming import Confirming
from neurath.server.delivery.calls import Asking, Building, Decision, Delivery, Nothing, Offered, stands
from neurath.server.delivery.streams import StreamPush
from neurath.server.device import Ask, Document, Policy, Reception, answer
from neurath.server.fleet import access, actions, history, selection
from neurath.server.fleet.actions import Action
from neurath.server.fleet.reach import channel
from neurath.server.fleet.terms import Urgency
from neurath.server.software import catalog
from neurath.wire import check, ddi, offer, report
from neurath.wire.ddi import Attributes, Chunk, Deployment, Execution, Feedback, Finished, Poll
from neurath.wire.report import Phase, Report, Verdict

log = logging.getLogger(__name__)

#: Clients that report success for what they are told to skip: they are told nothing until they may install (measured with
#: Debian's swupdate 2022.12).
SKIPS_ARE_SUCCESS = ("libcurl-agent/",)
#: Before a maintenance window opens a terminal polls about so many times more, but no oftener than this, seconds.
POLLS_BEFORE, LEAST_SLEEP = 3, 30
#: hawkBit's names of parts of software, for the names of components that mean the same.
_PARTS = {"application": "bApp", "runtime": "jvm"}


@dataclass(frozen=True, slots=True)
class Manner:
    """How an action is put to a client: hawkBit's words for downloading and updating, and for the window."""

    download: str = "forced"
    update: str = "forced"
    window: str = ""
    opens: float | None = None  # when that changes


class DevicePlane(Reception):
    """The routes terminals use."""

    def __init__(self, delivery: Delivery, riding: Quick, push: StreamPush, policy: Policy) -> None:
        super().__init__(delivery, riding, policy)
        self.push = push
        self.files = Artifacts(delivery, policy)
        self.confirming = Confirming(delivery)

    def routes(self) -> list[Route]:
        base = "/{tenant}/controller/v1/{id}"
        module = base + "/softwaremodules/{module}/artifacts"
        action, cancel = base + "/deploymentBase/{action}", base + "/cancelAction/{action}"
        confirm, installed = base + "/confirmationBase", base + "/installedBase"
        on, word = self.brings, self._word_of
        return [
            Route("/{tenant}/neurath/v1/{id}/heartbeat", on(self.heartbeat, quick=True), methods=["POST"]),
            Route(base, on(self.poll), methods=["GET"]),
            Route(base + "/configData", on(self.configure), methods=["PUT"]),
            Route(action, on(self.deployment), methods=["GET"]),
            Route(action + "/feedback", on(self.feedback), methods=["POST"]),
            Route(cancel, on(self.cancellation), methods=["GET"]),
            Route(cancel + "/feedback", on(self.cancelled), methods=["POST"]),
            Route(confirm, on(self.confirming.state), methods=["GET"]),
            Route(confirm + "/activateAutoConfirm", on(self.confirming.activate), methods=["POST"]),
            Route(confirm + "/deactivateAutoConfirm", on(self.confirming.deactivate), methods=["POST"]),
            Route(confirm + "/{action}", on(self.confirmation), methods=["GET"]),
            Route(confirm + "/{action}/feedback", on(word(self.confirming.word)), methods=["POST"]),
            Route(installed, on(self.confirming.installed), methods=["PUT"]),
            Route(installed + "/{action}", on(self.installed), methods=["GET"]),
            Route(module, on(self.files.listing), methods=["GET"]),
            Route(module + "/{file}", on(self.files.one, open_to_all=True), methods=["GET", "HEAD"]),
            Route("/{tenant}/neurath/v1/file/{digest}", self.files.rescue, methods=["GET", "HEAD"]),
            Route("/{tenant}/neurath/v1/rescue/{id}", self.files.ask, methods=["POST"]),
            Route("/{tenant}/neurath/v1/keys/{version}", self.files.key_list, methods=["GET"]),
            Route("/{tenant}/neurath/v1/{id}/events", on(self.events, stay=True), methods=["GET"]),
        ]

    # ---- what there is to do -----------------------------------------------------------------------------------------

    def poll(self, ask: Ask) -> Response:
        """The base poll. Where the disk is full or the store busy, the answer is "nothing" and not an error: old software
        keeps running."""
        result, until = Poll(self.policy.pace(ask.terminal.n)), 0.0
        if ask.terminal.configured is None:
            result = replace(result, config=f"{ask.base}/configData")
        try:
            result, until = self._with_work(ask, result)
        except DataError:
            raise
        except NeurathError as fault:
            log.warning("poll of %s answered without work: %s (%s)", ask.terminal.id, fault.what, fault.why)
        return Document(ddi.poll_to(result), tagged=True, until=until)

    def _with_work(self, ask: Ask, result: Poll) -> tuple[Poll, float]:
        """The poll with what there is to do, and until when it stands if nobody writes."""
        if ask.component:
            decisions = {ask.component: self.delivery.decide(ask.terminal, ask.component, ask.now)}
        else:
            decisions = self.delivery.decide_all(ask.terminal, ask.now)
        given = [d.action for d in decisions.values() if isinstance(d, Offered | Asking)]
        with self.store.read() as db:
            current = [one for one in actions.current_actions(db, ask.terminal.n) if one.component in decisions]
            last = actions.last_installed(db, ask.terminal.n)
            manners = {one.id: _manner(db, ask, one) for one in given}
            turns = {one.id: -catalog.find_release(db, str(one.release)).priority for one in given[1:] and given}
        if last is not None and last.kind == "package":
            result = replace(result, installed=f"{ask.base}/installedBase/{last.id}")
        for action in current:
            if action.state == "cancelling":
                return replace(result, cancel=f"{ask.base}/cancelAction/{action.id}"), 0.0
        given.sort(key=lambda one: (turns.get(one.id, 0), one.id))
        return self._given(ask, result, list(decisions.values()), {one: manners[one.id] for one in given})

    def _given(
        self, ask: Ask, result: Poll, decisions: Sequence[Decision], manners: dict[Action, Manner]
    ) -> tuple[Poll, float]:
        """The poll with the first of those it is given, each put in its manner."""
        given, until = list(manners), min((stands(one) for one in decisions), default=math.inf)
        opens = [manner.opens for manner in manners.values() if manner.window == "unavailable"]
        opens += [d.opens for d in decisions if isinstance(d, Nothing)]
        # Where hours of the clock have a say nothing is kept: sleep, manner and address change with it.
        timed = any(at is not None for at in opens) or any(one.opens is not None for one in manners.values())
        until = 0.0 if timed or any(one.download == "attempt" for one in manners.values()) else until
        result = replace(result, sleep=_sleep(result.sleep, opens, ask.now))
        if ask.agent.startswith(SKIPS_ARE_SUCCESS):
            given = [one for one in given if not self._withheld(one, manners[one], ask.now)]
        if given:
            first = given[0]
            if first.state == "confirming":
                return replace(result, confirmation=f"{ask.base}/confirmationBase/{first.id}{_mark(manners[first])}"), until
            # Our own agent reads the number out of the address, and is told nothing that could change.
            mark = _mark(manners[first]) if first.kind == "package" else ""
            return replace(result, deployment=f"{ask.base}/deploymentBase/{first.id}{mark}"), until
        return replace(result, sleep=1) if any(isinstance(d, Building) for d in decisions) else result, until

    def _withheld(self, action: Action, manner: Manner, now: float) -> bool:
        """Whether an action is kept from a client that would take its words for success; noted once."""
        if manner.update != "skip":
            return False
        text = "withheld: this client reports what it skips as installed"
        with self.store.read() as db:
            if history.of(db, action, 1).messages[:1] == (text,):
                return True
        with self.store.write(action.terminal) as db:
            history.note_once(db, action, "RUNNING", text, now)
        return True

    def configure(self, ask: Ask) -> Response:
        given = ddi.attributes_from(ask.document)
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

    # ---- one action --------------------------------------------------------------------------------------------------

    def _action(self, ask: Ask, *states: str) -> Action:
        """The action that is named, NotFound where it is another terminal's, or stands in none of these states."""
        with self.store.read() as db:
            found = actions.of_terminal(db, ask.terminal.n, ask.names["action"])
        if found is None:
            raise NotFound(f"no action {ask.names['action'][:20]}", "it is none of this terminal's", id="NRT-136")
        if states and found.state not in states:
            raise NotFound(f"action {found.id} is {found.state}", "there is nothing to fetch any more", id="NRT-136")
        return found

    def _word_of(self, handler: Callable[[Ask, Action], Response]) -> Callable[[Ask], Response]:
        return lambda ask: handler(ask, self._action(ask))

    def deployment(self, ask: Ask) -> Response:
        action = self._action(ask, "open")
        if not self.delivery.may_have(action):
            raise NotFound(
                f"action {action.id} was called off", "its release was revoked, or everything is stopped", id="NRT-136"
            )
        metadata: tuple[tuple[str, str], ...] = ()
        if action.kind == "package":
            with self.store.write(ask.terminal.n) as db:
                actions.fetched(db, action, ask.now)
        else:
            made = self.delivery.offer(ask.terminal, action, ask.now)
            metadata = tuple((word["key"], word["value"]) for word in offer.to_metadata(made))
        return self._described(ask, action, "deployment", metadata)

    def confirmation(self, ask: Ask) -> Response:
        """What waits for the device's word, as the deployment it would become."""
        return self._described(ask, self._action(ask, "confirming"), "confirmation")

    def installed(self, ask: Ask) -> Response:
        """The action that was finished last, as the deployment it was."""
        action = self._action(ask, "closed")
        with self.store.read() as db:
            if actions.last_installed(db, ask.terminal.n) != action:
                raise NotFound(f"action {action.id} is not what was installed last", "", id="NRT-136")
        return self._described(ask, action, "deployment")

    def _described(self, ask: Ask, action: Action, key: str, metadata: tuple[tuple[str, str], ...] = ()) -> Response:
        with self.store.read() as db:
            release = catalog.find_release(db, str(action.release))
            said = history.of(db, action, ask.history) if ask.history else None
            manner = _manner(db, ask, action) if action.state != "closed" else Manner()
        component = str(action.component)
        chunk = Chunk(
            component, str(release.version), (self.files.of_action(ask, action),), _PARTS.get(component, "os"), metadata
        )
        deployment = Deployment(str(action.id), (chunk,), manner.download, manner.update, manner.window)
        return answer(ddi.deployment_to(deployment, said, key))

    def feedback(self, ask: Ask) -> Response:
        action = self._action(ask)
        given = ddi.feedback_from(ask.document)
        ours = report.from_feedback(str(action.id), given.details)
        if ours is not None:
            self.delivery.reported(action, ours, ask.now)
            return Response(status_code=200)
        if action.state in ("closed", "cancelled", "superseded"):
            return answer({"exceptionClass": "Gone", "errorCode": "NRT-136", "message": f"action is {action.state}"}, 410)
        with self.store.write(ask.terminal.n) as db:
            history.say(db, action, given.status, given.details, ask.now)
            only = selection.terms_of(db, action.rollout).urgency is Urgency.DOWNLOAD_ONLY
        word = _word(action, given)
        if word is not None:
            self.delivery.reported(action, word, ask.now)
        if only and given.execution is Execution.DOWNLOADED:
            with self.store.write(ask.terminal.n) as db:
                actions.end(db, action, "closed", ask.now)
        return Response(status_code=200)

    def cancellation(self, ask: Ask) -> Response:
        action = self._action(ask, "cancelling")
        return answer({"id": str(action.id), "cancelAction": {"stopId": str(action.id)}})

    def cancelled(self, ask: Ask) -> Response:
        action = self._action(ask)
        given = ddi.feedback_from(ask.document)
        if action.state != "cancelling":
            return answer({"exceptionClass": "NotCancelable", "errorCode": "NRT-136", "message": action.state}, 405)
        failed = (given.execution, given.finished) == (Execution.CLOSED, Finished.FAILURE)
        with self.store.write(ask.terminal.n) as db:
            history.say(
                db, action, "CANCELED" if given.execution is Execution.CLOSED else given.status, given.details, ask.now
            )
            if given.execution is Execution.CLOSED and not failed:
                actions.end(db, action, "cancelled", ask.now)
                actions.settle(db, action)
            elif given.execution is Execution.REJECTED:
                actions.insist(db, action)
        if failed:
            self.delivery.reported(action, _failed(action, given), ask.now)
        return Response(status_code=200)

    # ---- our own resources ---------------------------------------------------------------------------------------------

    def heartbeat(self, ask: Ask) -> Response:
        """A heartbeat with the terminal's download state; pieces ride on its answer."""
        seen = Seen(ask.terminal.id, "http", ask.address, ask.terminal.tenant)
        return Response(self.beats.answer(seen, ask.body, ask.now), media_type="application/octet-stream")

    def events(self, ask: Ask) -> Response:
        return self.push.respond(channel(ask.terminal.tenant, ask.terminal.id), ask.poll, ask.again)


def _manner(db: Connection, ask: Ask, action: Action) -> Manner:
    terms = selection.terms_of(db, action.rollout)
    hours = terms.hours(ask.now, ask.terminal.attributes.get("timezone", ""))
    download = "forced" if terms.forced(ask.now) else "attempt"
    skip = terms.urgency is Urgency.DOWNLOAD_ONLY or not hours.open
    window = ("available" if hours.open else "unavailable") if terms.windows else ""
    return Manner(download, "skip" if skip else download, window, hours.changes)


def _sleep(usual: int, opens: Sequence[float | None], now: float) -> int:
    """How long a terminal sleeps: less before a window opens."""
    soonest = min((at - now for at in opens if at is not None and at > now), default=math.inf)
    return usual if math.isinf(soonest) else min(usual, max(LEAST_SLEEP, int(soonest / POLLS_BEFORE)))


def _mark(manner: Manner) -> str:
    """What changes in the address of an action when the client is to read it again."""
    text = f"{manner.download} {manner.update} {manner.window}"
    return f"?c={int.from_bytes(text.encode(), 'big') % 2_147_483_647}"


def _failed(action: Action, given: Feedback) -> Report:
    reason = given.details[-1][:512] if given.details else "the client says it failed"
    return Report(str(action.id), Phase.FAILED, Verdict.FAILED, reason=reason)


def _word(action: Action, given: Feedback) -> Report | None:
    """What a third-party client's feedback amounts to; None where it says nothing new."""
    reason = given.details[-1][:512] if given.details else ""
    number = str(action.id)
    match given.execution, given.finished:
        case Execution.CLOSED, Finished.FAILURE:
            return _failed(action, given)
        case Execution.CLOSED, _:
            return Report(number, Phase.UPDATED, Verdict.CONFIRMED, done=action.size, reason=reason)
        case Execution.CANCELED, _:
            return Report(number, Phase.FAILED, Verdict.REFUSED, reason=reason or "its client cancelled it")
        case Execution.DOWNLOADED, _:
            return Report(number, Phase.DOWNLOADED, done=action.size)
        case Execution.DOWNLOAD, _:
            return Report(number, Phase.DOWNLOADING)
    return None
