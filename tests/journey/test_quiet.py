"""Download ahead while the network has little to do: real traffic on a veth between server and terminal."""

from __future__ import annotations

import json
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journey.household import Household
from tests.rigs.net import frames, laid, until

SIZE = 600_000
MOST = 100_000
RATE = 150_000


class Traffic:
    """Somebody else's packets, `rate` bytes a second, until ended."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._ended = threading.Event()

    def run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            while not self._ended.wait(0.02):
                for _ in range(max(1, self.rate // 50 // 1000)):
                    out.sendto(bytes(1000 if self.rate >= 50_000 else self.rate // 50), ("10.9.0.2", 9))

    def end(self) -> None:
        self._ended.set()


def moments(household: Household, name: str) -> list[dict[str, object]]:
    """What the agent's trace has under this name."""
    path = household.place / "trace"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [one for one in found if one["event"] == name]


@pytest.mark.heavy
def test_a_download_ahead_waits_for_quiet_makes_way_and_keeps_its_rate(tmp_path: Path) -> None:
    """C7, P12."""
    with laid() as net:
        far, near = net.namespace("s"), net.namespace("t")
        net.veth(far, "wire", near, "wire")
        far.up("wire", "10.9.0.1/24")
        near.up("wire", "10.9.0.2/24")
        with far.entered():
            household = Household(tmp_path, host="10.9.0.1", size=SIZE)
        net.later(household.end)
        traffic = Traffic(400_000)
        net.later(traffic.end)
        far.thread(traffic.run)
        ahead = f'download = "quiet"\ninterface = "wire"\nbelow = {MOST}\nrate = {RATE}'
        household.setup({"a": ahead})
        household.release("a", 102)
        with near.entered():
            household.agent("--trace", tmp_path / "trace")
        until(lambda: moments(household, "line"), "it says why it waits", 30)
        assert "other traffic on wire" in str(moments(household, "line")[0]["reason"])
        time.sleep(6)  # it looks again, and waits on
        assert not moments(household, "request"), "it began amid the traffic"
        traffic.rate = 10_000
        until(lambda: moments(household, "pieces"), "it flows", 30)
        traffic.rate = 400_000
        until(lambda: moments(household, "paused"), "it makes way", 30)
        held = int(str(moments(household, "paused")[0]["held"]))
        assert 0 < held < SIZE
        traffic.rate = 10_000
        until(lambda: household.holds("a", 102), "it is installed", 60)
        came = moments(household, "pieces")
        first = came[0]
        last = next(m for m in came if m["held"] == m["total"])
        speed = (int(str(last["held"])) - int(str(first["held"]))) / (float(str(last["at"])) - float(str(first["at"])))
        assert speed < RATE * 1.2


@pytest.mark.heavy
def test_an_idle_agent_costs_a_sign_of_life_now_and_then_and_a_notice_is_enough(tmp_path: Path) -> None:
    """P15: an hour between polls. From a capture: nothing but the stream's comment, every 15 s, and its acknowledgement."""
    with laid() as net:
        far, near = net.namespace("s"), net.namespace("t")
        net.veth(far, "wire", near, "wire")
        far.up("wire", "10.9.1.1/24")
        near.up("wire", "10.9.1.2/24")
        with far.entered():
            household = Household(tmp_path, host="10.9.1.1", sleep=3600)
        net.later(household.end)
        household.setup()
        with near.entered():
            household.agent("--trace", tmp_path / "trace")
        until(lambda: moments(household, "nothing newer"), "it has checked in", 60)
        time.sleep(3)  # the stream is open, the first word was said
        seen = net.capture(near, "wire", tmp_path / "idle.pcap")
        time.sleep(17)
        seen.close()
        said = [found for frame in frames(tmp_path / "idle.pcap") if (found := segment(frame)) is not None]
        assert len([one for one in said if one.data]) <= 3, said
        assert not [one for one in said if one.opens or (one.data and one.source == b"\x0a\x09\x01\x02")], said
        assert len(said) <= 2 * 3
        household.release("a", 2)
        until(lambda: household.holds("a", 2), "the notice was enough", 60)


@dataclass(frozen=True)
class Segment:
    """One of TCP: who sent it, how many bytes of data it has, and whether it opens a connection."""

    source: bytes
    data: int
    opens: bool


def segment(frame: bytes) -> Segment | None:
    """None for a frame of another kind."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 6:
        return None
    start = 14 + (frame[14] & 15) * 4
    length = int.from_bytes(frame[16:18], "big") + 14 - start - (frame[start + 12] >> 4) * 4
    return Segment(frame[26:30], length, bool(frame[start + 13] & 2))
