"""A whole fleet takes a rollout: two in a hundred fail, one in a hundred falls silent, it halts, a person goes on; and both
sides agree afterwards, whatever happened to the server meanwhile: killed again and again."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fleet.story import LIMIT, Fleet, fleet, marks
from tests.parts import ASSURANCE
from tests.rigs.lives import Lives, lives

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(28_800 if ASSURANCE else 900)]

CALM = 10_000 if ASSURANCE else 100
#: Fleets, terminals in each, and how often the server of each is killed.
KILLED, OF, KILLS = (20, 200, 50) if ASSURANCE else (1, 24, 50)
#: Seconds a server may take from its end until it serves again.
BACK = 5.0


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in memory where there is one: the death of a process loses nothing there, no more than on a disk, and no disk
    is waited for."""
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(prefix="nrt-fleet-", dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield Path(made)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Lives]:
    with lives(tmp_path_factory.mktemp("lives") / "log") as made:
        yield made


def told(story: Fleet) -> str:
    halts = "; ".join(story.halts)
    reports = f"{story.acknowledged:,} reports acknowledged in {story.seconds:.0f} s"
    return f"{len(story.crowd.terminals):,} terminals, {reports}, halts: {halts}"


def test_both_sides_agree_about_a_fleet_of_which_some_fail_and_some_fall_silent(site, place, seed, figures):
    with fleet(place, site.url, CALM, seed) as story, site.life("--data", str(place)):
        story.take()
        story.agreed()
        figures("fleet-rollout", told(story))


@contextmanager
def beside(what: Callable[[threading.Event], None]) -> Iterator[None]:
    """Does this while the block is worked through; what goes wrong in it is not lost."""
    over, wrong = threading.Event(), []

    def run() -> None:
        try:
            what(over)
        except BaseException as fault:
            wrong.append(fault)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LIMIT)
        assert wrong == []


def reach(story: Fleet, mark: int, over: threading.Event) -> None:
    while story.acknowledged < mark and not over.wait(0.002):
        pass


@pytest.mark.parametrize("number", range(KILLED))
def test_a_server_killed_again_and_again_loses_no_report_and_does_no_step_twice(number, site, place, seed, killed):
    back: list[float] = []

    with fleet(place, site.url, OF, seed + number) as story, site.life("--data", str(place)):

        def kill(over: threading.Event) -> None:
            chance = random.Random(story.seed)
            for mark in marks(story, KILLS):
                reach(story, mark, over)
                time.sleep(chance.uniform(0, 0.03))
                site.kill()
                ended = time.monotonic()
                site.begin()
                back.append(time.monotonic() - ended)

        with beside(kill):
            story.take()
        assert len(back) == KILLS
        story.agreed()
        killed(story, back)
        assert min(back) < BACK  # how long it takes when the machine does other things is told, and not judged


@pytest.fixture(scope="module")
def fleets() -> list[str]:
    return []


@pytest.fixture
def killed(fleets, figures) -> Callable[[Fleet, list[float]], None]:
    """One more line of the page; those of fleets that are through stay if a later one is not."""

    def write(story: Fleet, back: list[float]) -> None:
        fleets.append(f"| {len(fleets) + 1} | {story.seed} | {len(back)} | {told(story)} | {max(back):.2f} s |")
        head = (
            f"{KILLS * len(fleets):,} of {KILLS * KILLED:,} kills (-9) under load: no acknowledged report lost, no step twice."
        )
        table = [
            "| fleet | seed | kills | what came about | longest until it served again |",
            "|---|---|---|---|---|",
            *fleets,
        ]
        figures("fleet-killed", "\n".join([head, "", *table]))

    return write
