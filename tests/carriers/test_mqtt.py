"""Heartbeats over MQTT through a real broker: the contract of riding carriers, exactly one more packet, who may write where,
and a broker that dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from neurath.carriers import mqtt
from neurath.carriers.http import Place
from neurath.carriers.mqtt import Connection, Heard
from neurath.carriers.mqtt_rides import NOTHING, Answering, MqttHeartbeat, rides
from neurath.carriers.rides import rides as found
from neurath.errors import LinkError, NeurathError, RefusedError, UsageError
from neurath.sim.link import CuttingLink
from neurath.wire import trickle
from neurath.wire.trickle import State
from tests.contracts.riding import FILE, RidesContract, RideSite, Shelf, Stream
from tests.rigs.broker import Mosquitto, broker

TOKEN = "t" * 32
NEWS = trickle.encode_state(State())


def until(true: Callable[[], object], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


class Watch:
    """What the broker passes on, as the server's own user sees it."""

    def __init__(self, made: Mosquitto) -> None:
        self.seen: list[Heard] = []
        self.link = Connection(mqtt.broker(made.servers), "watch", [mqtt.topic("+", "+", mqtt.HEARTBEAT)], self.seen.append)
        assert self.link.up.wait(10)


class MqttSite:
    terminal = "unit"
    cost = 1

    def __init__(self, made: Mosquitto) -> None:
        self.shelf = Shelf()
        self.broker = made
        self.half = Answering(mqtt.broker(made.servers), self.shelf)
        assert self.half.link.up.wait(10)
        self.watch = Watch(made)
        self.rides = rides(made.url, Place(made.url, "unit", TOKEN, message_limit=10.0))
        self.rides._link.up.wait(10)
        self._publish = self.half.link.publish
        self._marks = 0

    def packets(self) -> int:
        """The broker tells the watch later than the terminal: a mark sent behind everything says when all is told."""
        self._marks += 1
        mark = Heard(mqtt.topic("DEFAULT", "unit", mqtt.HEARTBEAT), b"mark %d" % self._marks)
        assert self.rides._link.publish(mark)
        until(lambda: any(one.payload == mark.payload for one in self.watch.seen))
        return len([one for one in self.watch.seen if not one.payload.startswith(b"mark")])

    def cut(self) -> None:
        self.half.close()
        self.rides._limit = 1.0

    def mend(self) -> None:
        self.rides._limit = 10.0
        self.half = Answering(mqtt.broker(self.broker.servers), self.shelf)
        assert self.half.link.up.wait(10)

    def damage(self, on: bool) -> None:
        def damaged(message: Heard, qos: int = 0) -> bool:
            data = message.payload[:-1] + bytes((message.payload[-1] ^ 1,))
            return self._publish(Heard(message.topic, data, "", message.correlation), qos)

        self.half.link.publish = damaged if on else self._publish  # type: ignore[method-assign]

    def close(self) -> None:
        for one in (self.rides, self.half, self.watch.link):
            one.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with broker(tmp_path_factory.mktemp("broker"), unit=TOKEN, other="o" * 32) as found:
        yield found


@pytest.fixture
def site(made: Mosquitto) -> Iterator[MqttSite]:
    site = MqttSite(made)
    yield site
    site.close()


class TestMqtt(RidesContract):
    @pytest.fixture
    def site(self, made: Mosquitto) -> Iterator[RideSite]:
        site = MqttSite(made)
        yield site
        site.close()


def test_exactly_one_more_packet_a_heartbeat_with_and_without_an_update(site: MqttSite) -> None:
    """What the descriptor says, counted where the broker passes it on: a message there, a message back, and nothing else."""
    back: list[Heard] = []
    own = mqtt.broker(site.broker.url, "DEFAULT/unit", TOKEN)
    ear = Connection(own, "ear", [mqtt.topic("DEFAULT", "unit", mqtt.ANSWER)], back.append)
    assert ear.up.wait(10)
    counts = []
    for streams in ([], [Stream(FILE)]):
        site.shelf.streams = streams
        before = (len(site.watch.seen), len(back))
        for _ in range(50):
            site.rides.beat(trickle.encode_state(State(room=site.rides.descriptor.reply_room)))
        until(lambda had=before: len(site.watch.seen) - had[0] >= 50 and len(back) - had[1] >= 50)
        counts.append((len(site.watch.seen) - before[0], len(back) - before[1]))
    assert counts == [(50, 50), (50, 50)]
    assert site.rides.descriptor.extra_packets == 1
    ear.close()


def test_a_broker_that_is_killed_comes_back_and_both_halves_with_it(tmp_path: Path) -> None:
    with broker(tmp_path, unit=TOKEN) as own:
        site = MqttSite(own)
        assert site.rides.beat(NEWS) == NOTHING
        own.kill()
        until(lambda: not site.rides._link.up.is_set())
        with pytest.raises(LinkError) as caught:
            site.rides.beat(NEWS)
        assert caught.value.exit_code == 6
        own.start()
        until(lambda: site.rides._link.up.is_set() and site.half.link.up.is_set())
        assert site.rides.beat(NEWS) == NOTHING
        site.close()


