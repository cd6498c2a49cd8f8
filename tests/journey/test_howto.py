"""What the how-to pages tell people to type works as it is printed: from two images to a terminal that lost power in the
rewrite and runs the new one, in one empty folder."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from tests.rigs.reader import Reader, commands, page

KILLED = -9


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
