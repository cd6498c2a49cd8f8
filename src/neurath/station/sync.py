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


def sync(stock: Stock, server: str, *, accept_keys: bool = False) -> Synced:
    """Records first: they are the only copy. Then images, then the index that names them."""
    base = server.rstrip("/") + "/api/v1"
    records = deliver(stock, base)
    index = index_of(_get(f"{base}/stock").decode("utf-8", "replace"))
    fetched = _fetch(stock, base, index)
    if accept_keys:
        with contextlib.suppress(NotFound):
            stock.forget_keys()
    stock.keep(index)
    return Synced(len(index.entries), fetched, records)


def deliver(stock: Stock, base: str) -> int:
    """Gives the server the records that wait; each is sent again until the server says it has it."""
    waiting = stock.queued()
    for record in waiting:
        body = json.dumps({"name": record.stem, **json.loads(record.read_text())}).encode()
        _ask(urllib.request.Request(f"{base}/restorations", body, {"Content-Type": "application/json"}))
        stock.delivered(record)
    return len(waiting)


def _fetch(stock: Stock, base: str, index: Index) -> int:
    fetched = 0
    for entry in index.entries:
        if not stock.has(entry):
            stock.put(entry, _get(f"{base}/stock/files/{entry.image}"))
            fetched += 1
    return fetched


def _get(url: str) -> bytes:
    try:
        request = urllib.request.Request(url)
    except ValueError as fault:
        raise DataError(f"{url!r} is no address", str(fault), "say http://HOST:PORT") from None
    return _ask(request)


def _ask(request: urllib.request.Request) -> bytes:
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            return bytes(answer.read(LONGEST))
    except urllib.error.HTTPError as fault:
        raise RefusedError(f"the server refused: {fault.code}", request.full_url, "check --server and its version") from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as fault:
        reason = getattr(fault, "reason", fault)
        raise LinkError(f"no answer from {request.full_url}", str(reason), "is the server running?") from None
    except ValueError as fault:
        raise DataError(f"{request.full_url!r} is no address", str(fault), "say http://HOST:PORT") from None
