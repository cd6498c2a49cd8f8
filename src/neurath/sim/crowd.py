"""Light terminals: many in one process, each with the real carrier and the real ear over real HTTP, and a bank that is only a
digest. It knows the protocol and keeps its own record of what it took; it must never report what it did not fetch and
check, nor to take twice what is here already."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import Enum

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


class Fate(Enum):
    """What becomes of an update on a terminal."""

    SOUND = "it runs the new software"
    FAILS = "the new software does not start, and it stays with the old"
    SILENT = "it secures room for the file, and is never heard of again"


#: What a terminal says of an update that failed.
WHY = "the new image did not start"


@dataclass(slots=True)
class LightTerminal:
    """One of them; `heard` are the moments of its notices (monotonic seconds), `records` what it took, in order; `failures`
    how often an update failed on it; `acknowledged` what it reported and the server took. A verdict that was not
    acknowledged is `owed`; `pause` seconds are between two tries."""

    place: Place
    check: Check
    keys: Sequence[PublicKey]
    heard: list[float] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    fate: Fate = Fate.SOUND
    pause: float = AGAIN
    failures: int = 0
    acknowledged: list[Report] = field(default_factory=list)
    owed: Report | None = None
    lost: bool = False  # silent for good
    _whole: bytes = b""  # the file that is here whole, by digest
    _here: float = 0.0
    _busy: threading.Lock = field(default_factory=threading.Lock)

    @property
    def settled(self) -> bool:
        """What its fate was has come about, and the server took its word for it; or nobody will hear of it again."""
        return self.lost or (self.owed is None and bool(self.records or self.failures))

    def session(self) -> None:
        """Checks in until there is nothing for it."""
        with self._busy:
            link = Http(self.place)
            try:
                for _ in range(MOST):
                    try:
                        wait = self._contact(link)
                    except LinkError as fault:
                        self.faults.append(f"{fault.what}: {fault.why}")
                        wait = self.pause
                    if wait is None:
                        return
                    time.sleep(wait)
            except NeurathError as fault:
                self.faults.append(f"{fault.what}: {fault.why}")
            finally:
                link.close()

    def _contact(self, link: Http) -> float | None:
        """One check-in and what it led to; seconds until the next one, None: there is nothing for it."""
        if self.lost:
            return None
        if self.owed is not None:
            self._tell(link, self.owed)
        answer = link.check(self.check)
        if answer.offer is not None:
            self._take(link, answer.offer)
            return 0.0
        return self.pause if answer.again_in == 1 else None

    def _take(self, link: Http, offer: Offer) -> None:
        self._tell(link, Report(offer.action, Phase.OFFERED, secured=offer.size))
        if self.fate is Fate.SILENT:
            self.lost = True
            return
        if self._whole != offer.file:
            data = b"".join(link.fetch(offer.file, 0, offer.size))
            if hashlib.sha256(data).digest() != offer.file:
                raise TrustError("the file is not the one that was offered", offer.file.hex()[:16], "it is fetched again")
            self._whole, self._here = offer.file, time.time()
        sealed = manifest.verify(offer.envelope, self.keys)
        self._tell(link, Report(offer.action, Phase.DOWNLOADED, done=offer.size))
        self._tell(link, Report(offer.action, Phase.UPDATING, done=offer.size))
        if self.fate is Fate.FAILS:
            self.failures += 1
            self.owed = Report(offer.action, Phase.FAILED, Verdict.FAILED, done=offer.size, reason=WHY)
        else:
            # Where a real terminal rewrites its bank, this one takes the signed digest for its own.
            self.check = replace(
                self.check,
                bank=sealed.image,
                bank_size=sealed.image_size,
                floor=Floor(sealed.epoch, sealed.sequence),
                version=sealed.version,
            )
            self.records.append(Record(sealed.version, offer.size, offer.size, self._here, time.time()))
            self.owed = Report(offer.action, Phase.UPDATED, Verdict.CONFIRMED, done=offer.size, bank=sealed.image)
        self._tell(link, self.owed)

    def _tell(self, link: Http, report: Report) -> None:
        """Reports, and remembers what the server took. A verdict is owed until the server has answered, whatever it said."""
        before = link.taken
        link.report(report)
        if link.taken > before:
            self.acknowledged.append(report)
        if report is self.owed:
            self.owed = None


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

    def meet(self, those: Iterable[LightTerminal]) -> None:
        """Each of these has a session; until the last one's is over."""
        for ended in [self._pool.submit(one.session) for one in those]:
            ended.result()

    def close(self) -> None:
        for one in self._ears:
            one.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
