"""Charts of a rollout as inline SVG: its course over time, how it is divided now, and how near it is to its halt. Numbers in,
markup out; every colour has its word beside it, and every figure stands in words too."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from neurath.console.words import Speak, moment
from neurath.server.fleet.flow import Flow
from neurath.server.fleet.spread import Rollout

WIDE, HIGH = 1000.0, 220.0
#: Layers from the ground up: name in a flow, colour, shape and word.
LAYERS = (
    ("installed", "current", "run it"),
    ("failed", "failed", "failed"),
    ("distributed", "working", "have the file"),
    ("offered", "waiting", "offered"),
    ("rest", "rest", "not offered yet"),
)


def course(seen: Flow, t: Speak) -> Markup:
    """States over time, stacked; a line where each wave was opened."""
    begin, end = seen.at[0], seen.at[-1]
    total = max(sum(getattr(seen, name)[-1] for name, _, _ in LAYERS), 1)
    across = [WIDE * (at - begin) / (end - begin) for at in seen.at]
    ground, drawn = [0.0] * len(across), Markup("")
    for name, tone, word in LAYERS:
        top = [low + count / total for low, count in zip(ground, getattr(seen, name), strict=True)]
        label = f"{t(word)}: {getattr(seen, name)[-1]}"
        drawn += Markup('<polygon class="a-{}" points="{}"><title>{}</title></polygon>').format(
            tone, _outline(across, ground, top), label
        )
        ground = top
    for number, at in enumerate(seen.waves, 1):
        if begin <= at <= end:
            x = WIDE * (at - begin) / (end - begin)
            label = t("wave {n} opened {when}", n=number, when=moment(at))
            drawn += Markup(
                '<line class="wave" x1="{0:.1f}" x2="{0:.1f}" y1="0" y2="{1:.0f}"><title>{2}</title></line>'
            ).format(x, HIGH, label)
    return Markup(
        '<svg class="course" viewBox="0 0 {:.0f} {:.0f}" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(WIDE, HIGH, t("States over time"), drawn)


def _outline(across: Sequence[float], ground: Sequence[float], top: Sequence[float]) -> str:
    """A layer's corners: along its top as steps, for a count does not slope, and back along its ground."""

    def steps(values: Sequence[float]) -> list[tuple[float, float]]:
        found = [(across[0], values[0])]
        for x, before, value in zip(across[1:], values, values[1:], strict=False):
            found += [(x, before), (x, value)] if before != value else [(x, value)]
        return found

    corners = steps(top) + steps(ground)[::-1]
    return " ".join(f"{x:.1f},{HIGH * (1 - y):.1f}" for x, y in corners)


def split(one: Rollout, t: Speak) -> Markup:
    """How many run it, are at it, failed: one bar."""
    rest = max(0, one.targets - one.confirmed - one.failed - one.working)
    parts = (
        ("current", one.confirmed, "run it"),
        ("working", one.working, "at it"),
        ("failed", one.failed, "failed"),
        ("rest", rest, "the rest"),
    )
    total, x, drawn = max(one.targets, 1), 0.0, Markup("")
    for tone, count, word in parts:
        width = WIDE * count / total
        if count:
            drawn += Markup('<rect class="a-{}" x="{:.1f}" width="{:.1f}" height="14"><title>{}</title></rect>').format(
                tone, x, width, f"{t(word)}: {count}"
            )
        x += width
    return Markup('<svg class="shares" viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true">{}</svg>').format(
        drawn
    )


def threshold(bad: int, halts: int, admitted: int, t: Speak) -> Markup:
    """How near a rollout is to halting by itself: what failed, and the mark at which it halts."""
    most = max(2 * halts, bad, 1)
    return Markup(
        '<svg class="threshold" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{}"><rect class="rail" '
        'width="100" height="8"/><rect class="a-failed" width="{:.2f}" height="8"/><rect class="mark-at" x="{:.2f}" '
        'width="0.6" height="8"/></svg>'
    ).format(
        t("{bad} of {all} failed, it halts at {halts}", bad=bad, all=admitted, halts=halts),
        100 * bad / most,
        100 * halts / most - 0.3,
    )
