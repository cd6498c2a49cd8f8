"""How a page is made of what it is about: figures are read once, then shown as a page or told as its JSON twin; a form is
read, proven, and answered. It knows requests and answers; it must never know what any page is about."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from neurath.console import forms, words
from neurath.console.desk import Desk
from neurath.console.sheet import Sheet, message, twin
from neurath.errors import NeurathError
from neurath.server.problems import status_of
from neurath.units import UnixTime

T = TypeVar("T")
Fields = Mapping[str, str]
Read = Callable[[Request, UnixTime], T]
Show = Callable[[T, Sheet], dict[str, object]]
Tell = Callable[[T], Mapping[str, object]]
Work = Callable[[Request, Fields], Awaitable[Response]]


def plainly(seen: Any) -> Mapping[str, object]:
    """A value of ours as its twin tells it."""
    found: Mapping[str, object] = dataclasses.asdict(seen)
    return found


@dataclass(frozen=True, slots=True)
class Frame:
    """The pages of one desk. Reading happens in threads: a slow disk holds up no terminal."""

    desk: Desk

    def sheet(self, request: Request) -> Sheet:
        asked = request.query_params.get("lang", "")
        language = words.choose(asked, request.cookies.get("lang", ""), request.headers.get("accept-language", ""))
        return Sheet(request, UnixTime(self.desk.clock()), language)

    def both(self, place: tuple[str, str], read: Read[T], show: Show[T], tell: Tell[T] = plainly) -> list[BaseRoute]:
        """The page at a path, made with a template, and its JSON twin below it: the same figures, read the same way."""
        path, template = place

        def page(request: Request) -> Response:
            sheet = self.sheet(request)
            try:
                seen = read(request, sheet.now)
            except NeurathError as fault:
                return message(sheet, fault, status_of(fault))
            sheet.values = {"twin": _twin(request), **show(seen, sheet)}
            return sheet.render(template)

        def told(request: Request) -> Response:
            now = UnixTime(self.desk.clock())
            try:
                return twin({"now": now, **tell(read(request, now))})
            except NeurathError as fault:
                return twin({"error": fault.id, "what": fault.what, "why": fault.why, "try": fault.hint}, status_of(fault))

        return [Route(path, page), Route(f"{path.rstrip('/')}/index.json", told)]

    def form(self, path: str, work: Work, failed: str) -> Route:
        """A form of ours, read and proven, or what stands against it as a page; `failed` is what is said then."""

        async def answer(request: Request) -> Response:
            sheet = self.sheet(request)
            try:
                return await work(request, await forms.read(request))
            except NeurathError as fault:
                status = {"NRT-331": 403, "NRT-363": 401}.get(fault.id, status_of(fault))
                return message(sheet, fault, status, sheet.t(failed))

        return Route(path, answer, methods=["POST"])

    def act(self, path: str, work: Callable[[Request, Fields], str], failed: str) -> Route:
        """A form that changes something and then leads to the page whose path `work` gives."""

        async def go(request: Request, fields: Fields) -> Response:
            return self.to(request, await run_in_threadpool(work, request, fields))

        return self.form(path, go, failed)

    @staticmethod
    def to(request: Request, place: str) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '').rstrip('/')}/{place.lstrip('/')}", 303)


def number_in(text: str, least: int, usual: int) -> int:
    """A number of an address, or the usual one: nobody needs an error for a link that was cut."""
    return max(least, int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else usual


def _twin(request: Request) -> str:
    last = request.url.path.rstrip("/").rpartition("/")[2]
    root = request.scope.get("root_path", "").rstrip("/")
    below = "" if request.url.path.rstrip("/") == root else f"{quote(last, safe='%')}/"
    return f"{below}index.json" + (f"?{request.url.query}" if request.url.query else "")
