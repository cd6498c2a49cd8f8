"""Push over a real broker: the same contract as the embedded stream; either side, or the broker, going away at any time."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from neurath.carriers import mqtt, mqtt_notice, notice
from neurath.carriers.http import Place
from neurath.carriers.mqtt_notice import MqttEar
from neurath.ids import TerminalId
from neurath.server.delivery.mqtt_push import MqttPush
from tests.contracts.push import Opened, PushContract
from tests.rigs.broker import Mosquitto
from tests.rigs.broker import broker as brokered

SECONDS = 15.0
WORD = "the-token-of-a-terminal-in-these-tests"


def until(done, limit: float = SECONDS) -> None:
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < limit
        time.sleep(0.01)


class Heard:
    """One terminal's ear and what it heard."""

    def __init__(self, url: str, name: str = "t1") -> None:
        self.notices: queue.SimpleQueue[float] = queue.SimpleQueue()
        place = Place("http://127.0.0.1:1", name, WORD)
        self.ear = MqttEar(url, place, lambda: self.notices.put(time.monotonic()))

    def next(self, limit: float = SECONDS) -> float:
        return self.notices.get(timeout=limit)


class MqttEars:
    def __init__(self, url: str) -> None:
        self.url = url

    async def listen(self, terminal: TerminalId) -> AsyncIterator[str]:
        heard = Heard(self.url, terminal)
        try:
            while True:
                try:
                    heard.notices.get_nowait()
                except queue.Empty:
                    await asyncio.sleep(0.01)
                else:
                    yield "check"
        finally:
            heard.ear.close()


class Prefixed:
    """The contract's terminals have no tenant in their names; ours always do."""

    def __init__(self, push: MqttPush) -> None:
        self.push = push

    def notify(self, terminals, *more) -> int:
        names = [TerminalId(f"DEFAULT/{one}") for one in terminals]
        reached: list[TerminalId] = []
        self.push.notify(names, *more, reached=reached.append)
        while self.push.under_way:
            time.sleep(0.0005)
        return len(reached)


class TestMqttPush(PushContract):
    @pytest.fixture(autouse=True)
    def _broker(self, tmp_path: Path) -> Iterator[None]:
        with brokered(tmp_path, t1=WORD, t2=WORD) as self.broker:
            yield

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Opened]:
        push = MqttPush(self.broker.servers)
        try:
            until(lambda: push.connected)
            yield Opened(Prefixed(push), MqttEars(self.broker.url))
        finally:
            push.close()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    with brokered(tmp_path, t1=WORD) as running:
        yield running


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt, "AGAIN_AT_MOST", 1)
    monkeypatch.setattr(mqtt_notice, "RETURN", 0.5)
    monkeypatch.setattr(notice, "APART", 0.3)


def told(push: MqttPush, name: str = "t1") -> list[str]:
    """Tells one terminal; who was reached."""
    reached: list[str] = []
    push.notify([TerminalId(f"DEFAULT/{name}")], reached=reached.append)
    until(lambda: not push.under_way)
    return reached


def test_the_broker_says_who_listens_and_nobody_else_counts_as_told(mosquitto: Mosquitto) -> None:
    push = MqttPush(mosquitto.servers)
    until(lambda: push.connected)
    assert told(push) == []
    heard = Heard(mosquitto.url)
    heard.next()
    assert told(push) == ["DEFAULT/t1"]
    heard.next()
    heard.ear.close()
    until(lambda: told(push) == [])
    push.close()


def test_server_terminal_and_broker_may_go_away_at_any_time(mosquitto: Mosquitto) -> None:
    ups: list[float] = []
    push = MqttPush(mosquitto.servers, lambda: ups.append(time.monotonic()))
    heard = Heard(mosquitto.url)
    heard.next()
    until(lambda: push.connected)
    for _ in range(3):  # the broker
        mosquitto.kill()
        until(lambda: not push.connected)
        assert push.notify([TerminalId("DEFAULT/t1")]) == 0
        before = len(ups)
        mosquitto.start()
        heard.next()  # whoever begins to listen again checks in
        until(lambda before=before: len(ups) > before)  # and the server tells again whom it missed
        until(lambda: told(push) == ["DEFAULT/t1"])
        heard.next()
    push.close()  # the server
    push = MqttPush(mosquitto.servers)
    until(lambda: push.connected)
    assert told(push) == ["DEFAULT/t1"]
    heard.next()
    heard.ear.close()  # the terminal
    until(lambda: told(push) == [])
    back = Heard(mosquitto.url)
    back.next()
    back.ear.close()
    push.close()


def test_a_broker_that_is_not_there_yet_is_no_fault(mosquitto: Mosquitto) -> None:
    mosquitto.kill()
    push, heard = MqttPush(mosquitto.servers), Heard(mosquitto.url)
    assert push.notify([TerminalId("DEFAULT/t1")]) == 0
    mosquitto.start()
    heard.next()
    until(lambda: push.connected)
    assert told(push) == ["DEFAULT/t1"]
    push.close()
    heard.ear.close()


def test_a_notice_to_many_is_heard_at_a_moment_of_each_ones_own() -> None:
    rung: list[float] = []
    bell = notice.Bell(lambda: rung.append(time.monotonic()), chance=lambda: 0.5)
    began = time.monotonic()
    bell.ring(0.4)
    bell.ring(0.4)
    bell.ring(9.0)
    assert rung == []
    until(lambda: bool(rung))
    assert 0.15 <= rung[0] - began < 5
    time.sleep(notice.APART + 0.1)
    assert len(rung) == 1  # three notices, one check-in
    bell.ring(30.0)
    bell.ring(0.0)  # urgent: now, and the other is forgotten
    assert len(rung) == 2
    for _ in range(100):
        bell.ring(0.0)  # a flood is one more
    until(lambda: len(rung) == 3)
    assert rung[2] - rung[1] >= 0.9 * notice.APART
    bell.close()


@pytest.mark.parametrize(
    ("data", "seconds"),
    [(b"{}", 0), (b'{"within": 30}', 30), (b"", 0), (b"[1]", 0), (b'{"within": -5}', 0), (b'{"within": 1e99}', 86400),
     (b'{"within": NaN}', 0), (b'{"within": "x"}', 0), (b"\xff\xfe", 0), (b"[" * 4096, 0), (b'{"within": null}', 0)],
)  # fmt: skip
def test_no_notice_is_too_strange_to_be_a_notice(data: bytes, seconds: float) -> None:
    assert notice.within(data) == seconds
