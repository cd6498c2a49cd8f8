"""The console's pages and their JSON twins: a request in, figures read, a page out. It knows which figures a page shows; it
must never hold state of its own, load anything from elsewhere, or show a figure that was not read for this very page."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from neurath.console import board, forms, shapes, upload, words
from neurath.console.board import Overview, Why
from neurath.console.live import Live
from neurath.console.people import people_routes
from neurath.console.sheet import Sheet, message, templates, twin
from neurath.errors import NeurathError, NotFound, NothingToDo
from neurath.server.fleet import access, remind, underway
from neurath.server.fleet.access import DEFAULT_TENANT
from neurath.server.fleet.figures import PAGE, State, Wanted
from neurath.server.store import Store
from neurath.units import UnixTime

#: Lines of the trickle page; the rest are in its twin.
MOST_RUNS = 500


@dataclass(frozen=True, slots=True)
class Desk:
    """What the console works with: the store, and who can say why a terminal has, or has not, been offered something."""

    store: Store
    why: Why
    clock: Callable[[], float] = time.time
    memory: board.Memory = field(default_factory=board.Memory)

    def warm(self) -> None:
        """Reads what the first page needs, so that the first visitor does not wait for it; what fails shows there."""
        with suppress(NeurathError):
            board.overview(self.store, Wanted(), self.why, UnixTime(self.clock()), self.memory)
        templates().get_template("overview.html")


def routes(desk: Desk, live: Live | None = None) -> list[BaseRoute]:
    """The console's routes, to be mounted at the root."""
    console = Console(desk, live or Live(desk.store))
    return [
        Route("/", console.shown(console.overview)),
        Route("/index.json", console.told(console.overview_json)),
        Route("/matrix", console.shown(console.matrix)),
        Route("/matrix/index.json", console.told(console.matrix_json)),
        Route("/terminals/{id}", console.shown(console.terminal)),
        Route("/terminals/{id}/index.json", console.told(console.terminal_json)),
        Route("/trickle", console.shown(console.trickle)),
        Route("/trickle/index.json", console.told(console.trickle_json)),
        Route("/terminals/{id}/remind", console.remind, methods=["POST"]),
        Route("/software", console.add_software, methods=["POST"]),
        Route("/live", console.stream),
        *people_routes(desk),
        Mount("/static", StaticFiles(packages=[("neurath.console", "static")])),
    ]


Page = Callable[[Request], Response]


class Console:
    """The pages of one desk. Reading happens in threads: a slow disk holds up no terminal."""

    def __init__(self, desk: Desk, live: Live) -> None:
        self.desk = desk
        self.live = live

    def shown(self, page: Page) -> Page:
        """The page, or what stands against it as a page: not found, or a store that is busy."""

        def answer(request: Request) -> Response:
            try:
                return page(request)
            except NeurathError as fault:
                return message(self._sheet(request), fault, _status(fault))

        return answer

    def told(self, page: Page) -> Page:
        """The same for a JSON twin."""

        def answer(request: Request) -> Response:
            try:
                return page(request)
            except NeurathError as fault:
                said = {"error": fault.id, "what": fault.what, "why": fault.why, "try": fault.hint}
                return twin(said, _status(fault))

        return answer

    def overview(self, request: Request) -> Response:
        sheet = self._sheet(request)
        wanted = _wanted(request)
        seen = board.overview(self.desk.store, wanted, self.desk.why, sheet.now, self.desk.memory)
        software = [(model, list(group)) for model, group in itertools.groupby(seen.shares, key=lambda share: share.model)]
        sheet.values = {
            **{name: getattr(seen, name) for name in Overview.__slots__},
            "title": sheet.t("Overview"),
            "twin": f"index.json?{request.url.query}" if request.url.query else "index.json",
            "wanted": wanted,
            "headline": _headline(seen, sheet),
            "notes": _notes(seen.counts, sheet),
            "shares_bar": shapes.shares_bar(seen.counts, sheet.t),
            "software": software,
            "most": {model: max(s.count for s in group) for model, group in software},
            "first": (max(1, wanted.page) - 1) * PAGE + 1,
        }
        return sheet.render("overview.html")

    def overview_json(self, request: Request) -> Response:
        now = self._sheet(request).now
        seen = board.overview(self.desk.store, _wanted(request), self.desk.why, now, self.desk.memory)
        return twin({"now": now, **asdict(seen), "counts": {state.value: n for state, n in seen.counts.items()}})

    def matrix(self, request: Request) -> Response:
        sheet = self._sheet(request)
        models, seen = board.matrix(self.desk.store, *_asked(request), self.desk.memory)
        sheet.values = {
            "title": sheet.t("Software and terminals"),
            "twin": f"matrix/index.json?{request.url.query}" if request.url.query else "matrix/index.json",
            "models": models,
            "seen": seen,
            "page": max(1, _asked(request)[1]),
            "first": (max(1, _asked(request)[1]) - 1) * PAGE + 1,
        }
        return sheet.render("matrix.html")

    def matrix_json(self, request: Request) -> Response:
        models, seen = board.matrix(self.desk.store, *_asked(request), self.desk.memory)
        return twin({"now": self._sheet(request).now, "models": models, "matrix": None if seen is None else asdict(seen)})

    def terminal(self, request: Request) -> Response:
        sheet = self._sheet(request)
        seen = board.terminal(self.desk.store, _named(request), self.desk.why, sheet.now)
        tail = "" if seen.line.tenant == DEFAULT_TENANT else "?" + urlencode({"tenant": seen.line.tenant})
        sheet.values = {
            "title": seen.line.id,
            "twin": f"{quote(seen.line.id, safe='')}/index.json{tail}",
            "line": seen.line,
            "why": seen.why,
            "events": list(reversed(seen.events)),
            "power": sheet.t(seen.power) if seen.power else "",
            "identity": [(sheet.t(word), value) for word, value in seen.identity(sheet.t)],
            **_map(seen, sheet),
        }
        return sheet.render("terminal.html")

    def terminal_json(self, request: Request) -> Response:
        now = self._sheet(request).now
        seen = board.terminal(self.desk.store, _named(request), self.desk.why, now)
        plain = asdict(seen)
        plain["cells"] = [asdict(cell) for cell in seen.cells]
        return twin({"now": now, **plain})

    def trickle(self, request: Request) -> Response:
        sheet = self._sheet(request)
        with self.desk.store.read() as db:
            found = underway.runs(db, sheet.now)
        sheet.values = {
            "title": sheet.t("On its way"),
            "twin": "trickle/index.json",
            "programs": underway.programs(found),
            "runs": found[:MOST_RUNS],
            "count": len(found),
            "day": lambda run: words.day(run.expected, sheet.now, sheet.t),
            "said": lambda run: sheet.t(shapes.PHASE_WORDS.get(run.phase, "waiting")),
        }
        return sheet.render("trickle.html")

    def trickle_json(self, request: Request) -> Response:
        now = self._sheet(request).now
        with self.desk.store.read() as db:
            found = underway.runs(db, now)
        runs, programs = [asdict(one) for one in found], [asdict(one) for one in underway.programs(found)]
        return twin({"now": now, "programs": programs, "terminals": runs})

    async def remind(self, request: Request) -> Response:
        """A person reminds the user of a terminal; a form of this console, sent from this console."""
        sheet = self._sheet(request)
        try:
            await forms.read(request)
            said = await run_in_threadpool(self._remind, _named(request), sheet.now)
        except NeurathError as refused:
            status = 403 if refused.id == "NRT-331" else 409 if isinstance(refused, NothingToDo) else _status(refused)
            return message(sheet, refused, status, sheet.t("Not reminded"))
        headline = sheet.t("The user of {id} will be reminded: {said}", id=request.path_params["id"], said=said)
        return message(sheet, None, 202, headline)

    def _remind(self, named: tuple[str, str], now: float) -> str:
        tenant, name = named
        with self.desk.store.write() as db:
            return remind.remind(db, access.find(db, name, tenant), "", now)

    async def add_software(self, request: Request) -> Response:
        sheet = self._sheet(request)
        try:
            release = await upload.take(request, self.desk.store, sheet.now)
        except NothingToDo as same:
            return message(sheet, None, 200, sheet.t("Nothing changed: {what}", what=same.what))
        except NeurathError as refused:
            return message(sheet, refused, 403 if refused.id == "NRT-331" else 422)
        return message(sheet, None, 201, sheet.t("{name} is in the catalog", name=release.name))

    async def stream(self, request: Request) -> Response:
        return self.live.respond()

    def _sheet(self, request: Request) -> Sheet:
        asked = request.query_params.get("lang", "")
        language = words.choose(asked, request.cookies.get("lang", ""), request.headers.get("accept-language", ""))
        return Sheet(request, UnixTime(self.desk.clock()), language)


