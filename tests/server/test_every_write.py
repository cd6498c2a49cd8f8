"""C6 on the server's side: the server is killed before and after each of its writes, from the file in the folder to the
verdict, once and twice; and reports come doubled and in any order. One download, one installation, and the ledger says so."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from neurath.server.delivery.calls import Building, Offered
from neurath.server.fleet import access, actions, reach, rollout, telling
from neurath.server.software import catalog
from neurath.server.software.catalog import Upload
from neurath.server.store import Store
from neurath.server.watch import arrival, folders
from neurath.server.watch.folders import Binding
from neurath.wire import manifest
from neurath.wire.report import Phase, Report, Verdict
from tests.server.world import KEY, MODEL, World, image, open_world

WHOLE = os.environ.get("NEURATH_ASSURANCE") == "1"
ROUNDS = 2000 if WHOLE else 40


class Killed(BaseException):
    """The server's process is gone; nothing in it may catch this."""


@dataclass
class Fate:
    """At which writes, counted from the beginning of the story, the server dies: before or after the commit. `dead`: it has,
    whatever became of the exception, which what builds update files takes for a fault of its own."""

    deaths: list[tuple[int, bool]]
    writes: int = 0
    dead: bool = False

    def strike(self, number: int, after: bool) -> None:
        self.dead = self.dead or (number, after) in self.deaths
        self.still_here()

    def still_here(self) -> None:
        if self.dead:
            raise Killed


@contextmanager
def fated(monkeypatch: pytest.MonkeyPatch, fate: Fate) -> Iterator[None]:
    whole = Store.write

    @contextmanager
    def write(self: Store, *about):
        fate.still_here()
        fate.writes += 1
        number = fate.writes
        with whole(self, *about) as db:
            yield db
            fate.strike(number, after=False)
        fate.strike(number, after=True)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", write)
        yield


@dataclass
class Terminal:
    """What a terminal keeps through everything: its bank, the file that is whole, and how often it fetched and installed."""

    bank: bytes = image(1)
    sequence: int = 1
    file: str = ""
    downloads: list[str] = field(default_factory=list)
    installs: int = 0

    def contact(self, world: World) -> bool:
        """One contact with the server as it is now, as the protocol goes; True: there was nothing for it."""
        with world.store.read() as db:
            me = access.find(db, "t1")
        world.now += 1
        world.delivery.record(me, world.says(self.bank, sequence=self.sequence), world.now)
        decision = world.delivery.decide(me, "firmware", world.now)
        if not isinstance(decision, Offered):
            return not isinstance(decision, Building)
        action = decision.action
        offer = world.delivery.offer(me, action, world.now)

        def tell(phase: Phase, verdict: Verdict = Verdict.PENDING, **more) -> None:
            with world.store.read() as db:
                current = actions.by_id(db, action.id)
            world.delivery.reported(current, Report(str(action.id), phase, verdict, **more), world.now)

        tell(Phase.OFFERED, secured=offer.size)
        if self.file != action.file:
            with world.store.read() as db:
                assert world.delivery.may_fetch(actions.by_id(db, action.id))
            self.downloads.append(action.file)
            self.file = action.file  # the bytes are here before the server counts them
            world.delivery.served(action, 0, offer.size, world.now)
        tell(Phase.DOWNLOADED, done=offer.size)
        if self.bank != image(2):
            tell(Phase.UPDATING, done=offer.size)
            self.bank, self.sequence = image(2), 2
            self.installs += 1
        tell(Phase.JUDGING, done=offer.size)
        tell(Phase.UPDATED, Verdict.CONFIRMED, done=offer.size, bank=offer.envelope and bytes.fromhex(_image_of(world)))
        return False


def _image_of(world: World) -> str:
    with world.store.read() as db:
        return catalog.find_release(db, "phone/2").image


def prepared(place: Path) -> World:
    world = open_world(place / "data")
    world.release("1", image(1), 1)
    world.terminal("t1")
    with world.store.write() as db:
        folders.add(db, Binding(place / "in", "phone", "firmware", auto=True), 1.0)
    return world


