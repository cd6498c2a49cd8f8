"""The terminal's own line about what came last: true through every order of moments, restarts, and a full medium."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurath.cli.agent_lines import history
from neurath.ids import Version
from neurath.terminal.ledger import Ledger, Line
from neurath.terminal.software.fs import Fs
from neurath.wire.offer import Kind, Offer

OLD, NEW = b"o" * 32, b"n" * 32


def offer(version: int) -> Offer:
    return Offer(Kind.FULL, bytes([version]) * 32, 100 * version, 0, b"e", b"t", Version(str(version)), "1")


@pytest.fixture
def keep(tmp_path: Path) -> Path:
    return tmp_path / "state/tool.ledger"


def test_each_moment_is_written_once_and_outlives_the_process(keep: Path) -> None:
    ledger = Ledger(keep)
    assert ledger.shown() == {}
    ledger.offered(offer(2), OLD, 10.0)
    ledger.offered(offer(2), OLD, 11.0)  # said again at the next contact
    Ledger(keep).distributed(12.0)
    again = Ledger(keep)
    again.distributed(13.0)
    again.ended("confirmed", 14.0, installed=True)
    again.ended("failed", 15.0, installed=False)
    assert Ledger(keep).shown() == {
        "version": "2", "size": 200, "offered": 10.0, "distributed": 12.0, "installed": 14.0, "verdict": "confirmed",
    }  # fmt: skip


def test_what_came_to_nothing_says_so_and_the_same_again_is_a_new_line(keep: Path) -> None:
    ledger = Ledger(keep)
    ledger.offered(offer(2), OLD, 10.0)
    ledger.distributed(11.0)
    ledger.ended("failed", 12.0, installed=False)
    assert (ledger.line.installed, ledger.line.verdict) == (0.0, "failed")
    ledger.nothing_newer(NEW, 13.0)
    assert ledger.line.verdict == "failed"
    ledger.offered(offer(2), OLD, 20.0)
    assert (ledger.line.offered, ledger.line.distributed, ledger.line.verdict) == (20.0, 0.0, "")


def test_an_end_between_installing_and_writing_it_down_is_made_good_at_the_next_contact(keep: Path) -> None:
    ledger = Ledger(keep)
    ledger.offered(offer(2), OLD, 10.0)
    ledger.nothing_newer(NEW, 11.0)  # its file never came: it was somebody else
    assert not ledger.line.verdict
    ledger.distributed(12.0)
    ledger.nothing_newer(OLD, 13.0)  # withdrawn: what was there is there
    assert not ledger.line.verdict
    ledger.nothing_newer(NEW, 14.0)
    assert Ledger(keep).line == Line((b"\2" * 32).hex(), OLD.hex(), "2", 200, 10.0, 12.0, 14.0, "confirmed")


def test_a_medium_that_cannot_be_written_costs_the_line_and_nothing_else(keep: Path) -> None:
    def full(what: str, path: Path) -> None:
        raise OSError(28, "No space left on device")

    ledger = Ledger(keep, Fs(full))
    ledger.offered(offer(2), OLD, 10.0)
    assert ledger.shown()["version"] == "2"
    assert Ledger(keep).shown() == {}


NAMES = st.sampled_from(["file", "version", "size", "offered", "installed", "x"])
FIELDS = st.dictionaries(NAMES, st.none() | st.text() | st.floats())


@given(st.one_of(st.binary(max_size=60), FIELDS.map(lambda found: json.dumps({"file": "ab"} | found).encode())))
@example(b'{"file": "ab", "offered": Infinity}')
@example(b'{"file": "ab", "offered": NaN}')
@example(b'{"file": "ab", "size": "x"}')
def test_no_file_breaks_it(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    keep = tmp_path_factory.mktemp("l") / "tool.ledger"
    keep.write_bytes(data)
    if shown := Ledger(keep).shown():
        assert history(shown)


def test_people_read_a_line_with_the_moments_that_were(keep: Path) -> None:
    ledger = Ledger(keep)
    ledger.offered(offer(2), OLD, 86_400.0 * 365)
    assert history(ledger.shown()).split("  ")[-1].startswith("offered 197")
    ledger.distributed(86_400.0 * 366)
    ledger.ended("confirmed", 86_400.0 * 367, installed=True)
    said = history(ledger.shown())
    assert "2, 200 bytes" in said
    assert [word in said for word in ("offered", "distributed", "installed", "confirmed")] == [True] * 4
