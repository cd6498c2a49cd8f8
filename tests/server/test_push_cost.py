"""What push costs, by the benchmarks themselves: memory of an idle stream, time of a notice over a broker, and check-ins while
many are told. Samples here, whole in the assurance tier; a shared machine is given ten times the promised time."""

from __future__ import annotations

import os

import pytest
from bench import overview, push, streams, sweep

from tests.parts import need

WHOLE = os.environ.get("NEURATH_ASSURANCE") == "1"
TIMES = 10

pytestmark = pytest.mark.heavy


def test_an_idle_stream_costs_little_memory(figures) -> None:
    found = streams.main(5000 if WHOLE else 600)
    # The fixed part of a few hundred streams is not theirs alone.
    assert found["bytes_each"] <= streams.PROMISED * (1 if WHOLE else 2)
    figures("push-streams", f"{found['streams']:.0f} idle streams: {found['bytes_each']:,.0f} bytes of resident memory each.")


def test_subscribers_of_a_broker_are_notified_at_once(figures) -> None:
    need("mosquitto")
    found = push.measure(2000 if WHOLE else 300)
    assert found["told"] == found["subscribers"]
    assert found["p99_ms"] <= TIMES * push.PROMISED * 1e3
    figures(
        "push-mqtt",
        f"{found['subscribers']} subscribers: p50 {found['p50_ms']:.1f} ms, p99 {found['p99_ms']:.1f} ms; the broker alone "
        f"p50 {found['broker_p50_ms']:.1f} ms, p99 {found['broker_p99_ms']:.1f} ms; ratio {found['ratio']:.2f}.",
    )


def test_check_ins_go_on_while_many_are_told(figures) -> None:
    need("mosquitto")
    found = sweep.measure(100_000 if WHOLE else 4000, 300 if WHOLE else 50)
    assert found["told_in_ledger"] == found["listeners"]  # nobody else was there to be told
    assert found["during"] > 50
    assert found["p99_during_ms"] < TIMES * max(found["p99_before_ms"], 50.0)
    figures("push-sweep", "\n".join(f"- {name}: {value:,.2f}" for name, value in found.items()))


def test_the_first_page_comes_within_a_second(figures) -> None:
    found = overview.measure(100_000 if WHOLE else 10_000)
    assert found["page_all_figures_anew"] < TIMES * 1000  # promised is 1 s with 100,000 terminals
    assert found["page"] < TIMES * 1000
    figures("console-overview", "\n".join(f"- {name}: {value:,.1f}" for name, value in found.items()) + "\n\nMilliseconds.")
