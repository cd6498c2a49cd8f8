"""A part of hawkBit's management REST under /rest/v1, for tools that were made for it: targets, distribution sets, rollouts.
It knows hawkBit's words for what is here (docs/how-to/from-hawkbit.md); it must never change anything, and never say more than
/api/v1 says: tokens are not kept, so none is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import msgspec
from sqlalchemy import Connection
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from neurath.errors import NeurathError, NotFound
from neurath.ids import FIRMWARE
from neurath.server import rsql
from neurath.server.fleet import access, actions, progress, rollout, waves
from neurath.server.fleet.access import DEFAULT_TENANT, Terminal, Wanted
from neurath.server.fleet.actions import Action
from neurath.server.fleet.progress import Entry
from neurath.server.fleet.rollout import Rollout
from neurath.server.hawkbit_asked import Asked, number, paged, refused, stopped
from neurath.server.software import catalog
from neurath.server.software.catalog import Release
from neurath.server.store import Store
from neurath.wire.report import Verdict

Json = dict[str, Any]
_OWNER = "neurath"
#: hawkBit's names of fields -> how a target filter of ours asks for them.
_TARGET = {"controllerid": "id", "id": "id", "name": "id", "tag": "tag", "targettype.name": "model"}
_ORDERS = {"id": "id", "controllerid": "id", "name": "id", "createdat": "registered", "lastcontrollerrequestat": "heard"}
_STATES = {
    "draft": "ready",
    "waiting": "waiting_for_approval",
    "scheduled": "ready",
    "running": "running",
    "paused": "paused",
    "halted": "paused",
    "aborted": "stopped",
}
_DETAILS = {
    "confirming": "wait_for_confirmation",
    "open": "running",
    "cancelling": "canceling",
    "cancelled": "canceled",
    "superseded": "canceled",
    "closed": "finished",
}
_SET_FIELDS = ("id", "name", "version", "description", "type", "valid", "complete", "createdAt")
_ROLLOUT_FIELDS = ("id", "name", "description", "status", "distributionSetId", "createdAt")


def hawkbit(store: Store) -> Starlette:
    """The plane of one store."""
    routes = [Route(path, _asking(store, what)) for path, what in PATHS.items()]
    return Starlette(routes=routes, exception_handlers={NeurathError: refused, HTTPException: stopped})


def _asking(store: Store, what: Callable[[Connection, Asked], object]) -> Callable[[Request], Response]:
    def ask(request: Request) -> Response:
        with store.read() as db:
            said = what(db, Asked.of(request))
        if not said and not isinstance(said, list):
            return Response(status_code=204)  # hawkBit's word for none
        return Response(msgspec.json.encode(said), media_type="application/hal+json")

    return ask


def _millis(moment: float | None) -> int | None:
    return None if moment is None else int(moment * 1000)


def _made(at: float | None, changed: float | None = None) -> Json:
    moments = {"createdAt": _millis(at), "lastModifiedAt": _millis(changed or at)}
    return {"createdBy": _OWNER, "lastModifiedBy": _OWNER} | moments


# ---- targets ---------------------------------------------------------------------------------------------------------


def _targets(db: Connection, asked: Asked) -> Json:
    by, down = asked.order(_ORDERS)
    order = ("-" if down else "") + _ORDERS.get(by, "id")
    target = rsql.written(asked.query, _said)
    wanted = Wanted(DEFAULT_TENANT, target, limit=asked.limit, offset=asked.offset, order=order)
    found = [_target(db, one, asked) for one in access.page(db, wanted)]
    return paged(found, access.count(db, wanted))


def _said(one: rsql.Comparison) -> str:
    """One comparison of hawkBit's as a target filter of ours says it."""
    if one.field.startswith("attribute."):
        return f'{one.field.removeprefix("attribute.")}~"{one.pattern}"'
    ours = _TARGET.get(one.field.lower())
    if ours is None or (ours == "tag" and "*" in one.value):
        raise rsql.NoField(f"no field {one.field[:60]!r}", f"there are {' '.join(_TARGET)} attribute.NAME; no * in a tag")
    return f'{ours}:"{one.value if ours == "tag" else one.pattern}"'


