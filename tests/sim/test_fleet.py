"""The demonstration tells the truth: it succeeds when every bank holds the new software, and only then."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from neurath.errors import RefusedError
from neurath.flash.native import Nor, write_bank
from neurath.ids import TerminalId
from neurath.sim import corpus
from neurath.sim.fleet import Fleet
from neurath.sim.scenario import Fate, rewrite_operations, story
from tests.rigs.verbs import verb

COMMAND = (sys.executable, "-m", "neurath.cli.main", "sim", "fleet", "--once", "--json")


def tell(folder: Path, seed: int) -> tuple[int, list[Mapping[str, Any]]]:
    """The whole story of the built-in pair, told as a user would ask for it."""
    pair = corpus.built_in()
    (folder / "old.bin").write_bytes(pair.old)
    (folder / "new.bin").write_bytes(pair.new)
    words = ["--old", "old.bin", "--new", "new.bin", "--seed", str(seed), "--dir", "story"]
    done = subprocess.run([*COMMAND, *words], cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def already_new(fleet: Fleet) -> None:
    """Bank files that already hold the new image."""
    for actor in fleet.scenario.actors:
        path = fleet.ground.bank(actor.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        nor = Nor.file(fleet.scenario.model.layout, path, create=True)
        write_bank(nor, fleet.scenario.pair.new)
        nor.close()


@pytest.mark.heavy
def test_every_terminal_ends_on_the_new_software_through_a_cut_and_a_restoration(tmp_path: Path, seed: int) -> None:
    code, said = tell(tmp_path, seed)
    text = "\n".join(str(one["text"]) for one in said)
    assert code == 0, text
    pair = corpus.built_in()
    scenario = story(corpus.Pair("new", "old", "new", pair.old, pair.new, real=True), seed)
    model, data = tmp_path / "story/vault/model.toml", tmp_path / "story/server"
    for actor in scenario.actors:
        bank = tmp_path / f"story/terminals/{actor.id}.bank"
        state = verb("agent", "status", "--bank", bank, "--model", model)[0]
        assert (state["fate"], state["whole"], state["candidate"], state["sequence"]) == ("boot", True, False, 2)
        # Terminal, server and station say the same of what happened.
        server = verb("terminal", "show", actor.id, "--data", data)[0]
        assert server["components"][0]["bank"] == state["image"]
        assert [line["verdict"] for line in server["ledger"] if line["version"] == "new"] == ["confirmed"]
        if actor.fate is not Fate.SMOOTH:
            assert f"{actor.id}: POWER CUT (SIGKILL) at flash operation {actor.kill_at}" in text
        wired = [one for one in verb("terminal", "timeline", actor.id, "--data", data) if one["kind"] == "wire"]
        assert len(wired) == (1 if actor.fate is Fate.STRANDED else 0)
    records = list((tmp_path / "story/stock/records/sent").glob("*.json"))
    stranded = next(actor for actor in scenario.actors if actor.fate is Fate.STRANDED)
    assert [json.loads(path.read_text())["terminal"] for path in records] == [stranded.id]


def test_the_verdict_is_read_from_the_banks_and_not_from_what_was_said(tmp_path: Path) -> None:
    pair = corpus.built_in(functions=60)
    said: list[str] = []
    fleet = Fleet(story(pair, 1, 3), tmp_path, None, lambda text, **fields: said.append(text))
    already_new(fleet)
    for part in fleet.parts.values():
        part.done, part.lives = True, 2
    assert fleet._verdict()
    bank = fleet.ground.bank(TerminalId("terminal-2"))
    spoiled = bytearray(bank.read_bytes())
    at = fleet.scenario.model.layout.bank[0].base + 1000
    spoiled[at] ^= 1
    bank.write_bytes(spoiled)
    assert not fleet._verdict()
    assert any("terminal-2: its bank does NOT hold the new image" in line for line in said)


def test_power_goes_inside_the_rewrite_however_small_it_is() -> None:
    pair = corpus.Pair("tiny", "1", "2", b"hello", b"hello2", real=True)
    for seed in range(20):
        told = story(pair, seed)
        operations = rewrite_operations(pair, told.model)
        assert [actor.kill_at for actor in told.actors if actor.fate is Fate.SMOOTH] == [0, 0, 0]
        assert all(0 < actor.kill_at < operations for actor in told.actors if actor.fate is not Fate.SMOOTH)


def test_an_update_that_does_not_fit_is_refused_with_what_it_takes() -> None:
    rng = random.Random(1)
    pair = corpus.Pair("odd", "1", "2", rng.randbytes(60_000), rng.randbytes(60_000), real=True)
    with pytest.raises(RefusedError, match="does not fit") as refused:
        story(pair, 1, ram=50_000)
    enough = int(refused.value.hint.split()[1])
    assert story(pair, 1, ram=enough * 1024).model.ram == enough * 1024
    with pytest.raises(RefusedError):
        story(pair, 1, ram=(enough - 1) * 1024)


def test_the_same_seed_tells_the_same_story() -> None:
    pair = corpus.built_in()
    assert story(pair, 7) == story(pair, 7)
    assert len({story(pair, seed).actors for seed in range(20)}) > 10
    for seed in range(50):
        fates = [actor.fate for actor in story(pair, seed).actors]
        assert sorted(fate.name for fate in fates) == ["CUT", "SMOOTH", "SMOOTH", "SMOOTH", "STRANDED"]
