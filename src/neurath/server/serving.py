"""One file over HTTP: whole, or the one range that was asked for, counted as it leaves. It knows RFC 9110 ranges; it must
never decide who may have the file."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

BLOCK = 65536
#: Progress of a long transfer is written down this often, seconds.
EVERY = 1.0
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

#: Told (first byte, count) as bytes leave; called in a thread.
Count = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Content:
    """What is served: an immutable file, the name a browser would give it, its entity tag and date."""

    path: Path
    size: int
    name: str
    etag: str
    modified: float


@dataclass(frozen=True, slots=True)
class Conditions:
    """The request headers that choose a part; "" where absent."""

    range: str = ""
    if_range: str = ""
    if_match: str = ""


def part(size: int, header: str) -> tuple[int, int] | None:
    """(first byte, count) of the range a header asks for; the whole file where it asks for none, or for what we do not
    serve (several ranges, other units); None where it cannot be satisfied."""
    match = _RANGE.fullmatch(header.replace(" ", ""))
    if match is None or match.group(0) == "bytes=-":
        return 0, size
    first, last = match.groups()
    if not first:
        count = min(int(last), size)
        return (size - count, count) if count else None
    start = int(first)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < start:
        return 0, size  # not a range at all (RFC 9110 14.1.1)
    return (start, end - start + 1) if start < size else None


class FileResponse(Response):
    """The answer to GET or HEAD of an immutable file."""

    def __init__(self, content: Content, conditions: Conditions, count: Count) -> None:
        self.content = content
        self.count = count
        self.background = None
        tag = f'"{content.etag}"'
        given = {"etag": tag, "accept-ranges": "bytes", "last-modified": formatdate(content.modified, usegmt=True)}
        wanted = conditions.range if conditions.if_range in ("", tag) else ""
        found = part(content.size, wanted)
        self.start, self.length = (0, 0) if found is None else found
        self.status_code = 206 if self.length != content.size else 200
        if conditions.if_match not in ("", "*", tag):
            self.status_code, self.length = 412, 0
        elif found is None:
            self.status_code = 416
            given["content-range"] = f"bytes */{content.size}"
        elif self.status_code == 206:
            given["content-range"] = f"bytes {self.start}-{self.start + self.length - 1}/{content.size}"
        given["content-length"] = str(self.length)
        given["content-type"] = "application/octet-stream"
        given["content-disposition"] = f'attachment; filename="{content.name}"'
        self.init_headers(given)
        self.body = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD" or not self.length:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        gone = asyncio.ensure_future(_disconnected(receive))
        sent = counted = 0
        noted = time.monotonic()
        try:
            async with await anyio.open_file(self.content.path, "rb") as source:
                await source.seek(self.start)
                while sent < self.length and not gone.done():
                    block = await source.read(min(BLOCK, self.length - sent))
                    more = sent + len(block) < self.length
                    await send({"type": "http.response.body", "body": block, "more_body": more})
                    sent += len(block)
                    if time.monotonic() - noted > EVERY:
                        await anyio.to_thread.run_sync(self.count, self.start + counted, sent - counted)
                        counted, noted = sent, time.monotonic()
        finally:
            gone.cancel()
            if sent > counted:
                # The client may be gone by now; what it was sent is true all the same.
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self.count, self.start + counted, sent - counted)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
