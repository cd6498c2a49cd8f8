"""State as colour, shape and word, and figures as inline SVG: phase track, share bar, memory map. It knows numbers in and
markup out; it must never ask for data, and never rely on colour alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from neurath.console.words import Speak, amount
from neurath.flash.geometry import Layout, Span
from neurath.server.fleet.figures import Line, State
from neurath.server.fleet.matrix import Mark, Mesh
from neurath.wire.report import Phase

STATE_WORDS = {
    State.RESTORATION: "in restoration",
    State.FAILED: "failed",
    State.REFUSED: "refused",
    State.PEOPLE: "waiting for people",
    State.WORKING: "updating",
    State.WAITING: "offered",
    State.SILENT: "silent",
    State.OLDER: "older release",
    State.FOREIGN: "unknown software",
    State.UNHEARD: "never heard",
    State.CURRENT: "up to date",
}
PHASE_WORDS = {
    Phase.IDLE.value: "waiting",
    Phase.OFFERED.value: "waiting",
    Phase.DOWNLOADING.value: "receiving",
    Phase.DOWNLOADED.value: "proving",
    Phase.WAITING_FOR_USE_END.value: "waiting until it is not in use",
    Phase.WAITING_FOR_USER.value: "waiting for the user",
    Phase.UPDATING.value: "rewriting",
    Phase.JUDGING.value: "judging",
    Phase.UPDATED.value: "confirmed",
    Phase.FAILED.value: "failed",
    Phase.RESTORING.value: "in restoration",
}
#: The track: receiving is wide because it takes long; proving, rewriting and judging follow, the verdict comes last.
_STEPS = ((0.0, 116.0), (120.0, 26.0), (150.0, 46.0), (200.0, 18.0), (222.0, 18.0))
_REACHED = {
    Phase.DOWNLOADED.value: 1,
    Phase.UPDATING.value: 2,
    Phase.JUDGING.value: 3,
    Phase.RESTORING.value: 3,  # whether it was torn in the rewrite or judged badly after it
}


#: What a model's rescue class means to people.
RESCUE_WORDS = {
    "modem": "it comes back by itself over any link it has",
    "staged": "it comes back by itself from what it staged",
    "wire": "a restoration station finishes what a power cut left",
}

#: A wait may come before the download or after it, a failure at any time: what is held tells which.
_ANY_TIME = frozenset({Phase.WAITING_FOR_USE_END.value, Phase.WAITING_FOR_USER.value, Phase.FAILED.value})


def kind_word(kind: str) -> str:
    """The word of a line of the timeline; what other parts noted in their own words stays as it is."""
    return {"offered": "offered", "wire": "by wire"}.get(kind) or PHASE_WORDS.get(kind, kind)


def badge(state: State, t: Speak) -> Markup:
    """The state's shape and word in its colour."""
    return Markup(
        '<span class="badge s-{0}"><svg class="mark" aria-hidden="true"><use href="#m-{0}"/></svg>{1}</span>'
    ).format(state.value, t(STATE_WORDS[state]))


#: What each mark of the matrix looks like and is called; the shapes are those of the states.
_MARKS = {
    Mark.INSTALLED: ("current", "installed"),
    Mark.FAILED: ("failed", "failed"),
    Mark.DISTRIBUTED: ("older", "distributed"),
    Mark.SENDING: ("working", "receiving"),
    Mark.TOLD: ("waiting", "told"),
    Mark.UNDISTRIBUTED: ("unheard", "undistributed"),
}


def mesh(found: Mesh, t: Speak) -> Markup:
    """How a terminal stands with the newest release, as shape and word in their colour."""
    look, word = _MARKS[found.mark]
    return Markup(
        '<span class="badge s-{0}"><svg class="mark" aria-hidden="true"><use href="#m-{0}"/></svg>{1}</span>'
    ).format(look, t(word))


