"""The management plane's routes about people: signing in, operators, tokens of scripts, the identity provider. It knows
requests; every rule is in server/access."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel, Field

from neurath.clock import agreed
from neurath.errors import RefusedError
from neurath.server.access import gate, oidc, people, roles, sessions, tokens
from neurath.server.access.entry import Entry, Wrong
from neurath.server.access.gate import SESSION, Visit
from neurath.server.access.oidc import Provider
from neurath.server.access.people import Newcomer, Operator
from neurath.server.access.tokens import DAYS, MOST_DAYS, Asked, Token
from neurath.server.paging import Before, Paged
from neurath.server.problems import Lines, problem
from neurath.server.store import Store, acts, audit
from neurath.server.store.marks import NOBODY

Json = dict[str, Any]
Name = Annotated[str, Field(max_length=64, examples=["mila"])]
Secret = Annotated[str, Field(max_length=people.LONGEST, examples=["seven words that nobody has said"])]
RoleName = Literal["viewer", "operator", "releaser", "admin"]


class SignIn(BaseModel):
    name: Name
    password: Secret


class NewPassword(BaseModel):
    old: Secret
    new: Secret


class NewOperator(BaseModel):
    name: Name
    role: RoleName
    password: Secret


class OperatorChange(BaseModel):
    """What is left out stays."""

    role: RoleName | None = None
    password: Secret | None = None
    disabled: bool | None = None


class NewToken(BaseModel):
    name: Annotated[str, Field(max_length=64, examples=["nightly-build"])]
    role: RoleName
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = DAYS
    certificate: Annotated[str, Field(max_length=8192, examples=[""])] = ""


class IdentityProvider(BaseModel):
    """`issuer` "": none. `secret` null: the one that is kept."""

    issuer: Annotated[str, Field(max_length=500, examples=["https://id.example"])]
    client: Annotated[str, Field(max_length=200, examples=["neurath"])] = ""
    secret: Annotated[str | None, Field(max_length=500, examples=[None])] = None
    scope: Annotated[str, Field(max_length=200, examples=["openid profile email"])] = "openid profile email"
    claim: Annotated[str, Field(max_length=64, examples=["groups"])] = "groups"
    groups: Annotated[dict[str, RoleName], Field(max_length=100, examples=[{"release-board": "releaser"}])] = {}
    others: RoleName | Literal[""] = ""


def access_routes(api: FastAPI, store: Store) -> None:
    _session_routes(api, store)
    _operator_routes(api, store)
    _token_routes(api, store)
    _provider_routes(api, store)
    _audit_routes(api, store)


def operator_json(found: Operator) -> Json:
    return dataclasses.asdict(found) | {"role": found.role.word}


def token_json(found: Token) -> Json:
    return dataclasses.asdict(found) | {"role": found.role.word}


def _session_routes(api: FastAPI, store: Store) -> None:
    entry = Entry(store)

    @api.post("/session", status_code=201)
    async def sign_in(request: Request, response: Response, given: SignIn) -> Json:
        """Signs in; the cookie is the session. For scripts a token is better."""
        found = gate.visit(request.scope)
        try:
            secret = await entry.sign_in(given.name, given.password, found.actor.address or _address(request))
        except Wrong as wrong:
            return problem(401, wrong)  # type: ignore[return-value]  # an answer stands for itself
        _give(response, found, secret)
        return {"name": given.name}

    @api.delete("/session", status_code=204, response_class=Response)
    def sign_out(request: Request, response: Response) -> None:
        found = gate.visit(request.scope)
        if found.secret:
            one = found.actor
            act = acts.Act(one.name, one.role.word, one.way, one.address, "sign out")
            with acts.acting(act), store.write(NOBODY) as db:
                sessions.end(db, found.secret)
        response.headers.append("set-cookie", gate.cookie(SESSION, "", encrypted=found.encrypted, age=0))

    @api.get("/session")
    def who(request: Request) -> Json:
        """Who asks; `csrf` is what X-CSRF-Token holds in changes that come with a session's cookie."""
        found = gate.visit(request.scope)
        one = found.actor
        csrf = found.csrf if one.way == "session" else ""
        return {"name": one.name, "role": one.role.word, "way": one.way, "csrf": csrf}

    @api.put("/session/password")
    async def change_password(request: Request, response: Response, given: NewPassword) -> Json:
        """One's own password; one's other sessions end."""
        found = gate.visit(request.scope)
        if found.actor.operator is None or found.actor.way != "session":
            raise RefusedError("only who is signed in has a password", "this is a token, or set-up", "sign in", id="NRT-364")
        with store.read() as db:
            operator = people.by_number(db, found.actor.operator)
        secret = await entry.change_password(operator, given.old, given.new, found.actor.address)
        _give(response, found, secret)
        return {"name": operator.name}


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _give(response: Response, found: Visit, secret: str) -> None:
    response.headers.append("set-cookie", gate.cookie(SESSION, secret, encrypted=found.encrypted))


