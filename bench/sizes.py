"""The tables of bench/delta.py on its page: what each pair came to, means beside their goals, what building took. It knows
rows of --json; it must never measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import geometric_mean

Row = dict[str, float | int | str | None]

#: A column on the page, and what is told there of a row.
Column = tuple[str, Callable[[Row], str]]


def size(name: str) -> Callable[[Row], str]:
    return lambda row: f"{row[name]:,}" if row.get(name) is not None else "-"


def ratio(name: str, digits: int) -> Callable[[Row], str]:
    return lambda row: f"{row[name]:.{digits}f}" if row.get(name) is not None else "-"


def full(row: Row) -> float:
    """A whole image of ours against xz -9e."""
    return float(row["full"] or math.nan) / float(row["xz"] or math.nan)


def least(row: Row, peers: Sequence[str]) -> int:
    """Bytes of the smallest peer."""
    return min(int(found) for peer in peers if (found := row.get(peer)) is not None)


def table(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    return [
        "| " + " | ".join(title for title, _ in columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(told(row) for _, told in columns) + " |" for row in rows),
    ]


def pairs(rows: Sequence[Row], peers: Sequence[str]) -> list[str]:
    """Every size in bytes, a line a pair."""
    return table(
        [
            ("pair", lambda row: str(row["pair"])),
            ("image", size("image")),
            ("xz", size("xz")),
            ("**full**", size("full")),
            ("x xz", lambda row: f"{full(row):.2f}"),
            *((peer, size(peer)) for peer in peers),
            ("**ours**", size("ours")),
            ("ratio", ratio("ratio", 3)),
            ("detools in place", size("dt-place")),
            ("**in place**", size("in place")),
            ("x own", ratio("place", 2)),
            ("x detools", ratio("place/dt", 2)),
            ("**large**", size("large")),
            ("ratio", ratio("l ratio", 3)),
            ("large in place", size("l place")),
            ("x detools", ratio("l/dt", 2)),
        ],
        rows,
    )


#: What means are told of: a title, what it is of a row, digits.
MEANS: tuple[tuple[str, Callable[[Row], float | None], int], ...] = (
    ("ratio", lambda row: _number(row, "ratio"), 3),
    ("in place x own", lambda row: _number(row, "place"), 3),
    ("in place x detools", lambda row: _number(row, "place/dt"), 2),
    ("full x xz", full, 2),
    ("large: ratio", lambda row: _number(row, "l ratio"), 3),
    ("large in place x detools", lambda row: _number(row, "l/dt"), 2),
)


def means(classes: Sequence[tuple[str, Sequence[Row], dict[str, float]]]) -> list[str]:
    """Geometric means of classes of pairs. The goals of a class go by the titles of MEANS; one that is missed says so."""
    lines = [
        "| geometric mean | " + " | ".join(f"{title} | goal" for title, _, _ in MEANS) + " |",
        "|---|" + "---|---|" * len(MEANS),
    ]
    for title, rows, goals in classes:
        cells = []
        for what, told, digits in MEANS:
            values = [value for row in rows if (value := told(row)) is not None]
            found, goal = (geometric_mean(values) if values else math.nan), goals.get(what)
            missed = "" if goal is None or found <= goal else " **missed**"
            cells += [f"{found:.{digits}f}{missed}", "" if goal is None else f"{goal:.2f}"]
        lines.append(f"| {title} ({len(rows)}) | " + " | ".join(cells) + " |")
    return lines


def beside(rows: Sequence[Row], peers: Sequence[str]) -> list[str]:
    """Sizes against the smallest peer alone, for images that are no firmware."""
    return table(
        [
            ("pair", lambda row: f"`{row['pair']}`"),
            ("image", size("image")),
            ("smallest peer", lambda row: f"{least(row, peers):,}"),
            ("ours", size("ours")),
            ("ratio", ratio("ratio", 3)),
            ("in place", size("in place")),
            ("large", size("large")),
            ("ratio", ratio("l ratio", 3)),
            ("large in place x detools", ratio("l/dt", 2)),
        ],
        rows,
    )


def tiny(rows: Sequence[Row]) -> list[str]:
    """Sizes for a decoder in 6 KiB."""
    return table(
        [
            ("pair", lambda row: str(row["pair"])),
            ("tiny", size("tiny")),
            ("x smallest peer", ratio("t ratio", 2)),
            ("x smallest peer in 6 KiB", ratio("t slight", 2)),
            ("tiny in place", size("t place")),
            ("RAM lent", size("t ram")),
        ],
        rows,
    )


def building(rows: Sequence[Row]) -> list[str]:
    """What one build took, in a process of its own, and what decoding its file takes."""
    return table(
        [
            ("pair", lambda row: str(row["pair"])),
            ("image", size("image")),
            ("s in place", ratio("cpu", 2)),
            ("s for 0.5 MB", lambda row: f"{float(row['cpu'] or 0) * 500_000 / int(row['image'] or 1):.2f}"),
            ("MB besides both images", ratio("MB", 1)),
            ("s large", ratio("l cpu", 2)),
            ("MB", ratio("l MB", 1)),
            ("s to decode", ratio("apply", 2)),
            ("large", ratio("l apply", 2)),
            ("RAM lent", size("ram")),
            ("large", size("l ram")),
        ],
        rows,
    )


def _number(row: Row, name: str) -> float | None:
    value = row.get(name)
    return None if value is None else float(value)
