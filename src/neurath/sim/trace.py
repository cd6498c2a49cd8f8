"""One update as a picture: which sector of flash was erased and programmed when, and who had the RAM meanwhile. It knows
times, addresses and names in, SVG out; it must never know what an operation was for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from neurath.flash.geometry import Layout, Span
from neurath.sim.nbd import Operation

WIDTH, LEFT, ROW, TOP = 860, 170, 13, 34
#: Dark enough on white and light enough on black: the picture stands on both.
ERASED, PROGRAMMED, HELD, INK = "#c2553a", "#2f7fb8", "#4a9c6d", "#808080"
STYLE = f'font-family="sans-serif" font-size="11" fill="{INK}"'


@dataclass(frozen=True, slots=True)
class Held:
    """A tenant of the RAM, or what was put in its place, from when to when (seconds)."""

    name: str
    begin: float
    end: float
    tenant: bool = True


def tenants(lines: Sequence[tuple[float, str]], begin: float, end: float) -> list[Held]:
    """Who had the RAM, from what the phone said and when: a name, then whether it left or is back."""
    known = ["media cache", "browser", "ring tones", "address book"]
    since = dict.fromkeys(known, begin)
    found, name = [], ""
    for when, line in lines:
        if line.strip() == "left its memory" and name in since:
            found.append(Held(name, since.pop(name), when))
            known.append(file := f"file, in place of {name}")
            since[file] = when
        elif line.strip() == "is back":
            since[name] = when
        name = line.strip()
    found += [Held(name, at, end, tenant=not name.startswith("file")) for name, at in since.items()]
    return sorted(found, key=lambda one: (known.index(one.name), one.begin))


def draw(title: str, layout: Layout, operations: Sequence[Operation], ram: Sequence[Held]) -> str:
    """The picture of these operations, in the order and at the times they came."""
    begin = min([o.when for o in operations] + [h.begin for h in ram])
    end = max([o.when for o in operations] + [h.end for h in ram])
    rows = _rows(layout, operations)
    scale = (WIDTH - LEFT - 20) / max(end - begin, 0.001)
    height = TOP + ROW * (len(rows) + len({h.name for h in ram}) + 4)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<text x="8" y="16" {STYLE} font-weight="bold">{escape(title)}</text>',
        f'<text x="{LEFT}" y="{TOP - 4}" {STYLE}>flash: one line a sector, </text>',
        f'<rect x="{LEFT + 132}" y="{TOP - 13}" width="9" height="9" fill="{ERASED}"/>',
        f'<text x="{LEFT + 145}" y="{TOP - 4}" {STYLE}>erased</text>',
        f'<rect x="{LEFT + 188}" y="{TOP - 13}" width="9" height="9" fill="{PROGRAMMED}"/>',
        f'<text x="{LEFT + 201}" y="{TOP - 4}" {STYLE}>programmed</text>',
    ]
    for row, (base, name) in enumerate(rows.items()):
        out += _line(TOP + ROW * row, name)
        for operation in sorted(operations, key=lambda o: o.kind == "erase"):  # what is rare lies on top
            if _sector(layout, operation.at) == base:
                x = LEFT + (operation.when - begin) * scale
                colour, wide = (ERASED, 2.5) if operation.kind == "erase" else (PROGRAMMED, 1.0)
                out.append(f'<rect x="{x:.1f}" y="{TOP + ROW * row + 2}" width="{wide}" height="{ROW - 4}" fill="{colour}"/>')
    top = TOP + ROW * (len(rows) + 1)
    out.append(f'<text x="{LEFT}" y="{top + 9}" {STYLE}>RAM that was lent</text>')
    for row, name in enumerate(dict.fromkeys(h.name for h in ram), 1):
        out += _line(top + ROW * row, name)
        for one in (h for h in ram if h.name == name):
            x, width = LEFT + (one.begin - begin) * scale, max(1.0, (one.end - one.begin) * scale)
            colour = HELD if one.tenant else PROGRAMMED
            out.append(f'<rect x="{x:.1f}" y="{top + ROW * row + 2}" width="{width:.1f}" height="{ROW - 4}" fill="{colour}"/>')
    out.append(f'<text x="{LEFT}" y="{height - 6}" {STYLE}>0 s</text>')
    out.append(f'<text x="{WIDTH - 20}" y="{height - 6}" {STYLE} text-anchor="end">{end - begin:.1f} s</text>')
    return "\n".join([*out, "</svg>", ""])


def _line(y: int, name: str) -> list[str]:
    return [
        f'<text x="{LEFT - 8}" y="{y + 10}" {STYLE} text-anchor="end">{escape(name)}</text>',
        f'<rect x="{LEFT}" y="{y + 2}" width="{WIDTH - LEFT - 20}" height="{ROW - 4}" fill="{INK}" fill-opacity="0.12"/>',
    ]


def _rows(layout: Layout, operations: Sequence[Operation]) -> Mapping[int, str]:
    """The sectors that were written, and one of the bank behind them that was not, by address."""
    written = {_sector(layout, o.at) for o in operations}
    spans = {"log A": layout.log[0], "log B": layout.log[1], "scratch": layout.scratch, "stage": layout.stage}
    spans |= {f"bank {n}" if len(layout.bank) > 1 else "bank": span for n, span in enumerate(layout.bank)}
    bank = [base for base in written if any(_in(span, base) for span in layout.bank)]
    if bank and (after := _sector(layout, max(bank) + 1) + _size(layout, max(bank))) < layout.bank[-1].end:
        written.add(after)
    names = {base: next((name for name, span in spans.items() if _in(span, base)), "?") for base in sorted(written)}
    return {base: f"{name} 0x{base:x}" for base, name in names.items()}


def _in(span: Span, at: int) -> bool:
    return span.base <= at < span.base + span.length


def _size(layout: Layout, at: int) -> int:
    return next(r.size for r in layout.regions if r.base <= at < r.base + r.size * r.count)


def _sector(layout: Layout, at: int) -> int:
    for region in layout.regions:
        if region.base <= at < region.base + region.size * region.count:
            return at - (at - region.base) % region.size
    return at
