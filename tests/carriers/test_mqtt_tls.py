"""Notices and heartbeats over MQTT under TLS: with the operator's own authority, in 1970 as today, and from nobody whom a
stranger vouches for. The terminal is a process of its own, with a clock of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from neurath.carriers import mqtt
from neurath.carriers.base import Seen
from neurath.carriers.mqtt import Connection, Heard
from neurath.carriers.mqtt_rides import Answering
from tests.journey.test_tls import Authority
from tests.rigs.broker import Mosquitto
from tests.rigs.clock import shifted

WORD = "the-token-of-a-terminal-in-these-tests"
#: Says the year, what its heartbeat brought, and each notice but the first, which is its own return.
TERMINAL = """
import sys, time
from neurath.carriers import ears, mqtt_rides, tls
from neurath.carriers.http import Place
signed = tls.never
if sys.argv[4:5] == ["made"]:
    tls.EARLIEST = float(sys.argv[5])
elif sys.argv[4:]:
    signed = lambda: float(sys.argv[5])
url, ca, word = sys.argv[1:4]
place = Place("http://127.0.0.1:1", "t1", word, ca=ca, message_limit=15.0, signed_at=signed)
print("year", time.gmtime().tm_year, flush=True)
try:
    print("brought", mqtt_rides.rides(url, place).beat(b"state").hex(), flush=True)
except Exception as fault:
    print("refused", type(fault).__name__, flush=True)
    sys.exit(6)
ear = ears.ear(url, place, lambda: print("notice", flush=True))
time.sleep(600)
"""


class Echo:
    """What rides is the state it was sent with."""

    def answer(self, seen: Seen, state: bytes, room: int, now: float) -> bytes:
        return b"rides on " + state


@dataclass
class Site:
    place: Path
    broker: Mosquitto
    ca: Authority

    def terminal(self, env: dict[str, str], ca: Path, *more: str) -> subprocess.Popen[str]:
        url = f"mqtts://127.0.0.1:{self.broker.secure_port}"
        words = [sys.executable, "-c", TERMINAL, url, str(ca), WORD, *more]
        return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def said(self, env: dict[str, str], ca: Path, *more: str) -> list[str]:
        """Its words up to the second notice, or its end; it is told to check in again and again."""
        server = Connection(mqtt.broker(self.broker.servers), "teller")
        process = self.terminal(env, ca, *more)
        assert process.stdout is not None
        watch = threading.Timer(120, process.kill)  # its words end then, and the test with them
        watch.start()
        try:
            lines = [line.strip() for line in (process.stdout.readline(), process.stdout.readline())]
            if not lines[1].startswith("brought"):
                return [*lines, f"ended {process.wait(60)}"]
            lines.append(process.stdout.readline().strip())
            time.sleep(1.5)  # notices closer than a second are one
            assert server.up.wait(30)
            server.publish(Heard(mqtt.topic("DEFAULT", "t1", mqtt.NOTICE), b"{}"), 1)
            lines.append(process.stdout.readline().strip())
            return lines
        finally:
            watch.cancel()
            process.kill()
            process.wait()
            process.stdout.close()
            server.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    place = tmp_path_factory.mktemp("site")
    ca = Authority(place, "own authority")
    broker = Mosquitto(place / "broker", {"DEFAULT/t1": WORD}, ca.vouch(place))
    answering = Answering(mqtt.broker(broker.servers), Echo())
    assert answering.link.up.wait(30)
    yield Site(place, broker, ca)
    answering.close()
    broker.kill()


@pytest.mark.heavy
@pytest.mark.parametrize("year", ["today", "1970"])
def test_notices_and_pieces_come_over_tls_whatever_the_clock_says(site: Site, tmp_path: Path, year: str) -> None:
    env = dict(os.environ) if year == "today" else shifted(tmp_path, 86400 - time.time())
    said = site.said(env, site.ca.file)
    assert (said[0] == "year 1970") is (year == "1970")
    assert said[1:] == [f"brought {b'rides on state'.hex()}", "notice", "notice"]


@pytest.mark.heavy
def test_a_broker_that_a_stranger_vouches_for_is_told_nothing_in_1970_either(site: Site, tmp_path: Path) -> None:
    stranger = Authority(tmp_path, "somebody else")
    said = site.said(shifted(tmp_path, 86400 - time.time()), stranger.file)
    assert said == ["year 1970", "refused LinkError", "ended 6"]


@pytest.mark.heavy
def test_a_brokers_certificate_that_ended_before_this_software_was_made_is_refused(site: Site, tmp_path: Path) -> None:
    """The same certificate, and software that was made a year later."""
    later = str(time.time() + 365 * 86400)
    said = site.said(shifted(tmp_path, 86400 - time.time()), site.ca.file, "made", later)
    assert said == ["year 1970", "refused LinkError", "ended 6"]


@pytest.mark.heavy
def test_a_brokers_certificate_that_ended_before_the_keys_were_signed_is_refused(site: Site, tmp_path: Path) -> None:
    """The same certificate, and a list of keys that was signed a year later."""
    later = str(time.time() + 365 * 86400)
    said = site.said(shifted(tmp_path, 86400 - time.time()), site.ca.file, "signed", later)
    assert said == ["year 1970", "refused LinkError", "ended 6"]
