"""The files a page is drawn with, each under an address that names its content: kept for ever by whoever fetched it, and never
one version's script with another's page. It knows the files of this wheel; it must never give one under another's address."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
#: A year is the longest that caches go by (RFC 9111); the address never means anything else.
KEPT = "public, max-age=31536000, immutable"


@functools.cache
def shelf() -> dict[str, bytes]:
    """Address below the console's root -> content."""
    found = {}
    for file in files("neurath.console").joinpath("static").iterdir():
        data = file.read_bytes()
        found[f"static/{hashlib.sha256(data).hexdigest()[:16]}/{file.name}"] = data
    return found


@functools.cache
def address(name: str) -> str:
    """Where the file of this name lies, below the console's root."""
    return next(place for place in shelf() if place.endswith(f"/{name}"))


def asset_routes() -> list[BaseRoute]:
    """`/static/CONTENT/NAME`."""

    async def give(request: Request) -> Response:
        data = shelf().get("static/" + str(request.path_params["path"]))
        if data is None:
            raise HTTPException(404)
        kind = KINDS[request.url.path.rpartition(".")[2]]
        return Response(data, media_type=kind, headers={"Cache-Control": KEPT, "X-Content-Type-Options": "nosniff"})

    return [Route("/static/{path:path}", give)]
