"""Layout arithmetic of the core against a slow model that lists every sector and every byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.flash.geometry import Layout, Region, Span, log_need
from neurath.flash.native import bank_size, check_layout, ffi, lib, unit_spans
from neurath.flash.structs import c_layout
from tests.flash.crafted import small_layout


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Two regions of different sectors, a bank of one or two spans with a hole between."""
    small, ratio = draw(st.sampled_from([512, 1024])), draw(st.sampled_from([1, 2, 4]))
    first, second = draw(st.integers(4, 20)), draw(st.integers(1, 6))
    big = small * ratio
    base = 0x8000 if draw(st.booleans()) else 0
    start = base + 2 * 1024 + 8 * big
    regions = (
        Region(base, 1024, 2),
        Region(base + 2048, big, 8),
        Region(start, small, first),
        Region(start + small * first, big, second),
    )
    cut = draw(st.integers(2, first))
    end = start + small * first + big * second
    hole = draw(st.booleans()) and cut < first
    bank = (
        (Span(start, small * (cut - 1)), Span(start + small * cut, end - start - small * cut))
        if hole
        else (Span(start, end - start),)
    )
    group = draw(st.sampled_from([512, 1024, 2048]))
    leaf = 512
    return Layout(
        regions=regions,
        log=(Span(base, 1024), Span(base + 1024, 1024)),
        scratch=Span(base + 2048, 8 * big),
        bank=bank,
        page=256,
        group=group,
        leaf=leaf,
    )


def slow_units(layout: Layout) -> list[tuple[int, int]]:
    """Units by walking sector after sector."""
    units, offset = [], 0
    for span in layout.bank:
        at, start = span.base, offset
        while at < span.end:
            region = next(r for r in layout.regions if r.base <= at < r.end)
            at += region.size
            offset += region.size
            if (offset - start) % layout.group == 0 or at == span.end:
                units.append((start, offset - start))
                start = offset
    return units


def sectors_of(layout: Layout, unit: tuple[int, int]) -> int:
    """How many sectors a unit has, walked one after the other."""
    addresses = [a for span in layout.bank for a in range(span.base, span.end, 512)]
    found = set()
    for address in addresses[unit[0] // 512 : (unit[0] + unit[1]) // 512]:
        region = next(r for r in layout.regions if r.base <= address < r.end)
        found.add((address - region.base) // region.size * region.size + region.base)
    return len(found)


@given(layouts())
def test_units_are_what_the_slow_model_says(layout: Layout) -> None:
    slots = 8  # sectors of scratch, each as large as the bank's largest: a unit's sectors must all fit
    if max(sectors_of(layout, unit) for unit in slow_units(layout)) > slots:
        with pytest.raises(DataError):
            check_layout(layout)
        return
    check_layout(layout)
    assert bank_size(layout) == layout.bank_size
    assert unit_spans(layout) == slow_units(layout)


@given(layouts(), st.data())
def test_every_image_offset_lies_where_the_spans_say(layout: Layout, data: st.DataObject) -> None:
    offset = data.draw(st.integers(0, layout.bank_size - 1))
    addresses = [a for span in layout.bank for a in range(span.base, span.end)]
    addr, run = ffi.new("uint32_t *"), ffi.new("uint32_t *")
    raw = c_layout(layout)
    assert lib.nrt_image_addr(raw, offset, addr, run) == 0
    region = next(r for r in layout.regions if r.base <= addr[0] < r.end)
    assert addr[0] == addresses[offset]
    assert run[0] == region.size - (addr[0] - region.base) % region.size
    assert lib.nrt_image_addr(raw, layout.bank_size, addr, run) < 0


@given(layouts(), st.integers(0, 7), st.integers(1, 7))
def test_a_span_that_is_not_whole_sectors_is_refused(layout: Layout, which: int, by: int) -> None:
    raw = c_layout(layout)
    spans = [raw.bank[0], raw.log[0], raw.scratch]
    span = spans[which % 3]
    span.len += by
    assert lib.nrt_layout_check(raw) < 0


def test_what_the_core_cannot_promise_on_is_refused() -> None:
    for change in ({"group": 0}, {"leaf": 0}, {"write_unit": 3}, {"page": 7}, {"erased": 1}, {"n_bank": 0}):
        raw = c_layout(small_layout())
        for name, value in change.items():
            setattr(raw, name, value)
        assert lib.nrt_layout_check(raw) < 0, change
    many = Layout(
        regions=(Region(0, 256, 400),),
        log=(Span(0, 1024), Span(1024, 1024)),
        scratch=Span(2048, 65536),
        bank=(Span(67584, 32768),),
        group=16384,
    )
    with pytest.raises(DataError):
        check_layout(many)


@pytest.mark.parametrize("write_unit", [1, 2, 4, 8, 16, 32])
def test_a_state_log_one_byte_too_small_is_refused_before_anything_is_erased(write_unit: int) -> None:
    need = log_need(write_unit)
    page = max(8, write_unit)
    assert need % page == 0
    regions = (Region(0, need, 2), Region(1 << 16, 4096, 24), Region(1 << 20, need - page, 2))
    chip = {"regions": regions, "scratch": Span(1 << 16, 8 * 4096), "write_unit": write_unit, "page": page}
    bank = (Span((1 << 16) + 8 * 4096, 16 * 4096),)
    layout = Layout(bank=bank, log=(Span(0, need), Span(need, need)), **chip)
    raw = c_layout(layout)
    assert lib.nrt_log_need(raw) == need
    assert lib.nrt_layout_check(raw) == 0
    for span, base in zip(raw.log, (1 << 20, (1 << 20) + need - page), strict=True):
        span.base, span.len = base, need - page
    assert lib.nrt_layout_check(raw) < 0
    assert lib.nrt_need(raw, 1000, 1000, 0, 0) == 0xFFFFFFFF
    with pytest.raises(DataError) as refused:
        Layout(bank=bank, log=(Span(1 << 20, need - page), Span((1 << 20) + need - page, need - page)), **chip)
    assert f"needs {need} bytes" in refused.value.why
