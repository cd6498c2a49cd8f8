"""What the README, in both languages, tells people to type works, in this order, in an empty folder."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from neurath.flash.geometry import Model, model_to_toml, simple_layout
from neurath.ids import ModelName

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


@pytest.mark.parametrize(("page", "head"), [("README.md", "By hand"), ("README.ja.md", "手で行う場合")])
def test_the_commands_by_hand_work_as_they_are_printed(tmp_path: Path, page: str, head: str) -> None:
    block = re.search(rf"## {head}\n.*?```\n(.*?)```", (ROOT / page).read_text(), re.S)
    assert block is not None
    lines = [shlex.split(line, comments=True) for line in block[1].splitlines()]
    assert len(lines) >= 8
    model = Model(ModelName("board"), simple_layout(65_536), ram=65_536)
    (tmp_path / "board.toml").write_text(model_to_toml(model))
    bank = model.layout.bank[0].base
    (tmp_path / "app-2.hex").write_text(hex_file(random.Random(2).randbytes(40_000), bank))
    environment = {name: value for name, value in os.environ.items() if name != "NEURATH_DATA"}
    for words in lines:
        assert words[0] == "neurath"
        argv = [sys.executable, "-m", "neurath.cli.main", *words[1:]]
        if words[1] == "serve" or words[1:3] in (["station", "sync"], ["station", "run"]):
            argv = [*argv[:4], "--help"] if words[1] == "serve" else [*argv[:5], "--help"]
        done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        # Its verdict is about the machine it runs on.
        assert done.returncode == 0 or (words[1] == "doctor" and done.returncode == 1), (words, done.stderr)
        if "--help" in argv:
            assert all(option in done.stdout for option in words if option.startswith("--")), words