def _operator_routes(api: FastAPI, store: Store) -> None:
    @api.get("/operators")
    def everyone() -> list[Json]:
        with store.read() as db:
            return [operator_json(one) for one in people.everyone(db)]

    @api.post("/operators", status_code=201)
    def add(given: NewOperator) -> Json:
        """Another operator. The first one is an admin: from then on everybody signs in."""
        with store.write(NOBODY) as db:
            newcomer = Newcomer(given.name, roles.role(given.role), people.checked(given.password))
            return operator_json(people.add(db, newcomer, agreed()))

    @api.patch("/operators/{name}")
    def change(name: str, given: OperatorChange) -> Json:
        """His sessions end; a disabled one's tokens hold no more."""
        with store.write(NOBODY) as db:
            found = people.find(db, name)
            if given.role is not None:
                people.set_role(db, found, roles.role(given.role))
            if given.password is not None:
                people.set_password(db, found, given.password)
            if given.disabled is not None:
                people.disable(db, people.find(db, name), agreed() if given.disabled else None)
            return operator_json(people.find(db, name))

    @api.delete("/operators/{name}", status_code=204, response_class=Response)
    def remove(name: str) -> None:
        with store.write(NOBODY) as db:
            people.remove(db, people.find(db, name))


def _token_routes(api: FastAPI, store: Store) -> None:
    @api.get("/tokens")
    def everyone() -> list[Json]:
        with store.read() as db:
            return [token_json(one) for one in tokens.everyone(db)]

    @api.post("/tokens", status_code=201)
    def add(request: Request, given: NewToken) -> Json:
        """A token for a script; `token` is seen this once. With a station's `certificate` (PEM) it is empty."""
        maker = gate.visit(request.scope).actor
        asked = Asked(given.name, roles.role(given.role), given.days, given.certificate)
        with store.write(NOBODY) as db:
            token = tokens.add(db, asked, maker, agreed())
            return {"token": token} | next(token_json(one) for one in tokens.everyone(db) if one.name == given.name)

    @api.delete("/tokens/{name}", status_code=204, response_class=Response)
    def revoke(name: str) -> None:
        with store.write(NOBODY) as db:
            tokens.revoke(db, name)


def _audit_routes(api: FastAPI, store: Store) -> None:
    @api.get("/audit")
    def entries(
        pages: Paged,
        asked: Annotated[Before, Query()],
    ) -> list[Json]:
        """The audit log, newest first; the next page is in `Link`, rel="next"."""
        with store.read() as db:
            found = audit.page(db, asked.before, asked.limit + 1)
        return [dataclasses.asdict(one) for one in pages.cut(found, asked.limit, before=lambda one: one.n)]

    @api.get("/audit/head")
    def head() -> Json:
        """How many entries there are and the last one's hash, to be kept elsewhere."""
        with store.read() as db:
            return {"head": str(audit.the_head(db))}

    @api.get("/audit/verify")
    def examined(head: Annotated[str, Query(max_length=100)] = "") -> Json:
        """Examines the whole chain; `head` is one that was kept elsewhere, N:HASH."""
        with store.read() as db:
            found = audit.verify(db, [audit.parsed(head)] if head else [])
        return {"sound": not found.broken, "broken": found.broken, "head": str(found.head)}

    @api.get("/audit/export", response_class=Lines)
    def exported() -> Lines:
        """Every entry, oldest first, one JSON object a line."""

        def lines() -> Iterator[bytes]:
            with store.read() as db:
                for one in audit.everything(db):
                    yield audit.line(one).encode() + b"\n"

        return Lines(lines())


def _provider_routes(api: FastAPI, store: Store) -> None:
    @api.get("/oidc")
    def shown() -> Json:
        """Who vouches for operators beside passwords; its secret is not shown."""
        with store.read() as db:
            found = oidc.find(db)
        if found is None:
            return {"issuer": ""}
        return dataclasses.asdict(found) | {"secret": bool(found.secret)}

    @api.put("/oidc")
    def keep(given: IdentityProvider) -> Json:
        with store.write(NOBODY) as db:
            known = oidc.find(db)
            secret = given.secret if given.secret is not None else known.secret if known else ""
            values = given.model_dump() | {"secret": secret}
            oidc.keep(db, Provider(**values) if given.issuer else None)
        return shown()