def _status(fault: NeurathError) -> int:
    return 404 if isinstance(fault, NotFound) else 503


def _wanted(request: Request) -> Wanted:
    asked = request.query_params
    state = asked.get("state", "")
    page = asked.get("page", "1")
    return Wanted(
        words=asked.get("q", "").strip()[:64],
        state=State(state) if state in {s.value for s in State} else None,
        page=int(page) if page.isascii() and page.isdigit() and 0 < len(page) < 7 else 1,
    )


def _asked(request: Request) -> tuple[str, int]:
    """(model, page) of the matrix that is wanted; "": the first model there is."""
    return request.query_params.get("model", "")[:64], _wanted(request).page


def _named(request: Request) -> tuple[str, str]:
    return request.query_params.get("tenant", DEFAULT_TENANT), str(request.path_params["id"])


def _headline(seen: Overview, sheet: Sheet) -> str:
    current = seen.counts.get(State.CURRENT, 0)
    if not seen.total:
        return sheet.t("No terminals yet")
    if current == seen.total == 1:
        return sheet.t("The one terminal runs the newest release")
    if current == seen.total:
        return sheet.t("All {all} terminals run the newest release", all=seen.total)
    return sheet.t("{n} of {all} terminals run the newest release", n=current, all=seen.total)


def _notes(counts: Mapping[State, int], sheet: Sheet) -> list[tuple[State, str]]:
    said = {
        State.RESTORATION: ("{n} needs a restoration station", "{n} need a restoration station"),
        State.FAILED: ("{n} failed", "{n} failed"),
        State.PEOPLE: ("{n} waits for people", "{n} wait for people"),
        State.WORKING: ("{n} is being updated", "{n} are being updated"),
        State.SILENT: ("{n} is silent", "{n} are silent"),
    }
    return [(state, sheet.t(text[counts[state] != 1], n=counts[state])) for state, text in said.items() if state in counts]


def _map(seen: board.TerminalPage, sheet: Sheet) -> dict[str, object]:
    roles = {cell.role for cell in seen.cells}
    named = [
        ("birth record", "birth"),
        ("state log", "state"),
        ("scratch", "scratch"),
        ("staging", "staging"),
        ("bank", "bank"),
    ]
    key = [(css, sheet.t(word)) for word, css in named if word in roles]
    if "foreign" in roles:
        key.append(("foreign", sheet.t("not ours, kept byte for byte")))
    return {
        "map": shapes.memory_map(seen.cells, sheet.t) if seen.cells else "",
        "roles": key,
        "changed_count": sum(cell.changed for cell in seen.cells) if seen.rewrite_known else None,
        "bank_count": sum(cell.role == "bank" for cell in seen.cells),
    }
