"""The meter of a line: what others send, with hysteresis, and not what the agent receives itself."""

from __future__ import annotations

from neurath.terminal.line import AGAIN, OVERHEAD, Meter, Quiet
from neurath.terminal.machine.events import MayFetch, MayNotFetch


def test_traffic_begins_to_be_too_much_above_the_threshold_and_ends_below_four_fifths_of_it() -> None:
    meter = Meter(1000.0).read(0, 0, 1.0)
    seen = []
    for second, rate in enumerate((900, 1100, 900, 850, 790, 900, 1100), 2):
        meter = meter.read(meter.count + rate, 0, float(second))
        seen.append(meter.busy)
    assert seen == [False, True, True, True, False, False, True]


def test_what_the_agent_receives_itself_does_not_count() -> None:
    meter = Meter(1000.0).read(0, 0, 1.0).read(50_000, 49_500, 2.0)
    assert (meter.rate, meter.busy) == (500.0, False)


def test_an_interface_that_was_made_anew_is_measured_anew() -> None:
    assert not Meter(1000.0).read(90_000, 0, 1.0).read(10, 0, 2.0).busy


def quiet(readings: list[int], slept: list[float]) -> Quiet:
    return Quiet("wire", 1000.0, 500.0, read=lambda name: readings.pop(0), sleep=slept.append)


def test_it_looks_before_the_first_byte_and_waits_where_there_is_too_much() -> None:
    slept: list[float] = []
    assert quiet([0, 900], slept).may_fetch(10.0) == MayFetch()
    busy = quiet([0, 1100], slept).may_fetch(10.0)
    assert isinstance(busy, MayNotFetch)
    assert busy.until == 10.0 + AGAIN
    assert slept == [1.0, 1.0]


def test_a_download_flows_no_faster_than_it_may_and_makes_way() -> None:
    slept: list[float] = []
    line = quiet([0, 0, int(1000 * OVERHEAD) + 900, int(2000 * OVERHEAD) + 900 + 5000], slept)
    line.may_fetch(10.0)
    assert line.came(0, 11.0) == MayFetch()
    assert line.came(1000, 12.0) == MayFetch()
    assert slept[-1] == 1.0, "1,000 bytes at 500 a second take two seconds"
    assert isinstance(line.came(2000, 13.5), MayNotFetch)
