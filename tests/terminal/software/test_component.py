"""Each kind of component under the installer's contract, and what is its own: deltas, hooks, rollback, first installation."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from neurath.terminal.identity import Lending
from neurath.terminal.machine import events as ev
from neurath.terminal.machine.events import Weight
from neurath.terminal.setup import Hooks
from neurath.terminal.software.component import NOTHING
from tests.contracts.installer import InstallerContract
from tests.terminal.software.site import KINDS, SoftwareSite

#: Two kinds show the contract in moments; the others are slower.
_MARKED = [pytest.param(kind, marks=[] if kind in ("file", "tar") else pytest.mark.heavy) for kind in KINDS]


class TestSoftware(InstallerContract):
    fields = ("envelope", "ticket", "file", "size")

    @pytest.fixture(params=_MARKED)
    def site(self, request: pytest.FixtureRequest, tmp_path: Path) -> SoftwareSite:
        return SoftwareSite(tmp_path, request.param)


@pytest.mark.parametrize("kind", ["file", "deb"])
def test_a_delta_makes_the_same_bytes_as_the_whole_file(tmp_path: Path, kind: str) -> None:
    site = SoftwareSite(tmp_path, kind, as_delta=True)
    assert site.file != site.new
    assert site.install(site.installer, site.offer, site.file)
    assert site.updated()


def test_a_kind_that_does_not_keep_its_bytes_lends_no_memory_for_a_delta(tmp_path: Path) -> None:
    site = SoftwareSite(tmp_path, "tar")
    assert site.installer.check(Lending(1000, 5000), "idle").ram == 0


@pytest.mark.parametrize("kind", _MARKED)
def test_a_failed_health_check_puts_the_software_before_back_and_says_why(tmp_path: Path, kind: str) -> None:
    site = SoftwareSite(tmp_path, kind)
    site.hooks = Hooks(health=("sh", "-c", "echo it does not answer; exit 1"))
    unit = site.made()
    unit.start()
    assert unit.weigh(site.offer, in_ram=False).weight is Weight.ACCEPTED
    assert unit.rewrite(site.file, site.ram) == ev.Rewritten()
    assert unit.start().candidate
    assert unit.self_test() == ev.SelfTested(False)
    back = unit.give_up()
    assert back is not None
    assert "it does not answer" in back.reason
    assert site.untouched()
    assert not site.made().start().candidate


def test_a_release_that_came_to_nothing_three_times_is_not_tried_again(tmp_path: Path) -> None:
    site = SoftwareSite(tmp_path, "file")
    unit = site.made()
    for _ in range(3):
        unit.start()
        offer, file = site.offered(site.new, 2)
        assert unit.weigh(offer, in_ram=False).weight is Weight.ACCEPTED
        unit.rewrite(file, site.ram)
        unit.give_up()
    assert "3 times" in unit.weigh(site.offered(site.new, 2)[0], in_ram=False).reason


def test_a_hook_that_says_no_holds_it_back_and_one_that_hangs_is_ended(tmp_path: Path) -> None:
    site = SoftwareSite(tmp_path, "file")
    site.hooks = Hooks(before=("sh", "-c", "sleep 30 & wait"), time=0.5)
    unit = site.made()
    unit.start()
    unit.weigh(site.offer, in_ram=False)
    began = time.monotonic()
    said = unit.ready()
    assert time.monotonic() - began < 5
    assert isinstance(said, ev.NotReady)
    assert "0.5 s" in said.reason
    assert site.untouched()


def test_a_hook_after_the_switch_that_fails_leads_back(tmp_path: Path) -> None:
    site = SoftwareSite(tmp_path, "file")
    site.hooks = Hooks(after=("false",))
    unit = site.made()
    unit.start()
    unit.weigh(site.offer, in_ram=False)
    assert isinstance(unit.rewrite(site.file, site.ram), ev.RewriteFailed)
    unit.give_up()
    assert "false" in unit.start().back
    assert site.untouched()


def test_a_component_that_is_not_there_is_installed_only_where_it_was_assigned(tmp_path: Path) -> None:
    site = SoftwareSite(tmp_path, "file")
    site.path.unlink()
    (site.state / "tool.installed").unlink()
    unit = site.made()
    unit.start()
    assert unit.form.held() == NOTHING
    assert not unit.takes_part()
    unit._assigned = True
    assert unit.takes_part()
    site.installer = unit
    offer, file = site.offered(site.new, 2)
    unit.weigh(offer, in_ram=False)
    assert unit.rewrite(file, site.ram) == ev.Rewritten()
    unit.give_up()
    assert not site.path.exists(), "nothing was there before"


def test_an_older_release_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    site = SoftwareSite(tmp_path, "file")
    older = site.offered(b"something older", 1)[0]
    assert "floor" in site.made_and_started().weigh(older, in_ram=False).reason


def test_the_bytes_before_stay_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = SoftwareSite(tmp_path, "file")
    unit = site.made_and_started()
    unit.weigh(site.offer, in_ram=False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unit.form._fs, "link", full)  # type: ignore[attr-defined]
    assert "No space" in unit.rewrite(site.file, site.ram).reason  # type: ignore[union-attr]
    assert site.untouched()
    assert unit.weigh(site.offer, in_ram=False).weight is Weight.REFUSED  # its ticket was for another moment
