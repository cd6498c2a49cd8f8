"""Sign-in by an identity provider: OpenID Connect, authorization code with PKCE, state and nonce. It knows the protocol's
checks (RFC 9700, OpenID Connect Core 3.1.3.7); it must never take a token that it did not fetch itself, nor a name for a
proof of who somebody is: that is issuer and subject."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from sqlalchemy import Connection, delete, insert, select

from neurath.errors import DataError, LinkError, TrustError, UsageError
from neurath.server.access import people, roles
from neurath.server.access.people import Newcomer, Operator
from neurath.server.access.roles import Role
from neurath.server.proxy import is_loopback
from neurath.server.store.sql import upsert
from neurath.server.store.tables import oidc_try as tries
from neurath.server.store.tables import setting

_KEY = "oidc"
#: A sign-in at the provider takes no longer, seconds; no more of them go on at once; an answer is no longer, bytes.
PATIENCE, MOST, LONGEST = 600.0, 1000, 1 << 20
TIMEOUT = 10.0
#: Signatures that are taken; never "none", nor one whose key the client holds.
ALGORITHMS = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]


@dataclass(frozen=True, slots=True)
class Provider:
    """Who vouches. `claim` is where a person's groups stand, `groups` which of them gives which role; whoever is in none has
    the role `others`, "" for nobody."""

    issuer: str
    client: str
    secret: str = ""
    scope: str = "openid profile email"
    claim: str = "groups"
    groups: dict[str, str] = field(default_factory=dict)
    others: str = ""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a provider is asked."""

    authorization: str
    token: str
    keys: str


@dataclass(frozen=True, slots=True)
class Try:
    """One sign-in on its way: what is kept here while the person is at the provider."""

    nonce: str
    verifier: str
    back: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the browser came back with, to which address, when."""

    code: str
    redirect: str
    now: float


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the provider named."""

    subject: str
    name: str
    role: Role


def find(db: Connection) -> Provider | None:
    text = db.scalar(select(setting.c.value).where(setting.c.key == _KEY))
    return Provider(**json.loads(text)) if text else None


def keep(db: Connection, provider: Provider | None) -> None:
    """From now on this one vouches; None: none does."""
    if provider is None:
        db.execute(delete(setting).where(setting.c.key == _KEY))
        return
    address = urlsplit(provider.issuer)
    if address.scheme != "https" and not (address.scheme == "http" and _is_here(address.hostname or "")):
        raise UsageError("an issuer is an https:// address", f"{provider.issuer[:80]!r} is not", "--issuer https://...")
    for word in (*provider.groups.values(), *filter(None, [provider.others])):
        roles.role(word)
    query = upsert(setting).values(key=_KEY, value=json.dumps(dataclasses.asdict(provider)))
    db.execute(query.on_conflict_do_update(index_elements=["key"], set_={"value": query.excluded.value}))


def begin(db: Connection, back: str, now: float) -> tuple[str, Try]:
    """A sign-in begins: its state, which goes into the browser's cookie too, and what is kept of it."""
    db.execute(delete(tries).where(tries.c.begun < now - PATIENCE))
    if len(db.execute(select(tries.c.state).limit(MOST)).all()) >= MOST:
        raise DataError("too many sign-ins at once", f"{MOST} wait for the identity provider", "later", id="NRT-228")
    state, made = secrets.token_urlsafe(32), Try(secrets.token_urlsafe(24), secrets.token_urlsafe(48), back)
    db.execute(insert(tries).values(state=_hash(state), begun=now, **dataclasses.asdict(made)))
    return state, made


def ended(db: Connection, state: str, now: float) -> Try:
    """What was kept of a sign-in, once; TrustError where it never began here."""
    row = db.execute(select(tries).where(tries.c.state == _hash(state))).one_or_none()
    db.execute(delete(tries).where(tries.c.state == _hash(state)))
    if row is None or now - row.begun > PATIENCE:
        raise untrusted("it did not begin here, or took too long")
    return Try(row.nonce, row.verifier, row.back)


