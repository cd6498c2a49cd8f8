"""Before console and management plane: who asks, and whether he may. It knows cookies, tokens and the table of rights; it must
never look into what is asked. Until there is an operator this machine, and only it, may do everything; from then on everybody
signs in (docs/decisions/0390-this-machine-until-set-up.md)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from anyio import to_thread
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neurath.clock import agreed
from neurath.errors import NeurathError, RefusedError
from neurath.server.access import people, rights, sessions, tokens
from neurath.server.access.paths import Right, Rights
from neurath.server.access.roles import Actor, Role, demand
from neurath.server.problems import problem, status_of
from neurath.server.proxy import is_loopback, peer
from neurath.server.shares import OPERATOR, Shares, timely
from neurath.server.store import Store, acts
from neurath.server.store.acts import LOOKED_AT, Act
from neurath.server.store.marks import NOBODY

SESSION, VISIT = "neurath_session", "neurath_visit"
_SAFE = ("GET", "HEAD")
#: What answers programs and not people; from the second, which changes nothing, a token is taken as a Basic password too: all
#: that hawkBit's tools can send. Never elsewhere: a browser would send it by itself, for pages of other sites.
_HAWKBIT = "/rest/v1/"
_API = ("/api/v1", _HAWKBIT)
_KEY = "neurath.visit"


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that was let in. `csrf` is what a form of its page holds; `secret` the session's; `fresh`: cookies it is
    given."""

    actor: Actor
    csrf: str = ""
    secret: str = ""
    fresh: tuple[tuple[str, str], ...] = ()
    encrypted: bool = False


STRANGER = Actor("", Role.ANYONE, "nobody")


class Closed(RefusedError):  # noqa: N818 (what the door is)
    """Nobody who was let in: 401."""

    default_id = "NRT-360"


def visit(scope: Scope) -> Visit:
    """Who makes this request; nobody where no gate stands before it."""
    found = scope.get(_KEY)
    return found if isinstance(found, Visit) else Visit(STRANGER)


def cookie(name: str, value: str, *, encrypted: bool, age: float | None = None) -> str:
    """A Set-Cookie header: never for scripts, never with requests of other sites' pages, over TLS only where there is TLS."""
    words = [f"{name}={value}", "Path=/", "HttpOnly", "SameSite=Lax"]
    words += ["Secure"] if encrypted else []
    words += [] if age is None else [f"Max-Age={age:.0f}"]
    return "; ".join(words)