def test_a_wrong_token_is_refused_by_the_broker_with_a_way_out(made: Mosquitto) -> None:
    thief = rides(made.url, Place(made.url, "unit", "wrong" * 8, message_limit=2.0))
    with pytest.raises(RefusedError) as caught:
        thief.beat(NEWS)
    assert "mqtt.md" in caught.value.hint
    thief.close()


def test_a_terminal_can_neither_speak_nor_listen_as_another(site: MqttSite) -> None:
    """The rights of docs/how-to/mqtt.md, tried as the attack."""
    stolen: list[Heard] = []
    asking = mqtt.broker(site.broker.url, "DEFAULT/other", "o" * 32)
    for leaf in (mqtt.ANSWER, mqtt.NOTICE):
        ear = Connection(asking, f"ear-{leaf}", [mqtt.topic("DEFAULT", "unit", leaf)], stolen.append)
        ear.up.wait(1.0)
        site.rides.beat(NEWS)
        ear.close()
    mouth = Connection(asking, "mouth")
    assert mouth.up.wait(10)
    before = len(site.shelf.seen)
    own = mqtt.topic("DEFAULT", "unit", mqtt.ANSWER)
    for where in (mqtt.HEARTBEAT, mqtt.ANSWER, mqtt.NOTICE):
        mouth.publish(Heard(mqtt.topic("DEFAULT", "unit", where), NEWS, own, b"1"))
    # Its own heartbeat, but the answer into another terminal's topic: the server answers nobody.
    mouth.publish(Heard(mqtt.topic("DEFAULT", "other", mqtt.HEARTBEAT), NEWS, own, b"1"))
    mouth.publish(Heard(mqtt.topic("DEFAULT", "other", mqtt.HEARTBEAT), NEWS, own, b"1" * 500))
    until(lambda: site.packets() >= 4)
    time.sleep(0.2)
    assert stolen == []
    assert len(site.shelf.seen) == before
    mouth.close()


def test_an_answer_to_a_heartbeat_that_was_given_up_is_not_taken_for_the_next_one(site: MqttSite) -> None:
    site.shelf.filler = 100
    late = Heard(mqtt.topic("DEFAULT", "unit", mqtt.ANSWER), b"late" * 10, "", b"old!")
    site.half.link.publish(late)
    assert site.rides.beat(NEWS) == bytes(100)


def test_a_lossy_line_to_the_broker_loses_a_heartbeat_and_nothing_else(made: Mosquitto) -> None:
    with CuttingLink(("127.0.0.1", made.port)) as link:
        site = MqttSite(made)
        far = MqttHeartbeat(
            mqtt.broker(link.url.replace("http", "mqtt"), "DEFAULT/other", "o" * 32),
            Place("", "other", message_limit=10.0),
        )
        assert far.beat(NEWS) == NOTHING
        far._limit = 1.0
        link.allow(0)
        with pytest.raises(LinkError):
            far.beat(NEWS)
        link.mend()
        until(lambda: far._link.up.is_set())
        assert far.beat(NEWS) == NOTHING
        far.close()
        site.close()


@pytest.mark.parametrize("text", ["", "http://h", "mqtt://", "mqtt://h:x", "mqtt://h/path"])
def test_a_broker_that_is_none_is_refused_at_once(text: str) -> None:
    with pytest.raises(UsageError):
        mqtt.broker(text)


def test_a_password_is_never_shown() -> None:
    assert "secret" not in repr(mqtt.broker("mqtt://u:secret@h"))
    assert "secret" not in mqtt.broker("mqtt://u:secret@h").place
    assert mqtt.broker("mqtt://a%2Fb:p%40q@h:99") == mqtt.Broker("h", 99, "a/b", "p@q")


def test_the_agents_text_finds_this_carrier(made: Mosquitto) -> None:
    carrier = found(made.url, Place("http://127.0.0.1:1", "unit", TOKEN))
    assert isinstance(carrier, MqttHeartbeat)
    carrier.close()


OTHERS = ["", "neurath", "neurath/D/t/answer", "neurath/D//heartbeat", "x/D/t/heartbeat", "neurath/D/t/x/heartbeat"]


@pytest.mark.parametrize("name", OTHERS)
def test_other_topics_name_nobody(name: str) -> None:
    assert mqtt.who(name, mqtt.HEARTBEAT) is None


def test_no_message_makes_the_half_fall(site: MqttSite, seed: int) -> None:
    import random

    rng = random.Random(seed)
    mouth = Connection(mqtt.broker(site.broker.url, "DEFAULT/unit", TOKEN), "noise")
    assert mouth.up.wait(10)
    back = mqtt.topic("DEFAULT", "unit", mqtt.ANSWER)
    site.shelf.answer = lambda *_: b""  # type: ignore[method-assign]
    for length in range(40):
        mouth.publish(Heard(mqtt.topic("DEFAULT", "unit", mqtt.HEARTBEAT), rng.randbytes(length), back, rng.randbytes(length)))
    try:
        assert site.rides.beat(NEWS) == NOTHING
    except NeurathError as fault:
        pytest.fail(str(fault))
    mouth.close()
