"""Keeps a stock in step with its server over plain HTTP: index and images down, records up. It knows requests; what is kept is
checked by the stock, and again by every envelope on use."""

from __future__ import annotations

import contextlib
import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass

from neurath.errors import DataError, LinkError, NotFound, RefusedError
from neurath.station.stock import Index, Stock, index_of

#: Longest answer that is read, bytes; seconds to wait for one.
LONGEST = 1 << 30
TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Synced:
    """What one synchronisation did."""

    releases: int
    fetched: int
    records: int


@dataclass(frozen=True, slots=True)
class Source:
    """Where a stock comes from: the server's address, and the stations' token, which a station on another machine needs."""

    server: str
    token: str = ""

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """One request; the answer's body, or an error in three lines."""
        if not self.server.startswith(("http://", "https://")):
            raise DataError(f"{self.server!r} is no address", "neither http:// nor https://", "say http://HOST:PORT")
        try:
            request = urllib.request.Request(f"{self.server.rstrip('/')}/api/v1{path}", body)
        except ValueError as fault:
            raise DataError(f"{self.server!r} is no address", str(fault), "say http://HOST:PORT") from None
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"StationToken {self.token}")
        return _answer(request)


def sync(stock: Stock, source: Source, *, accept_keys: bool = False) -> Synced:
    """Records first: they are the only copy. Then images, then the index that names them."""
    records = deliver(stock, source)
    index = index_of(source.ask("/stock").decode("utf-8", "replace"))
    fetched = _fetch(stock, source, index)
    if accept_keys:
        with contextlib.suppress(NotFound):
            stock.forget_keys()
    stock.keep(index)
    return Synced(len(index.entries), fetched, records)


def deliver(stock: Stock, source: Source) -> int:
    """Gives the server the records that wait; each is sent again until the server says it has it."""
    waiting = stock.queued()
    for record in waiting:
        body = json.dumps({"name": record.stem, **json.loads(record.read_text())}).encode()
        source.ask("/restorations", body)
        stock.delivered(record)
    return len(waiting)


def _fetch(stock: Stock, source: Source, index: Index) -> int:
    fetched = 0
    for entry in index.entries:
        if not stock.has(entry):
            stock.put(entry, source.ask(f"/stock/files/{entry.image}"))
            fetched += 1
    return fetched


def _answer(request: urllib.request.Request) -> bytes:
    try:  # the scheme was looked at: http or https
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # nosec B310
            return bytes(answer.read(LONGEST))
    except urllib.error.HTTPError as fault:
        hint = "--token, from station.token in the server's data directory" if fault.code == 403 else "check --server"
        raise RefusedError(f"the server refused: {fault.code}", request.full_url, hint) from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as fault:
        reason = getattr(fault, "reason", fault)
        raise LinkError(f"no answer from {request.full_url}", str(reason), "is the server running?") from None
    except ValueError as fault:
        raise DataError(f"{request.full_url!r} is no address", str(fault), "say http://HOST:PORT") from None
