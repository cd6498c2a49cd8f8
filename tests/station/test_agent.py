"""The real agent in a process of its own, its wire a pseudo-terminal, restored by the real station."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.cli.main import main
from neurath.flash.bank import Fate, ImageRecord, Why
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.flash.native import Core, Nor, write_bank
from neurath.ids import ModelName
from neurath.station.stock import Stock
from neurath.wire import manifest
from tests.station.bench import stocked
from tests.station.device import KEY, birth_of, envelope_of, image_of

MODEL = Model(ModelName("phone"), simple_layout(65536), ram=262144)
OLD, NEW = image_of(1, 60000), image_of(2, 61000)


def named(raw: bytes) -> bytes:
    return manifest.verify(raw, [KEY.public]).digest


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    """A terminal whose image never confirmed: restoration state."""
    path = tmp_path / "bank"
    nor = Nor.file(MODEL.layout, path, create=True)
    core = Core(MODEL.layout, nor)
    core.write_birth(birth_of(MODEL))
    write_bank(nor, OLD)
    core.provision(ImageRecord(hashlib.sha256(OLD).digest(), len(OLD), named(envelope_of(OLD, MODEL, 5))[:16], 5, 0))
    core.power_up()
    core.give_up(Why.UNCONFIRMED)
    nor.close()
    return path


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    return stocked(tmp_path / "stock", MODEL, NEW)


@pytest.fixture
def agent(tmp_path: Path, bank: Path) -> Iterator[Path]:
    """The agent on that bank; its server is dead. Gives the port."""
    port = tmp_path / "tty"
    (tmp_path / "m.toml").write_text(model_to_toml(MODEL))
    words = ["--bank", str(bank), "--model", str(tmp_path / "m.toml"), "--server", "http://127.0.0.1:9", "--token", "x"]
    command = [sys.executable, "-m", "neurath.cli.main", "agent", "run", *words, "--wire", str(port)]
    with (tmp_path / "agent.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        begun = time.monotonic()
        while not port.exists():
            assert process.poll() is None, (tmp_path / "agent.log").read_text()
            assert time.monotonic() - begun < 20
            time.sleep(0.01)
        yield port
        process.terminate()


def test_the_agent_is_restored_by_the_station_and_boots_the_new_image(agent: Path, bank: Path, stock: Stock) -> None:
    assert main(["station", "run", "--port", str(agent), "--stock", str(stock.root), "--once"]) == 0
    core = Core(MODEL.layout, Nor.file(MODEL.layout, bank))
    assert core.power_up() is Fate.BOOT
    assert core.bank_bytes(len(NEW)) == NEW
