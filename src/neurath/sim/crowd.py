"""Light terminals: many in one process, each with the real carrier and the real ear over real HTTP, and a bank that is only a
digest. It knows the protocol and keeps its own record of what it took; it must never report what it did not fetch and
check."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from neurath.carriers.ears import Listening, ear
from neurath.carriers.http import Http, Place
from neurath.errors import LinkError, NeurathError, TrustError
from neurath.ids import Floor
from neurath.wire import manifest
from neurath.wire.check import Check
from neurath.wire.keys import PublicKey
from neurath.wire.offer import Offer
from neurath.wire.report import Phase, Report, Verdict

#: Seconds between two tries while the server builds, or does not answer.
AGAIN = 0.5
#: Check-ins in one session.
MOST = 120


@dataclass(frozen=True, slots=True)
class Record:
    """A terminal's own line about one piece of software: moments of the file being here and of it being installed, and the
    bytes that were fetched for it."""

    version: str
    size: int
    fetched: int
    downloaded: float
    installed: float


@dataclass(slots=True)
class LightTerminal:
    """One of them; `heard` are the moments of its notices (monotonic seconds), `records` what it took, in order."""

    place: Place
    check: Check
    keys: Sequence[PublicKey]
    heard: list[float] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _busy: threading.Lock = field(default_factory=threading.Lock)

    def session(self) -> None:
        """Checks in until there is nothing for it."""
        with self._busy:
            link = Http(self.place)
            try:
                for _ in range(MOST):
                    try:
                        answer = link.check(self.check)
                        if answer.offer is not None:
                            self._take(link, answer.offer)
                            continue
                    except LinkError as fault:
                        self.faults.append(f"{fault.what}: {fault.why}")
                        time.sleep(AGAIN)
                        continue
                    if answer.again_in != 1:
                        return
                    time.sleep(AGAIN)
            except NeurathError as fault:
                self.faults.append(f"{fault.what}: {fault.why}")
            finally:
                link.close()

    def _take(self, link: Http, offer: Offer) -> None:
        link.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
        data = b"".join(link.fetch(offer.file, 0, offer.size))
        if hashlib.sha256(data).digest() != offer.file:
            raise TrustError("the file is not the one that was offered", offer.file.hex()[:16], "it is fetched again")
        sealed = manifest.verify(offer.envelope, self.keys)
        here = time.time()
        link.report(Report(offer.action, Phase.DOWNLOADED, done=offer.size))
        link.report(Report(offer.action, Phase.UPDATING, done=offer.size))
        # Where a real terminal rewrites its bank, this one takes the signed digest for its own.
        self.check = replace(
            self.check,
            bank=sealed.image,
            bank_size=sealed.image_size,
            floor=Floor(sealed.epoch, sealed.sequence),
            version=sealed.version,
        )
        self.records.append(Record(sealed.version, offer.size, len(data), here, time.time()))
        link.report(Report(offer.action, Phase.UPDATED, Verdict.CONFIRMED, done=offer.size, bank=sealed.image))


class Crowd:
    """Light terminals that listen, and check in when told; closed as one."""

    def __init__(self, terminals: Iterable[LightTerminal], workers: int = 8) -> None:
        self.terminals = list(terminals)
        self._pool = ThreadPoolExecutor(workers)
        self._ears: list[Listening] = []
        self._begun = 0
        self._done = 0

    @property
    def idle(self) -> bool:
        """No session is going on or waiting."""
        return self._begun == self._done

    def listen(self, broker: str = "") -> None:
        """Every ear opens; each then has its first notice."""
        for one in self.terminals:
            self._ears.append(ear(broker, one.place, lambda one=one: self._told(one)))  # type: ignore[misc]  # bound now

    def _told(self, one: LightTerminal) -> None:
        one.heard.append(time.monotonic())
        self._begun += 1
        self._pool.submit(one.session).add_done_callback(self._ended)

    def _ended(self, _: object) -> None:
        self._done += 1

    def close(self) -> None:
        for one in self._ears:
            one.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
