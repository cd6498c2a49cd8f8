"""`neurath sim power` as scripts use it: exit codes, one JSON object, nothing on a wrong wish."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from neurath.cli.main import main
from neurath.cli.sim_power import SAMPLE


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    old = random.Random(5).randbytes(24_000)
    new = old[:9_000] + b"one line more" + old[9_000:]
    (tmp_path / "old.bin").write_bytes(old)
    (tmp_path / "new.bin").write_bytes(new)
    return str(tmp_path / "old.bin"), str(tmp_path / "new.bin")


def test_cuts_of_a_real_pair_end_without_a_brick(pair: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "power", *pair, "--every", "9", "--seed", "3", "--json"]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["bricked"] == 0
    assert record["cuts"] > 100
    assert record["old"] > 0
    assert record["resumed"] > 0
    assert record["new"] > 0
    assert record["seed"] == 3


def test_a_sample_is_cut_where_nobody_asks_for_more(pair: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "power", *pair, "--json"]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    cut = record["operations"] // record["every"]
    assert record["every"] > 1
    assert SAMPLE <= cut <= 2 * SAMPLE
    assert record["cuts"] >= 6 * cut


def test_cuts_in_resume_mode_are_ended_by_the_file_made_for_each(
    pair: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", "power", *pair, "--mode", "resume", "--json"]) == 0
    record = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert record["bricked"] == 0
    assert record["resumed"] >= record["rescued"] > 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--kinds", "gently"], 2),
        (["--double", "0"], 2),
        (["--double", "many"], 2),
        (["--sector", "1000"], 2),
        (["--page", "8192"], 2),
        (["--every", "-3"], 2),
        (["--most", "-1"], 2),
    ],
)
def test_a_wish_that_cannot_be_met_is_said_in_three_lines(
    pair: tuple[str, str], words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sim", "power", *pair, *words]) == code
    assert len(capsys.readouterr().err.strip().splitlines()) == 3


def test_the_same_image_twice_is_nothing_to_do(pair: tuple[str, str]) -> None:
    assert main(["sim", "power", pair[0], pair[0]]) == 3


def test_an_absent_image_is_not_found(pair: tuple[str, str]) -> None:
    assert main(["sim", "power", pair[0], pair[1] + ".absent"]) == 4
