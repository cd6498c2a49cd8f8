"""`neurath delta` as scripts use it: exit codes, what is written, what is left alone."""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from neurath.cli.main import main
from neurath.flash.geometry import Model, model_to_toml
from neurath.ids import ModelName
from tests.delta.images import pair, small_layout
from tests.delta.programs import programs

OLD, NEW = pair(200)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.bin").write_bytes(OLD)
    (tmp_path / "new.bin").write_bytes(NEW)
    model = Model(name=ModelName("hub"), layout=small_layout(16384), ram=65536)
    (tmp_path / "hub.toml").write_text(model_to_toml(model))
    return tmp_path


def run(words: str) -> int:
    return main(["delta", *words.split()])


@pytest.mark.parametrize(
    "how", ["", "--model hub.toml", "--sector 1024", "--sector 65536", "--sequential", "--buffers 2 --in-place"]
)
def test_create_then_apply_gives_the_new_image(here: Path, how: str) -> None:
    assert run(f"create old.bin new.bin -o u.nru {how}") == 0
    again = "--model hub.toml" if "model" in how else ""
    assert run(f"apply old.bin u.nru -o made.bin {again}") == 0
    assert (here / "made.bin").read_bytes() == NEW


def test_show_says_what_the_file_is(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("create old.bin new.bin -o u.nru")
    capsys.readouterr()
    assert run("show u.nru --json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["kind"], said["profile"] in (1, 2), said["in_place"]) == ("delta", True, True)
    assert (said["old_size"], said["new_size"], said["size"]) == (len(OLD), len(NEW), (here / "u.nru").stat().st_size)


def test_create_says_sizes_sectors_and_ram_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("create old.bin new.bin -o u.nru --json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["size"] == (here / "u.nru").stat().st_size
    assert said["ram"] > said["workspace"] + said["size"]
    assert said["sectors"] == sum(OLD[at : at + 4096] != NEW[at : at + 4096] for at in range(0, len(NEW), 4096))


def test_a_file_in_resume_mode_says_what_a_cut_may_ask_for_and_is_applied(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("create old.bin new.bin -o u.nru --mode resume --buffers 4 --json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["largest_resume"] > 0
    assert run("apply old.bin u.nru -o back.bin") == 0
    assert (here / "back.bin").read_bytes() == NEW


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("create old.bin old.bin -o x", 3),
        ("create absent new.bin -o x", 4),
        ("create old.bin new.bin -o absent/x", 4),
        ("create old.bin new.bin -o x --model absent", 4),
        ("create old.bin new.bin -o x --model old.bin", 1),
        ("create old.bin new.bin -o x --mode resume", 5),
        ("create old.bin new.bin -o x --mode resume --buffers 3", 5),
        ("create old.bin new.bin -o x --mode resume --buffers 4 --sequential", 2),
        ("create old.bin new.bin -o x --sector 3000", 2),
        ("create old.bin new.bin -o x --sector 0", 2),
        ("create old.bin new.bin -o x --in-place --sequential", 2),
        ("create old.bin new.bin", 2),
        ("create old.bin /dev/null -o x", 5),
        ("create old.bin new.bin -o x --ram 100", 5),
        ("create old.bin new.bin -o x --ram 0", 2),
        ("create old.bin new.bin -o x --ram -5", 2),
        ("create old.bin new.bin -o x --ram 99999999999", 2),
        ("create old.bin new.bin -o /dev/full", 1),
        ("apply old.bin new.bin -o x", 1),
        ("apply old.bin absent -o x", 4),
        ("show old.bin", 1),
        ("show absent", 4),
        ("show /dev/null", 1),
        ("", 2),
    ],
)
def test_bad_input_is_told_in_three_lines_with_its_exit_code(
    here: Path, capsys: pytest.CaptureFixture[str], words: str, code: int
) -> None:
    assert run(words) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("error NRT-")
    assert not (here / "x").exists()


@pytest.mark.parametrize("words", ["small.bin large.bin", "large.bin small.bin"])
def test_an_image_larger_than_the_bank_is_refused(here: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    (here / "small.bin").write_bytes(OLD)
    (here / "large.bin").write_bytes(OLD.ljust(800_000, b"\0"))
    model = Path(__file__).parents[2] / "examples/models/nrf52840.toml"
    assert run(f"create {words} -o x --model {model}") == 5
    assert "does not fit the bank" in capsys.readouterr().err
    assert not (here / "x").exists()


def test_another_base_is_not_trusted(here: Path) -> None:
    run("create old.bin new.bin -o u.nru")
    flipped = bytearray(OLD)
    flipped[1000] ^= 1
    (here / "flipped.bin").write_bytes(flipped)
    for wrong in ("new.bin", "flipped.bin", "u.nru"):
        assert run(f"apply {wrong} u.nru -o x") == 7
    assert not (here / "x").exists()


def test_a_damaged_file_is_not_applied(here: Path) -> None:
    run("create old.bin new.bin -o u.nru")
    whole = (here / "u.nru").read_bytes()
    for at in (len(whole) // 2, len(whole) - 1):
        (here / "u.nru").write_bytes(whole[:at] + bytes((whole[at] ^ 0x40,)) + whole[at + 1 :])
        assert run("apply old.bin u.nru -o x") == 1
    (here / "u.nru").write_bytes(whole[:-5])
    assert run("apply old.bin u.nru -o x") == 1
    assert not (here / "x").exists()


def test_a_dry_run_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("create old.bin new.bin -o u.nru --dry-run --json") == 0
    assert json.loads(capsys.readouterr().out)["written"] is False
    assert not (here / "u.nru").exists()


def test_a_full_disk_loses_nothing(here: Path) -> None:
    """No file may grow: the old update file is still there, whole, and no half of a new one."""
    (here / "u.nru").write_bytes(b"what was there")

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))

    words = [sys.executable, "-m", "neurath.cli.main", "delta", "create", "old.bin", "new.bin", "-o", "u.nru"]
    quiet = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(words, cwd=here, capture_output=True, text=True, preexec_fn=full, check=False, env=quiet)
    assert done.returncode == 1
    assert "u.nru" in done.stderr.splitlines()[0]
    assert (here / "u.nru").read_bytes() == b"what was there"
    assert sorted(p.name for p in here.iterdir()) == ["hub.toml", "new.bin", "old.bin", "u.nru"]


@pytest.mark.parametrize("size", [1 << 29, (1 << 32) - 1])
def test_a_header_that_promises_gigabytes_is_refused_at_once(here: Path, size: int) -> None:
    from neurath.delta.format import Head, pack

    (here / "huge.nru").write_bytes(pack(Head(1, 0, size, 0, 0, 16384, 0, (0,)), [b""]))
    assert run("apply /dev/null huge.nru -o x") == 1


def test_the_tiny_profile_makes_a_file_whose_decoder_takes_six_kib(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("create old.bin new.bin -o t.nru --profile tiny --json") == 0
    assert json.loads(capsys.readouterr().out)["workspace"] <= 6 * 1024
    assert run("apply old.bin t.nru -o again.bin") == 0
    assert Path("again.bin").read_bytes() == Path("new.bin").read_bytes()


def test_the_large_profile_makes_a_smaller_file_that_says_what_its_decoder_takes(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    old, new = programs(13, 40)
    (here / "old.bin").write_bytes(old)
    (here / "new.bin").write_bytes(new)
    for profile in ("small", "large"):
        assert run(f"create old.bin new.bin -o {profile}.nru --profile {profile} --sequential --json") == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[1]["size"] < said[0]["size"]
    assert 1 << 20 < said[1]["workspace"] <= 4_000_000
    assert run("apply old.bin large.nru -o again.bin") == 0
    assert (here / "again.bin").read_bytes() == new
    capsys.readouterr()
    assert run("show large.nru --json") == 0
    assert json.loads(capsys.readouterr().out)["profile"] == 3


def test_noise_is_sent_whole_with_one_sentence_of_advice(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(4)
    Path("a.bin").write_bytes(dice.randbytes(30000))
    Path("b.bin").write_bytes(dice.randbytes(30000))
    assert run("create a.bin b.bin -o n.nru --json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["kind"], "compressed or encrypted" in said["advice"]) == ("full", True)
    Path("none.bin").write_bytes(b"")
    assert run("apply none.bin n.nru -o again.bin") == 0
    assert Path("again.bin").read_bytes() == Path("b.bin").read_bytes()
    capsys.readouterr()
    assert run("create old.bin new.bin -o u.nru --json") == 0
    assert json.loads(capsys.readouterr().out)["advice"] == ""


def test_a_full_image_that_stands_for_a_delta_is_applied_to_any_old_image(here: Path) -> None:
    """Noise has no delta: what `delta create` makes of it is applied all the same."""
    rng = random.Random(3)
    (here / "a.bin").write_bytes(rng.randbytes(20_000))
    (here / "b.bin").write_bytes(rng.randbytes(20_000))
    assert run("create a.bin b.bin -o n.nru") == 0
    assert run("apply a.bin n.nru -o out.bin") == 0
    assert (here / "out.bin").read_bytes() == (here / "b.bin").read_bytes()
    data = bytearray((here / "n.nru").read_bytes())
    data[-40] ^= 1
    (here / "n.nru").write_bytes(data)
    assert run("apply a.bin n.nru -o bad.bin") == 1
    assert not (here / "bad.bin").exists()


def test_explain_says_what_create_would_make_and_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(here.iterdir())
    assert main(["--json", "delta", "explain", "old.bin", "new.bin", "--model", "hub.toml", "--lend", "9000"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["profile"], said["lent"], said["decided_by"]) == (4, 9000, "ram")
    assert said["ram"] <= 9000
    assert run("create old.bin new.bin -o tiny.nru --model hub.toml --profile tiny") == 0
    assert (here / "tiny.nru").stat().st_size == said["size"]
    (here / "tiny.nru").unlink()
    assert run("explain old.bin new.bin --model hub.toml") == 0
    assert "weighed:" in capsys.readouterr().out
    assert run("explain old.bin old.bin") == 3
    assert run("explain old.bin new.bin --lend 10") == 5
    assert sorted(here.iterdir()) == before
