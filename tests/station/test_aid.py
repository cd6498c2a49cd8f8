"""The resume delta over the wire: a terminal in mid-rewrite that has no air says what its bank holds, and is brought to the
new image by the file made for just that, after any number of cuts."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from neurath.carriers.pty import Pty
from neurath.delta import hybrid
from neurath.delta.hybrid import Goal
from neurath.flash.bank import Fate, ImageRecord
from neurath.flash.geometry import Model, Region, Span, model_to_toml
from neurath.flash.native import Core, Nor, PowerCut, write_bank
from neurath.flash.wire import SmpServer
from neurath.ids import ModelName, Version
from neurath.sim.power import Story
from neurath.station import screen
from neurath.station.line import Line
from neurath.station.machine import Verdict
from neurath.station.run import Bench
from neurath.station.select import Entry
from neurath.station.stock import Index, Stock
from neurath.wire import keys, manifest, smp
from tests.flash.crafted import target_of
from tests.power.broken import resumed
from tests.station.device import KEY, Device, birth_of, envelope_of, named, package_of
from tests.station.rig import Rig

LENT = 1 << 17
AID = 3


@cache
def told() -> tuple[Story, Model]:
    """The update, and the terminal: the enumerator's device with one sector more, for a birth record."""
    story = resumed(512, write_unit=8)
    layout = replace(story.layout, regions=(Region(0, 512, 17),), birth=Span(16 * 512, 512))
    return replace(story, layout=layout), Model(ModelName("phone"), layout, ram=65536, mode="resume")


@dataclass
class Resuming(Device):
    """A terminal without scratch; `cut` is the operation of its rewrite in which the power goes."""

    cut: int = 0
    kind: str = "early"

    def __post_init__(self) -> None:
        story, self.model = told()
        self.old = story.old
        self.nor = Nor.memory(self.model.layout)
        core = Core(self.model.layout, self.nor)
        core.write_birth(birth_of(self.model, self.name))
        write_bank(self.nor, self.old)
        raw = envelope_of(self.old, self.model, 5)
        core.provision(ImageRecord(hashlib.sha256(self.old).digest(), len(self.old), named(raw), 5, 0))
        core = Core(self.model.layout, self.nor)
        core.power_up()
        self.nor.forget()
        self.nor.cut_at(self.cut, self.kind, self.cut)
        self.heard, self.deframer, self.ended = [], smp.Deframer(), False
        target = replace(
            target_of(story.new, story.file, self.model.layout),
            envelope=named(envelope_of(story.new, self.model, 6)),
            sequence=6,
        )
        try:
            core.rewrite(story.file, target, LENT)
            self.ended = True
        except PowerCut:
            self.nor.power(self.cut)
        self.nor.no_cut()
        self.power_up()

    def power_up(self) -> Fate:
        self.core = Core(self.model.layout, self.nor)
        self.fate = self.core.power_up()
        self.deframer = smp.Deframer()
        self.server = SmpServer(self.core, self.core.birth(), self._hear, self.fate, buffer=self.buffer, aid=LENT)
        return self.fate

    def question(self) -> bytes:
        answer = self.ask(0, smp.GROUP, AID)
        assert isinstance(answer["r"], bytes), answer
        return answer["r"]

    def cure(self) -> bytes:
        """What the station makes of the question."""
        story, _ = told()
        goal = Goal(story.old, story.new)
        return hybrid.build(hybrid.recognise(self.question(), goal, story.layout), goal, story.layout).data

    def give(self, data: bytes, piece: int = 300, **wrong: object) -> dict[str, object]:
        """Sends a file as the station does; the last answer."""
        off, answer = 0, {}
        while off < len(data):
            body: dict[str, object] = {"off": off, "data": data[off : off + piece]}
            if off == 0:
                body |= {"len": len(data), "sha": hashlib.sha256(data).digest()} | wrong
            answer = self.ask(2, smp.GROUP, AID, body)
            if "err" in answer:
                return answer
            off = int(str(answer["off"]))
        return answer


def is_new(device: Resuming) -> bool:
    story, _ = told()
    return device.power_up() is Fate.BOOT and device.bank(len(story.new)) == story.new and device.nor.violations == 0


