"""Pages about people: signing in, set-up, operators, tokens of scripts. It knows forms; every rule is in server/access, and no
password or token is shown but the one that was just made."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from neurath.console import forms, words
from neurath.console.sheet import Sheet, message
from neurath.errors import NeurathError, RefusedError, UsageError
from neurath.server.access import gate, oidc, people, roles, sessions, tokens
from neurath.server.access.entry import Entry
from neurath.server.access.gate import SESSION
from neurath.server.access.people import Newcomer
from neurath.server.access.roles import Role
from neurath.server.access.tokens import Asked
from neurath.server.problems import status_of
from neurath.server.store import Store, acts, audit
from neurath.server.store.marks import NOBODY
from neurath.units import UnixTime

Fields = Mapping[str, str]
_OIDC = "neurath_oidc"
#: Entries of the audit log on a page.
AUDIT_PAGE = 100


class Desk(Protocol):
    """What these pages work with."""

    @property
    def store(self) -> Store: ...
    @property
    def clock(self) -> Callable[[], float]: ...


def people_routes(desk: Desk) -> list[BaseRoute]:
    pages = People(desk)
    return [
        Route("/sign-in", pages.sign_in_page),
        Route("/sign-in", pages.formed(pages.sign_in, "Sign in"), methods=["POST"]),
        Route("/sign-out", pages.formed(pages.sign_out, "Not signed out"), methods=["POST"]),
        Route("/set-up", pages.set_up_page),
        Route("/set-up", pages.formed(pages.set_up, "Not set up"), methods=["POST"]),
        Route("/oidc/start", pages.oidc_start),
        Route("/oidc/callback", pages.oidc_callback),
        Route("/people", pages.page),
        Route("/audit", pages.audit_page),
        Route("/people/password", pages.formed(pages.change_password, "Not changed"), methods=["POST"]),
        Route("/people/operators", pages.formed(pages.add_operator, "Not added"), methods=["POST"]),
        Route("/people/operators/change", pages.formed(pages.change_operator, "Not changed"), methods=["POST"]),
        Route("/people/tokens", pages.formed(pages.add_token, "Not added"), methods=["POST"]),
        Route("/people/tokens/revoke", pages.formed(pages.revoke_token, "Not changed"), methods=["POST"]),
    ]


Work = Callable[[Request, Fields], Awaitable[Response]]


class People:
    """The pages of one desk."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.entry = Entry(desk.store)

    def formed(self, work: Work, failed: str) -> Callable[[Request], Awaitable[Response]]:
        """A form of ours, read and proven, or what stands against it as a page."""

        async def answer(request: Request) -> Response:
            sheet = self._sheet(request)
            try:
                return await work(request, await forms.read(request))
            except NeurathError as fault:
                status = {"NRT-331": 403, "NRT-363": 401}.get(fault.id, status_of(fault))
                return message(sheet, fault, status, sheet.t(failed))

        return answer

    # ---- in and out --------------------------------------------------------------------------------------------------

    def sign_in_page(self, request: Request) -> Response:
        sheet = self._sheet(request)
        with self.desk.store.read() as db:
            over, provider = people.any_there(db), oidc.find(db)
        if not over:
            return self._to(request, "set-up")
        sheet.values = {
            "title": sheet.t("Sign in"),
            "back": _back(request.query_params.get("back", "")),
            "provider": urlsplit(provider.issuer).netloc if provider else "",
            "fresh": False,
        }
        return sheet.render("sign_in.html")

    async def sign_in(self, request: Request, fields: Fields) -> Response:
        address = request.client.host if request.client else ""
        secret = await self.entry.sign_in(fields.get("name", "")[:64], fields.get("password", ""), address)
        return self._signed_in(request, secret, fields.get("back", ""))

    async def sign_out(self, request: Request, _fields: Fields) -> Response:
        found = gate.visit(request.scope)

        def end() -> None:
            if found.secret:
                one = found.actor
                act = acts.Act(one.name, one.role.word, one.way, one.address, "sign out")
                with acts.acting(act), self.desk.store.write(NOBODY) as db:
                    sessions.end(db, found.secret)

        await run_in_threadpool(end)
        answer = self._to(request, "sign-in")
        answer.headers.append("set-cookie", gate.cookie(SESSION, "", encrypted=found.encrypted, age=0))
        return answer

    def set_up_page(self, request: Request) -> Response:
        sheet = self._sheet(request)
        with self.desk.store.read() as db:
            if people.any_there(db):
                return self._to(request, "sign-in")
        sheet.values = {"title": sheet.t("Set up"), "back": "", "provider": "", "fresh": True}
        return sheet.render("sign_in.html")

    async def set_up(self, request: Request, fields: Fields) -> Response:
        address = request.client.host if request.client else ""
        given = fields.get("name", "")[:64], fields.get("password", ""), address
        secret = await run_in_threadpool(self.entry.set_up, *given)
        return self._signed_in(request, secret, "")

    def _signed_in(self, request: Request, secret: str, back: str) -> Response:
        answer = self._to(request, _back(back))
        encrypted = gate.visit(request.scope).encrypted
        answer.headers.append("set-cookie", gate.cookie(SESSION, secret, encrypted=encrypted))
        return answer

    # ---- by an identity provider -------------------------------------------------------------------------------------

    def oidc_start(self, request: Request) -> Response:
        sheet = self._sheet(request)
        try:
            with self.desk.store.read() as db:
                provider = oidc.find(db)
            if provider is None:
                raise RefusedError("no identity provider vouches here", "none was set", "neurath operator oidc", id="NRT-364")
            place = oidc.endpoints(provider)
            with self.desk.store.write(NOBODY) as db:
                state, made = oidc.begin(db, _back(request.query_params.get("back", "")), time.time())
        except NeurathError as fault:
            return message(sheet, fault, status_of(fault), sheet.t("Not signed in"))
        answer = RedirectResponse(oidc.address(provider, place, state, made, self._callback(request)), 303)
        encrypted = gate.visit(request.scope).encrypted
        answer.headers.append("set-cookie", gate.cookie(_OIDC, state, encrypted=encrypted, age=oidc.PATIENCE))
        return answer

    def oidc_callback(self, request: Request) -> Response:
        sheet = self._sheet(request)
        try:
            secret, back = self._vouched(request)
        except NeurathError as fault:
            return message(sheet, fault, status_of(fault), sheet.t("Not signed in"))
        answer = self._signed_in(request, secret, back)
        encrypted = gate.visit(request.scope).encrypted
        answer.headers.append("set-cookie", gate.cookie(_OIDC, "", encrypted=encrypted, age=0))
        return answer

    def _vouched(self, request: Request) -> tuple[str, str]:
        """A session for whom the provider names, in the browser in which the sign-in began."""
        asked, now = request.query_params, time.time()
        state = asked.get("state", "")
        if not state or request.cookies.get(_OIDC, "") != state:
            raise oidc.untrusted("it began in another browser")
        with self.desk.store.write(NOBODY) as db:
            made, provider = oidc.ended(db, state, now), oidc.find(db)
        if provider is None or "error" in asked:
            raise oidc.untrusted(asked.get("error_description", asked.get("error", "it is not asked any more"))[:160])
        if "iss" in asked and asked["iss"] != provider.issuer:
            raise oidc.untrusted("another provider answered")
        place = oidc.endpoints(provider)
        found = oidc.person(provider, place, oidc.Answer(asked.get("code", ""), self._callback(request), now), made)
        address = request.client.host if request.client else ""
        act = acts.Act(found.name, found.role.word, "session", address, "sign in", found.subject)
        with acts.acting(act), self.desk.store.write(NOBODY) as db:
            return sessions.begin(db, oidc.signed_in(db, found, now), address, now), made.back

    @staticmethod
    def _callback(request: Request) -> str:
        return str(request.base_url).rstrip("/") + "/oidc/callback"

    # ---- operators and tokens ----------------------------------------------------------------------------------------

    def page(self, request: Request) -> Response:
        return self._people(self._sheet(request), "")

    def _people(self, sheet: Sheet, token: str, status: int = 200) -> Response:
        actor = sheet.visit.actor
        admin = actor.role >= Role.ADMIN
        with self.desk.store.read() as db:
            everyone = people.everyone(db) if admin else []
            scripts = tokens.everyone(db) if admin else []
            own = people.by_number(db, actor.operator).password if actor.way == "session" and actor.operator else False
        sheet.values = {
            "title": sheet.t("People"),
            "operators": everyone,
            "tokens": scripts,
            "roles": roles.GIVEN,
            "fresh_token": token,
            "own_password": own,
            "later": sheet.now,
        }
        return sheet.render("people.html", status)

    def audit_page(self, request: Request) -> Response:
        sheet = self._sheet(request)
        asked = request.query_params.get("before", "")
        with self.desk.store.read() as db:
            found = audit.page(db, int(asked) if asked.isdecimal() and len(asked) < 16 else None, AUDIT_PAGE + 1)
            head = audit.the_head(db)
        sheet.values = {
            "title": sheet.t("Audit log"),
            "entries": found[:AUDIT_PAGE],
            "older": found[AUDIT_PAGE - 1].n if len(found) > AUDIT_PAGE else None,
            "head": str(head),
        }
        return sheet.render("audit.html")

    async def change_password(self, request: Request, fields: Fields) -> Response:
        found = gate.visit(request.scope)
        if found.actor.way != "session" or found.actor.operator is None:
            raise RefusedError("only who is signed in has a password", "", "sign in", id="NRT-364")
        with self.desk.store.read() as db:
            operator = people.by_number(db, found.actor.operator)
        given = operator, fields.get("old", ""), fields.get("new", "")
        secret = await self.entry.change_password(*given, found.actor.address)
        return self._signed_in(request, secret, "/people")

    async def add_operator(self, request: Request, fields: Fields) -> Response:
        def add() -> None:
            with self.desk.store.write(NOBODY) as db:
                password = people.checked(fields.get("password", ""))
                given = Newcomer(fields.get("name", ""), roles.role(fields.get("role", "")), password)
                people.add(db, given, time.time())

        await run_in_threadpool(add)
        return self._to(request, "/people")

    async def change_operator(self, request: Request, fields: Fields) -> Response:
        def change() -> None:
            with self.desk.store.write(NOBODY) as db:
                found = people.find(db, fields.get("name", ""))
                match fields.get("act", ""):
                    case "role":
                        people.set_role(db, found, roles.role(fields.get("role", "")))
                    case "disable":
                        people.disable(db, found, time.time())
                    case "enable":
                        people.disable(db, found, None)
                    case "remove":
                        people.remove(db, found)
                    case _:
                        raise UsageError("nothing was asked for", "", "press one of the buttons")

        await run_in_threadpool(change)
        return self._to(request, "/people")

    async def add_token(self, request: Request, fields: Fields) -> Response:
        maker, days = gate.visit(request.scope).actor, fields.get("days", "")
        asked = Asked(fields.get("name", ""), roles.role(fields.get("role", "")), int(days) if days.isdecimal() else 0)

        def add() -> str:
            with self.desk.store.write(NOBODY) as db:
                return tokens.add(db, asked, maker, time.time())

        token = await run_in_threadpool(add)
        return await run_in_threadpool(self._people, self._sheet(request), token, 201)

    async def revoke_token(self, request: Request, fields: Fields) -> Response:
        def revoke() -> None:
            with self.desk.store.write(NOBODY) as db:
                tokens.revoke(db, fields.get("name", ""))

        await run_in_threadpool(revoke)
        return self._to(request, "/people")

    def _to(self, request: Request, place: str) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '').rstrip('/')}/{place.lstrip('/')}", 303)

    def _sheet(self, request: Request) -> Sheet:
        asked = request.query_params.get("lang", "")
        language = words.choose(asked, request.cookies.get("lang", ""), request.headers.get("accept-language", ""))
        return Sheet(request, UnixTime(self.desk.clock()), language)


def _back(asked: str) -> str:
    """A page of this console to go back to; never another site's address."""
    plain = asked.isprintable() and not asked.startswith("//") and "\\" not in asked and len(asked) <= 500
    return asked if plain and asked.startswith("/") and not urlsplit(asked).netloc else "/"
