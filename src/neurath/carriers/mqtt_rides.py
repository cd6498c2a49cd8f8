"""Heartbeats over MQTT 5, both halves: a terminal publishes its download state and names a response topic; what rides comes
back there. It knows topics and correlation; it must never answer to a topic of another terminal, nor look inside a payload.
Spec: docs/spec/mqtt.md."""

from __future__ import annotations

import logging
import queue
import secrets
import time
from dataclasses import replace

from neurath.carriers import mqtt
from neurath.carriers.base import Descriptor, Riding, Seen
from neurath.carriers.http import Place
from neurath.carriers.mqtt import Broker, Connection, Heard
from neurath.clock import agreed
from neurath.errors import DataError, LinkError
from neurath.wire import trickle

log = logging.getLogger(__name__)

#: Bytes that one answer may have: with its topic it still fits one TCP segment.
ROOM = 1024
#: Seconds until a heartbeat without an answer is lost.
BEAT_LIMIT = 10.0
#: One extra packet: the answer is a message of its own, for PUBACK and PINGRESP carry nothing.
DESCRIPTOR = Descriptor("mqtt", ROOM, "dynamic", False, False, extra_packets=1)
#: Servers on one broker share the heartbeats: each is answered once.
SHARED = f"$share/{mqtt.ROOT}/{mqtt.topic('+', '+', mqtt.HEARTBEAT)}"
NOTHING = trickle.encode_reply(trickle.Reply())


class MqttHeartbeat:
    """The terminal's half. The broker vouches for both sides where it asks for a password."""

    def __init__(self, to: Broker, place: Place) -> None:
        self.descriptor = replace(DESCRIPTOR, authenticated=bool(to.password))
        self._limit = min(BEAT_LIMIT, place.message_limit)
        self._to = mqtt.topic(place.tenant, place.terminal, mqtt.HEARTBEAT)
        self._back = mqtt.topic(place.tenant, place.terminal, mqtt.ANSWER)
        self._answers: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        name = f"{place.tenant}/{place.terminal}/{secrets.token_hex(4)}"
        self._link = Connection(to, name, [self._back], self._answers.put)

    def beat(self, state: bytes) -> bytes:
        """One message, and one for the answer. LinkError when none comes; RefusedError where the broker does not let us in."""
        end = time.monotonic() + self._limit
        correlation = secrets.token_bytes(4)
        if not self._link.up.wait(self._limit):
            self._link.demand()
            raise self._dead("there is no broker")
        if not self._link.publish(Heard(self._to, state, self._back, correlation)):
            raise self._dead("the broker was lost")
        while (left := end - time.monotonic()) > 0:
            try:
                answer = self._answers.get(timeout=left)
            except queue.Empty:
                break
            if answer.correlation != correlation:
                continue  # to a heartbeat that was given up
            if len(answer.payload) > ROOM:
                raise DataError("this answer is too long", f"{len(answer.payload)} bytes", "it is dropped", id="NRT-299")
            return answer.payload
        raise self._dead("no answer")

    def close(self) -> None:
        self._link.close()

    def _dead(self, why: str) -> LinkError:
        hint = "is `neurath serve --carrier mqtt:...` running, and the broker?"
        return LinkError(f"{self._link.broker.place} does not answer", why, hint, id="NRT-422")


class Answering:
    """The server's half: hears every terminal's heartbeats on one broker and answers each once."""

    def __init__(self, to: Broker, riding: Riding) -> None:
        self._riding = riding
        self.link = Connection(to, f"{mqtt.ROOT}-{secrets.token_hex(6)}", [SHARED], self._heard)

    def close(self) -> None:
        self.link.close()

    def _heard(self, message: Heard) -> None:
        found = mqtt.who(message.topic, mqtt.HEARTBEAT)
        if found is None:
            return
        tenant, terminal = found
        # The broker lets a terminal write in its own topics only; where the answer goes is for us to see to.
        back = mqtt.topic(tenant, terminal, mqtt.ANSWER)
        if message.answer_to != back or len(message.correlation) > mqtt.MAX_CORRELATION:
            log.info("heartbeat of %s wants its answer elsewhere: it gets none", terminal)
            return
        seen = Seen(terminal, "mqtt", self.link.broker.place, tenant)
        data = self._riding.answer(seen, message.payload, ROOM, agreed())
        self.link.publish(Heard(back, data if 0 < len(data) <= ROOM else NOTHING, "", message.correlation))


def rides(spec: str, place: Place) -> MqttHeartbeat:
    """`mqtt://HOST[:PORT]`: the user is `TENANT/ID` and its password the terminal's token, unless the text names others."""
    to = mqtt.broker(spec, f"{place.tenant}/{place.terminal}" if place.token else "", place.token)
    return MqttHeartbeat(replace(to, ca=place.ca, signed_at=place.signed_at), place)
