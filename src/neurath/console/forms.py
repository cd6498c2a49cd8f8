"""Forms of this console, and of no other site's page: where a request came from, and the proof that its page was ours. It
knows a form's fields as text; it must never let a form pass that does not hold the proof."""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from neurath.errors import DataError, RefusedError, UsageError
from neurath.server.access import gate

#: A form without files is at most so long, bytes; fields.
LONGEST, MOST = 1 << 16, 80


def same_origin(request: Request) -> None:
    """RefusedError when another site's page sent this request. Browsers say where a form comes from; scripts need not."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if origin is None and site in ("same-origin", "none"):
        return
    if origin is not None and urlsplit(origin).netloc == request.headers.get("host", ""):
        return
    raise RefusedError(
        "this form came from another site",
        f"its page was opened from {(origin or 'elsewhere')[:80]}",
        "open the console itself and send it again",
        id="NRT-331",
    )


def proven(request: Request, given: object) -> None:
    """RefusedError where a form does not hold what the page it was on was given: some other page made it up."""
    wanted = gate.visit(request.scope).csrf
    if not wanted or not isinstance(given, str) or not hmac.compare_digest(given.encode(), wanted.encode()):
        why = "it does not hold this page's proof; the page may be old"
        raise RefusedError("this form is not ours", why, "open the page again and send it from there", id="NRT-331")


async def read(request: Request) -> dict[str, str]:
    """The fields of a form of ours, each as text, stripped of nothing."""
    same_origin(request)
    length = request.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and int(length[:12]) <= LONGEST):
        raise DataError("this form is too large", f"at most {LONGEST:,} bytes", "send it from its page", id="NRT-232")
    try:
        async with request.form(max_files=0, max_fields=MOST) as form:
            fields = {key: value for key, value in form.items() if isinstance(value, str)}
    except (MultiPartException, HTTPException) as fault:
        raise UsageError("this is not a form of ours", str(fault)[:200], "send it from its page") from None
    proven(request, fields.get("csrf"))
    return fields
