"""A bank without scratch, rewritten by real processes over real HTTP: killed anywhere in the rewrite, the next start asks the
server for the file made for exactly what the bank holds, and ends in the new image."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.carriers.http import Http, Place
from neurath.flash.bank import MAX_BOOTS
from neurath.flash.bank import Fate as Started
from neurath.flash.geometry import simple_layout
from neurath.flash.native import Core, Nor
from neurath.sim.ground import Ground
from neurath.sim.processes import was_killed
from neurath.sim.scenario import Actor, Fate, Scenario, board, rewrite_operations
from neurath.terminal.identity import Lending
from neurath.terminal.install import open_bank
from neurath.terminal.machine.events import Fate as Woken
from neurath.terminal.machine.events import Proved, Rewritten, Weight
from neurath.wire.report import Phase, Report
from tests.journey.test_straight_path import ONE, PATIENCE, agent
from tests.journey.trace import traced
from tests.parts import images
from tests.rigs.verbs import verb


def updated_by_hand(ground: Ground) -> None:
    """One update up to the first start of the new image, which hangs whenever it is started."""
    bank = open_bank(ground.vault / "model.toml", ground.bank(ONE))
    assert bank.start().fate is Woken.BOOT
    link = Http(Place(ground.url, bank.name(), ground.tokens[ONE]))
    end, answer = time.monotonic() + PATIENCE, None
    while (answer is None or answer.offer is None) and time.monotonic() < end:
        answer = link.check(bank.check(Lending(ground.scenario.model.ram), "idle"))
    assert answer is not None
    offer = answer.offer
    assert offer is not None
    assert bank.weigh(offer, in_ram=True).weight is Weight.ACCEPTED
    link.report(Report(offer.action, Phase.DOWNLOADING, total=offer.size, secured=offer.need))
    data = b"".join(link.fetch(offer.file, 0, offer.size))
    assert bank.prove(data, offer.need) == Proved()
    assert bank.rewrite(data, offer.need) == Rewritten()
    link.close()
    for boots in range(MAX_BOOTS):
        assert bank.start(fault=True).fate is (Woken.RESTORE if boots == MAX_BOOTS - 1 else Woken.BOOT)
    bank.nor.close()


@contextmanager
def prepared(name: str, folder: Path, seed: int) -> Iterator[Ground]:
    """A server, and one terminal of a board without scratch that can be reached while nothing boots."""
    pair = images(name)
    plain = board(pair, ram=256 * 1024)
    room = max(len(pair.old), len(pair.new))
    model = replace(plain, layout=simple_layout(room, scratch_sectors=0), mode="resume", rescue="modem")
    ground = Ground(Scenario(pair, model, (Actor(ONE, Fate.CUT),), seed), folder, lambda text, **fields: None)
    try:
        ground.prepare(None)
        verb("rollout", "create", "--release", ground.release(pair.new_version), "--all", "--start", "--data", ground.data)
        yield ground
    finally:
        if ground.server is not None:
            ground.server.end()


@pytest.mark.network
def test_a_terminal_without_scratch_goes_on_by_itself_after_two_power_cuts(tmp_path: Path, seed: int) -> None:
    with prepared("movehub", tmp_path, seed) as ground:
        pair, model = ground.scenario.pair, ground.scenario.model
        operations = rewrite_operations(pair, model)
        killed = 0
        with traced(ground.url.removeprefix("http://")) as (url, trace):
            place = random.Random(seed).randrange(operations // 5, operations * 4 // 5)
            # The second cut falls into the middle of what the first has left.
            for more in (["--kill-at", str(place)], ["--kill-at", str((operations - place) // 2)], []):
                process = agent(ground, url, "--once", *more)
                code = process.process.wait(PATIENCE)
                process.end()
                killed += was_killed(code)
            assert code == 0, process.last_words()
            assert killed == 2
        asked = [e for e in trace.exchanges if e.method == "POST" and f"/rescue/{ONE}" in e.path]
        fetched = [
            e for e in trace.exchanges if e.method == "GET" and "/neurath/v1/file/" in e.path and e.status in (200, 206)
        ]
        assert any(e.status == 200 for e in asked)
        assert fetched
        bank = ground.bank(ONE).read_bytes()
        base = model.layout.bank[0].base
        assert bank[base : base + len(pair.new)] == pair.new
        ledger = verb("terminal", "show", ONE, "--data", ground.data)[0]["ledger"]
        assert any((line["version"], line["verdict"]) == (pair.new_version, "confirmed") for line in ledger)


@pytest.mark.network
def test_an_image_that_hangs_is_left_again_over_the_air(tmp_path: Path, seed: int) -> None:
    with prepared("movehub", tmp_path, seed) as ground:
        pair, model = ground.scenario.pair, ground.scenario.model
        updated_by_hand(ground)
        with traced(ground.url.removeprefix("http://")) as (url, trace):
            process = agent(ground, url, "--once")
            code = process.process.wait(PATIENCE)
            process.end()
        assert code == 0, process.last_words()
        asked = [e.status for e in trace.exchanges if e.method == "POST" and f"/rescue/{ONE}" in e.path]
        assert asked == [200]  # built before the release was offered: there is nothing to wait for
        bank = ground.bank(ONE).read_bytes()
        base = model.layout.bank[0].base
        assert bank[base : base + len(pair.old)] == pair.old
        core = Core(model.layout, Nor.file(model.layout, ground.bank(ONE)))
        assert core.power_up() is Started.BOOT
        assert not core.facts.candidate
        ledger = verb("terminal", "show", ONE, "--data", ground.data)[0]["ledger"]
        assert any((line["version"], line["verdict"]) == (pair.new_version, "failed") for line in ledger)
