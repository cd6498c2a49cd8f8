"""The technician's screen on a real terminal, before real terminals on their wires: six steps, a cable pulled in each, the
wrong device, two ports at once, noise."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neurath.station.stock import Stock
from tests.rigs.screen import PATIENCE, Screen
from tests.station.bench import NEW, OTHER, Wire, broken, stocked
from tests.station.rig import boots

PLAIN = "import sys; from neurath.cli.main import main; sys.exit(main(sys.argv[1:]))"
#: A station that waits for an answer as long as a held step is looked at, on however slow a machine.
PATIENT = f"from neurath.station import line; line.ANSWER = line.QUICK = line.SLOW = line.VERDICT = 600; {PLAIN}"
SNAPSHOTS = Path(__file__).parent / "snapshots"


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    return stocked(tmp_path / "stock")


Opened = Callable[..., Screen]


@pytest.fixture
def opened(stock: Stock, tmp_path: Path) -> Iterator[Opened]:
    made: list[Screen] = []

    def open_(*ports: Path, patient: bool = False) -> Screen:
        words = [sys.executable, "-c", PATIENT if patient else PLAIN, "station", "run", "--stock", str(stock.root)]
        made.append(Screen([*words, *(word for port in ports for word in ("--port", str(port)))], tmp_path / "log"))
        return made[-1]

    yield open_
    for one in made:
        one.close()


def same(screen: Screen, name: str, place: Path) -> None:
    """The screen is the one that was looked at and kept; what hangs on speed is taken out of both."""
    path = SNAPSHOTS / f"{name}.txt"

    def plain() -> str:
        found = screen.text().replace(str(place), "/run/serial/ports")
        return re.sub(r"(write|judge) \|#* *\|.*(\n.*left.*)?", r"\1 |PROGRESS", found)

    if os.environ.get("NEURATH_SNAPSHOTS") == "keep":
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
        while path.read_text() != plain():  # a screen that is half drawn is another one a moment later
            path.write_text(plain())
            time.sleep(2)
    wanted = path.read_text()
    end = time.monotonic() + PATIENCE
    while plain() != wanted:
        assert time.monotonic() < end, f"{name}: the screen shows\n{plain()}\nand not\n{wanted}"
        time.sleep(0.05)


def test_six_steps_and_a_cable_pulled_in_each_end_in_a_restored_terminal(opened: Opened, stock: Stock, place: Path) -> None:
    port = place / "a"
    screen = opened(port, patient=True)
    screen.until(lambda text: "P L U G   I N" in text and "plug it in" in text)
    same(screen, "1-connect", place)

    wire = Wire(broken(), port)
    wire.pull()
    wire.held = "identify"
    wire.plug()
    screen.until(lambda text: "[Identify]" in text)
    same(screen, "2-identify", place)
    wire.pull()
    screen.until(lambda text: "[Connect]" in text)

    # The image can be read when it is written to: a pipe holds the choice up.
    image = stock.path(stock.index().entries[0].image)
    os.mkfifo(place / "pipe")
    whole = image.rename(place / "whole")
    (place / "pipe").rename(image)
    wire.held = "write"
    wire.plug()
    screen.until(lambda text: "[Choose]" in text)
    same(screen, "3-choose", place)
    wire.pull()
    with image.open("wb", buffering=0) as pipe:
        whole.rename(image)
        pipe.write(NEW)
    screen.until(lambda text: "[Connect]" in text and "plug it in again" in text)

    wire.plug()
    screen.until(lambda text: "[Write]" in text and "write |" in text and " 0 of " not in text)
    same(screen, "4-write", place)
    wire.pull()
    # What is read in the middle of a drawing is of both screens: all that is wanted is waited for.
    screen.until(lambda text: "[Connect]" in text and "NO    it was unplugged before it was done" in text)

    wire.held = "judge"
    wire.plug()
    screen.until(lambda text: "[Judge]" in text)
    same(screen, "5-judge", place)
    wire.pull()
    screen.until(lambda text: "[Connect]" in text)
    wire.held = ""
    wire.plug()
    screen.until(lambda text: "R E S T O R E D" in text)
    same(screen, "6-unplug", place)
    assert screen.colour(2, 2) == "14692f"
    wire.pull()
    screen.until(lambda text: "P L U G   I N" in text and "1 restored" in text and "YES" in text)
    assert wire.device.bank(len(NEW)) == NEW
    assert boots(wire.device)
    assert len(stock.queued()) == 1


def test_two_ports_at_once_with_noise_on_one_the_wrong_device_and_a_copy(opened: Opened, stock: Stock, place: Path) -> None:
    screen = opened(place / "a", place / "b")
    screen.until(lambda text: text.count("P L U G   I N") == 2)
    # Two of one model: each is called what it calls itself.
    left, right = Wire(broken("lab-07"), place / "a", noise=12_000), Wire(broken("lab-08"), place / "b")
    screen.until(lambda text: text.count("R E S T O R E D") == 2 and "lab-07" in text and "lab-08" in text)
    assert left.device.bank(len(NEW)) == NEW
    assert right.device.bank(len(NEW)) == NEW
    right.pull()
    screen.until(lambda text: "P L U G   I N" in text)

    copy = Wire(broken("lab-07"), place / "b")
    screen.until(lambda text: "W R O N G" in text and "one of the two is a copy" in text.replace("\n", " "))
    copy.pull()
    screen.until(lambda text: "W R O N G" not in text)

    screen.type("lab-10\r")
    screen.until(lambda text: "label: lab-10" in text)
    wrong = Wire(broken("lab-09"), place / "b")
    screen.until(lambda text: all(word in text for word in ("W R O N G", "lab-10", "YES")))
    wrong.pull()
    screen.until(lambda text: "W R O N G" not in text)
    meant = Wire(broken("lab-10"), place / "b")
    screen.until(lambda text: text.count("R E S T O R E D") == 2 and "label: none" in text)
    meant.pull()
    screen.until(lambda text: "P L U G   I N" in text)

    foreign = Wire(broken("lab-11", OTHER), place / "b")
    screen.until(lambda text: "N O   R E L E A S E" in text)
    foreign.pull()
    left.pull()
    for untouched in (copy, wrong, foreign):
        assert untouched.device.bank(len(untouched.device.old)) == untouched.device.old
    assert len(stock.queued()) == 6
