"""Software that a person adds through the console: the same way into the catalog as the command line's. It knows forms and
where a request came from; it must never take one from another site, nor hold a signing key."""

from __future__ import annotations

from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from neurath.console import forms
from neurath.errors import DataError, LinkError, UsageError
from neurath.server.software.catalog import IMAGE, Release
from neurath.server.software.images import MAX_SPAN
from neurath.server.software.models import find_model
from neurath.server.software.upload import read_upload
from neurath.server.store import Store, acts
from neurath.server.watch import arrival

#: A form is at most an image as hex text, and an envelope.
MAX_FORM = 4 * MAX_SPAN
MAX_ENVELOPE = 4096


@dataclass(frozen=True, slots=True)
class Form:
    """What the form held."""

    model: str
    version: str
    image: bytes
    filename: str
    envelope: bytes


async def read_form(request: Request) -> Form:
    """The form in the request, or UsageError."""
    length = request.headers.get("content-length", "")
    if not (length.isascii() and length.isdigit() and int(length[:12]) <= MAX_FORM):
        raise DataError("this form is too large", f"at most {MAX_FORM:,} bytes", "neurath image add FILE", id="NRT-232")
    try:
        async with request.form(max_files=2, max_fields=8) as form:
            forms.proven(request, form.get("csrf"))
            image, envelope = form.get("image"), form.get("envelope")
            if not isinstance(image, UploadFile) or not image.filename:
                raise UsageError("no image was chosen", "the form has no file in it", "choose the image file")
            signed = await envelope.read(MAX_ENVELOPE + 1) if isinstance(envelope, UploadFile) else b""
            return Form(
                model=str(form.get("model", "")),
                version=str(form.get("version", "")).strip()[:65],
                image=await image.read(),
                filename=image.filename[:200],
                envelope=signed,
            )
    except (MultiPartException, HTTPException) as fault:  # the second is what Starlette makes of the first inside an app
        raise UsageError("this is not a form of ours", str(fault)[:200], "send multipart/form-data") from None
    except ClientDisconnect:
        raise LinkError("the form did not arrive whole", "it was called off, or its sender is gone", "send it again") from None


async def take(request: Request, store: Store, now: float) -> Release:
    """Adds what the request's form holds to the catalog."""
    forms.same_origin(request)
    form = await read_form(request)
    return await run_in_threadpool(_add, form, store, now)


def _add(form: Form, store: Store, now: float) -> Release:
    with store.read() as db:
        model = find_model(db, form.model)
    taken = read_upload(form.image, form.filename, model)
    envelope = form.envelope if taken.kind == IMAGE else b""
    wanted = replace(taken, model=form.model, version=form.version, envelope=envelope)
    acts.note(model=form.model, version=wanted.version, file=wanted.filename)
    return arrival.arrive(store, wanted, now).news().release
