"""How often sectors are erased in an undisturbed update of real firmware: once in resume mode, twice with scratch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from neurath.delta import build
from neurath.delta.build import changed_sectors
from neurath.delta.simulate import target, terminal
from neurath.flash.geometry import Layout, Span, simple_layout
from tests.parts import images

PAIRS = ("movehub", "primehub", "microbit")


def erases(name: str, layout: Layout) -> tuple[int, int, int]:
    """(bank and scratch erases, sectors that change, erases of the state log) of one update."""
    pair = images(name)
    delta = build(pair.old, pair.new, layout)
    nor, core = terminal(pair.old, layout)
    core.rewrite(delta.data, target(pair.new, delta.data, layout), delta.ram_needed(layout, staged_in_ram=False))
    core.confirm()
    assert core.bank_bytes(len(pair.new)) == pair.new

    def of(*spans: Span) -> int:
        return sum(nor.erases(at) for span in spans for at in range(span.base, span.end, 4096))

    return of(layout.scratch, *layout.bank), changed_sectors(pair.old, pair.new, layout), of(*layout.log)


@pytest.mark.network
def test_a_sector_that_changes_is_erased_once_without_scratch_and_costs_two_erases_with_it(
    figures: Callable[[str, str], None],
) -> None:
    lines = ["| pair | sectors that change | resume mode | scratch mode | state log, each mode |", "|---|---|---|---|---|"]
    for name in PAIRS:
        pair = images(name)
        plain = simple_layout(max(len(pair.old), len(pair.new)))
        direct, changed, log = erases(name, replace(plain, scratch=Span(), resume=True))
        logged, same, log_too = erases(name, plain)
        lines.append(f"| {name} | {changed} | {direct / changed:.2f} | {logged / same:.2f} | {log}, {log_too} |")
        assert direct == changed == same
        assert logged <= 2 * changed
        assert max(log, log_too) <= 2
    note = "Erases of bank and scratch over sectors that change, 4 KiB each, no cut; those of the state log apart."
    figures("erases", "\n".join([*lines, "", note]))
