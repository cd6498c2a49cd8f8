"""The API's page: every call there is, and who may make it. It reads the one table of rights, so that no call is missing and
no right is wrong."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.routing import BaseRoute

from neurath.console.frame import Frame
from neurath.console.sheet import Sheet
from neurath.server.access.rights import ROUTES

_API = "/api/v1/"


@dataclass(frozen=True, slots=True)
class Call:
    """One call and the least role for it."""

    method: str
    path: str
    role: str


@dataclass(frozen=True, slots=True)
class Interface:
    """(what they are about, calls) in order."""

    groups: list[tuple[str, list[Call]]]


def interface_routes(frame: Frame) -> list[BaseRoute]:
    """`/api-calls` and its twin."""
    return frame.both(("/api-calls", "interface.html"), lambda _request, _now: read(), _shown)


def read() -> Interface:
    """Every call of the API."""
    groups: dict[str, list[Call]] = {}
    for key, role in ROUTES.items():
        method, _, path = key.partition(" ")
        if path.startswith(_API):
            path = path.replace(":path", "")
            groups.setdefault(path.removeprefix(_API).split("/")[0], []).append(Call(method, path, role.word))
    return Interface(sorted((name, sorted(calls, key=lambda call: call.path)) for name, calls in groups.items()))


def _shown(seen: Interface, sheet: Sheet) -> dict[str, object]:
    base = str(sheet.request.base_url).rstrip("/")
    return {"title": sheet.t("API"), "section": "/api-calls", "seen": seen, "base": base}
