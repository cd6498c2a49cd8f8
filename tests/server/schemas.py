"""What is walked by generated requests: a whole server with something of everything in it, and a description of its device
plane as OpenAPI (hawkBit's DDI has none that says what we answer)."""

from __future__ import annotations

from typing import Any

from neurath.console.pages import Desk, routes
from neurath.server.access import people
from neurath.server.app import Server, application
from neurath.server.delivery.streams import StreamPush
from neurath.server.device import Policy
from neurath.server.fleet import rollout
from neurath.server.software import catalog
from tests.server.world import World

Json = dict[str, Any]
FORMS = ["application/json", "application/cbor", "text/html", "*/*"]


def app(world: World) -> Any:
    """The server's application, for a test that stands for a terminal or a person on this machine."""
    server = Server(world.store, world.delivery.deltas, world.delivery, StreamPush(), Policy())
    inside = application(server, routes(Desk(world.store, world.delivery.why)))

    async def here(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = [(key, value) for key, value in scope["headers"] if key != b"host"]
            scope = {**scope, "client": ("127.0.0.1", 5), "headers": [*headers, (b"host", b"127.0.0.1")]}
        await inside(scope, receive, send)

    return here


def device_plane(token: str) -> Json:
    """The device plane's routes, with values that meet a terminal `t1` often enough."""
    names = {
        "tenant": {"type": "string", "enum": ["DEFAULT", "other"]},
        "id": {"type": "string", "enum": ["t1", "x/y", "é"]},
        "action": {"type": "string", "enum": ["1", "2", "0", "-1", "99999999999999999999", "x", "1.0"]},
        "module": {"type": "string", "enum": ["1", "2", "0", "x"]},
        "file": {"type": "string", "enum": ["box-2.swu", "box-1.swu", "x", "..", "é"]},
        "digest": {"type": "string", "maxLength": 80},
    }
    base = "/{tenant}/controller/v1/{id}"
    gets = [
        "", "/deploymentBase/{action}", "/cancelAction/{action}", "/confirmationBase", "/confirmationBase/{action}",
        "/installedBase/{action}", "/softwaremodules/{module}/artifacts", "/softwaremodules/{module}/artifacts/{file}",
        "/softwaremodules/{module}/artifacts/{file}.MD5SUM",
    ]  # fmt: skip
    paths: Json = {f"{base}{tail}": {"get": _operation(f"{base}{tail}", names, token)} for tail in gets}
    attributes = {"type": "object", "additionalProperties": {"type": "string"}}
    config = {"type": "object", "required": ["data"], "properties": {"data": attributes, "mode": {"type": "string"}}}
    status = {
        "type": "object",
        "properties": {
            "execution": {"type": "string", "enum": ["closed", "proceeding", "canceled", "rejected", "download", "scheduled"]},
            "result": {
                "type": "object",
                "properties": {
                    "finished": {"type": "string", "enum": ["success", "failure", "none"]},
                    "progress": {"type": "object", "properties": {"cnt": {"type": "integer"}, "of": {"type": "integer"}}},
                },
            },
            "code": {"type": "integer"},
            "details": {"type": "array", "items": {"type": "string"}},
        },
    }
    feedback = {"type": "object", "required": ["status"], "properties": {"id": {"type": "string"}, "status": status}}
    word = {"type": "object", "properties": {"confirmation": {"type": "string"}, "details": status["properties"]["details"]}}
    bodies = [
        ("put", "/configData", config),
        ("post", "/deploymentBase/{action}/feedback", feedback),
        ("post", "/cancelAction/{action}/feedback", feedback),
        ("post", "/confirmationBase/{action}/feedback", word),
        ("post", "/confirmationBase/activateAutoConfirm", {"type": "object"}),
        ("post", "/confirmationBase/deactivateAutoConfirm", {}),
        ("put", "/installedBase", {"type": "object"}),
    ]
    for method, tail, body in bodies:
        paths.setdefault(f"{base}{tail}", {})[method] = _operation(f"{base}{tail}", names, token, body)
    rescue = "/{tenant}/neurath/v1/file/{digest}"
    paths[rescue] = {"get": _operation(rescue, names, token)}
    beat = "/{tenant}/neurath/v1/{id}/heartbeat"
    paths[beat] = {"post": _operation(beat, names, token, {"type": "object"})}
    return {"openapi": "3.0.3", "info": {"title": "device plane", "version": "1"}, "paths": paths}


def _operation(path: str, names: Json, token: str, body: Json | None = None) -> Json:
    found = [{"name": name, "in": "path", "required": True, "schema": names[name]} for name in names if f"{{{name}}}" in path]
    shown = {"type": "string", "enum": [f"TargetToken {token}", "TargetToken wrong"]}
    found.append({"name": "Authorization", "in": "header", "required": False, "schema": shown})
    found.append({"name": "Range", "in": "header", "required": False, "schema": {"type": "string", "maxLength": 60}})
    found.append({"name": "Accept", "in": "header", "required": False, "schema": {"type": "string", "enum": FORMS}})
    made: Json = {"parameters": found, "responses": {"default": {"description": "whatever it is, no fault of the server"}}}
    if body is not None:
        made["requestBody"] = {"content": {"application/json": {"schema": body}, "application/cbor": {"schema": body}}}
    return made


def furnished(world: World) -> None:
    """One rollout, and one operator: everything is there to be met, and everybody signs in."""
    with world.store.write() as db:
        people.add(db, people.Newcomer("boss", people.Role.ADMIN, "seven words that nobody has said"), 1.0)
        release = catalog.find_release(db, "box/2")
        made = rollout.create(db, rollout.Plan(release, None), 1.0)
        rollout.move(db, made.id, "start", 2.0)
