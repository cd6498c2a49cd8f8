"""What a line does to frames, without a clock; and a real one between two TAP devices."""

from __future__ import annotations

import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.cli.main import main
from neurath.errors import UsageError
from neurath.sim.line import Line, Way
from neurath.sim.taps import Taps, tap
from tests.parts import need
from tests.rigs.net import Namespace, Net

SHARES = st.floats(0, 1)
LINES = st.builds(
    Line, st.floats(100, 1e8), st.floats(0, 2), SHARES, SHARES, SHARES, st.integers(100, 100_000), st.integers(0, 99)
)
FRAMES = st.lists(st.tuples(st.integers(14, 1514), st.floats(0, 5)), max_size=60)


@given(LINES, FRAMES)
def test_the_nth_frame_has_the_same_fate_in_every_run(line: Line, frames: list[tuple[int, float]]) -> None:
    def run() -> list[tuple[float, ...]]:
        way, now, seen = Way(line, 0), 0.0, []
        for size, gap in frames:
            now += gap
            seen.append(way.takes(size, now))
        return seen

    assert run() == run()


@given(LINES, FRAMES)
def test_a_line_is_never_faster_than_its_rate_and_holds_no_more_than_its_queue(
    line: Line, frames: list[tuple[int, float]]
) -> None:
    way, now, through = Way(line, 0), 0.0, 0.0
    for size, gap in frames:
        now += gap
        dropped = way.counts.dropped
        arrives = way.takes(size, now)
        if way.counts.dropped > dropped:
            continue
        through = max(through, now) + 8 * size / line.rate
        assert through - now <= 8 * line.queue / line.rate + 1e-6
        assert all(at >= through + line.delay - 1e-9 for at in arrives)


def test_draws_do_not_depend_on_what_the_line_did_before(seed: int) -> None:
    """Another rate, delay or queue, and a frame that was lost, change nobody else's fate."""
    fates = []
    for line in (Line(loss=0.2, queue=10**9, seed=seed), Line(1e6, 0.01, 0.2, queue=10**9, seed=seed)):
        way = Way(line, 0)
        fates.append([bool(way.takes(100, n * 0.01)) for n in range(2000)])
    assert fates[0] == fates[1]
    assert 0.15 < fates[0].count(False) / 2000 < 0.25


def test_a_line_that_cannot_be_is_refused() -> None:
    for line in ({"rate": 0}, {"delay": -1}, {"loss": 1.1}, {"queue": 0}):
        with pytest.raises(UsageError):
            Line(**line)


# ---- real frames ----------------------------------------------------------------------------------------------------------


def joined(net: Net, line: Line) -> tuple[Namespace, Namespace, Taps]:
    """Two namespaces, 10.90.0.1 and 10.90.0.2, joined by the line."""
    need("tun")
    one, other = net.namespace("near"), net.namespace("far")
    taps = Taps(line, one.call(tap, "line0", "10.90.0.1/24"), other.call(tap, "line0", "10.90.0.2/24"))
    net.later(taps.close)
    return one, other, taps


def pings(where: Namespace, count: int, every: float) -> list[float]:
    """Round trips in milliseconds."""
    need("ping")
    said = where.run("ping", "-c", count, "-i", every, "-W", 5, "10.90.0.2", check=False).stdout
    return [float(line.rpartition("time=")[2].split()[0]) for line in said.splitlines() if "time=" in line]


@pytest.mark.heavy
def test_an_idle_line_takes_the_computed_time(net: Net) -> None:
    line = Line(9600, 0.6)
    one, _, _ = joined(net, line)
    found = sorted(pings(one, 6, 0.5)[1:])  # the first one asks for the address too
    wanted = line.round_trip() * 1000
    assert wanted == pytest.approx(1363.3, abs=0.1)
    assert found[0] == pytest.approx(wanted, rel=0.02), found


@pytest.mark.heavy
def test_a_line_can_become_another_one(net: Net) -> None:
    one, _, taps = joined(net, Line(9600, 0.02))
    assert min(pings(one, 3, 0.3)) == pytest.approx(Line(9600, 0.02).round_trip() * 1000, rel=0.05)
    taps.change(Line(96_000, 0.02))
    assert min(pings(one, 3, 0.2)) == pytest.approx(Line(96_000, 0.02).round_trip() * 1000, rel=0.1)


@pytest.mark.heavy
def test_loss_with_one_seed_repeats_on_real_devices(net: Net, seed: int) -> None:
    runs = []
    for _ in range(2):
        one, other, taps = joined(net, Line(1e6, 0.001, loss=0.2, seed=seed))
        for near, far, address in ((one, other, "10.90.0.2"), (other, one, "10.90.0.1")):
            mac = far.run("cat", "/sys/class/net/line0/address").stdout.strip()
            near.ip("neigh", "add", address, "lladdr", mac, "dev", "line0")  # nothing but pings on the line
        said = one.run("ping", "-c", 60, "-i", "0.05", "-W", 1, "10.90.0.2", check=False).stdout
        runs.append([line.partition("icmp_seq=")[2].split()[0] for line in said.splitlines() if "time=" in line])
        lost = sum(way["lost"] for way in taps.close())
        assert lost >= 60 - len(runs[-1]) > 0
    assert runs[0] == runs[1], "the same frames are lost"


@pytest.mark.heavy
def test_a_command_runs_behind_a_slow_link(capfd: pytest.CaptureFixture[str]) -> None:
    need("tun")
    need("ping")
    machine = {name for _, name in socket.if_nameindex()}
    words = ["--rate", "96000", "--delay", "60", "--far", "sleep 60", "--", "ping", "-c", "3", "-i", "0.2", "10.90.0.2"]
    assert main(["sim", "link", *words]) == 0
    said = capfd.readouterr()
    found = min(float(line.rpartition("time=")[2].split()[0]) for line in said.out.splitlines() if "time=" in line)
    assert found == pytest.approx(Line(96_000, 0.06).round_trip() * 1000, rel=0.05)
    assert "there: " in said.err
    assert {name for _, name in socket.if_nameindex()} == machine
    assert main(["sim", "link", "--", "false"]) == 1
    assert main(["sim", "link", "--", "test", "--json", "=", "--json"]) == 0, "what follows -- is the command's"
    assert main(["sim", "link", "--", "no-such-command"]) == 4


def test_what_a_link_does_is_told_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sim", "link", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ping_s"] == pytest.approx(1.3633, abs=1e-3)
    assert main(["sim", "link", "--loss", "101"]) == 2
    assert main(["sim", "link", "--far", "true"]) == 2