@pytest.mark.parametrize("kind", ["before", "early", "late", "after", "random", "meta"])
def test_after_a_cut_at_any_operation_the_file_for_what_is_there_brings_the_new_image(kind: str) -> None:
    torn, n = 0, 0
    while not (device := Resuming(cut=n, kind=kind)).ended:
        n += 1
        if device.fate is Fate.BOOT:
            continue
        torn += 1
        data = device.cure()
        assert device.give(data) == {"off": len(data)}
        assert is_new(device), n
        erased = [device.nor.erases(span.base + at) for span in device.model.layout.bank for at in range(0, span.length, 512)]
        assert max(erased) <= 2
        assert sum(count > 1 for count in erased) <= 1  # the sector that was open
    assert n > 30
    assert torn > 15


def test_any_number_of_cuts_each_with_a_file_of_its_own_ends_in_the_new_image(seed: int) -> None:
    for trial in range(12):
        dice = random.Random(seed + trial)
        device = Resuming(cut=dice.randrange(8, 30), kind="random")
        for _ in range(dice.randrange(1, 8)):
            if device.fate is not Fate.FETCH:
                break
            device.nor.cut_at(dice.randrange(12), dice.choice(["before", "early", "late", "after", "random", "weak"]), trial)
            try:
                device.give(device.cure())
            except PowerCut:
                device.nor.power(dice.randrange(3))
            device.nor.no_cut()
            device.power_up()
        if device.fate is Fate.FETCH:
            device.give(device.cure())
        assert device.power_up() is Fate.BOOT
        image = device.core.facts.installed
        assert device.core.bank_digest(image.size) == image.image
        assert device.nor.violations == 0


def torn() -> Resuming:
    device = Resuming(cut=16)
    assert device.fate is Fate.FETCH
    return device


def test_a_pulled_cable_goes_on_at_the_byte_and_a_power_cut_begins_anew() -> None:
    device = torn()
    data = device.cure()
    first: dict[str, object] = {"off": 0, "data": data[:200], "len": len(data), "sha": hashlib.sha256(data).digest()}
    assert device.ask(2, smp.GROUP, AID, first) == {"off": 200}
    assert device.ask(2, smp.GROUP, AID, first) == {"off": 200}
    device.power_up()
    assert device.ask(2, smp.GROUP, AID, first | {"data": data[:100]}) == {"off": 100}
    device.give(data)
    assert is_new(device)


def test_who_did_not_hear_the_last_answer_hears_it_again() -> None:
    device = torn()
    data = device.cure()
    end = device.give(data)
    assert end == {"off": len(data)}
    assert device.ask(2, smp.GROUP, AID, {"off": len(data) - 10, "data": data[-10:]}) == end


def test_a_file_that_is_not_for_this_bank_or_is_damaged_writes_nothing_and_the_package_still_comes() -> None:
    story, model = told()
    for name in ("the file that was cut", "another hybrid's", "a bit", "another name", "cut short", "endless", "noise"):
        device = torn()
        data, before = device.cure(), device.nor.operations
        wrong: dict[str, object] = {}
        match name:
            case "the file that was cut":
                data = story.file
            case "another hybrid's":
                data = Resuming(cut=24).cure()
            case "a bit":
                data, wrong = data[:-1] + bytes([data[-1] ^ 1]), {"sha": hashlib.sha256(data).digest()}
            case "another name":
                wrong = {"sha": bytes(32)}
            case "cut short":
                data = data[:-20]
            case "endless":
                wrong = {"len": LENT + 1}
            case "noise":
                data = random.Random(1).randbytes(2000)
        answer = device.give(data, **wrong)
        assert "err" in answer, name
        assert device.nor.operations - before <= 1, name  # a proof that failed is counted
        assert device.identity().last != 0
        device.restore(package_of(story.new, model, 6))
        assert is_new(device), name


def test_where_no_plan_is_open_nothing_is_asked_or_taken_and_the_lent_ram_is_not_touched() -> None:
    device = Resuming(cut=1 << 20)
    assert device.fate is Fate.BOOT
    device.server._aid[0][0:4] = b"mine"
    before = device.nor.operations
    for op in (0, 2):
        body = {"off": 0, "data": b"x", "len": 1, "sha": bytes(32)} if op else {}
        assert device.ask(op, smp.GROUP, AID, body)["err"] == {"rc": 10, "group": 64}
    assert bytes(device.server._aid[0][0:4]) == b"mine"
    assert device.nor.operations == before


def test_a_terminal_that_takes_packages_only_says_so() -> None:
    device = torn()
    device.server = SmpServer(device.core, device.core.birth(), device._hear, device.fate, buffer=512)
    assert device.ask(0, smp.GROUP, AID) == {"rc": 8}