def _the(db: Connection, asked: Asked) -> Terminal:
    return access.find(db, asked.path["target"])


def _target(db: Connection, found: Terminal, asked: Asked) -> Json:
    lines = progress.entries(db, progress.Wanted(terminal=found.n))
    me = f"targets/{quote(found.id)}"
    said = {
        "name": found.id,
        "description": found.place or None,
        "controllerId": found.id,
        "updateStatus": _status(found, lines),
        "lastControllerRequestAt": _millis(found.heard),
        "installedAt": _millis(max((one.installed for one in lines if one.installed is not None), default=None)),
        "ipAddress": found.address or None,
        "address": f"http://{found.address}" if found.address else None,
        "targetTypeName": found.model,
    }
    ways = {name: f"{me}/{name}" for name in ("assignedDS", "installedDS", "attributes", "actions")}
    flags = {"requestAttributes": found.configured is None, "autoConfirmActive": found.auto_confirm.at is not None}
    known = {name: value for name, value in said.items() if value is not None}
    return _made(found.registered, found.heard) | known | flags | {"_links": asked.links(self=me, **ways)}


def _status(found: Terminal, lines: list[Entry]) -> str:
    """hawkBit's word for how a target stands with what it was last given."""
    newest = max((one for one in lines if one.offered is not None), key=lambda one: one.offered or 0.0, default=None)
    if newest is None:
        return "unknown" if found.heard is None else "registered"
    ends = {Verdict.PENDING: "pending", Verdict.CONFIRMED: "in_sync"}
    return ends.get(Verdict(newest.verdict), "error")


def _assigned(db: Connection, asked: Asked) -> Json:
    lines = [one for one in progress.entries(db, progress.Wanted(terminal=_the(db, asked).n)) if one.offered is not None]
    return _of_line(db, max(lines, key=lambda one: one.offered or 0.0, default=None), asked)


def _installed(db: Connection, asked: Asked) -> Json:
    lines = [one for one in progress.entries(db, progress.Wanted(terminal=_the(db, asked).n)) if one.installed is not None]
    return _of_line(db, max(lines, key=lambda one: one.installed or 0.0, default=None), asked)


def _of_line(db: Connection, line: Entry | None, asked: Asked) -> Json:
    return {} if line is None else _set(catalog.find_release(db, str(line.release)), asked)


def _tags(db: Connection, asked: Asked) -> list[Json]:
    return [{"name": one} for one in _the(db, asked).tags]


def _actions(db: Connection, asked: Asked) -> Json:
    found = [_action(db, one, asked) for one in actions.all_of(db, _the(db, asked).n)]
    return asked.cut(found, ("id", "status", "detailStatus", "type"))


def _one_action(db: Connection, asked: Asked) -> Json:
    found = actions.of_terminal(db, _the(db, asked).n, asked.path["action"])
    if found is None:
        raise NotFound(f"no action {asked.path['action'][:64]!r}", "none of this target has this number", "its actions")
    return _action(db, found, asked)


def _action(db: Connection, found: Action, asked: Asked) -> Json:
    whose = access.by_number(db, found.terminal)
    release = catalog.find_release(db, str(found.release))
    active = found.state in actions.ACTIVE
    me = f"targets/{quote(whose.id)}"
    said = {
        "id": found.id,
        "type": "cancel" if found.state in ("cancelling", "cancelled") else "update",
        "status": "pending" if active else "finished",
        "active": active,
        "detailStatus": _DETAILS[found.state],
        "forceType": "forced",
    }
    ways = {"self": f"{me}/actions/{found.id}", "target": me, "distributionset": f"distributionsets/{release.id}"}
    if found.rollout is not None:
        said |= {"rollout": found.rollout, "rolloutName": _rollout_name(found.rollout, release)}
        ways["rollout"] = f"rollouts/{found.rollout}"
    return _made(found.created, found.closed) | said | {"_links": asked.links(**ways)}


