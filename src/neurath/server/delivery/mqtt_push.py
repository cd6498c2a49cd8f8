"""Push over an MQTT broker. It knows which notices the broker handed to a subscriber and which it did not, since MQTT 5 says
so; it must never retain one: whoever begins to listen checks in anyway. Spec: docs/spec/push.md."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import replace

from neurath.carriers.mqtt import NOTICE, ROOT, Connection, Heard, broker, topic
from neurath.ids import TerminalId
from neurath.server.delivery.push import AT_ONCE, Reached, payload
from neurath.units import Seconds


class MqttPush:
    """Push through one broker. `up` is called, in a thread, whenever the link to it is there again."""

    def __init__(self, url: str, up: Callable[[], object] = lambda: None, ca: str = "") -> None:
        self.up = up
        # Two threads, no lock: the broker's answer may come before send() returns, and send() has locks of its own.
        self._sent: dict[int, tuple[TerminalId, Reached]] = {}
        self._early: dict[int, bool] = {}
        self._link = Connection(replace(broker(url), ca=ca), f"{ROOT}-{secrets.token_hex(6)}", opened=False)
        self._link.on_up = self._back
        self._link.on_taken = self._taken
        self._link.open()

    @property
    def connected(self) -> bool:
        return self._link.up.is_set()

    @property
    def under_way(self) -> int:
        """How many notices the broker has not answered for yet."""
        return len(self._sent)

    def notify(self, terminals: Iterable[TerminalId], within: Seconds = AT_ONCE, reached: Reached = lambda _: None) -> int:
        """Publishes one notice a terminal; none while the broker is away. A terminal is reached when the broker says that it
        handed the notice to a subscriber."""
        said, count = payload(within), 0
        for name in dict.fromkeys(terminals):
            tenant, _, terminal = name.partition("/")
            sent = self._link.send(Heard(topic(tenant, terminal, NOTICE), said), qos=1)
            if sent is None:
                break
            count += 1
            self._sent[sent] = name, reached
            if sent in self._early:
                self._settle(sent)
        return count

    def hears(self, terminal: TerminalId) -> bool:
        """Only the broker knows."""
        return False

    def close(self) -> None:
        self._link.close()

    def _back(self) -> None:
        self._sent.clear()
        self._early.clear()
        self.up()

    def _taken(self, number: int, handed: bool) -> None:
        self._early[number] = handed
        if number in self._sent:
            self._settle(number)

    def _settle(self, number: int) -> None:
        """Both halves are here; whichever thread takes the first one away goes on."""
        found = self._sent.pop(number, None)
        if found is not None and self._early.pop(number, False):
            found[1](found[0])
