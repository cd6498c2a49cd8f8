"""Pages about people: signing in, set-up, operators, tokens of scripts. It knows forms; every rule is in server/access, and no
password or token is shown but the one that was just made."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from neurath.console.frame import Fields, Frame, number_in
from neurath.console.sheet import Sheet, message
from neurath.errors import NeurathError, RefusedError, UsageError
from neurath.server.access import gate, oidc, people, roles, sessions, tokens
from neurath.server.access.entry import Entry
from neurath.server.access.gate import SESSION
from neurath.server.access.people import Newcomer, Operator
from neurath.server.access.roles import Role
from neurath.server.access.tokens import Asked, Token
from neurath.server.problems import status_of
from neurath.server.store import acts, audit
from neurath.server.store.marks import NOBODY
from neurath.units import UnixTime

_OIDC = "neurath_oidc"
#: Entries of the audit log on a page.
AUDIT_PAGE = 100


@dataclass(frozen=True, slots=True)
class Everyone:
    """Operators and scripts' tokens, as far as they are shown to who asks; `own`: he has a password of his own here."""

    operators: list[Operator]
    tokens: list[Token]
    own: bool


@dataclass(frozen=True, slots=True)
class Log:
    """A page of the audit log, newest first; `older` is where the next one begins."""

    entries: list[audit.Entry]
    older: int | None
    head: str


def people_routes(frame: Frame) -> list[BaseRoute]:
    """Signing in and out, set-up, `/people`, `/audit`, their twins, and the forms on them."""
    pages = People(frame)
    return [
        Route("/sign-in", pages.sign_in_page),
        frame.form("/sign-in", pages.sign_in, "Sign in"),
        frame.form("/sign-out", pages.sign_out, "Not signed out"),
        Route("/set-up", pages.set_up_page),
        frame.form("/set-up", pages.set_up, "Not set up"),
        Route("/oidc/start", pages.oidc_start),
        Route("/oidc/callback", pages.oidc_callback),
        *frame.both(("/people", "people.html"), pages.everyone, _people),
        *frame.both(("/audit", "audit.html"), pages.log, _log),
        frame.form("/people/password", pages.change_password, "Not changed"),
        frame.form("/people/operators", pages.add_operator, "Not added"),
        frame.form("/people/operators/change", pages.change_operator, "Not changed"),
        frame.form("/people/tokens", pages.add_token, "Not added"),
        frame.form("/people/tokens/revoke", pages.revoke_token, "Not changed"),
    ]


class People:
    """The pages of one desk."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.desk = frame.desk
        self.entry = Entry(frame.desk.store)

    # ---- in and out --------------------------------------------------------------------------------------------------

    def sign_in_page(self, request: Request) -> Response:
        sheet = self.frame.sheet(request)
        with self.desk.store.read() as db:
            over, provider = people.any_there(db), oidc.find(db)
        if not over:
            return self.frame.to(request, "set-up")
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
        answer = self.frame.to(request, "sign-in")
        answer.headers.append("set-cookie", gate.cookie(SESSION, "", encrypted=found.encrypted, age=0))
        return answer

    def set_up_page(self, request: Request) -> Response:
        sheet = self.frame.sheet(request)
        with self.desk.store.read() as db:
            if people.any_there(db):
                return self.frame.to(request, "sign-in")
        sheet.values = {"title": sheet.t("Set up"), "back": "", "provider": "", "fresh": True}
        return sheet.render("sign_in.html")

    async def set_up(self, request: Request, fields: Fields) -> Response:
        address = request.client.host if request.client else ""
        given = fields.get("name", "")[:64], fields.get("password", ""), address
        secret = await run_in_threadpool(self.entry.set_up, *given)
        return self._signed_in(request, secret, "")

    def _signed_in(self, request: Request, secret: str, back: str) -> Response:
        answer = self.frame.to(request, _back(back))
        encrypted = gate.visit(request.scope).encrypted
        answer.headers.append("set-cookie", gate.cookie(SESSION, secret, encrypted=encrypted))
        return answer

    # ---- by an identity provider -------------------------------------------------------------------------------------

    def oidc_start(self, request: Request) -> Response:
        sheet = self.frame.sheet(request)
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
        sheet = self.frame.sheet(request)
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

    def everyone(self, request: Request, _now: UnixTime) -> Everyone:
        actor = gate.visit(request.scope).actor
        admin = actor.role >= Role.ADMIN
        with self.desk.store.read() as db:
            found = people.everyone(db) if admin else []
            scripts = tokens.everyone(db) if admin else []
            own = people.by_number(db, actor.operator).password if actor.way == "session" and actor.operator else False
        return Everyone(found, scripts, own)

    def log(self, request: Request, _now: UnixTime) -> Log:
        asked = number_in(request.query_params.get("before", ""), 0, 0)
        with self.desk.store.read() as db:
            found = audit.page(db, asked or None, AUDIT_PAGE + 1)
            head = audit.the_head(db)
        older = found[AUDIT_PAGE - 1].n if len(found) > AUDIT_PAGE else None
        return Log(found[:AUDIT_PAGE], older, str(head))

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
        return self.frame.to(request, "/people")

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
        return self.frame.to(request, "/people")

    async def add_token(self, request: Request, fields: Fields) -> Response:
        maker, days = gate.visit(request.scope).actor, fields.get("days", "")
        asked = Asked(fields.get("name", ""), roles.role(fields.get("role", "")), int(days) if days.isdecimal() else 0)

        def add() -> str:
            with self.desk.store.write(NOBODY) as db:
                return tokens.add(db, asked, maker, time.time())

        token = await run_in_threadpool(add)
        sheet = self.frame.sheet(request)
        seen = await run_in_threadpool(self.everyone, request, sheet.now)
        sheet.values = _people(seen, sheet) | {"fresh_token": token}
        return sheet.render("people.html", 201)

    async def revoke_token(self, request: Request, fields: Fields) -> Response:
        def revoke() -> None:
            with self.desk.store.write(NOBODY) as db:
                tokens.revoke(db, fields.get("name", ""))

        await run_in_threadpool(revoke)
        return self.frame.to(request, "/people")


def _people(seen: Everyone, sheet: Sheet) -> dict[str, object]:
    return {
        "title": sheet.t("People"),
        "section": "/people",
        "operators": seen.operators,
        "tokens": seen.tokens,
        "roles": roles.GIVEN,
        "fresh_token": "",
        "own_password": seen.own,
        "later": sheet.now,
    }


def _log(seen: Log, sheet: Sheet) -> dict[str, object]:
    return {"title": sheet.t("Audit log"), "section": "/people", **{name: getattr(seen, name) for name in Log.__slots__}}


def _back(asked: str) -> str:
    """A page of this console to go back to; never another site's address."""
    plain = asked.isprintable() and not asked.startswith("//") and "\\" not in asked and len(asked) <= 500
    return asked if plain and asked.startswith("/") and not urlsplit(asked).netloc else "/"
