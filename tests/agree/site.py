"""A real server (store, delivery, builder) and a real terminal (core, agent, flash) on one link, and the one checker of both:
what each says of itself, word for word the same. It knows how a fault is done to them; what a side says it must never take
from the other side."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from neurath.errors import FlashError, LinkError, NeurathError, NotFound, RefusedError
from neurath.flash._core import lib
from neurath.flash.bank import ImageRecord
from neurath.flash.native import Core, Nor, PowerCut, write_bank
from neurath.flash.trust import Birth
from neurath.ids import FIRMWARE, Floor, digest
from neurath.server.delivery.calls import Delivery
from neurath.server.delivery.rescue import Rescue
from neurath.server.fleet import access, actions, progress, standing
from neurath.server.fleet.progress import Key
from neurath.server.software import catalog, keylists
from neurath.server.store import Store
from neurath.terminal.machine import Step
from neurath.terminal.machine.events import Fate
from neurath.wire import check as checks
from neurath.wire import manifest, trickle
from neurath.wire import offer as offers
from neurath.wire import report as reports
from neurath.wire.check import Check
from neurath.wire.offer import Offer
from neurath.wire.report import Phase, Report, Verdict
from tests.agree.parties import Link, Said, Server, carried, station
from tests.terminal.world import DEVICE, MODEL, NAME, NEW, OLD, RELEASE, World, envelope_of

__all__ = ["DONE", "IMAGES", "Said", "Server", "Site", "Word", "station"]

EPOCH = 1_700_000_000.0
#: What a site's catalogue holds unless it is told otherwise: the release in the factory's hands, and the one rolled out.
IMAGES = {"1.0": OLD, "2.0": NEW}
#: The floor that the factory sets.
LOWEST = Floor(0, 1)


@dataclass(frozen=True, slots=True)
class Word:
    """What one side says of the terminal. `bank`: the version that lies in it, or the beginning of its digest; `floor`: of the
    image that was confirmed last; `plan`: the file that an open rewrite goes on with; `wire`: it waits for one; `offer`: the
    file that was offered and came to no end; `verdict`: on the release that is rolled out, "" where it was never offered or
    was taken back; `held`: bytes staged durably; `keys`: the newest list of keys taken. Files by the first eight digits."""

    bank: str
    floor: Floor = LOWEST
    plan: str = ""
    wire: bool = False
    offer: str = ""
    verdict: str = ""
    held: int = 0
    keys: int = 0


#: What is said of a bank that the chip cannot read.
UNREADABLE = bytes(32).hex()
#: Both, when the update is done.
DONE = Word("2.0", Floor(0, 2), verdict="confirmed")


class Site:
    """A server as the far end of one terminal's link, and that terminal. `bent`: what becomes of a file on its way; `heard`:
    of a check-in, `gives`: of an offer; `twice`: each report arrives two times; `dies_at`: before or after which call of the
    terminal the server dies; `deaf_at`: from which on nobody answers; `offered`: what happens once, right after an offer was
    made; `before`: what happens ahead of each call;
    `rides`: what becomes of the answer to a heartbeat; `room`: of one answer; `skew`: how far the server's clock is
    ahead. `troubles`: what the server failed of."""

    def __init__(
        self,
        place: Path,
        *,
        name: str = str(NAME),
        server: Server | None = None,
        images: dict[str, bytes] | None = None,
        ecc: bool = False,
        root: bytes = b"",
        first: str = "1.0",
        **more: object,
    ) -> None:
        self.name, self.calls, self.checked, self.fetched = name, 0, 0, 0
        self.troubles: list[NeurathError] = []
        self.images = images or IMAGES
        self.goal = list(self.images)[-1]
        self.calm()
        self.world = None  # type: ignore[assignment]  # there in a moment; until then it is no time
        if server is None:
            server = Server(place)
            server.stock(self.images)
            server.roll_out(self.goal, EPOCH)
        self.server = server
        self.token = server.register(name)
        nor = Nor.memory(MODEL.layout, ecc=ecc)
        self._factory(nor, root, first)
        self.world: World = World(nor, far=self, **more)  # type: ignore[arg-type]  # a far end as good as any
        self.line = self.world.carrier.line
        self.reach(Link(self, self.line))

    def _factory(self, nor: Nor, root: bytes, first: str) -> None:
        """Birth record, image and state log; the ticket key is this server's."""
        data, n = self.images[first], list(self.images).index(first) + 1
        write_bank(nor, data)
        core = Core(nor.layout, nor)
        key = self.delivery.key.public
        core.write_birth(Birth(self.name, MODEL.name, MODEL.vendor, MODEL.klass, DEVICE, (RELEASE.public,), key, root))
        envelope = manifest.verify(envelope_of(data, n), [RELEASE.public])
        core.provision(ImageRecord(envelope.image, envelope.image_size, envelope.digest[:16], n, 0))
        nor.forget()

    def reach(self, link: Said) -> None:
        """This is how the terminal reaches its server from now on."""
        self.link, link.site = link, self
        self.world.carrier = link  # type: ignore[assignment]  # a carrier, by what is beside it
        self.world.power()

    def calm(self) -> None:
        """Nothing is wrong any more."""
        self.deaf_at, self.twice, self.dies_at = 1 << 30, False, (0, False)
        self.bent: Callable[[bytes], bytes] = bytes
        self.heard: Callable[[Check], Check] = lambda check: check
        self.gives: Callable[[Offer], Offer] = lambda offer: offer
        self.offered: Callable[[], None] | None = None
        self.before: Callable[[], None] = lambda: None
        self.rides: Callable[[bytes], bytes] = bytes
        self.skew, self.room = 0.0, trickle.MAX_ROOM

    @property
    def store(self) -> Store:
        return self.server.store

    @property
    def delivery(self) -> Delivery:
        return self.server.delivery

    @property
    def now(self) -> float:
        return self.world.clock.at + self.skew

    def me(self) -> access.Terminal:
        with self.store.read() as db:
            return access.find(db, self.name)

    # ---- the far end -------------------------------------------------------------------------------------------------

    def _called(self) -> Callable[[], None]:
        """One call of the terminal; what is to be done when its work is done."""
        if self.calls + 1 >= self.deaf_at:
            raise LinkError("no answer", "the server is away", "it is tried again")
        self.calls += 1
        self.before()
        number, after = self.dies_at
        if number == self.calls:
            self.server.again()
            if not after:
                raise LinkError("no answer", "the server died", "it is tried again")

        def end() -> None:
            if number == self.calls and after:
                raise LinkError("no answer", "the server died", "it is tried again")

        return end

    def check(self, message: bytes) -> bytes:
        end = self._called()
        with carried(self):
            offer = self.delivery.check(self.me(), self.heard(checks.decode(message)), self.now)
        self.checked += 1
        end()
        if offer is None:
            return offers.encode(None)
        happens, self.offered = self.offered, None
        if happens is not None:
            happens()
        return offers.encode(self.gives(offer))

    def report(self, message: bytes) -> None:
        end = self._called()
        report = reports.decode(message)
        for _ in range(2 if self.twice else 1):
            with carried(self):
                self.take(report)
        end()

    def take(self, report: Report) -> None:
        with self.store.read() as db:
            action = actions.of_terminal(db, self.me().n, report.action)
        if action is not None:
            self.delivery.reported(action, report, self.now)

    def file(self, name: bytes) -> bytes:
        end = self._called()
        self.fetched += 1
        with carried(self):
            data = self._file(name)
        end()
        return self.bent(data)

    def _file(self, name: bytes) -> bytes:
        with self.store.read() as db:
            action = actions.of_file(db, self.me().n, FIRMWARE, name.hex())
        if action is None:
            raise NotFound("no such file", name.hex()[:16], "check in again")
        if len(name) == 32 and not self.delivery.may_fetch(action):
            raise RefusedError("no memory is secured for this file", "the report comes first", "report secured bytes")
        if len(name) == 32 and not self.delivery.served(action, 0, action.size, self.now):
            raise RefusedError("it is to have no more of this file", "called off", "check in again")
        return self.store.files.verified(action.file).read_bytes()

    def rescue(self, question: bytes) -> bytes | None:
        end = self._called()
        with carried(self):
            answer = Rescue(self.delivery).answer(self.me().tenant, self.name, question, self.now)
        end()
        return answer

    def key_list(self, version: int) -> bytes:
        with self.store.read() as db:
            return keylists.find(db, version)

    def heartbeat(self, message: bytes) -> bytes:
        self._called()
        state = trickle.decode_state(message)
        return self.rides(self.server.trickle.answer(self.me(), state, self.room, self.now))

    def open_actions(self) -> frozenset[str]:
        self._called()
        with self.store.read() as db:
            return frozenset(str(one.id) for one in actions.current_actions(db, self.me().n))

    # ---- what is judged ------------------------------------------------------------------------------------------------

    def raw(self) -> bytes:
        """The bank, read past everybody."""
        return b"".join(self.world.nor.read_raw(span.base, span.length) for span in self.world.nor.layout.bank)

    def readable(self) -> bool:
        """Whether the chip can read its bank: one with ECC may find words that it cannot correct."""
        try:
            Core(MODEL.layout, self.world.nor).bank_digest(MODEL.layout.bank_size)
        except FlashError:
            return False
        return True

    def holds(self) -> str:
        """The version in the bank, "" where it is none of ours."""
        raw = self.raw()
        return next((version for version, data in self.images.items() if raw.startswith(data)), "")

    def terminal_says(self) -> Word:
        """From its flash, what it keeps durably, and what it said and heard on the link."""
        bank, facts = self.world.bank, self.world.bank.facts
        size = facts.installed.size or bank.model.layout.bank_size
        offer, verdict = self.link.offer, self.link.verdict
        if facts.confirmed.image == digest(self.images[self.goal]) and self.holds() == self.goal:
            verdict = "confirmed"
        elif offer and verdict != Verdict.RESTORATION.value:
            verdict = "pending"
        return Word(
            bank=self._named(digest(self.raw()[:size]).hex() if self.readable() else UNREADABLE),
            floor=Floor(facts.confirmed.epoch, facts.confirmed.sequence),
            plan=facts.target.file.hex()[:8] if facts.target.file_size else "",
            wire=bank.fate is Fate.RESTORE or self.world.agent.machine.step is Step.RESTORING,
            offer=offer.hex()[:8],
            verdict=verdict,
            held=self.world.agent.parts.transfer.staged()[1],
            keys=facts.key_list,
        )

    def server_says(self) -> Word:
        """From its store."""
        me = self.me()
        with self.store.read() as db:
            said = standing.last_said(db, me, FIRMWARE)
            goal = catalog.find_release(db, f"{MODEL.name}/{self.goal}")
            entry = progress.entry(db, Key(me.n, FIRMWARE, goal.id))
            current = actions.current_action(db, me.n, FIRMWARE)
            shown = {one.component: one for one in progress.shown(db, me.n)}.get(FIRMWARE)
            known = catalog.confirmed(db, str(me.model), _as_check(said)) if said is not None else None
        if said is None or shown is None:
            return Word("")
        own = Floor(goal.epoch, goal.sequence)
        verdict = "" if entry is None else entry.verdict
        if verdict == "pending" and current is None:
            verdict = ""
        if entry is None and known is not None and known.id == goal.id:
            verdict = "confirmed"  # a server that knows of no offer goes by the bank alone
        return Word(
            bank=self._named(said.bank),
            floor=max(said.floor, own) if said.confirmed == goal.id else said.floor,
            plan=said.open_file[:8],
            wire=said.state == Phase.RESTORING.value,
            offer="" if current is None else current.file[:8],
            verdict=verdict,
            held=shown.staged_bytes,
            keys=said.key_list,
        )

    def _named(self, found: str) -> str:
        known = {digest(data).hex(): version for version, data in self.images.items()}
        return known.get(found, found[:8])

    def agree(self) -> bool:
        return self.terminal_says() == self.server_says()

    def agreed(self) -> Word:
        """What both say; AssertionError where they differ."""
        word, other = self.terminal_says(), self.server_says()
        assert word == other, f"the terminal says {word}, the server {other}"
        assert self.world.nor.violations == 0
        return word

    # ---- how it goes on ------------------------------------------------------------------------------------------------

    def rests(self) -> Iterator[int]:
        """Half-hour after half-hour: the check-ins made since, each time that the terminal rests."""
        began = self.checked
        for _ in range(200):
            self.world.agent.wait()
            yield self.checked - began
            self.world.clock.sleep(1800)
        raise AssertionError((self.checked - began, self.world.agent.machine.step))

    def settles(self, *, fault: bool = False) -> Word:
        """The fault is over: power comes, and after two check-ins both sides say the same, which is given."""
        self.calm()
        self.line.mend()
        self.world.agent.power_up(fault=fault)
        return self.after_two()

    def after_two(self) -> Word:
        next(made for made in self.rests() if made >= 2)
        return self.agreed()

    def goes_on(self, *, ends_in: str = "2.0", fault: bool = False) -> Word:
        """The same, and in the end the bank is as it should; what both said after two check-ins."""
        said = self.settles(fault=fault)
        for turn, _ in enumerate(self.rests()):
            if (self.holds() == ends_in and self.agree()) or turn > 60:
                break
        assert self.agreed().bank == ends_in
        if ends_in == self.goal:
            assert self.agreed() == replace(DONE, bank=ends_in, floor=self._floor(ends_in), keys=self.agreed().keys)
        return said

    def _floor(self, version: str) -> Floor:
        with self.store.read() as db:
            found = catalog.find_release(db, f"{MODEL.name}/{version}")
        return Floor(found.epoch, found.sequence)

    def until(self, so: Callable[[], bool]) -> None:
        self.world.agent.power_up()
        for _ in range(60):
            if so():
                return
            self.world.agent.wait()
        raise AssertionError("it did not come to that")

    def over(self) -> None:
        """Its server ends, and nothing is left of it on the disk."""
        self.server.close()
        shutil.rmtree(self.server.place)

    def cut_in_rewrite(self, operation: int, kind: str = "early", how: int = 0) -> None:
        """Power fails at this operation of the flash from now on, and comes again; `how` torn units read then."""
        self.world.nor.cut_at(operation, kind)
        with pytest.raises(PowerCut):
            self.until(lambda: False)
        self.world.nor.power(how)
        self.world.nor.no_cut()
        self.world.power()

    def sector_mended(self) -> None:
        """The chip was exchanged for a sound one that holds the same."""
        lib.nrt_nor_fault(self.world.nor.raw, 0, lib.NRT_FAULT_NONE)


def _as_check(said: standing.Said) -> Check:
    """What was said, as far as the catalogue asks."""
    return Check(
        model=MODEL.name,
        bank=bytes.fromhex(said.bank),
        bank_size=said.bank_size,
        ram=said.ram,
        nonce=bytes.fromhex(said.nonce),
        floor=said.floor,
    )
