"""What every request of hawkBit's management REST has: a page by limit and offset, an order, a query, and hawkBit's way
to say that it was wrong. It knows their words; it must never know what is listed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from neurath.errors import NeurathError, NotFound, UsageError
from neurath.server import rsql
from neurath.server.problems import status_of

Json = dict[str, Any]
PREFIX = "/rest/v1"
#: Of one page, where nothing is said, and at the most: hawkBit's own.
USUAL, MOST = 50, 500


class BadSort(UsageError):  # noqa: N818 (as hawkBit has it)
    """An order that cannot be had."""


#: What goes wrong -> class and code that hawkBit says then; its own spelling.
_FAULTS: tuple[tuple[type[NeurathError], str, str], ...] = (
    (NotFound, "EntityNotFoundException", "repo.entitiyNotFound"),
    (rsql.NoField, "RSQLParameterUnsupportedFieldException", "rest.param.rsqlInvalidField"),
    (BadSort, "SortParameterSyntaxErrorException", "rest.param.sortParamSyntax"),
    (UsageError, "RSQLParameterSyntaxException", "rest.param.rsqlParamSyntax"),
    (NeurathError, "GenericSpServerException", "genericError"),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its page, order and query."""

    base: str
    path: dict[str, str]
    offset: int
    limit: int
    sort: str
    query: rsql.Query

    @classmethod
    def of(cls, request: Request) -> Asked:
        given = request.query_params
        limit = number(given.get("limit", ""), USUAL)
        base = str(request.base_url).rstrip("/").removesuffix(PREFIX) + PREFIX
        page = (max(0, number(given.get("offset", ""), 0)), min(limit, MOST) if limit > 0 else USUAL)
        return cls(base, request.path_params, *page, given.get("sort", ""), rsql.parse(given.get("q", "")))

    def links(self, /, **paths: str) -> Json:
        return {name: {"href": f"{self.base}/{path}"} for name, path in paths.items()}

    def order(self, fields: Iterable[str]) -> tuple[str, bool]:
        """(field, descending) of `sort`, its first field in lower case; ("", False): not said. BadSort."""
        name, _, way = self.sort.partition(",")[0].partition(":")
        known = {one.lower() for one in fields}
        if self.sort and (name.lower() not in known or way.lower() not in ("asc", "desc")):
            raise BadSort(f"{self.sort[:60]!r} cannot be sorted by", f"FIELD:ASC or FIELD:DESC of {' '.join(sorted(known))}")
        return name.lower(), way.lower() == "desc"

    def cut(self, found: list[Json], fields: tuple[str, ...]) -> Json:
        """The page of a list that is held whole: such as is asked for, in order."""
        for one in (test for all_of in self.query for test in all_of):
            if one.field not in fields:
                raise rsql.NoField(f"no field {one.field[:60]!r}", f"there are {' '.join(fields)}")
        by, down = self.order(fields)
        key = next((one for one in fields if one.lower() == by), "id")
        such = sorted((one for one in found if rsql.agrees(self.query, one)), key=lambda one: one[key], reverse=down)
        return paged(such[self.offset : self.offset + self.limit], len(such))


def number(text: str, otherwise: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else otherwise


def paged(found: list[Json], total: int) -> Json:
    return {"content": found, "total": total, "size": len(found)}


async def refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, NeurathError)
    kind, code = next((kind, code) for fault, kind, code in _FAULTS if isinstance(error, fault))
    return _fault(status_of(error), kind, code, f"{error.what}: {error.why}")


async def stopped(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _fault(error.status_code, "GenericSpServerException", "genericError", error.detail)


def _fault(status: int, kind: str, code: str, message: str) -> Response:
    said = {"exceptionClass": f"org.eclipse.hawkbit.repository.exception.{kind}", "errorCode": f"hawkbit.server.error.{code}"}
    return Response(msgspec.json.encode(said | {"message": message}), status, media_type="application/json")