class Gate:
    """The gate before one application."""

    def __init__(self, app: ASGIApp, store: Store, table: Rights, station_token: str) -> None:
        self.app = app
        self.store = store
        self.table = table
        self._station = f"StationToken {station_token}".encode()
        self.shares = Shares(OPERATOR)
        self._over = False  # set-up; once it is, it stays so

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
        right = self.table.find(scope["method"], scope["path"])
        with ExitStack() as held:
            try:
                found = await to_thread.run_sync(self._admitted, scope, headers, right)
                if found.actor.known:
                    held.enter_context(self.shares.taken(f"{found.actor.way} {found.actor.name}"))
            except NeurathError as fault:
                await _refused(scope, headers, fault)(scope, receive, send)
                return
            # What calls the API has no forms; its session's new secret it must have all the same.
            given = found if not scope["path"].startswith(_API) or found.secret else replace(found, fresh=())
            scope, send = {**scope, _KEY: found}, _giving(send, given)
            if scope["method"] in _SAFE:
                await self.app(scope, receive, send)
            elif right is None or right.needed is Role.ANYONE:
                await self.app(scope, timely(receive), send)
            else:
                with acts.acting(_act(scope, found.actor, right)) as act:
                    await self.app(scope, _looking(timely(receive), headers, act), send)

    def _admitted(self, scope: Scope, headers: Mapping[bytes, str], right: Right | None) -> Visit:
        """Who it is, where he may do this; NeurathError otherwise."""
        found = self._visit(scope, headers, right)
        needed = Role.VIEWER if right is None else right.needed
        if found.actor.role < needed and found.actor.role is Role.ANYONE:
            raise Closed("sign in first", "console and management are closed", "/sign-in, or Authorization: Bearer TOKEN")
        demand(found.actor, needed, right.key if right else "this")
        if scope["method"] not in _SAFE and found.actor.way not in ("token", "station"):
            _same_origin(headers)
            if found.actor.way == "session" and scope["path"].startswith(_API) and not self._forgery_proof(headers, found):
                why = "a page of another site could have sent it"
                raise RefusedError("this request lacks its proof", why, "X-CSRF-Token, from GET /api/v1/session", id="NRT-331")
        return found

    @staticmethod
    def _forgery_proof(headers: Mapping[bytes, str], found: Visit) -> bool:
        return hmac.compare_digest(headers.get(b"x-csrf-token", "").encode("latin-1"), found.csrf.encode())

    def _visit(self, scope: Scope, headers: Mapping[bytes, str], right: Right | None) -> Visit:
        address = scope["client"][0] if scope.get("client") else ""
        encrypted = scope.get("scheme") == "https"
        shown = headers.get(b"authorization", "").encode("latin-1")
        if right is not None and right.key in rights.STATION and hmac.compare_digest(shown, self._station):
            return Visit(Actor("station", right.needed, "station", address), encrypted=encrypted)
        known = (
            self._by_certificate(scope, address) if right is not None and right.key in rights.STATION and not shown else None
        )
        if known is not None:
            return known
        if not self._is_over():
            _is_this_machine(address, headers)
            return self._local(headers, address, encrypted)
        if not encrypted and not is_loopback(address):
            why = "neither TLS nor this machine: anybody on the way could read what opens it"
            raise RefusedError("this connection is not safe", why, "https:// (docs/how-to/access.md)", id="NRT-329")
        if shown:
            return self._by_token(_bearer(headers[b"authorization"], scope["path"]), address)
        return self._by_cookie(headers, address, encrypted)

    def _is_over(self) -> bool:
        if not self._over:
            with self.store.read() as db:
                self._over = people.any_there(db)
        return self._over

    def _local(self, headers: Mapping[bytes, str], address: str, encrypted: bool) -> Visit:
        key, fresh = _visitor(headers)
        return Visit(Actor("", Role.ADMIN, "local", address), _proof(key), "", fresh, encrypted)

    def _by_token(self, given: str, address: str) -> Visit:
        now = agreed()
        with self.store.read() as db:
            found = tokens.admit(db, given, now, address)
        if found is None:
            raise Closed("this token is not known here", "unknown, revoked or too old", "neurath token add NAME --role R")
        return self._noted(found, now)

    def _by_certificate(self, scope: Scope, address: str) -> Visit | None:
        """A station that is known by its certificate, which opens what a station may ask; None: it showed none, or another."""
        der, now = peer(scope), agreed()
        if not der:
            return None
        with self.store.read() as db:
            found = tokens.admit_station(db, der, now, address)
        return None if found is None else self._noted(found, now)

    def _noted(self, found: tuple[Actor, bool], now: float) -> Visit:
        actor, due = found
        if due:
            with suppress(NeurathError), self.store.write(NOBODY) as db:
                tokens.used(db, actor.name, now)
        return Visit(actor)

    def _by_cookie(self, headers: Mapping[bytes, str], address: str, encrypted: bool) -> Visit:
        now, secret = agreed(), _cookies(headers).get(SESSION, "")
        with self.store.read() as db:
            found = sessions.find(db, secret, now)
        if found is None:
            key, fresh = _visitor(headers)
            return Visit(STRANGER, _proof(key), "", fresh, encrypted)
        made = ""
        if found.due:
            with suppress(NeurathError), self.store.write(NOBODY) as db:
                made = sessions.used(db, found, secret, now)
        fresh = ((SESSION, made),) if made else ()
        return Visit(people.actor(found.operator, "session", address), found.csrf, made or secret, fresh, encrypted)


