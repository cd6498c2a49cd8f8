"""A bad release is revoked in the middle of its rollout (fault 32), with real terminals (core, agent, flash) at each phase of
an update at that moment and twenty of them torn at once: who has erased nothing keeps what it runs, who is torn is served to
the end, and from the write on nobody is given a ticket for it who was not torn."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neurath.flash.native import PowerCut
from neurath.ids import FIRMWARE, digest
from neurath.server.delivery.calls import Offered
from neurath.server.fleet import actions, recall, standing
from neurath.server.software import catalog
from neurath.terminal.identity import Lending
from neurath.terminal.machine import Policy
from neurath.wire import offer as offers
from tests.agree.site import EPOCH, Server, Site
from tests.terminal.world import MODEL, NEW, OLD, RAM, envelope_of, image

#: The last is a release that nobody revokes.
IMAGES = {"1.0": OLD, "2.0": NEW, "3.0": NEW[:8000] + image(7, 3000) + NEW[11000:]}
#: Of each phase: the call of a terminal that it is held at, before or after the server has done it.
PHASES = {
    "offered": (1, True),
    "downloading": (3, False),
    "staged": (4, False),
    "rehearsed": (5, False),
    "unconfirmed": (6, False),
    "confirmed": (7, False),
}
#: What a terminal held there runs in the end, where nothing else is given.
KEEPS = dict.fromkeys(("offered", "downloading", "staged", "rehearsed"), "1.0") | {"unconfirmed": "2.0", "confirmed": "2.0"}
TORN = 20
PATIENCE = 300.0


class Unit(Site):
    """One terminal of many on one server. It stands still at a call until it is let go."""

    def __init__(self, server: Server, name: str, held: tuple[int, bool] = (0, False)) -> None:
        self.held, self.there, self.go = held, threading.Event(), threading.Event()
        self.given: list[bytes] = []
        super().__init__(server.place, name=name, server=server, images=IMAGES, policy=Policy(ask_last=True))

    def _called(self) -> Callable[[], None]:
        self.calls += 1
        number, after = self.held
        mine = number == self.calls

        def stand() -> None:
            self.there.set()
            assert self.go.wait(PATIENCE), "nobody let it go"

        if mine and not after:
            stand()
        return stand if mine and after else lambda: None

    def check(self, message: bytes) -> bytes:
        said = super().check(message)
        if (made := offers.decode(said)) is not None:
            self.given.append(made.envelope)
        return said

    def open_actions(self) -> frozenset[str]:
        self._called()
        with self.store.read() as db:
            current = actions.current_actions(db, self.me().n)
        return frozenset(str(one.id) for one in current if self.delivery.may_have(one))

    def known(self) -> bool:
        """Whether the server knows what the bank holds, and the terminal has confirmed it."""
        with self.store.read() as db:
            said = standing.last_said(db, self.me(), FIRMWARE)
        held = self.images.get(self.holds())
        found = self.world.bank.facts.confirmed.image
        return held is not None and said is not None and said.bank == digest(held).hex() and found == digest(held)

    def goes_on_until(self, version: str) -> None:
        """It ends with this image, and says so."""
        began = self.checked
        for _ in range(40):
            if self.checked >= began + 2 and self.holds() == version and self.known():
                break
            self.world.agent.wait()
            self.world.clock.sleep(1800)
        assert (self.name, self.holds()) == (self.name, version)
        assert self.known()
        assert self.world.nor.violations == 0

    def until_it_stands(self) -> None:
        """Works until it stands still, and goes on from there as far as one turn goes."""
        self.world.agent.power_up()
        while not self.there.is_set():
            self.world.agent.wait()

    def _works_on(self) -> None:
        while True:
            self.world.agent.wait()

    def tear(self, operation: int, kind: str) -> None:
        self.world.nor.cut_at(operation, kind)
        self.world.agent.power_up()
        with pytest.raises(PowerCut):
            self._works_on()
        self.world.nor.power(0)
        self.world.nor.no_cut()
        self.world.power()


def _torn(server: Server) -> list[Unit]:
    """Each is cut in its rewrite, at an operation of its own. Every other one has said so."""
    drawn = random.Random(32)
    units = [Unit(server, f"torn-{n}") for n in range(TORN)]
    for n, unit in enumerate(units):
        unit.tear(drawn.randrange(66, 160), drawn.choice(("early", "random")))
        assert unit.holds() == ""
        if n % 2:
            unit.world.bank.start()
            unit.delivery.record(unit.me(), unit.world.bank.check(Lending(RAM), "restoring"), unit.now)
    return units


@pytest.mark.parametrize("newer", [False, True], ids=["nothing newer", "a newer one"])
@pytest.mark.timeout(600)
def test_a_release_is_revoked_with_terminals_at_each_phase_and_many_torn(newer: bool, tmp_path: Path) -> None:
    server, bad = Server(tmp_path), envelope_of(NEW, 2)
    server.stock(IMAGES)
    server.roll_out("2.0", EPOCH)
    torn = _torn(server)
    units = {name: Unit(server, name, held) for name, held in PHASES.items()}
    with ThreadPoolExecutor(len(units)) as pool:
        working = [pool.submit(unit.until_it_stands) for unit in units.values()]
        try:
            for name, unit in units.items():
                assert unit.there.wait(PATIENCE), name
            with server.store.write() as db:
                recall.revoke(db, catalog.find_release(db, f"{MODEL.name}/2.0"), EPOCH)
            if newer:
                server.roll_out("3.0", EPOCH)
            for unit in torn[1::2]:
                decided = unit.delivery.decide(unit.me(), FIRMWARE, unit.now)
                assert isinstance(decided, Offered), (unit.name, decided)
                assert unit.delivery.may_have(decided.action), unit.name
            before = {name: len(unit.given) for name, unit in units.items()}
        finally:
            for unit in units.values():
                unit.go.set()
        for one in working:
            one.result(PATIENCE)
    for name, unit in units.items():
        unit.goes_on_until("3.0" if newer else KEEPS[name])
        assert bad not in unit.given[before[name] + (name == "offered") :], name  # its check had been answered
    for unit in torn:
        unit.world.agent.power_up()
        unit.goes_on_until("3.0" if newer else "2.0")
    fresh = Unit(server, "fresh")
    fresh.world.agent.power_up()
    fresh.goes_on_until("3.0" if newer else "1.0")
    assert bad not in fresh.given
    server.close()
