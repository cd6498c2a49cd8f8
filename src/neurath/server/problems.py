"""How the management plane says that something is wrong: problem documents (RFC 9457), with our id, what, why and try beside
the standard's members. It knows statuses; it must never show what is inside the server."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from neurath.errors import DataError, LinkError, NeurathError, NotFound, NothingToDo, RefusedError, TrustError, UsageError
from neurath.server.access.roles import NoRight
from neurath.server.access.throttle import TooMany
from neurath.server.shares import Overdrawn

MEDIA = "application/problem+json"
#: Faults found in what was sent that are listed, at the most.
_MOST = 20

_STATUSES: tuple[tuple[type[NeurathError], int], ...] = (
    (NotFound, 404),
    (TrustError, 422),
    (DataError, 422),
    (UsageError, 400),
    (NothingToDo, 409),
    (NoRight, 403),
    (TooMany, 429),
    (Overdrawn, 429),
    (RefusedError, 409),
    (LinkError, 502),
)


def status_of(error: NeurathError) -> int:
    """The status an error is answered with; 503 where it is the server's own."""
    if error.id == "NRT-310":
        return 503  # the store is busy: later
    if error.id == "NRT-369":
        return 507  # no room for it
    return next((number for kind, number in _STATUSES if isinstance(error, kind)), 503)


def problem(status: int, error: NeurathError, headers: Mapping[str, str] | None = None, **more: object) -> Response:
    """One problem document."""
    said: dict[str, object] = {
        "type": f"urn:neurath:error:{error.id}",
        "title": error.what,
        "status": status,
        "detail": error.why,
        "error": error.id,
        "what": error.what,
        "why": error.why,
        "try": error.hint,
    }
    given = dict(headers or {})
    if isinstance(error, TooMany | Overdrawn):
        given["Retry-After"] = str(int(error.wait) + 1)
    return Response(msgspec.json.encode(said | more), status, given, MEDIA)


class Problem(BaseModel):
    """RFC 9457, and our words: what happened, why, what to try."""

    type: str = Field(examples=["urn:neurath:error:NRT-135"])
    title: str = Field(examples=["no rollout 7"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["none has this number"])
    error: str = Field(pattern=r"^NRT-\d{3}$", examples=["NRT-135"])
    what: str
    why: str
    hint: str = Field(alias="try", examples=["neurath rollout show"])


#: What every route may answer, as its description has it.
DESCRIBED: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "A problem document", "content": {MEDIA: {"schema": Problem.model_json_schema()}}},
    "503": {"description": "The store is busy, or the disk full", "content": {MEDIA: {"schema": Problem.model_json_schema()}}},
}


class Lines(StreamingResponse):
    """One JSON object a line, as they come."""

    media_type = "application/x-ndjson"


async def refused(_request: Request, error: Exception) -> Response:
    """An error of ours."""
    assert isinstance(error, NeurathError)
    return problem(status_of(error), error)


async def stopped(_request: Request, error: Exception) -> Response:
    """An error of the framework's: no such route, a method that is not there, a body that cannot be read."""
    assert isinstance(error, HTTPException)
    kind = NotFound if error.status_code == 404 else UsageError
    words = HTTPStatus(error.status_code).phrase
    said = error.detail if isinstance(error.detail, str) and error.detail != words else ""
    return problem(error.status_code, kind(words, said[:200], "GET /api/v1/openapi.json"), error.headers)


async def malformed(_request: Request, error: Exception) -> Response:
    """What was sent is not what the description says."""
    found: list[Any] = list(getattr(error, "errors", list)())[:_MOST]
    faults = [{"where": "/".join(str(part)[:64] for part in one["loc"]), "why": str(one["msg"])[:200]} for one in found]
    why = "; ".join(f"{one['where']}: {one['why']}" for one in faults[:3])
    fault = DataError("the request is not as described", why, "GET /api/v1/openapi.json", id="NRT-227")
    return problem(422, fault, faults=faults)
