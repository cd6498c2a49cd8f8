"""A terminal's ear at an MQTT broker: one topic, QoS 1, nothing retained. It knows that a notice says "check in now" and
nothing more; it must never mind when there is no broker. Spec: docs/spec/push.md."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

from neurath.carriers.http import Place
from neurath.carriers.mqtt import NOTICE, Connection, Heard, broker, topic
from neurath.carriers.notice import Bell, within

#: After a break all come back together: each checks in at some moment within so many seconds.
RETURN = 10.0


class MqttEar:
    """Calls `heard` at each notice, and whenever it has (again) begun to listen, for what was told meanwhile is lost. Where
    the address names no user it is the terminal, by its token."""

    def __init__(self, url: str, place: Place, heard: Callable[[], None], ca: str = "") -> None:
        to = replace(broker(url, f"{place.tenant}/{place.terminal}", place.token), ca=ca, signed_at=place.signed_at)
        self._bell = Bell(heard)
        self._listened = False
        name = f"{place.tenant}/{place.terminal}/{secrets.token_hex(4)}"
        self._link = Connection(to, name, [topic(place.tenant, place.terminal, NOTICE)], self._told, opened=False)
        self._link.on_up = self._listens
        self._link.open()

    def close(self) -> None:
        self._bell.close()
        self._link.close()

    def _listens(self) -> None:
        self._bell.ring(RETURN if self._listened else 0.0)
        self._listened = True

    def _told(self, message: Heard) -> None:
        self._bell.ring(within(message.payload[:4096]))