def address(provider: Provider, place: Endpoints, state: str, made: Try, redirect: str) -> str:
    """Where the browser goes."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(made.verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {"response_type": "code", "client_id": provider.client, "redirect_uri": redirect, "scope": provider.scope}
    asked |= {"state": state, "nonce": made.nonce, "code_challenge": challenge, "code_challenge_method": "S256"}
    return f"{place.authorization}{'&' if '?' in place.authorization else '?'}{urlencode(asked)}"


def endpoints(provider: Provider) -> Endpoints:
    """What the provider says of itself; TrustError where it calls itself something else."""
    said = _get(provider.issuer.rstrip("/") + "/.well-known/openid-configuration")
    if said.get("issuer") != provider.issuer:
        raise untrusted("its configuration names another issuer")
    found = [said.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    safe = urlsplit(provider.issuer).scheme
    if not all(isinstance(one, str) and urlsplit(one).scheme in ("https", safe) for one in found):
        raise untrusted("its configuration lacks an endpoint")
    return Endpoints(*(str(one) for one in found))


def person(provider: Provider, place: Endpoints, came: Answer, made: Try) -> Person:
    """Fetches the tokens for a code and gives whom they name; TrustError where one of the checks fails."""
    given = {"grant_type": "authorization_code", "code": came.code, "redirect_uri": came.redirect}
    given["code_verifier"] = made.verifier
    given["client_id"] = provider.client
    auth = (provider.client, provider.secret) if provider.secret else None
    answer = _ask("POST", place.token, data=given, auth=auth)
    claims = _claims(provider, place, str(answer.get("id_token", "")), made.nonce, came.now)
    names = [claims.get(name) for name in ("preferred_username", "email", "sub")]
    name = next(str(one) for one in names if isinstance(one, str) and one)
    return Person(f"{provider.issuer} {claims['sub']}", _named(name), _role(provider, claims))


def signed_in(db: Connection, found: Person, now: float) -> Operator:
    """The operator for a person, made at the first sign-in; his role is what the provider says now."""
    known = people.by_subject(db, found.subject)
    if known is None:
        return people.add(db, Newcomer(found.name, found.role, subject=found.subject), now)
    if known.disabled is not None:
        raise untrusted(f"{known.name} may not sign in any more")
    if known.role is not found.role:
        people.set_role(db, known, found.role)
    return people.find(db, known.name)


def _claims(provider: Provider, place: Endpoints, token: str, nonce: str, now: float) -> Mapping[str, Any]:
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    try:
        keys = KeySet.import_key_set(_get(place.keys))  # type: ignore[arg-type]  # what a provider says is read there
        decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
        registry = jwt.JWTClaimsRegistry(
            now=int(now),
            leeway=60,
            iss={"essential": True, "value": provider.issuer},
            aud={"essential": True, "value": provider.client},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate(decoded.claims)
    except (JoseError, ValueError, KeyError, TypeError) as fault:
        raise untrusted(f"its token fails a check: {str(fault)[:120]}") from None
    claims: dict[str, Any] = decoded.claims
    several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if (several or "azp" in claims) and claims.get("azp") != provider.client:
        raise untrusted("its token is for another client")
    return claims


def _role(provider: Provider, claims: Mapping[str, Any]) -> Role:
    said = claims.get(provider.claim, [])
    mine = {str(one) for one in said} if isinstance(said, list) else {str(said)}
    found = [roles.role(word) for group, word in provider.groups.items() if group in mine]
    if not found and not provider.others:
        raise untrusted(f"none of your groups gives a role here ({provider.claim})")
    return max(found, default=roles.role(provider.others) if provider.others else Role.VIEWER)


def _named(name: str) -> str:
    """A name as operators have them."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in name.partition("@")[0])
    return kept.strip("._-")[:64] or "somebody"


def _get(url: str) -> dict[str, Any]:
    return _ask("GET", url)


def _ask(method: str, url: str, **given: Any) -> dict[str, Any]:
    """One request to the provider: no redirects, bounded in time and size."""
    import httpx

    try:
        here = _is_here(urlsplit(url).hostname or "")
        options = httpx.Client(timeout=TIMEOUT, follow_redirects=False, trust_env=not here)
        with options as client, client.stream(method, url, **given) as answer:
            body = b""
            for block in answer.iter_bytes():
                body += block
                if len(body) > LONGEST:
                    raise untrusted("its answer is too long")
        said = json.loads(body)
    except (httpx.HTTPError, httpx.InvalidURL) as fault:
        raise LinkError(
            "the identity provider does not answer", str(fault)[:160], "a password, or later", id="NRT-401"
        ) from None
    except ValueError:
        raise untrusted(f"it answered {answer.status_code} with no JSON") from None
    if answer.status_code != 200 or not isinstance(said, dict):
        raise untrusted(f"it answered {answer.status_code}: {str(said)[:160]}")
    return said


def _is_here(host: str) -> bool:
    return host == "localhost" or is_loopback(host)


def _hash(state: str) -> str:
    return hashlib.sha256(state.encode()).hexdigest()


def untrusted(why: str) -> TrustError:
    """Why a sign-in is not taken."""
    return TrustError("the identity provider's word is not taken", why, "sign in again", id="NRT-257")