def track(line: Line, t: Speak) -> Markup:
    """Where the newest offer of a terminal stands; full only with the verdict."""
    share = line.done / line.size if line.size else 0.0
    if line.verdict == "confirmed":
        filled = [1.0] * 5
    else:
        step = _REACHED.get(line.phase, int(line.phase in _ANY_TIME and 0 < line.size <= line.done))
        filled = [1.0] * step + [share if step == 0 else 0.5] + [0.0] * (4 - step)
        filled[4] = 0.0
    rects = Markup("")
    for (x, width), part in zip(_STEPS, filled, strict=True):
        rects += Markup('<rect class="rail" x="{}" width="{}" height="6" rx="2"/>').format(x, width)
        if part:
            kind = "fill" if part == 1.0 or width == _STEPS[0][1] else "fill now"
            seen = width if kind == "fill now" else width * part
            rects += Markup('<rect class="{}" x="{}" width="{:.1f}" height="6" rx="2"/>').format(kind, x, seen)
    word = t(PHASE_WORDS.get(line.phase, "waiting"))
    label = f"{word}, " + t("{done} of {all}", done=amount(line.done), all=amount(line.size))
    return Markup('<svg class="track s-{}" viewBox="0 0 240 6" role="img" aria-label="{}">{}</svg>').format(
        line.state.value, label, rects
    )


def shares_bar(counts: Mapping[State, int], t: Speak) -> Markup:
    """How the fleet is divided among the states."""
    total = sum(counts.values()) or 1
    rects, x = Markup(""), 0.0
    for state in reversed(list(counts)):
        width = 1000.0 * counts[state] / total
        words = f"{t(STATE_WORDS[state])}: {counts[state]}"
        rects += Markup('<rect class="s-{}" x="{:.1f}" width="{:.1f}" height="14"><title>{}</title></rect>').format(
            state.value, x, max(width - 2.0, 1.0), words
        )
        x += width
    return Markup('<svg class="shares" viewBox="0 0 1000 14" preserveAspectRatio="none" aria-hidden="true">{}</svg>').format(
        rects
    )


def bar(count: int, most: int) -> Markup:
    """One bar of a histogram."""
    width = 100.0 * count / most if most else 0.0
    seen = max(width, 1.5) if count else 0.0
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="rail" width="100" '
        'height="8" rx="1"/><rect class="fill" width="{:.1f}" height="8" rx="1"/></svg>'
    ).format(seen)


@dataclass(frozen=True, slots=True)
class Cell:
    """One sector of the map: its flash address, what it is for, and which share of its bytes the last rewrite changed."""

    address: int
    size: int
    role: str
    heat: float
    changed: bool


#: What sectors are for; "foreign" ones are nobody's.
ROLES = ("birth record", "state log", "scratch", "staging", "bank")
#: Shares of a sector's bytes from which it is drawn hotter.
_HEATS = (0.0, 0.02, 0.1, 0.4)


def cells(layout: Layout, changed: Mapping[int, float]) -> list[Cell]:
    """Every sector in order of address; `changed` has the addresses of bank sectors and what of each differs."""
    named: Sequence[tuple[str, Span]] = (
        ("birth record", layout.birth),
        *(("state log", span) for span in layout.log),
        ("scratch", layout.scratch),
        ("staging", layout.stage),
        *(("bank", span) for span in layout.bank),
    )
    found = []
    for region in sorted(layout.regions, key=lambda r: r.base):
        for address in range(region.base, region.end, region.size):
            role = next((word for word, span in named if span.base <= address < span.end), "foreign")
            found.append(Cell(address, region.size, role, changed.get(address, 0.0), address in changed))
    return found


def memory_map(found: Sequence[Cell], t: Speak, known: bool) -> Markup:
    """The sectors as a grid, left to right, top to bottom; wider the more there are. `known`: so is what was changed."""
    across = next((width for width, most in ((24, 240), (32, 512), (48, 1536)) if len(found) <= most), 64)
    rects = Markup("")
    for index, cell in enumerate(found[:8192]):
        row, column = divmod(index, across)
        word = t("not ours, kept byte for byte") if cell.role == "foreign" else t(cell.role)
        state = f" · {_heat_words(cell, t)}" if known and cell.role == "bank" else ""
        heat = f" hot h{bisect_right(_HEATS, cell.heat)}" if cell.changed else ""
        rects += Markup(
            '<rect class="{}{}" x="{}" y="{}" width="10" height="10" rx="1.5"><title>0x{:x} · {}{}</title></rect>'
        ).format("c-" + cell.role.split()[0], heat, column * 12, row * 12, cell.address, word, state)
    rows = -(-min(len(found), 8192) // across)
    return Markup('<svg class="map" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        min(across, max(len(found), 1)) * 12 - 2, max(rows * 12 - 2, 10), t("Memory map"), rects
    )


def _heat_words(cell: Cell, t: Speak) -> str:
    return t("{share} changed", share=f"{max(100 * cell.heat, 0.1):.1f} %") if cell.changed else t("unchanged")
