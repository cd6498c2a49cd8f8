"""A gateway's session with its server: batches of words out, courses in, pieces ahead of their need. It knows one HTTP
connection and when to try again; it must never touch a packet, nor keep an answer waiting. Spec: docs/spec/gateway.md."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from neurath.carriers.http import Http, Place
from neurath.errors import DataError, LinkError, NeurathError, NotFound, RefusedError
from neurath.gateway.cache import Cache, Want
from neurath.wire import gateway as wire
from neurath.wire.gateway import Batch, Courses

log = logging.getLogger(__name__)

#: Seconds between two rounds, and the longest wait for a server that is away.
PERIOD = 5.0
LONGEST = 60.0
#: Pieces are fetched so many chunks at a time before words are told again.
CHUNKS_A_ROUND = 64


class Upstream(Protocol):
    """The way to the server."""

    def exchange(self, batch: Batch) -> Courses: ...

    def pieces(self, want: Want) -> bytes: ...

    def close(self) -> None: ...


class Link(Http):
    """The way over HTTP: one kept connection."""

    scheme = "GatewayToken"

    def exchange(self, batch: Batch) -> Courses:
        headers = {"Content-Type": "application/cbor"}
        return wire.decode_courses(self._exchange("POST", "/gateway/v1/exchange", headers, wire.encode_batch(batch)))

    def pieces(self, want: Want) -> bytes:
        path = f"/gateway/v1/pieces/{want.program.hex()}/{want.size}/{want.first}/{want.count}"
        return self._exchange("GET", path, {}, None)


def link(url: str, token: str) -> Link:
    return Link(Place(url, "gateway", token))


@dataclass(slots=True)
class Session:
    """Rounds with the server until it is stopped. `round_seen` names the terminals of the round under way."""

    cache: Cache
    upstream: Upstream
    period: float = PERIOD
    clock: Callable[[], float] = time.time
    after: str = ""
    failures: int = 0
    round_seen: set[str] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    def step(self) -> float:
        """One exchange and the pieces that are lacking; gives the seconds until the next one."""
        try:
            again = self._exchange()
            again |= self._fetch()
        except NeurathError as fault:
            self.upstream.close()
            self.failures += 1
            wait = min(LONGEST, self.period * float(1 << min(self.failures - 1, 10)))
            log.warning("the server is not reached, again in %.0f s: %s (%s)", wait, fault.what, fault.why)
            return wait
        self.failures = 0
        return 0.0 if again else self.period

    def run(self) -> None:
        while not self._stop.wait(self.step()):
            pass
        self.upstream.close()

    def stop(self) -> None:
        self._stop.set()

    def _exchange(self) -> bool:
        """Whether there is more to say or to hear at once."""
        words = self.cache.words(self.clock())
        try:
            answer = self.upstream.exchange(Batch(words, self.after))
        except RefusedError as fault:
            if fault.id == "NRT-340":
                self.cache.silence()  # revoked
            raise
        except (LinkError, NotFound):
            self.cache.give_back(words)
            raise
        self.cache.learn(answer.courses)
        named = {course.terminal for course in answer.courses}
        self.round_seen |= named
        self.after = answer.after
        if not self.after:
            self.cache.forget_others(self.round_seen)
            self.round_seen = set()
        return bool(self.after)

    def _fetch(self) -> bool:
        for _ in range(CHUNKS_A_ROUND):
            want = self.cache.wanted()
            if want is None:
                return False
            try:
                self.cache.put(want, self.upstream.pieces(want))
            except (NotFound, DataError) as fault:
                log.info("pieces of %s are not to be had: %s", want.program.hex(), fault.what)
                return False
        return True
