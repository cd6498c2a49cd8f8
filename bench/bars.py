"""A picture of bench/delta.py: for each pair a bar of the smallest peer, one of ours and one of the large profile.
It knows the rows of --json and a page; it must never measure. Run: python bench/bars.py ROWS.json PICTURE.svg"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

WIDTH, LEFT, ROW, TOP = 860, 120, 34, 56
PEERS = ("bsdiff4", "detools", "dt-m4", "hdiff", "hlite", "zstd", "xdelta3")
BARS = (("best", "smallest peer", "#b9b2a3"), ("ours", "in 20 KiB", "#2f6db3"), ("large", "on Linux", "#1d8a5b"))
#: Light or dark, as the reader's screen is.
STYLE = (
    "<style>.page{fill:#fbfaf7}.word{fill:#22303c}.note{fill:#55606a}"
    "@media(prefers-color-scheme:dark){.page{fill:#1b2229}.word{fill:#e6e3da}.note{fill:#aab4bc}}</style>"
)


def picture(rows: list[dict[str, float]]) -> str:
    """The SVG text."""
    low, high = math.log10(50), math.log10(200_000)

    def x(size: float) -> float:
        return LEFT + (WIDTH - LEFT - 70) * (math.log10(size) - low) / (high - low)

    height = TOP + ROW * len(rows) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">',
        STYLE,
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text x="{LEFT}" y="20" font-size="13" class="word">Bytes of an update file (logarithmic)</text>',
    ]
    for k, (_, words, colour) in enumerate(BARS):
        parts.append(f'<rect x="{LEFT + 150 * k}" y="30" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 150 * k + 15}" y="39" class="note">{words}</text>')
    for n, row in enumerate(rows):
        y = TOP + ROW * n
        sizes = {"best": min(v for p in PEERS if (v := row.get(p))), "ours": row["ours"], "large": row["large"]}
        parts.append(f'<text x="{LEFT - 8}" y="{y + 18}" text-anchor="end" class="word">{row["pair"]}</text>')
        for k, (name, _, colour) in enumerate(BARS):
            end = x(sizes[name])
            parts.append(f'<rect x="{LEFT}" y="{y + 9 * k}" width="{end - LEFT:.1f}" height="8" fill="{colour}"/>')
            parts.append(f'<text x="{end + 4:.1f}" y="{y + 9 * k + 8}" font-size="9" class="note">{sizes[name]:,}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(picture(json.loads(Path(sys.argv[1]).read_text())))
