"""The film of the demonstration: pictures are taken at the moments of a story as it is printed, and none of a story that went
wrong; of every picture it is known which script made it."""

from __future__ import annotations

import shutil
from pathlib import Path

from tools import film, made

ROOT = Path(__file__).resolve().parents[2]

TOLD = """
setting up .venv (once; about a minute)
   0.7 s  terminal-2: loses power in the rewrite and its link for good
   6.8 s  server and console: http://127.0.0.1:15171
  13.6 s  rollout of demo-board/1.2.4 to all 5 terminals started
  19.8 s  terminal-1: downloading, 0 of 23,255 bytes
  19.9 s  terminal-4: downloading, 0 of 23,255 bytes
  20.3 s  terminal-2: POWER CUT (SIGKILL) at flash operation 1216
  20.3 s  terminal-2: its link is dead too; it opens its wire and waits for the station
  21.5 s  station: stock taken from the server, then offline; plugged into terminal-2 at /x/y/demo/terminals/terminal-2.wire
  23.4 s  station: terminal-2 is restored; it is safe to unplug
  28.4 s  every bank holds the new software
  28.4 s  console: http://127.0.0.1:15171   everything lies in /x/y/demo   Ctrl-C ends it
""".strip().splitlines()


def filmed(told: list[str]) -> tuple[film.Film, list[tuple[str, str]]]:
    taken: list[tuple[str, str]] = []
    made = film.Film(lambda name, address: taken.append((name, address)))
    ends = [made.hear(line) for line in told]
    assert ends[:-1] == [False] * (len(told) - 1)
    return made, taken


def test_each_moment_is_taken_once_where_the_story_has_it() -> None:
    story, taken = filmed(TOLD)
    console = "http://127.0.0.1:15171/"
    assert taken == [
        ("demo-1", f"{console}?lang=en"),
        ("demo-2", f"{console}?lang=en"),
        ("demo-3", f"{console}terminals/terminal-2?lang=en"),
        ("demo-4", f"{console}rollouts/1?lang=en"),
    ]
    assert story.lacks() == []
    shown = film.shell(story, 7)
    assert "/x/y" not in shown
    assert "out/demo" in shown
    assert "POWER CUT" in shown
    assert "downloading" not in shown


def test_a_story_that_went_wrong_is_no_film() -> None:
    story, _ = filmed([line for line in TOLD if "stock taken" not in line and "every bank" not in line])
    assert len(story.lacks()) == 2


def test_a_picture_that_nobody_made_or_that_was_changed_or_is_shown_nowhere_is_found(tmp_path: Path) -> None:
    assert made.problems() == []
    copy = tmp_path / "docs/img"
    shutil.copytree(ROOT / "docs/img", copy)
    shutil.copytree(ROOT / "tools", tmp_path / "tools", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs/how-to", tmp_path / "docs/how-to")
    for page in ROOT.glob("README*.md"):
        shutil.copy(page, tmp_path)
    assert made.problems(tmp_path) == []
    (copy / "demo-1.png").write_bytes(b"painted by hand")
    (copy / "mine.png").write_bytes(b"by nobody")
    (copy / "demo-2.png").unlink()
    assert sorted(line.partition(":")[0] for line in made.problems(tmp_path)) == [
        "demo-1.png", "demo-2.png", "demo-2.png", "mine.png", "mine.png"
    ]  # fmt: skip
