"""The story of `make demo-phone`: an update by air, power that fails in the only bank, rescue by air, the new software."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.firmware.rig import ROOT, built

pytestmark = pytest.mark.heavy
QUICK = ("--rate", "0", "--delay", "0", "--loss", "0", "--once", "--short", "--json")


def told(folder: Path, *words: str) -> tuple[int, list[str]]:
    place = ("--firmware", str(ROOT / "firmware"), "--built", str(built("sx1").parent), "--dir", str(folder))
    command = [sys.executable, "-m", "neurath.cli.main", "sim", "phone", *place, *QUICK, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() + done.stderr.splitlines() if line.startswith("{")]
    return done.returncode, [str(line.get("text", line.get("what", ""))) for line in lines]


def test_the_phone_of_the_story_is_cut_in_its_only_bank_and_comes_through_by_air(tmp_path: Path) -> None:
    code, said = told(tmp_path / "story", "--trace", str(tmp_path / "trace.svg"))
    assert code == 0, said
    steps = ["power is on", "POWER CUT in the", "in mid-rewrite, the file is needed", "application 1.1", "1.1 is confirmed"]
    at = [next((n for n, line in enumerate(said) if step in line), -1) for step in steps]
    assert -1 not in at, (steps, said)
    assert at == sorted(at), said
    assert (tmp_path / "trace.svg").read_text().count("<rect") > 100
    assert "in the only bank it has; the bank holds neither" in said[at[1]]


def test_a_folder_that_is_not_a_storys_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    code, said = told(tmp_path)
    assert code == 2, said
    assert (tmp_path / "mine").exists()
