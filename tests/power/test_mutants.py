"""The enumerator can fail: cores broken on purpose do not get past it."""

from __future__ import annotations

import os
import random
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.flash.native import lib
from neurath.sim.power import walk
from tests.power import assure
from tests.power.broken import CORE, FLAGS, HUNTS, Mutant, build, compile_all, hunt, mutants, story, swapped

ASSURANCE = os.environ.get("NEURATH_ASSURANCE") == "1"


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return compile_all(tmp_path_factory.mktemp("core"))


def test_there_are_at_least_twenty_mutants_each_with_its_own_text() -> None:
    found = mutants()
    assert len(found) >= 20
    assert len({m.text for m in found}) == len({m.name for m in found}) == len(found)


def test_every_mutant_is_still_a_program() -> None:
    """One that names what the core has renamed would be red in the one run in seven that draws it."""
    for mutant in mutants():
        flags = ["-Werror=implicit-function-declaration", *(one for one in FLAGS if one != "-w")]
        words = ["gcc", *flags, "-I", str((CORE / mutant.file).parent), "-fsyntax-only", "-x", "c", "-"]
        done = subprocess.run(words, input=mutant.text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (mutant.name, done.stderr)


def test_mutants_are_caught(objects: dict[str, Path], tmp_path: Path, seed: int) -> None:
    """A seeded handful, and every one of them in the assurance tier."""
    chosen = mutants() if ASSURANCE else random.Random(seed).sample(mutants(), 6)
    alive = [m.name for m in chosen if not hunt(build(m, objects, tmp_path), m.story).bricked]
    assert alive == []


def test_the_sound_core_gets_past_the_first_hunts() -> None:
    for limits in HUNTS[:3]:
        for told in (story(), swapped()):
            assert walk(replace(told, **limits), lib.nrt_closure_walk).bricked == 0


#: Faults in how states are taken for equal: file of core/ports, its text, what stands there instead.
BLIND = (("ports/canon.c", "if (g == 0 || possible(n, &v[1 - s]) >= g)", "if (possible(n, &v[1 - s]) > g + 1)"),)


@pytest.mark.parametrize(("file", "old", "new"), BLIND)
def test_a_fault_in_what_counts_as_equal_is_seen(
    objects: dict[str, Path], tmp_path: Path, file: str, old: str, new: str
) -> None:
    """States walked byte for byte lead elsewhere than their representatives: other classes, or a brick that is none."""
    text = (CORE / file).read_text()
    assert text.count(old) == 1
    call = build(Mutant("blind", file, text.replace(old, new)), objects, tmp_path)
    kinds = ("early", "late")
    short = walk(replace(story(), depth=2, kinds=kinds), call)
    whole = walk(replace(story(), depth=2, kinds=kinds, as_found=True), call)
    assert (short.forms, short.digest, short.bricked) != (whole.forms, whole.digest, whole.bricked)


def test_a_mutant_that_gets_past_and_a_device_left_open_are_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the command that writes the table of all of them."""
    page, begun = tmp_path / "power.md", walk(replace(story(512), most=1))
    good = replace(begun, closed=True)
    monkeypatch.setattr("sys.argv", ["assure", "--out", str(page)])
    monkeypatch.setattr(assure, "compile_all", lambda _: {})
    monkeypatch.setattr(assure, "build", lambda *_: None)
    for device, mutant, code in ((good, replace(good, bricked=1), 0), (begun, replace(good, bricked=1), 1), (good, good, 1)):
        monkeypatch.setattr(assure, "walk", lambda _, found=device: found)
        monkeypatch.setattr(assure, "hunt", lambda *_, found=mutant: found)
        assert assure.main() == code
        assert (f"{len(mutants()) * mutant.bricked} mutants of {len(mutants())} caught" in capsys.readouterr().out) is True
