"""What the README, in both languages, tells people to type works, in this order, in an empty folder."""

from __future__ import annotations

import json
import random
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from neurath.flash.bank import Why
from neurath.flash.geometry import Model, model_from_toml, model_to_toml, simple_layout
from neurath.flash.native import Core, Nor
from neurath.ids import ModelName
from neurath.server.software.images import read_image
from tests.rigs.net import until
from tests.rigs.reader import Reader

ROOT = Path(__file__).resolve().parents[2]


def hex_file(image: bytes, address: int) -> str:
    """The image as Intel hex."""
    lines = [record(0, 4, (address >> 16).to_bytes(2, "big"))]
    for at in range(0, len(image), 16):
        if at and (address + at) % 65536 == 0:
            lines.append(record(0, 4, ((address + at) >> 16).to_bytes(2, "big")))
        lines.append(record((address + at) & 0xFFFF, 0, image[at : at + 16]))
    return "\n".join([*lines, record(0, 1, b"")]) + "\n"


def record(offset: int, kind: int, data: bytes) -> str:
    body = bytes([len(data)]) + offset.to_bytes(2, "big") + bytes([kind]) + data
    return ":" + (body + bytes([-sum(body) & 0xFF])).hex().upper()


def _heeds() -> None:
    """Ctrl-C means something, even where these tests were started in the background of a shell, which has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class ReadMe(Reader):
    """Who reads the README has a terminal on the port it names."""

    port = ""

    def argv(self, line: str) -> list[str]:
        return [self.port if word == "/dev/ttyUSB0" else word for word in super().argv(line)]

    @contextmanager
    def stays(self, line: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """A program that goes on until Ctrl-C."""
        with log.open("wb") as out:
            process = subprocess.Popen(
                self.argv(line), cwd=self.folder, env=self.environment, stdout=out, stderr=out, preexec_fn=_heeds
            )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


@contextmanager
def terminal(reader: ReadMe) -> Iterator[Path]:
    """T-0001 with an image that never confirmed, on a line of its own; its server is dead."""
    words = "--model board.toml --image image --envelope app-2.env --id T-0001 --release-key keys/release.pub.pem"
    reader.types(f"neurath agent provision --bank t.bank {words}")
    layout = model_from_toml((reader.folder / "board.toml").read_text()).layout
    nor = Nor.file(layout, reader.folder / "t.bank")
    core = Core(layout, nor)
    core.power_up()
    core.give_up(Why.UNCONFIRMED)
    nor.close()
    reader.port = str(reader.folder / "tty")
    words = f"--bank t.bank --model board.toml --server http://127.0.0.1:9 --token x --wire {reader.port}"
    log = reader.folder / "agent.log"
    with reader.stays(f"neurath agent run {words}", log) as agent:
        until(lambda: Path(reader.port).exists() or agent.poll() is not None, "the line", 100)
        assert agent.poll() is None, log.read_text()
        yield reader.folder / "t.bank"


def restored(reader: ReadMe, line: str) -> None:
    """The station's line, until its record of the terminal is there."""
    records, log = reader.folder / "stock/records", reader.folder / "station.log"
    with terminal(reader), reader.stays(line, log) as station:
        until(lambda: list(records.glob("*.json")) or station.poll() is not None, "a record of the restoration", 200)
    found = [json.loads(path.read_text()) for path in records.glob("*.json")]
    assert [(one["terminal"], one["verdict"], one["version"]) for one in found] == [("T-0001", "restored", "2.0")], (
        log.read_text()
    )


@pytest.mark.parametrize(("page", "head"), [("README.md", "By hand"), ("README.ja.md", "手で行う場合")])
def test_the_commands_by_hand_work_as_they_are_printed(tmp_path: Path, page: str, head: str) -> None:
    block = re.search(rf"## {head}\n.*?```\n(.*?)```", (ROOT / page).read_text(), re.S)
    assert block is not None
    typed = [shlex.join(shlex.split(line, comments=True)) for line in block[1].splitlines()]
    assert len(typed) >= 10
    model = Model(ModelName("board"), simple_layout(65_536), ram=65_536)
    (tmp_path / "board.toml").write_text(model_to_toml(model))
    bank = model.layout.bank[0].base
    told = hex_file(random.Random(2).randbytes(40_000), bank)
    (tmp_path / "app-2.hex").write_text(told)
    (tmp_path / "image").write_bytes(read_image(told.encode(), "app-2.hex", model).image)
    reader = ReadMe(tmp_path)
    with ExitStack() as running:
        for line in typed:
            if line == "neurath serve":
                running.enter_context(reader.server(line))
            elif line.startswith("neurath station run"):
                restored(reader, line)
            elif line == "neurath doctor":  # its verdict is about the machine it runs on
                done = subprocess.run(reader.argv(line), cwd=tmp_path, env=reader.environment, capture_output=True, text=True)
                assert done.returncode in (0, 1), done.stderr
            else:
                reader.types(line)
