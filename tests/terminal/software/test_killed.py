"""An installation killed at every file-system operation: old or new, whole, every time; and the next one goes through."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from neurath.terminal.software.component import Software
from neurath.terminal.software.fs import Fs
from tests.terminal.software.site import SoftwareSite


class Counter:
    """Names every operation; ends the process ahead of number `last`, as if power had failed."""

    def __init__(self, last: int = 0) -> None:
        self.last = last
        self.trace: list[str] = []

    def __call__(self, what: str, path: Path) -> None:
        self.trace.append(f"{what} {path.name}")
        if len(self.trace) == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


class Kept:
    """A site that can be put back to how it was."""

    def __init__(self, site: SoftwareSite, folder: Path) -> None:
        self.site = site
        self._folder = folder
        shutil.copytree(site.place, folder, symlinks=True)

    def restore(self) -> None:
        shutil.rmtree(self.site.place)
        shutil.copytree(self._folder, self.site.place, symlinks=True)


def dies(site: SoftwareSite, last: int, what: Callable[[Software], object]) -> bool:
    """Does it in a process that is killed at that operation; False: it came to its end before."""
    pid = os.fork()
    if pid == 0:
        try:
            what(site.made(Fs(Counter(last))))
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def whole(site: SoftwareSite, where: str) -> Software:
    """What the next start finds: old or new, and nothing else lying about once it is at rest."""
    unit = site.made()
    woken = unit.start()
    assert site.untouched() or site.updated(), where
    assert woken.candidate is (site.updated() and unit.facts.confirmed.sequence != 2), where
    held = unit.form.held().digest
    assert unit.facts.installed.image == held, f"{where}: the record is ahead of the bytes, or behind them"
    return unit


def kill_everywhere(
    place: Path, kind: str, *, second: int = 0, made: type[SoftwareSite] = SoftwareSite, every: int = 1
) -> int:
    """How many operations an installation has; each of them, or one in so many, was cut."""
    site = made(place / "site", kind)
    kept = Kept(site, place / "kept")
    counter = Counter()
    assert site.install(site.made(Fs(counter)), site.offer, site.file)
    assert site.updated()
    outcomes = set()
    rng = random.Random(7)
    for last in range(1, len(counter.trace) + 1, every):
        kept.restore()
        where = f"killed before {counter.trace[last - 1]} ({last} of {len(counter.trace)})"
        assert dies(site, last, lambda unit: site.install(unit, site.offer, site.file)), where
        for _ in range(second):  # power fails in the recovery too
            dies(site, rng.randint(1, 12), lambda unit: unit.start())
        unit = whole(site, where)
        outcomes.add(site.updated())
        if unit.start().candidate:
            unit.self_test()
            unit.confirm()
        site.installer = unit
        if not site.updated():
            assert site.install(unit, *site.offered(site.new, 2)), where
        assert site.updated(), where
        rests = site.made_and_started()
        assert rests.facts.installed.sequence == 2, f"{where}: it does not know what it runs"
        assert not [p for p in site.path.parent.iterdir() if ".neurath-" in p.name or p.name.endswith(".part")], where
    assert outcomes == {True, False}, "it was never cut on one of the two sides"
    return len(counter.trace)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    return tmp_path


def test_killed_at_every_operation_it_is_old_or_new(place: Path) -> None:
    assert kill_everywhere(place, "file") > 20


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["tar", "command"])
def test_a_directory_and_a_command_killed_at_every_operation_are_old_or_new(place: Path, kind: str) -> None:
    assert kill_everywhere(place, kind) > 20


@pytest.mark.heavy
def test_killed_again_in_the_recovery_it_is_old_or_new(place: Path) -> None:
    assert kill_everywhere(place, "tar", second=2) > 20


@pytest.mark.heavy
def test_a_package_killed_at_every_operation_is_old_or_new(place: Path) -> None:
    assert kill_everywhere(place, "deb") > 20


@pytest.mark.parametrize("kind", ["file", "tar"])
def test_a_rollback_killed_at_every_operation_is_old_or_new(place: Path, kind: str) -> None:
    site = SoftwareSite(place / "site", kind)
    unit = site.made_and_started()
    unit.weigh(site.offer, in_ram=False)
    unit.rewrite(site.file, site.ram)
    assert site.updated()
    kept = Kept(site, place / "kept")
    for last in range(1, 60):
        kept.restore()

        def back(unit: Software) -> None:
            unit.start()
            unit.give_up()

        if not dies(site, last, back):
            break
        whole(site, f"killed at {last} of the way back")
    assert last > 5
    assert site.untouched()
