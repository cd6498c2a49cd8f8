"""A whole agent with its bank on raw MTD: Debian's kernel and Python on an emulated ARM board, the agent from this tree's
wheel, a NOR chip on SPI, a server outside. Minutes each, so `make assurance` only; `test_mtd.py` has the core every time."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neurath.flash.bank import Fate
from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.flash.native import Core, Nor
from neurath.ids import ModelName
from neurath.sim.processes import Running, Said
from neurath.wire import keys, manifest
from tests.parts import ASSURANCE
from tests.rigs import pyboard
from tests.rigs.board import CHIP, SECTOR, Board
from tests.rigs.verbs import verb
from tests.terminal.world import image

MODEL = Model(ModelName("board"), simple_layout(500 * SECTOR, sector=SECTOR, scratch_sectors=9), ram=256 * 1024)
OLD = image(1, 32 * 1024)
NEW = OLD[:4096] + image(2, 24 * 1024) + OLD[28 * 1024 :]
LONG = 1800.0


class Site:
    """A server with a release for one terminal, whose flash as the factory left it is `before`."""

    def __init__(self, place: Path) -> None:
        self.place, self.chip = place, place / "chip"
        data, key = ("--data", place / "data"), keys.from_seed(b"r" * 32)
        (place / "m.toml").write_text(model_to_toml(MODEL))
        (place / "r.pem").write_bytes(keys.public_pem(key.public))
        verb("model", "add", place / "m.toml", "--release-key", place / "r.pem", *data)
        for number, content in ((1, OLD), (2, NEW)):
            file, sealed = place / f"{number}.bin", place / f"{number}.env"
            file.write_bytes(content)
            contents = manifest.contents_of(content, MODEL, sequence=number, version=str(number))
            sealed.write_bytes(manifest.sign(contents, key))
            verb("image", "add", file, "--model", "board", "--version", str(number), "--envelope", sealed, *data)
        token = verb("terminal", "add", "t1", "--model", "board", *data)[0]["token"]
        heard: queue.Queue[Said] = queue.Queue()
        self.server = Running("server", ("serve", "--port", "0", *data, "--json"), place / "server.log", heard)
        port = str(heard.get(timeout=120).record["url"]).rpartition(":")[2]
        words = ["agent", "provision", "--bank", self.chip, "--model", place / "m.toml", "--image", place / "1.bin"]
        words += ["--envelope", place / "1.env", "--id", "t1", "--release-key", place / "r.pem"]
        verb(*words, "--ticket-key", place / "data/ticket.pub.pem")
        verb("rollout", "create", "--release", "board/2", "--all", "--start", *data)
        self.before = self.chip.read_bytes()
        assert len(self.before) == CHIP
        run = ["/venv/bin/python", "-m", "neurath.cli.main", "agent", "run", "--bank", "/dev/mtd0", "--model", "/m.toml"]
        run += ["--server", f"http://10.0.2.2:{port}", "--token", token, "--once", "--confirm", "boot", "--json"]
        self.made = pyboard.machine(place, run, {"m.toml": (place / "m.toml").read_bytes()})
        self.data = data

    def board(self) -> Board:
        return Board(self.place, self.made, self.chip, pyboard.MEMORY)

    def holds(self, content: bytes) -> bool:
        """Whether a power-up on this machine finds this image, confirmed."""
        copy = self.place / "copy"
        copy.write_bytes(self.chip.read_bytes())
        nor = Nor.file(MODEL.layout, copy)
        core = Core(MODEL.layout, nor)
        found = core.power_up() is Fate.BOOT and not core.facts.candidate and core.bank_bytes(len(content)) == content
        nor.close()
        return found

    def verdict(self) -> object:
        return verb("terminal", "show", "t1", *self.data)[0]["ledger"][0]["verdict"]

    def changed(self) -> int:
        """Sectors of the bank that are not what they were."""
        now, base = self.chip.read_bytes(), MODEL.layout.bank[0].base
        places = range(base, base + len(OLD), SECTOR)
        return sum(now[at : at + SECTOR] != self.before[at : at + SECTOR] for at in places)


if ASSURANCE:

    @pytest.fixture
    def site(tmp_path: Path) -> Iterator[Site]:
        made = Site(tmp_path)
        yield made
        made.server.end()

    @pytest.mark.heavy
    @pytest.mark.network
    @pytest.mark.timeout(2 * LONG)
    @pytest.mark.xdist_group("board")
    def test_an_agent_with_its_bank_on_mtd_is_cut_in_mid_rewrite_and_goes_on_to_the_verdict(site: Site) -> None:
        with site.board() as board:
            end = time.monotonic() + LONG
            while site.changed() < 3:
                assert time.monotonic() < end, board.said[-12:]
                assert "end" not in board.said, board.said[-12:]
                time.sleep(0.02)  # the board needs this processor
            board.cut()
        assert "end" not in board.said, "it was too late for a cut"
        assert not site.holds(NEW)
        with site.board() as board:
            board.wait("end", LONG)
            board.cut()
        assert "agent ended with 0" in board.said, board.said[-12:]
        assert site.holds(NEW)
        assert site.verdict() == "confirmed"