# ---- distribution sets and rollouts ----------------------------------------------------------------------------------


def _set(found: Release, asked: Asked) -> Json:
    """A release as a distribution set of one module."""
    made = _made(found.added, found.revoked)
    name = str(found.model) if found.component == FIRMWARE else f"{found.model}/{found.component}"
    kind = "os" if found.component == FIRMWARE else "application"
    same = {"version": found.version, "deleted": False, "id": found.id}
    module = {"name": str(found.component), "type": kind, "typeName": kind, "encrypted": False}
    whole = {
        "description": found.revoked_why,
        "type": kind,
        "typeName": kind,
        "requiredMigrationStep": False,
        "complete": True,
    }
    me = f"distributionsets/{found.id}"
    links = {"_links": asked.links(self=me, modules=f"{me}/assignedSM")}
    return made | same | {"name": name, "modules": [made | same | module]} | whole | {"valid": found.revoked is None} | links


def _sets(db: Connection, asked: Asked) -> Json:
    return asked.cut([_set(one, asked) for one in catalog.list_releases(db)], _SET_FIELDS)


def _numbered(db: Connection, asked: Asked) -> Release:
    return catalog.find_release(db, str(number(asked.path["number"], 0)))


def _one_set(db: Connection, asked: Asked) -> Json:
    return _set(_numbered(db, asked), asked)


def _modules(db: Connection, asked: Asked) -> Json:
    return asked.cut(_set(_numbered(db, asked), asked)["modules"], ("id", "name", "version", "type"))


def _rollout_name(number: int, release: Release) -> str:
    return f"{release.name} #{number}"


def _rollout(db: Connection, found: Rollout, asked: Asked) -> Json:
    release = catalog.find_release(db, str(found.release))
    said = {
        "id": found.id,
        "name": _rollout_name(found.id, release),
        "description": found.policy,
        "targetFilterQuery": found.target,
        "distributionSetId": release.id,
        "status": _STATES[found.state],
        "totalTargets": found.terminals,
        "totalGroups": len(waves.policy(found.policy).waves),
        "deleted": False,
        "type": "forced",
    }
    start = {} if found.started is None else {"startAt": _millis(found.started)}
    links = asked.links(self=f"rollouts/{found.id}", distributionset=f"distributionsets/{release.id}")
    return _made(found.created, found.started) | said | start | {"_links": links}


def _rollouts(db: Connection, asked: Asked) -> Json:
    return asked.cut([_rollout(db, one, asked) for one in rollout.all_rollouts(db)], _ROLLOUT_FIELDS)


def _one_rollout(db: Connection, asked: Asked) -> Json:
    found = rollout.find(db, number(asked.path["number"], 0))
    stand = rollout.tally(db, found, 0.0)
    counted = {"finished": stand.confirmed, "error": stand.bad, "notstarted": stand.targets - stand.admitted}
    counted["running"] = stand.admitted - stand.confirmed - stand.bad
    return _rollout(db, found, asked) | {"totalTargetsPerStatus": counted}


PATHS: dict[str, Callable[[Connection, Asked], object]] = {
    "/targets": _targets,
    "/targets/{target}": lambda db, asked: _target(db, _the(db, asked), asked),
    "/targets/{target}/attributes": lambda db, asked: _the(db, asked).attributes,
    "/targets/{target}/tags": _tags,
    "/targets/{target}/assignedDS": _assigned,
    "/targets/{target}/installedDS": _installed,
    "/targets/{target}/actions": _actions,
    "/targets/{target}/actions/{action}": _one_action,
    "/distributionsets": _sets,
    "/distributionsets/{number}": _one_set,
    "/distributionsets/{number}/assignedSM": _modules,
    "/rollouts": _rollouts,
    "/rollouts/{number}": _one_rollout,
}
