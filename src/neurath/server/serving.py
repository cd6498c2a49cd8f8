"""One file over HTTP: whole, or the ranges that were asked for, counted as they leave. It knows RFC 9110 ranges; it must never
decide who may have the file."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

import anyio
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

#: What is read and handed over at once: more for a client that takes it as fast as it comes, so that a slow one holds little.
BLOCK, LARGEST = 65536, 1 << 20
#: Who waits no longer than this, seconds, before more can be sent is such a client.
QUICK = 0.002
#: Progress of a long transfer is written down this often, seconds, and whether it may go on is asked.
EVERY = 0.5
#: Who asks for more ranges at once gets the whole file (RFC 9110 14.2 allows it, against floods of small ones).
MOST_RANGES = 32
_RANGE = re.compile(r"(\d{0,18})-(\d{0,18})")

#: Told (first byte, count) as bytes leave; called in a thread. False: no more of them may.
Count = Callable[[int, int], bool | None]
#: (first byte, count) of a part of a file.
Part = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Content:
    """What is served: an immutable file, the name a browser would give it, its entity tag and date."""

    path: Path
    size: int
    name: str
    etag: str
    modified: float

    @property
    def headers(self) -> dict[str, str]:
        """What is said of it whoever sends it."""
        return {
            "etag": f'"{self.etag}"',
            "accept-ranges": "bytes",
            "last-modified": formatdate(self.modified, usegmt=True),
            "content-type": "application/octet-stream",
            "content-disposition": f'attachment; filename="{self.name}"',
        }


@dataclass(frozen=True, slots=True)
class Conditions:
    """The request headers that choose a part; "" where absent."""

    range: str = ""
    if_range: str = ""
    if_match: str = ""


def parts(size: int, header: str) -> list[Part] | None:
    """The ranges a header asks for; the whole file where it asks for none, or for what is no range (other units); None where
    none of them can be satisfied."""
    unit, _, asked = header.replace(" ", "").partition("=")
    specs = [_RANGE.fullmatch(one) for one in asked.split(",")]
    if unit.lower() != "bytes" or len(specs) > MOST_RANGES:
        return [(0, size)]
    found: list[Part] = []
    for match in specs:
        if match is None or match.group(0) == "-":
            return [(0, size)]  # not a range at all: the header counts for nothing (RFC 9110 14.2)
        first, last = match.groups()
        if first and last and int(last) < int(first):
            return [(0, size)]
        start = int(first) if first else max(0, size - int(last))
        end = min(int(last), size - 1) if first and last else size - 1
        if start <= end:
            found.append((start, end - start + 1))
    return found or None


class FileResponse(Response):
    """The answer to GET or HEAD of an immutable file."""

    def __init__(self, content: Content, conditions: Conditions, count: Count) -> None:
        self.content = content
        self.count = count
        self.background = None
        self.body = b""
        given = content.headers
        tag, date = given["etag"], given["last-modified"]
        found = parts(content.size, conditions.range if conditions.if_range in ("", tag, date) else "")
        self.pieces: list[tuple[bytes, Part]] = []
        self.tail = b""
        if not _matches(conditions.if_match, tag):
            self.status_code = 412
        elif found is None:
            self.status_code = 416
            given["content-range"] = f"bytes */{content.size}"
        elif found == [(0, content.size)]:
            self.status_code, self.pieces = 200, [(b"", found[0])]
        elif len(found) == 1:
            self.status_code, self.pieces = 206, [(b"", found[0])]
            given["content-range"] = _said(found[0], content.size)
        else:
            self.status_code = 206
            given["content-type"] = self._several(found)
        length = sum(len(head) + count for head, (_, count) in self.pieces) + len(self.tail)
        self.init_headers(given | {"content-length": str(length)})

    def _several(self, found: list[Part]) -> str:
        """Several ranges in one body (RFC 9110 14.6); its media type."""
        mark = secrets.token_hex(16)
        for one in found:
            head = f"\r\n--{mark}\r\nContent-Type: application/octet-stream\r\n"
            self.pieces.append((f"{head}Content-Range: {_said(one, self.content.size)}\r\n\r\n".encode(), one))
        self.tail = f"\r\n--{mark}--\r\n".encode()
        return f"multipart/byteranges; boundary={mark}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if scope["method"] == "HEAD" or not self.pieces:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            async with await anyio.open_file(self.content.path, "rb") as source:
                for place, (head, part) in enumerate(self.pieces):
                    last = place == len(self.pieces) - 1
                    if head:
                        await send({"type": "http.response.body", "body": head, "more_body": True})
                    if not await self._send(source, part, send, gone, more=not last or bool(self.tail)):
                        return
            if self.tail:
                await send({"type": "http.response.body", "body": self.tail, "more_body": False})
        finally:
            gone.cancel()

    async def _send(
        self, source: anyio.AsyncFile[bytes], part: Part, send: Send, gone: asyncio.Future[None], *, more: bool
    ) -> bool:
        """One part; False where the client went, or may have no more: the connection then ends short of its length."""
        start, length = part
        sent = counted = 0
        size = BLOCK
        noted = time.monotonic()
        await source.seek(start)
        try:
            while sent < length:
                if gone.done():
                    return False
                block = await source.read(min(size, length - sent))
                begun = time.monotonic()
                await send({"type": "http.response.body", "body": block, "more_body": more or sent + len(block) < length})
                sent += len(block)
                size = min(2 * size, LARGEST) if time.monotonic() - begun < QUICK else BLOCK
                if time.monotonic() - noted > EVERY and sent < length:
                    on = await anyio.to_thread.run_sync(self.count, start + counted, sent - counted)
                    counted, noted = sent, time.monotonic()
                    if on is False:
                        return False
        finally:
            if sent > counted:
                # The client may be gone by now; what it was sent is true all the same.
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self.count, start + counted, sent - counted)
        return True


def _said(part: Part, size: int) -> str:
    return f"bytes {part[0]}-{part[0] + part[1] - 1}/{size}"


def _matches(header: str, tag: str) -> bool:
    """If-Match, RFC 9110 13.1.1: one of the strong tags, or any."""
    return not header or tag in (wanted := [one.strip() for one in header.split(",")]) or "*" in wanted


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
