"""A transfer cut after every byte, in memory, and at 64 places over real HTTP: at most one piece is sent again, and the bank
is never touched."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from neurath.carriers.http import Http, Place
from neurath.carriers.memory import Line, Memory, Shelf
from neurath.flash.native import Nor
from neurath.ids import Version, digest
from neurath.sim.link import CuttingLink
from neurath.terminal.machine import events as ev
from neurath.terminal.memory.reserve import Reserve
from neurath.terminal.staging.transfer import Transfer, Wanted
from neurath.wire.offer import Kind, Offer
from neurath.wire.report import Phase, Report
from tests.carriers.ddi_stub import TOKEN, DdiStub
from tests.contracts.carrier import CHECK
from tests.parts import ASSURANCE
from tests.terminal.world import MODEL, NEW, OLD, World, factory

FILE = random.Random(3).randbytes(10 * 1024)
WANTED = Wanted(digest(FILE), len(FILE))
PIECE = 512


def transfer(folder: Path | None = None) -> Transfer:
    made = Transfer(Reserve(16 * 1024, (), {}), folder, piece=PIECE)
    assert isinstance(made.secure(12 * 1024, len(FILE)), ev.Secured)
    return made


def shelf() -> Shelf:
    return Shelf(files={WANTED.file: FILE}, secured=1 << 20)


@pytest.mark.parametrize("durable", [False, True], ids=["volatile", "durable"])
def test_a_cut_after_every_byte_costs_at_most_one_piece(durable: bool, tmp_path: Path) -> None:
    far = shelf()
    step = 1 if not durable else 257  # files are slow; every byte is cut in memory
    for cut in range(0, len(FILE) + 1, step):
        staging = transfer(tmp_path / "stage" if durable else None)
        line = Line(left=cut)
        carrier = Memory(far, line, step=700)
        first = staging.run(carrier, WANTED, lambda held: True)
        held = staging.held
        if cut < len(FILE):
            assert isinstance(first, ev.LinkLost)
            assert cut - PIECE < held <= cut
            line.mend()
            assert isinstance(staging.run(carrier, WANTED, lambda held: True), ev.Complete)
        assert line.passed <= len(FILE) + PIECE, f"cut at {cut}: more than one piece was sent again"
        if cut % 61 == 0 or durable:
            assert isinstance(staging.seal(), ev.FileGood)
            assert staging.contents() == FILE
        staging.drop()


def beside_log(nor: Nor) -> bytes:
    """All of the flash but the state log."""
    first, second = MODEL.layout.log
    return nor.read_raw(0, first.base) + nor.read_raw(second.end, MODEL.layout.size - second.end)


def test_a_cut_anywhere_in_an_update_never_changes_the_bank() -> None:
    """The whole terminal: whatever byte the link is cut at before the file is complete, nothing but its state log (which keeps
    the ticket's serial) is written."""
    nor = Nor.memory(MODEL.layout)
    factory(nor)
    nor.forget()
    world = World(nor)
    offer = world.publish()
    line = world.carrier.line
    world.agent.power_up()
    before = beside_log(nor)
    # A whole terminal each time: every byte in the assurance tier, a stride that meets every kind of message otherwise.
    for cut in range(0, offer.size + 1400, 1 if ASSURANCE else 37):
        world.far.closed.clear()
        world.far.told.clear()
        world.far.secured = 0
        line.left = cut
        world.power()
        world.agent.power_up()
        world.agent.wait()
        if not world.holds(OLD) or any(report.phase is Phase.DOWNLOADED for report in world.far.told):
            break  # complete: what follows is the rewrite, with the link closed
        assert beside_log(nor) == before, f"the flash was written although the link was cut at {cut}"
        span = MODEL.layout.bank[0]
        assert not any(nor.erases(at) + nor.programs(at) for at in range(span.base, span.end, 1024))
        assert all(program.unharmed() for program in world.programs.values() if program.length)
    assert cut > offer.size, "the transfer was never cut near its end"
    line.mend()
    world.until_rest()
    assert world.holds(NEW)


def test_a_cut_at_64_places_over_real_http(seed: int) -> None:
    rng = random.Random(seed)
    offer = Offer(Kind.DELTA, WANTED.file, WANTED.size, 12 * 1024, b"e", b"t", Version("2"), action="7")
    far = Shelf(offer=offer, files={WANTED.file: FILE})
    with DdiStub(far) as server, CuttingLink(server.place) as link:
        for place in range(64):
            staging = transfer()
            carrier = Http(Place(link.url, "unit", TOKEN, message_limit=5))
            carrier.check(CHECK)
            carrier.report(Report(offer.action, Phase.DOWNLOADING, total=offer.size, secured=offer.need))
            carrier.close()
            requests = len(server.requests)
            link.allow(place * len(FILE) // 64 + rng.randrange(len(FILE) // 64))
            assert isinstance(staging.run(carrier, WANTED, lambda held: True), ev.LinkLost)
            held = staging.held
            link.mend()
            assert isinstance(staging.run(carrier, WANTED, lambda held: True), ev.Complete)
            assert isinstance(staging.seal(), ev.FileGood)
            assert staging.contents() == FILE
            assert server.requests[-1][1] == f"bytes={held}-{len(FILE) - 1}"
            assert len(server.requests) - requests == 2
            carrier.close()
