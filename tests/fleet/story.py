"""A fleet takes a rollout in waves while something happens to its server, and afterwards both sides' records are compared. It
knows terminals, a store and what must be the same on both sides; it must never ask the server what a terminal did."""

from __future__ import annotations

import contextlib
import json
import math
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import func, select, update

from neurath.carriers.http import Place
from neurath.errors import NeurathError
from neurath.flash.geometry import model_to_toml
from neurath.server.fleet import access, rollout
from neurath.server.fleet.access import Enrolment
from neurath.server.fleet.rollout import Plan, Rollout
from neurath.server.fleet.waves import policy
from neurath.server.software import catalog, models
from neurath.server.software.catalog import Release, Upload
from neurath.server.store import Store, audit
from neurath.server.store.tables import action, delta, event, ledger, rollout_wave, terminal
from neurath.sim.crowd import Crowd, Fate, LightTerminal
from neurath.wire import manifest
from neurath.wire.keys import public_pem
from neurath.wire.report import Phase, Report
from tests.server.world import KEY, MODEL, World, image

#: Of all terminals: on these shares the update fails, and these are never heard of again.
FAILING, SILENT = 0.02, 0.01
#: More fail than may, so it halts at least once; patience that no run outlasts is over when the story says so (`outlast`).
POLICY = "waves=1%,20% go-on=90% halt=1.5% patience=7d"
PATIENCE = 7 * 86400.0
#: Seconds in which something has to move: ten times what a busy machine takes.
LIMIT = 300.0
#: Seconds after which all that wait look again, whether or not a wave was opened.
ANYWAY = 30.0


@dataclass(slots=True)
class Fleet:
    """`crowd` on a server at `url`, whose store is `store`; `release` is on its way by rollout `number`. `halts` says why it
    stopped each time, until a person went on."""

    store: Store
    crowd: Crowd
    release: Release
    number: int
    seed: int
    halts: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def of(self, fate: Fate) -> list[LightTerminal]:
        return [one for one in self.crowd.terminals if one.fate is fate]

    @property
    def acknowledged(self) -> int:
        return sum(len(one.acknowledged) for one in self.crowd.terminals)

    def rollout(self) -> Rollout:
        with self.store.read() as db:
            return rollout.find(db, self.number)

    def take(self) -> None:
        """Terminals check in until what its fate was has come about on each: all of them when a wave was opened, and now and
        then, else those that have begun. A person goes on after each halt."""
        seen, asked, moved, before = None, 0.0, time.monotonic(), -1
        # The last wave may be counted a moment after the last word was said.
        while (waiting := [one for one in self.crowd.terminals if not one.settled]) or not self.halts:
            now = time.monotonic()
            with contextlib.suppress(NeurathError):  # the store may be away from here too
                found = self.rollout()
                if found.state == "halted":
                    self.go_on(found)
                self.outlast(found)
                if (found.state, found.step) != seen or now - asked > ANYWAY:
                    seen, asked = (found.state, found.step), now
                    self.crowd.meet(waiting)
            self.crowd.meet([one for one in waiting if one.acknowledged and not one.settled])
            if self.acknowledged != before:
                moved, before = now, self.acknowledged
            assert now - moved < LIMIT, self.stuck()
            time.sleep(0.1)
        self.seconds = time.monotonic() - self.began

    def go_on(self, found: Rollout) -> None:
        """Nobody new is offered anything by a rollout that halted; then a person has looked, and it goes on."""
        offered = self._offers()
        self.crowd.meet([one for one in self.crowd.terminals if not one.settled][:20])
        assert self._offers() == offered
        with self.store.write() as db:
            rollout.move(db, self.number, "resume", time.time())
        self.halts.append(found.why)

    def outlast(self, found: Rollout) -> None:
        """Where nobody is waited for but those who fell silent, patience with them is over: a week goes by in no time."""
        lost = sum(one.lost for one in self.crowd.terminals)
        with self.store.read() as db:
            tally = rollout.tally(db, found, time.time())
        if tally.silent < lost == tally.admitted - tally.confirmed - tally.failed:
            with self.store.write() as db:
                db.execute(update(rollout_wave).values(opened=rollout_wave.c.opened - PATIENCE))

    def _offers(self) -> int:
        with self.store.read() as db:
            return int(db.scalar(select(func.count()).select_from(action)) or 0)

    def stuck(self) -> str:
        waiting = [one for one in self.crowd.terminals if not one.settled]
        said = {one.place.terminal: one.faults[-2:] for one in waiting[:3]}
        return f"{len(waiting)} wait, for example {said}; {self.rollout()}"

    # ---- afterwards

    def agreed(self) -> None:
        """What each side keeps is the same, and each step was taken once."""
        self.crowd.meet(self.of(Fate.SOUND) + self.of(Fate.FAILS))  # nothing is left for anybody
        lines, events, actions = self._server()
        for one in self.crowd.terminals:
            name = one.place.terminal
            line, seen, offers = lines[name], Counter(events[name]), actions[name]
            _told(one.acknowledged, seen, offers, self.release.size)
            # Withdrawn by a halt and offered anew is no second attempt; two that came to an end would be.
            ended = [offer for offer in offers.values() if offer.state == "closed"]
            match one.fate:
                case Fate.SOUND:
                    (record,) = one.records
                    assert (line.verdict, line.phase, line.tries) == ("confirmed", "updated", 0), name
                    assert (line.size, line.sync, seen["confirmed"]) == (record.size, record.fetched, 1), name
                    assert line.distributed <= line.installed, name
                    # Offered anew after a halt to one who has the file since before.
                    assert len(offers) > 1 or line.offered <= line.distributed, name
                    assert record.downloaded <= record.installed <= line.installed + 1, name
                    assert len(ended) == 1, name
                case Fate.FAILS:
                    assert (line.verdict, line.tries, seen["failed"]) == ("failed", one.failures, one.failures), name
                    assert len(ended) == one.failures, name
                case Fate.SILENT:
                    assert (line.verdict, line.distributed, ended) == ("pending", None, []), name
        self._steps()

    def _server(self) -> tuple[dict[str, object], dict[str, list[str]], dict[str, dict[str, object]]]:
        """The ledger's line, the timeline and the offers of each terminal, by name."""
        with self.store.read() as db:
            names = {row.n: row.id for row in db.execute(select(terminal.c.n, terminal.c.id))}
            lines = {names[row.terminal]: row for row in db.execute(select(ledger))}
            events: dict[str, list[str]] = {name: [] for name in names.values()}
            for n, kind in db.execute(select(event.c.terminal, event.c.kind)):
                events[names[n]].append(kind)
            offers: dict[str, dict[str, object]] = {name: {} for name in names.values()}
            for row in db.execute(select(action)):
                offers[names[row.terminal]][str(row.id)] = row
        return lines, events, offers

    def _steps(self) -> None:
        """Each wave was opened once, its update file built once, and the audit log is whole."""
        found = self.rollout()
        assert self.halts
        with self.store.read() as db:
            tally = rollout.tally(db, found, time.time() + 2 * PATIENCE)
            steps = list(db.scalars(select(rollout_wave.c.step).order_by(rollout_wave.c.step)))
            built = [(row.old, row.new) for row in db.execute(select(delta.c.old, delta.c.new))]
            said = [json.loads(one.detail) for one in audit.everything(db) if one.who == "server" and one.what == "rollout"]
            assert audit.verify(db).broken == ""
        assert (tally.failed, tally.silent) == (len(self.of(Fate.FAILS)), len(self.of(Fate.SILENT)))
        assert (tally.targets, tally.confirmed) == (len(self.crowd.terminals), len(self.of(Fate.SOUND)))
        opened = [one["step"] for one in said if one["state"] == "running"]
        assert len(set(opened)) == len(opened)
        assert steps[0] == 0
        assert set(steps[1:]) == set(opened)
        assert sum(one["state"] == "halted" for one in said) >= len(self.halts)
        there, back = built  # the way there, and the way back that was made before the first offer
        assert there == back[::-1]


