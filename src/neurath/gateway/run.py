"""A gateway put together: its cache, and the session with the server in a thread beside the carrier. It knows where a gateway
keeps what it has; it must never let the session slow an answer."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from neurath.gateway.cache import Cache
from neurath.gateway.session import PERIOD, Session, link

#: Seconds for which one thread may keep the others from running: answers go before the session's work.
TURN = 0.0005


@dataclass(frozen=True, slots=True)
class Site:
    """What a gateway is run with: the server's address, its own token, where it keeps pieces (None: in memory only)."""

    url: str
    token: str
    folder: Path | None = None
    period: float = PERIOD


@contextmanager
def opened(site: Site) -> Iterator[Cache]:
    """The cache that carriers answer from, kept filled until the end."""
    sys.setswitchinterval(TURN)
    cache = Cache(folder=site.folder)
    session = Session(cache, link(site.url, site.token), site.period)
    thread = threading.Thread(target=session.run, name="gateway", daemon=True)
    thread.start()
    try:
        yield cache
    finally:
        session.stop()
        thread.join(2.0)
