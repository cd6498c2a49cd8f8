"""The site of the carriers' contract on a real server: one registered terminal, whatever carrier reaches it. And a link of
datagrams whose answers are damaged."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Protocol

from neurath.carriers.base import Carrier
from neurath.carriers.datagram import Link
from neurath.server.fleet import access
from neurath.wire.coap import Message
from neurath.wire.offer import Offer
from neurath.wire.report import Report
from tests.server.world import World, image

OLD, NEW = image(1), image(2)
#: Seconds in which a server on a busy machine has built a file.
BUILT = 60.0


class Cuttable(Protocol):
    """A link that breaks after so many bytes."""

    def allow(self, count: int) -> None: ...

    def mend(self) -> None: ...


class ServedSite:
    """The terminal `unit` of a server that runs, and what the contract asks of its surroundings."""

    def __init__(self, world: World, link: Cuttable, carrier: Carrier) -> None:
        self.world = world
        self.link = link
        self.check = self.world.says(OLD, 1)
        self.carrier = carrier
        self.world.release("1.0", OLD, 1)
        self.reports: list[Report] = []
        taken = self.world.delivery.reported

        def reported(action, report, now):
            self.reports.append(report)
            return taken(action, report, now)

        self.world.delivery.reported = reported

    def publish(self) -> Offer:
        self.rollout = self.world.start(self.world.release("1.1", NEW, 2))
        with self.world.store.read() as db:
            terminal = access.find(db, "unit")
        end = time.monotonic() + BUILT
        while time.monotonic() < end:
            offer = self.world.delivery.check(terminal, self.check, time.time())
            if offer is not None:
                self.offer = offer
                return offer
            time.sleep(0.05)
        raise AssertionError("the server built no file")

    def data(self) -> bytes:
        return self.world.store.files.verified(self.offer.file.hex()).read_bytes()

    def pin(self) -> None:
        """The ticket was given out with the offer: that pins it."""

    def withdraw(self) -> None:
        self.world.move(self.rollout, "abort")

    def cut_after(self, count: int) -> None:
        self.link.allow(count)

    def mend(self) -> None:
        self.link.mend()

    def told(self) -> list[Report]:
        return self.reports


class Damage:
    """A link of datagrams whose answers come with their last byte changed, while it is told to."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._receive = link._receive

    def __call__(self, on: bool) -> None:
        def damaged(timeout: float) -> Message | None:
            message = self._receive(timeout)
            if message is None or not message.payload:
                return message
            return replace(message, payload=message.payload[:-1] + bytes((message.payload[-1] ^ 1,)))

        self._link._receive = damaged if on else self._receive  # type: ignore[method-assign]