def _bearer(authorization: str, path: str) -> str:
    """The token of an Authorization header; "" where it has none."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() != "basic" or not path.startswith(_HAWKBIT):
        return ""
    try:
        return base64.b64decode(given.strip(), validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _cookies(headers: Mapping[bytes, str]) -> dict[str, str]:
    try:
        return {key: one.value for key, one in SimpleCookie(headers.get(b"cookie", "")).items()}
    except CookieError:
        return {}


def _visitor(headers: Mapping[bytes, str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The cookie of somebody who is not signed in: what his forms are bound to."""
    key = _cookies(headers).get(VISIT, "")
    if len(key) == 43:
        return key, ()
    key = secrets.token_urlsafe(32)
    return key, ((VISIT, key),)


def _proof(key: str) -> str:
    return hmac.digest(key.encode(), b"neurath form", hashlib.sha256).hex()


def _is_this_machine(address: str, headers: Mapping[bytes, str]) -> None:
    if not is_loopback(address):
        why = "console and management answer this machine only, until there is an operator"
        raise RefusedError("refused", why, "on that machine: neurath operator add NAME --role admin", id="NRT-329")
    if not _is_local(_without_port(headers.get(b"host", ""))):
        # a foreign name that was made to point here
        raise RefusedError("refused", "the address asked for is not this machine's", "http://127.0.0.1", id="NRT-329")


def _same_origin(headers: Mapping[bytes, str]) -> None:
    origin = headers.get(b"origin")
    if origin is not None and origin.partition("://")[2] != headers.get(b"host", ""):
        raise RefusedError("refused", "the request comes from another origin", "ask from its own page", id="NRT-329")


def _without_port(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_local(name: str) -> bool:
    """True for this machine's own address; names are compared whole, or 127.0.0.1.example would pass."""
    return name == "localhost" or is_loopback(name)


def _refused(scope: Scope, headers: Mapping[bytes, str], fault: NeurathError) -> Response:
    """The answer to somebody who is not let in: a page's reader is led to the sign-in, everybody else is told."""
    path: str = scope["path"]
    if isinstance(fault, Closed):
        reads = "text/html" in headers.get(b"accept", "") and b"authorization" not in headers
        if reads and scope["method"] in _SAFE and not path.startswith(_API):
            query = scope.get("query_string", b"").decode("latin-1")
            back = quote(f"{path}?{query}" if query else path, safe="/")
            return RedirectResponse(f"{scope.get('root_path', '').rstrip('/')}/sign-in?back={back}", 303)
        asks = 'Basic realm="neurath"' if path.startswith(_HAWKBIT) else "Bearer"
        return problem(401, fault, {"WWW-Authenticate": asks})
    status = 403 if fault.id in ("NRT-329", "NRT-331") else status_of(fault)
    return problem(status, fault)


def _act(scope: Scope, actor: Actor, right: Right) -> Act:
    """What the audit log says of a request that changes something."""
    query = scope.get("query_string", b"").decode("latin-1")
    subject = f"{scope['path']}?{query}" if query else str(scope["path"])
    return Act(actor.name, actor.role.word, actor.way, actor.address, right.key, subject)


def _looking(receive: Receive, headers: Mapping[bytes, str], act: Act) -> Receive:
    """Lets the audit log see the beginning of a body that has fields."""
    kind = headers.get(b"content-type", "").partition(";")[0].strip().lower()
    if kind not in ("application/json", "application/x-www-form-urlencoded"):
        return receive

    async def look() -> Message:
        message = await receive()
        if message["type"] == "http.request" and len(act.body) <= LOOKED_AT:
            act.body += message.get("body", b"")[: LOOKED_AT + 1]
        return message

    return look


def _giving(send: Send, found: Visit) -> Send:
    """Adds the cookies that are due to an answer, unless the answer sets them itself."""
    if not found.fresh:
        return send

    async def give(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            own = {value.partition(b"=")[0] for key, value in given if key == b"set-cookie"}
            for name, value in found.fresh:
                if name.encode() not in own:
                    made = cookie(name, value, encrypted=found.encrypted)
                    given.append((b"set-cookie", made.encode()))
            message = {**message, "headers": given}
        await send(message)

    return give
