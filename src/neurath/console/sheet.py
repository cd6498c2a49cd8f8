"""One page on its way out: language, words, shapes, and the form's proof, around the figures of a page. It knows how a page is
made; it must never read a figure itself, nor load anything from elsewhere."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from neurath import __version__
from neurath.console import assets, shapes, words
from neurath.errors import NeurathError
from neurath.server.access import gate
from neurath.server.access.gate import Visit
from neurath.server.access.roles import Role
from neurath.server.fleet.access import DEFAULT_TENANT
from neurath.units import UnixTime

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Vary": "Accept-Language, Cookie",
}


#: The navigation: path and word of each page. Those below one of them say so by its path, their `section`.
PAGES = (
    ("/", "Overview"),
    ("/rollouts", "Rollouts"),
    ("/terminals", "Terminals"),
    ("/software", "Software"),
    ("/deltas", "Deltas"),
    ("/trickle", "On its way"),
    ("/gate", "Questions"),
    ("/stations", "Stations"),
    ("/people", "Access"),
    ("/api-calls", "API"),
)


@functools.cache
def templates() -> Environment:
    loader = PackageLoader("neurath.console")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


class Placed(Protocol):
    """Whatever is about one terminal."""

    @property
    def tenant(self) -> str: ...
    @property
    def id(self) -> str: ...


@dataclass(slots=True)
class Sheet:
    """One page on its way out: the request, its language, the moment its figures are of."""

    request: Request
    now: UnixTime
    language: str = "en"
    values: dict[str, object] = field(default_factory=dict)

    @property
    def visit(self) -> Visit:
        """Who looks at it."""
        return gate.visit(self.request.scope)

    def t(self, text: str, **given: object) -> str:
        return words.speaker(self.language)(text, **given)

    def render(self, name: str, status: int = 200) -> Response:
        t = self.t
        shared = {
            "twin": "",
            "section": "",
            "pages": PAGES,
            "t": t,
            "language": self.language,
            "csrf": self.visit.csrf,
            "actor": self.visit.actor,
            "may": lambda role: self.visit.actor.role >= Role[role.upper()],
            "now": f"{self.now:.3f}",
            "clock": words.moment(self.now)[11:19],
            "root": self.request.scope.get("root_path", "").rstrip("/") + "/",
            "asset": assets.address,
            "version": __version__,
            "query": _query(self.request),
            "units": json.dumps([t("{n} s"), t("{n} min"), t("{n} h"), t("{n} days"), t("{span} ago")], ensure_ascii=False),
            "amount": words.amount,
            "moment": words.moment,
            "span": lambda seconds: words.span(seconds, t),
            "ago": lambda then: words.ago(then, self.now, t),
            "cell": lambda mesh: shapes.mesh(mesh, t),
            "badge": lambda state: shapes.badge(state, t),
            "track": lambda line: shapes.track(line, t),
            "bar": shapes.bar,
            "phase": lambda line: t(shapes.PHASE_WORDS.get(line.phase, "waiting")),
            "kind": lambda kind: t(shapes.kind_word(kind)),
            "because": lambda line: words.because(line, t),
            "address": self.address,
        }
        html = templates().get_template(name).render(shared | self.values)
        answer = HTMLResponse(html, status, HEADERS | {"Content-Language": self.language})
        if self.request.query_params.get("lang") in words.LANGUAGES:
            answer.set_cookie("lang", self.language, max_age=31_536_000, httponly=True, samesite="lax")
        return answer

    def address(self, one: Placed) -> str:
        """The page of a terminal."""
        tail = "" if one.tenant == DEFAULT_TENANT else "?" + urlencode({"tenant": one.tenant})
        return f"{self.request.scope.get('root_path', '').rstrip('/')}/terminals/{quote(one.id, safe='')}{tail}"


#: Where a message leads, and the word for it.
Onward = tuple[str, str]
_HOME: Onward = ("", "Back to the overview")


def message(sheet: Sheet, error: NeurathError | None, status: int, headline: str = "", onward: Onward = _HOME) -> Response:
    """A page that says how something ended, and where to go from there."""
    if not headline:
        headline = sheet.t({404: "No such page", 503: "Not now"}.get(status, "Not added"))
    sheet.values = {
        "title": headline,
        "headline": headline,
        "error": error,
        "tone": "bad" if error else "good",
        "onward": onward,
    }
    return sheet.render("message.html", status)


def twin(content: Mapping[str, object], status: int = 200) -> Response:
    return JSONResponse(json.loads(json.dumps(content, default=_plain)), status, HEADERS)


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    return value.hex() if isinstance(value, bytes) else str(value)


#: What of an address a link that changes one thing keeps.
_KEPT = frozenset({"q", "state", "tenant", "model", "image", "target", "release"})


def _query(request: Request) -> str:
    """What the page was asked with, for links that change one thing of it."""
    kept = [(key, value) for key, value in request.query_params.multi_items() if key in _KEPT and value]
    return urlencode(kept) + "&" if kept else ""