def _told(acknowledged: list[Report], seen: Counter[str], offers: dict[str, object], size: int) -> None:
    """Each report that a terminal was thanked for is in what the server keeps."""
    for word in acknowledged:
        assert word.action in offers
        match word.phase:
            case Phase.OFFERED:
                assert offers[word.action].secured == word.secured  # type: ignore[attr-defined]
            case Phase.DOWNLOADED | Phase.UPDATING:
                assert seen[word.phase.value] >= 1
            case _:
                assert seen[word.verdict.value] >= 1
                assert offers[word.action].state != "open"  # type: ignore[attr-defined]


def marks(fleet: Fleet, times: int) -> list[int]:
    """At how many acknowledged reports, in sum, something happens: places drawn from those there will be whatever happens."""
    certain = 3 * len(fleet.of(Fate.SOUND))
    return sorted(random.Random(fleet.seed).sample(range(certain), times))


def furnish(store: Store, count: int, seed: int) -> tuple[Release, int, list[LightTerminal]]:
    """Terminals that run image 1, and a rollout of image 2 that has begun. A few of each wave's size share each fate."""
    old, new = _images()
    with store.write() as db:
        models.add_model(db, model_to_toml(MODEL), [public_pem(KEY.public).decode()], 0.0)
        tokens = {f"f{n:05}": access.register(db, Enrolment(f"f{n:05}", "phone"), 0.0) for n in range(count)}
    for number, data in ((1, old), (2, new)):
        sealed = manifest.sign(manifest.contents_of(data, MODEL, sequence=number, version=str(number)), KEY)
        release = catalog.add(store, Upload(data, MODEL.name, str(number), envelope=sealed), 0.0)
    with store.write() as db:
        made = rollout.create(db, Plan(release, None, policy=policy(POLICY)), time.time())
        rollout.move(db, made.id, "start", time.time())
    says = World.says(None, old)  # type: ignore[arg-type]
    fates = [Fate.FAILS] * math.ceil(FAILING * count) + [Fate.SILENT] * math.ceil(SILENT * count)
    fates += [Fate.SOUND] * (count - len(fates))
    random.Random(seed).shuffle(fates)
    return (
        release,
        made.id,
        [
            LightTerminal(Place("", name, token), says, [KEY.public], fate=fate, pause=0.1)
            for (name, token), fate in zip(tokens.items(), fates, strict=True)
        ],
    )


def _images() -> tuple[bytes, bytes]:
    """Two that have most in common, so that the update file is small."""
    old, other = image(1, 8000), image(2, 8000)
    return old, old[:3000] + other[:500] + old[3500:]


@contextlib.contextmanager
def fleet(directory: Path, url: str, count: int, seed: int, database: str = "") -> Iterator[Fleet]:
    """A fleet that has not met its server at `url` yet."""
    store = Store(directory, database)
    release, number, terminals = furnish(store, count, seed)
    for one in terminals:
        one.place = replace(one.place, url=url)
    crowd = Crowd(terminals)
    try:
        yield Fleet(store, crowd, release, number, seed)
    finally:
        crowd.close()
        store.close()