def test_no_map_crashes_it() -> None:
    device = torn()
    dice = random.Random(3)
    before = device.nor.operations
    values = [0, 1, 299, LENT, LENT + 1, 0xFFFFFFFF, 1 << 40, b"", bytes(32), bytes(33), "x", None, True]
    for _ in range(2000):
        body = {key: dice.choice(values) for key in ("off", "data", "len", "sha") if dice.random() < 0.9}
        device.ask(2, smp.GROUP, AID, body)
    assert device.nor.operations - before <= 2000
    assert device.fate is Fate.FETCH
    device.give(device.cure())
    assert is_new(device)


# ---- the station -------------------------------------------------------------------------------------------------------


class Wire(Rig):
    """Such a terminal on a line; with `lent` 0 it takes packages only."""

    lent = LENT

    def make(self, line: Pty) -> SmpServer:
        device = self.device
        device.power_up()
        return SmpServer(device.core, device.core.birth(), line.write, device.fate, buffer=1024, aid=self.lent)


class Plain(Wire):
    lent = 0


def stock_at(place: Path, *, maps: bool = True, before: bool = True) -> Stock:
    """Both releases and the memory map, or less."""
    story, model = told()
    stock, entries = Stock(place), []
    for version, image, sequence in (("1.5", story.old, 5), ("1.6", story.new, 6)):
        raw = envelope_of(image, model, sequence)
        digest, name = hashlib.sha256(image).hexdigest(), manifest.verify(raw, [KEY.public]).digest.hex()
        entries.append(Entry(model.name, Version(version), digest, len(image), raw, name, sequence, 0))
    keep = tuple(entries if before else entries[1:])
    shown = ((model.name, model_to_toml(model)),) if maps else ()
    pem = keys.public_pem(KEY.public).decode()
    stock.keep(Index(keep, ((model.name, pem),), (), 1.0, shown))
    for entry, image in zip(entries, (story.old, story.new), strict=True):
        if entry in keep:
            stock.put(entry, image)
    return stock


def served(device: Resuming, stock: Stock, port: Path, kind: type[Wire] = Wire) -> tuple[Bench, list[str], int]:
    """The station at this terminal; what its screen said, and how many bytes of the bank were sent."""
    wire, seen = kind(device, port), []
    bench = Bench(stock, Line(str(port)), lambda state, pace: seen.append(screen.text(state, pace)))

    async def until_done() -> None:
        while bench.state.verdict is Verdict.NONE:
            await asyncio.wait_for(bench.run(once=True), 60)

    asyncio.run(until_done())
    wire.close()
    return bench, seen, bench.pace.sent


def test_the_station_sends_the_file_for_what_is_there_and_says_so(tmp_path: Path) -> None:
    story, model = told()
    device = torn()
    bench, seen, sent = served(device, stock_at(tmp_path / "stock"), tmp_path / "wire")
    package = len(package_of(story.new, model, 6))
    assert bench.state.verdict is Verdict.RESTORED
    assert is_new(device)
    assert 0 < sent < package
    assert any(f"bytes made for what its bank holds, not the {package:,} of the package" in text for text in seen)
    record = json.loads(bench.stock.queued()[0].read_text())
    assert record["verdict"] == "restored"
    assert "made for what its bank holds" in record["sent"]
    erased = [device.nor.erases(span.base + at) for span in model.layout.bank for at in range(0, span.length, 512)]
    assert sum(count > 1 for count in erased) <= 1


def test_a_power_cut_in_the_middle_gets_a_file_of_its_own(tmp_path: Path) -> None:
    for n in (3, 9):
        device = torn()
        device.nor.cut_at(n, "random", n)
        bench, _, _ = served(device, stock_at(tmp_path / f"stock{n}"), tmp_path / f"wire{n}")
        assert bench.state.verdict is Verdict.RESTORED
        assert is_new(device)


@pytest.mark.parametrize("lacks", ["the map", "the image before", "a terminal that takes one", "a file that is taken"])
def test_where_no_such_file_can_be_made_or_taken_the_package_is_sent(
    lacks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story, model = told()
    device = torn()
    stock = stock_at(tmp_path / "stock", maps=lacks != "the map", before=lacks != "the image before")
    if lacks == "a file that is taken":
        monkeypatch.setattr("neurath.station.aid.made", lambda *_: bytes(300))
    bench, seen, sent = served(device, stock, tmp_path / "wire", Plain if "terminal" in lacks else Wire)
    assert bench.state.verdict is Verdict.RESTORED
    assert is_new(device)
    assert sent > 0.9 * len(package_of(story.new, model, 6)) - 512
    assert json.loads(stock.queued()[0].read_text())["sent"] == "the package"
    assert any("was refused" in text for text in seen) == (lacks == "a file that is taken")
