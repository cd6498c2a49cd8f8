"""What a reverse proxy says about a connection: whose it is, over which scheme, with which certificate. It knows who may say
so; it must never pass on such a word of anybody else."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Receive, Scope, Send

_MOST_AUTHORITIES = 16
_KEY = "neurath.certificate"
_THROUGH = "neurath.through"
#: The client's certificate itself, DER: of this connection, or as a proxy that was named read it from its own.
PEER = "neurath.peer"
#: No certificate of ours is longer.
_MOST_PEM = 8192


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a proxy read from a client's certificate: its common name, and the hashes of who issued it, lower case."""

    name: str
    authorities: tuple[str, ...]


class Behind:
    """Before everything else. A proxy on this machine is believed about the client's address and scheme; one that was named
    also about certificates."""

    def __init__(self, app: ASGIApp, proxies: Iterable[str] = ()) -> None:
        self.app = app
        self.proxies = frozenset(proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        if scope["type"] == "http" and client is not None and self._believed(client[0]):
            # A proxy's words all begin so; most requests of this machine itself have none.
            headers = {key: value.decode("latin-1") for key, value in scope["headers"] if key.startswith(b"x-")}
            if headers:
                scope = self._forwarded(scope, headers)
                if client[0] in self.proxies:
                    scope[_KEY], scope[_THROUGH] = _certificate(headers), True
                    scope[PEER] = _peer(headers.get(b"x-client-cert", ""))
        await self.app(scope, receive, send)

    def _believed(self, address: str) -> bool:
        return address in self.proxies or is_loopback(address)

    def _forwarded(self, scope: Scope, headers: Mapping[bytes, str]) -> Scope:
        changed: dict[str, Any] = dict(scope)
        # The last that is no proxy of ours: what stands before it, anybody can have written.
        for address in reversed([one.strip() for one in headers.get(b"x-forwarded-for", "").split(",") if one.strip()]):
            changed["client"] = (address, 0)
            if not self._believed(address):
                break
        scheme = headers.get(b"x-forwarded-proto", "").strip().lower()
        return changed | ({"scheme": scheme} if scheme in ("http", "https") else {})


def certificate(scope: Scope) -> Certificate | None:
    """What a proxy that is believed says of the client's certificate; None where there is none."""
    found = scope.get(_KEY)
    return found if isinstance(found, Certificate) else None


def peer(scope: Scope) -> bytes:
    """The certificate whose private key the other end of TLS holds; b"": it showed none."""
    found = scope.get(PEER)
    return found if isinstance(found, bytes) else b""


def _peer(text: str) -> bytes:
    """Of nginx's $ssl_client_escaped_cert: PEM, percent-encoded."""
    if not 0 < len(text) <= _MOST_PEM:
        return b""
    lines = unquote(text).strip().splitlines()
    if len(lines) < 3 or (lines[0], lines[-1]) != ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"):
        return b""
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except ValueError:
        return b""


def through_a_proxy(scope: Scope) -> bool:
    """Whether a proxy that was named handed this request on."""
    return bool(scope.get(_THROUGH))


def _certificate(headers: Mapping[bytes, str]) -> Certificate | None:
    """hawkBit's headers: X-Controller-Id, and X-Authority with hashes by comma or one each as X-Authority-0 and on."""
    name = headers.get(b"x-controller-id", "").strip()
    given = headers.get(b"x-authority", "").split(",")
    given += [headers.get(b"x-authority-%d" % number, "") for number in range(_MOST_AUTHORITIES)]
    found = tuple(one.strip().lower() for one in given if re.fullmatch(r"[0-9A-Za-z:_-]{8,128}", one.strip()))
    return Certificate(name, found) if name and found else None


@lru_cache(maxsize=1024)
def is_loopback(name: str) -> bool:
    """Whether an address is this machine's own."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
