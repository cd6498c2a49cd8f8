"""What the how-to pages tell people to type works as it is printed: from two images to a terminal that lost power in the
rewrite and runs the new one, in one empty folder."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.test_how_to import commands

PAGES = Path(__file__).resolve().parents[2] / "docs/how-to"
PRINTED = "http://127.0.0.1:8642"
KILLED = -9


def page(name: str) -> str:
    return (PAGES / name).read_text()


@dataclass
class Reader:
    """Somebody who types what a page says, in one folder. Only what nobody can know beforehand is filled in: the token that
    was printed, and a free port instead of the default one."""

    folder: Path
    url: str = PRINTED
    token: str = "TOKEN"

    def argv(self, line: str) -> list[str]:
        words = [self.url if word == PRINTED else self.token if word == "TOKEN" else word for word in shlex.split(line)]
        assert words[0] == "neurath"
        return [*self.program(words[1]), *words[1:]]

    def program(self, verb: str) -> list[str]:
        """What `neurath` is for somebody who types this verb."""
        return [sys.executable, "-m", "neurath.cli.main"]

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("NEURATH_")}

    def types(self, line: str, code: int = 0) -> str:
        done = subprocess.run(
            self.argv(line), cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == code, (line, done.stdout, done.stderr)
        return done.stdout

    @contextmanager
    def server(self, line: str) -> Iterator[None]:
        with subprocess.Popen(
            self.argv(line + " --port 0"), cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                while (found := re.search(r"http://127\.0\.0\.1:\d+", line := process.stdout.readline())) is None:
                    assert line, "the server said nothing of an address"
                self.url = found[0]
                yield
            finally:
                process.terminate()


def images(folder: Path, seed: int) -> None:
    old = bytearray(random.Random(seed).randbytes(60_000))
    (folder / "OLD").write_bytes(old)
    for at in range(0, len(old), 7_000):
        old[at : at + 40] = random.Random(at).randbytes(44)
    (folder / "NEW").write_bytes(old)


@pytest.mark.heavy
def test_the_first_update_works_as_its_page_says(tmp_path: Path, seed: int) -> None:
    first_update(Reader(tmp_path), seed)


def first_update(reader: Reader, seed: int) -> None:
    """The pages of the first update, of the agent and of the station, typed from their first line to their last."""
    first, agent = page("first-update.md"), page("linux-agent.md")
    board = re.search(r"^```toml\n(.*?)^```", first, re.S | re.M)
    assert board is not None
    (reader.folder / "board.toml").write_text(board[1])
    images(reader.folder, seed)
    lines = commands(first)
    serve = lines.index("neurath serve")
    said = [reader.types(line) for line in lines[:serve]]
    assert "bricked 0" in said[0]
    with reader.server(lines[serve]):
        for line in lines[serve + 1 :]:
            text = reader.types(line)
            if "terminal add" in line:
                reader.token = max(text.split(), key=len)
        runs_the_agent(reader, commands(agent))
        for line in commands(page("restore.md"))[:2]:
            text = reader.types(line)
        assert "board" in text
        assert "runs 1.1 already" in reader.types("neurath terminal why T-0001")


def runs_the_agent(reader: Reader, lines: list[str]) -> None:
    """The page of the agent: made, cut in the rewrite, brought on by a second process."""
    cut = next(place for place, line in enumerate(lines) if "--kill-at" in line)
    for line in lines[:cut]:
        # An agent that runs stays up until it is ended; components have a journey of their own (test_components.py).
        if line.startswith("neurath agent") and "agent run" not in line:
            reader.types(line)
    reader.types(lines[cut], KILLED)
    for line in lines[cut + 1 :]:
        if line.startswith("neurath agent"):
            reader.types(line)
