"""Another hawkBit's management REST, read page by page: its targets as terminals to register, its distribution sets and
rollouts as a report. It knows hawkBit's fields (docs/how-to/from-hawkbit.md); it must never change anything there, nor start
anything here."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from neurath.errors import DataError, LinkError, NotFound, RefusedError, UsageError
from neurath.server.fleet.access import DEFAULT_TENANT, MOST_PLACE, Enrolment, checked, is_token
from neurath.server.proxy import is_loopback

Json = dict[str, Any]
#: Of one page; seconds to wait for an answer; bytes of one.
PAGE, TIMEOUT, LONGEST = 500, 30.0, 1 << 26


class Source:
    """One hawkBit: its address, and who reads it. A context: the connection ends with it."""

    def __init__(self, url: str, user: str, password: str) -> None:
        host = urlsplit(url).hostname or ""
        if not url.startswith(("http://", "https://")) or not host:
            raise UsageError(f"{url[:80]!r} is no address", "neither http:// nor https://", "https://HOST[:PORT]")
        self.url = url.rstrip("/").removesuffix("/rest/v1")
        here = host == "localhost" or is_loopback(host)
        self._client = httpx.Client(timeout=TIMEOUT, trust_env=not here, auth=(user, password))

    def ask(self, path: str, **query: str | int) -> Any:
        """One answer; None where there is nothing (204). NotFound, LinkError, RefusedError, DataError."""
        try:
            given = {name: str(value) for name, value in query.items()}
            with self._client.stream("GET", f"{self.url}/rest/v1/{path}", params=given) as answer:
                body = b""
                for block in answer.iter_bytes():
                    body += block
                    if len(body) > LONGEST:
                        raise self._foreign("its answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            why = str(fault)[:160] or type(fault).__name__
            raise LinkError(f"{self.url} does not answer", why, "is it running, and is the address right?") from None
        if answer.status_code in (401, 403):
            why = f"it answered {answer.status_code}: user or password is wrong, or may not read targets"
            raise RefusedError(f"{self.url} lets nobody in so", why, "--user 'TENANT\\USER' where it has tenants")
        return self._value(answer.status_code, body)

    def _value(self, status: int, body: bytes) -> Any:
        if status == 204:
            return None
        try:
            said = json.loads(body)
        except ValueError:
            raise self._foreign(f"it answered {status} with no JSON") from None
        if status == 404 and isinstance(said, dict) and "errorCode" in said:
            raise NotFound("there is no such thing there", str(said.get("message"))[:160], "it may be of an older version")
        if status != 200:
            raise self._foreign(f"it answered {status}: {str(said)[:160]}")
        return said

    def all(self, path: str, told: Callable[[int, int], None]) -> Iterator[Json]:
        """Every member of a list, page by page in order of id; `told` hears how many were read of how many."""
        offset, before = 0, set[str]()
        while True:
            page = self.ask(path, limit=PAGE, offset=offset, sort="id:ASC")
            if not isinstance(page, dict) or not isinstance(page.get("content"), list):
                raise self._foreign(f"{path} is no list of its kind")
            found = [one for one in page["content"] if isinstance(one, dict)]
            names = {str(one.get("controllerId", one.get("id"))) for one in found}
            # What was added there meanwhile moves the pages: who stood at the end of the last one is not read again.
            for at, one in enumerate(found, start=1):
                if str(one.get("controllerId", one.get("id"))) not in before:
                    yield one
                told(offset + at, max(int(page.get("total", 0)), offset + len(found)))
            offset, before = offset + len(found), names
            if not found or offset >= int(page.get("total", 0)):
                return

    def assigned(self, number: int) -> int | None:
        """To how many targets a distribution set is assigned; None where that is not said."""
        try:
            page = self.ask(f"distributionsets/{number}/assignedTargets", limit=1)
        except NotFound:
            return None
        return int(page["total"]) if isinstance(page, dict) and isinstance(page.get("total"), int) else None

    def _foreign(self, why: str) -> DataError:
        return DataError(f"{self.url} is no hawkBit", why, "the address of its management API, without /rest/v1")

    def __enter__(self) -> Source:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _fault: BaseException | None, _at: TracebackType | None) -> None:
        self._client.close()


@dataclass(frozen=True, slots=True)
class Way:
    """How targets become terminals: of this model, or (None) of the one that their target type is called after, where `models`
    has it; with these tags beside their own."""

    model: str | None = None
    models: Collection[str] = ()
    tags: tuple[str, ...] = ()
    tenant: str = DEFAULT_TENANT


@dataclass(slots=True)
class Targets:
    """The targets of a hawkBit as terminals, one read at a time. `left`: (controller id, why) of those that cannot be one
    here; `tokenless`: how many had no token that could be seen and taken."""

    source: Source
    way: Way
    told: Callable[[int, int], None]
    left: list[tuple[str, str]] = field(default_factory=list)
    tokenless: int = 0

    def __iter__(self) -> Iterator[Enrolment]:
        for target in self.source.all("targets", self.told):
            name = str(target.get("controllerId"))
            found = self._enrolment(name, target)
            try:
                checked(found)
            except DataError as fault:
                self.left.append((name, fault.what))
                continue
            self.tokenless += not found.token
            yield found

    def _enrolment(self, name: str, target: Json) -> Enrolment:
        said = str(target.get("targetTypeName", ""))
        token = str(target.get("securityToken", ""))
        return Enrolment(
            id=name,
            model=self.way.model or (said if said in self.way.models else None),
            tenant=self.way.tenant,
            token=token if is_token(token) else "",
            place=_line(str(target.get("description") or "")),
            tags=tuple(sorted({*self.way.tags, *self._tags(name)})),
            attributes={str(key): str(value) for key, value in (self._of(name, "attributes") or {}).items()},
            address=str(target.get("ipAddress") or urlsplit(str(target.get("address", ""))).hostname or ""),
        )

    def _tags(self, name: str) -> list[str]:
        try:
            return [tag_of(str(one["name"])) for one in self._of(name, "tags") or ()]
        except NotFound:
            return []  # hawkBit before 0.3 does not say

    def _of(self, name: str, what: str) -> Any:
        return self.source.ask(f"targets/{quote(name, safe='')}/{what}")


def tag_of(name: str) -> str:
    """A tag of hawkBit's as one word of ours: `Europe East` is `Europe-East`."""
    kept = "".join(one if one.isascii() and (one.isalnum() or one in "._:-") else "-" for one in name)
    return kept.lstrip("._:-")[:64]


def _line(text: str) -> str:
    """One line for people."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:MOST_PLACE]
