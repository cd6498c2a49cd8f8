"""A chart of round trips over time as one SVG file: logarithmic upwards, one line a run, named beside its end. It knows
numbers and a page; it must never need a library, nor a screen of one colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 860, 400, 62, 96, 44, 40
Scale = Callable[[float], float]
#: Told apart also without colour: by their dashes.
STYLES = {
    "idle": ("#7a8793", "1 3"),
    "heartbeat": ("#2f6db3", "6 3"),
    "trickle": ("#1d8a5b", "none"),
    "bulk": ("#c2452d", "none"),
}


@dataclass(frozen=True, slots=True)
class Series:
    """One run: a value every `step` seconds, None where there was none."""

    name: str
    step: float
    values: Sequence[float | None]


def chart(title: str, runs: Sequence[Series]) -> str:
    """The SVG text. Values are milliseconds."""
    known = [value for run in runs for value in run.values if value is not None]
    low, high = math.log10(min(known) * 0.8), math.log10(max(known) * 1.2)
    long = max(run.step * len(run.values) for run in runs)

    def x(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / long

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (math.log10(value) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fbfaf7"/>',
        f'<text x="{LEFT}" y="22" font-size="13" fill="#22303c">{escape(title)}</text>',
    ]
    for mark in _marks(10**low, 10**high):
        parts.append(f'<path d="M{LEFT} {y(mark):.1f}H{WIDTH - RIGHT}" stroke="#ddd8cc"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(mark) + 4:.1f}" text-anchor="end" fill="#55606a">{_words(mark)}</text>')
    for tenth in range(0, 11, 2):
        at = long * tenth / 10
        parts.append(f'<text x="{x(at):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle" fill="#55606a">{at:.0f} s</text>')
    taken: list[float] = []
    for run in reversed(runs):
        parts.append(_run(run, x, y, taken))
    return "\n".join([*parts, "</svg>", ""])


def _run(run: Series, x: Scale, y: Scale, taken: list[float]) -> str:
    colour, dash = STYLES.get(run.name, ("#22303c", "none"))
    points = [(x(n * run.step), y(value)) for n, value in enumerate(run.values) if value is not None]
    place = points[-1][1] + 4
    while any(abs(place - other) < 14 for other in taken):
        place += 3
    taken.append(place)
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    return (
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-dasharray="{dash}"/>'
        f'<text x="{WIDTH - RIGHT + 6}" y="{place:.1f}" fill="{colour}">{escape(run.name)}</text>'
    )


def _marks(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, ... between the two."""
    found = [base * 10**power for power in range(6) for base in (1, 2, 5)]
    return [mark for mark in found if low <= mark <= high]


def _words(milliseconds: float) -> str:
    return f"{milliseconds / 1000:g} s" if milliseconds >= 1000 else f"{milliseconds:g} ms"
