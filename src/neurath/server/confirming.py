"""What a device says before it begins: that it confirms an action, confirms everything, or has the software already. It knows
hawkBit's requests; whose word counts is delivery's to say. Spec: docs/spec/ddi.md."""

from __future__ import annotations

from starlette.responses import Response

from neurath.errors import NotFound, RefusedError
from neurath.ids import FIRMWARE
from neurath.server.delivery.calls import Delivery
from neurath.server.device import Ask, answer
from neurath.server.fleet import access, actions, confirm, history, progress
from neurath.server.fleet.actions import Action
from neurath.server.fleet.progress import Key
from neurath.server.software import catalog
from neurath.wire import confirmation
from neurath.wire.confirmation import AutoConfirm


class Confirming:
    """Handlers of confirmationBase, and of what is installed already."""

    def __init__(self, delivery: Delivery) -> None:
        self.delivery = delivery
        self.store = delivery.store

    def state(self, ask: Ask) -> Response:
        with self.store.read() as db:
            terminal = access.by_number(db, ask.terminal.n)
            waiting = [one for one in actions.current_actions(db, terminal.n) if one.state == "confirming"]
        href = f"{ask.base}/confirmationBase/{waiting[0].id}" if waiting else ""
        return answer(confirmation.auto_confirm_to(terminal.auto_confirm, ask.base, href))

    def activate(self, ask: Ask) -> Response:
        auto = confirmation.auto_confirm_from(ask.word, ask.now)
        with self.store.write(ask.terminal.n) as db:
            terminal = access.by_number(db, ask.terminal.n)
            if terminal.auto_confirm.at is not None:
                raise RefusedError("automatic confirmation is active already", "", "deactivateAutoConfirm first", id="NRT-351")
            access.confirm_all(db, terminal, auto)
            for action in actions.current_actions(db, terminal.n):
                if action.state == "confirming":
                    actions.confirm(db, action)
                    history.say(db, action, "RUNNING", ("confirmed automatically",), ask.now)
        return Response(status_code=200)

    def deactivate(self, ask: Ask) -> Response:
        with self.store.write(ask.terminal.n) as db:
            access.confirm_all(db, ask.terminal, AutoConfirm())
        return Response(status_code=200)

    def word(self, ask: Ask, action: Action) -> Response:
        """Confirmed: it may begin. Denied: it goes on waiting for another word, as hawkBit has it."""
        given = confirmation.confirmation_from(ask.document)
        if action.state != "confirming":
            return answer({"exceptionClass": "Gone", "errorCode": "NRT-136", "message": f"action is {action.state}"}, 410)
        with self.store.write(ask.terminal.n) as db:
            confirm.say(db, action, given.confirmed, given.details, ask.now)
        return Response(status_code=200)

    def installed(self, ask: Ask) -> Response:
        """A device says which package it runs already. Of an image of ours nobody's word counts but the bank's."""
        name, version = confirmation.installed_from(ask.document)
        model = ask.terminal.model
        with self.store.write(ask.terminal.n) as db:
            if model is None:
                raise NotFound(f"no release {version[:40]!r}", "this terminal has no model", id="NRT-134")
            component = name if name != model else str(FIRMWARE)
            found = catalog.by_version(db, model, (component, str(FIRMWARE)), version)
            if found is None or found.kind == catalog.IMAGE:
                raise NotFound(f"no package {version[:40]!r} of {model}", "the catalog has none", id="NRT-134")
            fresh = progress.said_installed(db, Key(ask.terminal.n, found.component, found.id), found.size, ask.now)
        return Response(status_code=201 if fresh else 200)
