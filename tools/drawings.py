"""Draws the pictures of the README that no browser is needed for: what a power cut leaves behind, from the figures in
docs/assurance, and the station's screen, by the screen itself. `python tools/drawings.py` writes them, `--check` compares the
first. It must never hold a figure of its own."""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CUTS, STATION = ROOT / "docs/img/power-cuts.svg", ROOT / "docs/img/station.svg"
#: What pages of real updates call how a power-up after a cut went on.
FATES = (
    ("boots-old", "starts the old software", "#b9b2a3"),
    ("goes-on", "goes on with the rewrite by itself", "#2f6db3"),
    ("boots-new", "starts the new software", "#1d8a5b"),
    ("bricks", "bricked", "#c02020"),
)
WIDTH, LEFT, ROW, TOP = 860, 120, 30, 66
#: Light or dark, as the reader's screen is.
STYLE = (
    "<style>.page{fill:#fbfaf7}.word{fill:#22303c}.note{fill:#55606a}"
    "@media(prefers-color-scheme:dark){.page{fill:#1b2229}.word{fill:#e6e3da}.note{fill:#aab4bc}}</style>"
)


def figures(page: Path) -> Counter[str]:
    """The sums of all rows of figures on a page of docs/assurance, by the names of their columns."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.read_text().splitlines() if line.startswith("|")
    ]
    if not lines:
        return Counter()
    head, _, *rows = lines
    found: Counter[str] = Counter()
    for row in rows:
        found.update({name: int(c.replace(",", "")) for name, c in zip(head, row, strict=True) if re.fullmatch(r"[\d,]+", c)})
    return found


def pages() -> dict[str, Path]:
    """Those of real pairs, by the pair's name."""
    found = sorted((ROOT / "docs/assurance").glob("pair-*.md"))
    return {page.stem.removeprefix("pair-"): page for page in found if not page.stem.endswith("-wire")}


def cuts() -> str:
    """A bar for each real update: how the power-ups after its cuts went on, as shares of all."""
    found = {pair: figures(page) for pair, page in pages().items()}
    height = TOP + ROW * len(found) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">',
        STYLE,
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text x="{LEFT}" y="20" font-size="13" class="word">Power cut at every flash operation of real updates, '
        "on six memory maps each: what the next power-up does</text>",
    ]
    for k, (_, words, colour) in enumerate(FATES):
        parts.append(f'<rect x="{LEFT + 205 * k}" y="34" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 205 * k + 15}" y="43" class="note">{words}</text>')
    for n, (pair, row) in enumerate(found.items()):
        parts += bar(TOP + ROW * n, pair, row)
    return "\n".join([*parts, "</svg>", ""])


def bar(y: int, pair: str, row: Counter[str]) -> list[str]:
    """One update's: name, shares, and its cuts and bricks as numbers."""
    counts = [row[name] for name, _, _ in FATES]
    room, at = WIDTH - LEFT - 190, float(LEFT)
    parts = [f'<text x="{LEFT - 8}" y="{y + 13}" text-anchor="end" class="word">{pair}</text>']
    for count, (_, _, colour) in zip(counts, FATES, strict=True):
        wide = room * count / sum(counts)
        parts.append(f'<rect x="{at:.1f}" y="{y}" width="{wide:.1f}" height="18" fill="{colour}"/>')
        at += wide
    text = f"{row['cuts']:,} cuts, {counts[-1]} bricked"
    parts.append(f'<text x="{at + 8:.1f}" y="{y + 13}" class="note">{text}</text>')
    return parts


async def station() -> str:
    """The screen with two ports: one that is written to, one that is done. No font is asked for from elsewhere."""
    from neurath.ids import ModelName, TerminalId
    from neurath.station.desk import Desk, Job
    from neurath.station.machine import Choice, Machine, Step, Verdict
    from neurath.station.panel import Panel
    from neurath.station.run import Pace
    from neurath.station.stock import Index, Stock
    from neurath.wire.smp import BirthState, Fate, Held, Identity, Why

    new = Held(bytes(16), bytes(32), 102_432, 7, 0)

    def seen(name: str, whole: bool) -> Identity:
        fate, why = (Fate.BOOT, Why.NONE) if whole else (Fate.RESTORE, Why.REWRITE)
        return Identity(
            131_072, (4, 256, 4096, 4096), fate, why, BirthState.WRITTEN, TerminalId(name), ModelName("hub"), installed=new
        )

    class Still(Panel):
        async def _work(self) -> None:
            await asyncio.Event().wait()

    with tempfile.TemporaryDirectory() as folder:
        stock = Stock(Path(folder))
        stock.keep(Index())
        desk = Desk(Job(stock), ["/dev/ttyUSB0", "/dev/ttyUSB1"])
        choice = Choice(bytes(16), bytes(32), "2.0", "the release its state log names")
        left, right = desk.seats
        left.state = Machine(Step.WRITE, seen("hub-14", False), choice, 57_344, 103_201)
        left.pace, left.version = Pace(0.0, 57_344, 5.6), "2.0"
        right.state = Machine(Step.UNPLUG, seen("hub-09", True), choice, 103_201, 103_201, verdict=Verdict.RESTORED)
        right.pace, right.version = Pace(0.0, 103_201, 10.1), "2.0"
        desk.shift[Verdict.RESTORED] = 12
        app = Still(desk)
        async with app.run_test(size=(136, 20)) as pilot:
            app.draw()
            await pilot.pause()
            drawn = app.export_screenshot(title="neurath station run")
    return re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.DOTALL)


def main() -> int:
    if "--check" in sys.argv:
        same = CUTS.exists() and CUTS.read_text() == cuts()
        print("" if same else f"{CUTS.relative_to(ROOT)} is not in step with docs/assurance: python tools/drawings.py")
        return 0 if same else 1
    CUTS.write_text(cuts())
    STATION.write_text(asyncio.run(station()))
    print(f"{CUTS}\n{STATION}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
