"""`neurath sign --watch` as a real process, as a person starts and ends it."""

from __future__ import annotations

import json
import os
import queue
import signal
from pathlib import Path

import pytest

from neurath.cli.main import main
from neurath.cli.sign_watch import Signer
from neurath.flash.geometry import model_to_toml
from neurath.sim.processes import Running, Said
from neurath.wire import manifest
from neurath.wire.keys import write_private
from tests.server.world import KEY, MODEL, image


@pytest.fixture
def site(tmp_path):
    (tmp_path / "phone.toml").write_text(model_to_toml(MODEL))
    write_private(tmp_path / "release.pem", KEY)
    (tmp_path / "in").mkdir()
    return tmp_path


def signer(site: Path, **more) -> Signer:
    return Signer(site / "in", MODEL, KEY, more.pop("floor", (0, 0)), **more)


def read(path: Path):
    return manifest.verify(path.read_bytes(), [KEY.public])


def test_it_signs_what_is_dropped_and_what_is_replaced_and_ends_cleanly(site):
    heard: queue.Queue[Said] = queue.Queue()
    words = ("sign", "--watch", site / "in", "--model", site / "phone.toml", "--key", site / "release.pem", "--json")
    process = Running("signer", words, site / "log", heard)
    try:
        assert heard.get(timeout=30).record["watching"]
        (site / "in/app-1.4.bin").write_bytes(image(1))
        said = heard.get(timeout=20).record
        assert (said["file"], said["version"], said["sequence"]) == ("app-1.4.bin", "1.4", 1)
        assert read(site / "in/app-1.4.bin.suit").image_size == len(image(1))
        os.utime(site / "in/app-1.4.bin")  # touched: nothing
        (site / "in/empty.bin").write_bytes(b"")  # no image: said, and the watch goes on
        assert heard.get(timeout=20).record["signed"] is False
        (site / "in/app-1.4.bin").write_bytes(image(2))
        said = heard.get(timeout=20).record
        assert (said["version"], said["sequence"]) == ("1.4-r2", 2)
        process.process.send_signal(signal.SIGINT)
        assert process.process.wait(10) == 0
        assert not list((site / "in").glob("*.part"))
    finally:
        process.end()


def test_the_same_image_is_signed_once_and_the_sequence_follows_the_folder(site):
    (site / "in/a.bin").write_bytes(image(1))
    first = signer(site).sign(site / "in/a.bin")
    assert (first.version, first.sequence) == ("r1", 1)
    assert signer(site).sign(site / "in/a.bin") is None
    (site / "in/b.bin").write_bytes(image(2))
    assert signer(site).sign(site / "in/b.bin").sequence == 2
    (site / "in/a.bin").write_bytes(image(3))
    assert signer(site, floor=(1, 40)).sign(site / "in/a.bin").sequence == 41
    (site / "in/b.bin").write_bytes(image(4))
    after = signer(site).sign(site / "in/b.bin")
    assert (after.epoch, after.sequence) == (1, 42)


def test_a_strangers_envelope_says_nothing_about_our_sequence(site):
    (site / "in/a.bin").write_bytes(image(1))
    (site / "in/a.bin.suit").write_bytes(b"junk")
    assert signer(site).sign(site / "in/a.bin").sequence == 1


def test_a_dry_run_says_what_it_would_sign_and_writes_nothing(site, capsys):
    (site / "in/app-3.bin").write_bytes(image(1))
    words = ["sign", "--watch", str(site / "in"), "--model", str(site / "phone.toml"), "--key", str(site / "release.pem")]
    assert main([*words, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == "3"
    assert [path.name for path in (site / "in").iterdir()] == ["app-3.bin"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("--watch in --model phone.toml --key release.pem --version 1", 2),
        ("a.bin --watch in --model phone.toml --key release.pem", 2),
        ("--watch nowhere --model phone.toml --key release.pem", 4),
        ("--model phone.toml --key release.pem", 2),
        ("a.bin --model phone.toml --key release.pem --version 1 -o e", 2),
    ],
)
def test_what_does_not_go_together_is_said_in_three_lines(site, monkeypatch, capsys, words, code):
    monkeypatch.chdir(site)
    assert main(["sign", *words.split()]) == code
    assert len(capsys.readouterr().err.strip().splitlines()) == 3