def story(place: Path, deaths: list[tuple[int, bool]], monkeypatch: pytest.MonkeyPatch) -> tuple[World, Terminal, Fate]:
    """From the dropped file to the verdict; whenever the server dies, another one begins on what is on the disk."""
    world, terminal, fate = prepared(place), Terminal(), Fate(deaths)
    sealed = manifest.sign(manifest.contents_of(image(2), MODEL, sequence=2, version="2"), KEY)
    upload = Upload(image(2), "phone", "2", envelope=sealed)
    now = world.now
    done = False
    with fated(monkeypatch, fate):
        for _ in range(20):
            try:
                arrival.arrive(world.store, upload, world.now)  # the monitor looks anew after each start
                with world.store.read() as db:
                    _, told = telling.notices_since(db, 0)
                with world.store.write() as db:
                    reach.notified(db, told, world.now)
                done = terminal.contact(world)
                rollout.advance(world.store, world.now)
                fate.still_here()
                if done:
                    break
            except Killed:
                now, done = world.now, False
                world.delivery.deltas.close()
                world.store.close()
                world = reopened(place / "data", fate)
                world.now = now + 1
    assert done
    return world, terminal, fate


def reopened(place: Path, fate: Fate) -> World:
    """A start that may die as well, in a write of its own."""
    fate.dead = False
    try:
        return open_world(place)
    except Killed:
        fate.dead = False
        return open_world(place)


def agreed(world: World, terminal: Terminal) -> None:
    with world.store.read() as db:
        me = access.find(db, "t1")
        new = catalog.find_release(db, "phone/2")
        assert len(rollout.all_rollouts(db)) == 1
        assert telling.lacking(db, rollout.all_rollouts(db)[0]) == []
        assert actions.current_actions(db, me.n) == []
    entry = world.entry(me, new)
    assert entry is not None
    assert (terminal.installs, len(terminal.downloads)) == (1, 1)
    assert (entry.verdict, entry.phase, entry.sync) == ("confirmed", "updated", entry.size)
    assert entry.bytes in (0, entry.size)
    assert None not in (entry.notified, entry.offered, entry.distributed, entry.installed)
    assert entry.offered <= entry.distributed <= entry.installed
    world.delivery.deltas.close()
    world.store.close()


@pytest.mark.heavy
def test_a_server_killed_before_or_after_any_of_its_writes_agrees_in_the_end(tmp_path: Path, monkeypatch) -> None:
    world, terminal, fate = story(tmp_path / "calm", [], monkeypatch)
    agreed(world, terminal)
    assert fate.writes > 12
    for number, after in itertools.product(range(1, fate.writes + 1), (False, True)):
        world, terminal, _ = story(tmp_path / f"{number}{after}", [(number, after)], monkeypatch)
        agreed(world, terminal)


@pytest.mark.heavy
def test_a_server_killed_twice_agrees_in_the_end(tmp_path: Path, monkeypatch, seed: int) -> None:
    chance = random.Random(seed)
    pairs = list(itertools.combinations(itertools.product(range(1, 24), (False, True)), 2))
    for index, deaths in enumerate(pairs if WHOLE else chance.sample(pairs, 12)):
        world, terminal, _ = story(tmp_path / str(index), list(deaths), monkeypatch)
        agreed(world, terminal)


def test_reports_that_come_doubled_and_in_any_order_end_in_the_same_ledger(world, seed: int) -> None:
    chance = random.Random(seed)
    new = world.release("2", image(2), 2)
    world.release("1", image(1), 1)
    world.start(new)
    for number in range(ROUNDS):
        me = world.terminal(f"t{number}")
        offer = world.delivery.check(me, world.says(image(1)), world.now)
        assert offer is not None
        words = [
            Report(offer.action, Phase.OFFERED, secured=offer.size),
            Report(offer.action, Phase.DOWNLOADING, done=offer.size // 2),
            Report(offer.action, Phase.DOWNLOADED, done=offer.size),
            Report(offer.action, Phase.WAITING_FOR_USE_END, done=offer.size, reason="in use"),
            Report(offer.action, Phase.UPDATING, done=offer.size),
            Report(offer.action, Phase.JUDGING, done=offer.size),
            Report(offer.action, Phase.UPDATED, Verdict.CONFIRMED, done=offer.size, bank=bytes.fromhex(new.image)),
        ]
        said = [word for word in words for _ in range(chance.randrange(1, 4))]
        chance.shuffle(said)
        for word in said:
            with world.store.read() as db:
                action = actions.by_id(db, int(offer.action))
            world.now += 1
            world.delivery.reported(action, word, world.now)
        entry = world.entry(me, new)
        assert (entry.verdict, entry.phase, entry.sync, entry.tries) == ("confirmed", "updated", entry.size, 0)
        assert entry.distributed <= entry.installed
        with world.store.read() as db:
            assert actions.current_actions(db, me.n) == []
