"""The setup file of an agent: what it takes, and that whatever it does not take is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.terminal.compose import compose
from neurath.terminal.inuse import UnitInUse
from neurath.terminal.setup import Ahead, Asking, seconds, setup_from_toml

TOP = 'server = "http://127.0.0.1:1"\nid = "t"\nmodel = "m"\nstate = "state"\n'
ONE = '[[component]]\nname = "tool"\ninstaller = "file"\npath = "tool"\n'
PLACE = Path("/etc/neurath")


def test_a_whole_setup_is_read() -> None:
    text = (
        TOP
        + ONE
        + 'consent = "ask"\nwindow = "22:00-06:30"\ndeadline = "3d"\nin_use = "a"\n'
        + 'download = "quiet"\nbelow = 1000\nmode = "755"'
    )
    made = setup_from_toml(text, PLACE)
    (one,) = made.components
    assert (made.state, one.path, one.mode) == (PLACE / "state", PLACE / "tool", 0o755)
    assert one.uses.paths == (PLACE / "a",)
    assert one.asking == Asking("ask", (79200, 23400), 259200.0)
    assert one.ahead == Ahead("", 1000.0)


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('consnet = "ask"', "consnet"),
        ('consent = "maybe"', "consent"),
        ('installer = "magic"', "overwrite"),
        ('window = "25:00-03:00"', "window"),
        ('deadline = "soon"', "soon"),
        ('download = "quiet"', "below"),
        ("most = true", "most"),
        ('take = "all"', "take"),
    ],
)
def test_what_makes_no_sense_is_named(line: str, named: str) -> None:
    with pytest.raises(DataError) as said:
        setup_from_toml(TOP + ONE + line, PLACE)
    assert named in said.value.why


def test_two_components_of_one_name_and_none_at_all_are_refused() -> None:
    for text in (TOP + ONE + ONE, TOP):
        with pytest.raises(DataError):
            setup_from_toml(text, PLACE)


@given(st.text(max_size=200))
def test_no_text_crashes_the_reader(text: str) -> None:
    with pytest.raises(DataError):
        setup_from_toml(text, PLACE)


@pytest.mark.parametrize(("line", "least"), [("", 0.0), ('hurry = "1min"\n', 60.0)])
def test_a_heart_may_hurry_only_where_the_setup_says_so(tmp_path: Path, line: str, least: float) -> None:
    made = compose(setup_from_toml(TOP + 'trickle = "30min"\n' + line + ONE, tmp_path), lambda *_: None)
    try:
        (heart,) = {id(life.parts.heart): life.parts.heart for life in made.lives}.values()
        assert heart is not None
        assert (heart.period, heart.least) == (1800.0, least)
    finally:
        made.close()


def test_spans_of_time() -> None:
    assert [seconds(one) for one in (90, "15min", "8h", "3d", "0.5h")] == [90, 900, 28800, 259200, 1800]


@pytest.mark.parametrize(("said", "busy"), [("active\n812", True), ("inactive\n0", False), ("activating\n0", True)])
def test_an_active_unit_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, busy: bool) -> None:
    """A program of this name stands in for systemd, which does not run everywhere."""
    fake = tmp_path / "systemctl"
    fake.write_text(f"#!/bin/sh\necho '{said}'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = UnitInUse("recorder.service").users()
    assert bool(found) is busy
    assert not busy or "active" in found[0].how


def test_a_unit_that_cannot_be_asked_about_counts_as_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert UnitInUse("recorder.service").users()
    fake = tmp_path / "systemctl"
    fake.write_text("#!/bin/sh\nexit 1\n")
    fake.chmod(0o755)
    assert UnitInUse("recorder.service").users()
