"""Looks what wants a person and tells it, each channel at its own pace: whatever was written down arrives at least once, in
order. It knows the order of the steps; it must never hold one channel up for another, nor lose an event with the process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from neurath.clock import agreed
from neurath.errors import LinkError, NeurathError
from neurath.server.alerts import causes, channels, journal, sending
from neurath.server.alerts.channels import Channel
from neurath.server.alerts.journal import Event
from neurath.server.fleet import silence
from neurath.server.store import Store
from neurath.server.store.marks import NOBODY

log = logging.getLogger(__name__)

#: Looks are so far apart, seconds.
LOOKS = 2.0
#: Events of one message, at the most.
AT_ONCE = 500
#: Who is silent is looked for so often, what is old forgotten so often, and an Alertmanager told again, seconds.
SILENCES, PRUNES, AGAIN = 60.0, 86400.0, 60.0

Send = Callable[[Channel, Sequence[Event], float], None]


@dataclass(slots=True)
class Teller:
    """One store's."""

    store: Store
    send: Send = sending.send
    silent_after: float = silence.AFTER
    _looked: float = 0.0
    _pruned: float = 0.0
    _again: dict[str, float] = field(default_factory=dict)

    def look(self, now: float) -> bool:
        """Writes down what came and what is over; True: somebody has to be told something now."""
        with self.store.read() as db:
            if not channels.everyone(db):
                return False
            found = causes.standing(db)
            about = ["halt", "restoration"]
            if now - self._looked >= SILENCES:
                found += causes.silent(db, now, self.silent_after)
                about.append("silence")
                self._looked = now
            changed = _differ(journal.standing(db), found, about)
        if changed:
            with self.store.write(NOBODY) as db:
                journal.note(db, found, about, now)
        if now - self._pruned >= PRUNES:
            self._pruned = now
            with self.store.write(NOBODY) as db:
                journal.prune(db, channels.least_sent(channels.everyone(db)), now)
        return bool(self.due(now))

    def due(self, now: float) -> list[Channel]:
        """The channels that have something to be told now."""
        with self.store.read() as db:
            waits = [one for one in channels.everyone(db) if one.due <= now]
            return [one for one in waits if self._repeats(one, now) or journal.after(db, one.sent, 1)]

    def tell(self, channel: Channel, now: float) -> bool:
        """One message to one channel, as far as it goes; False where it did not arrive. Runs in a thread of its own."""
        with self.store.read() as db:
            found = journal.after(db, channel.sent, AT_ONCE)
            told = [one for one in found if one.cause in channel.about]
            if self._repeats(channel, now):
                fresh = {one.key for one in told}
                told = [*(one for one in journal.standing(db) if one.key not in fresh and one.cause in channel.about), *told]
        last = found[-1].id if found else channel.sent
        try:
            if told:
                self.send(channel, told[-AT_ONCE:], now)
        except LinkError as fault:
            with self.store.write(NOBODY) as db:
                channels.failed(db, channel, fault.why or fault.what, now)
            return False
        self._again[channel.name] = now
        if last != channel.sent or channel.tries:
            with self.store.write(NOBODY) as db:
                channels.arrived(db, channel, last)
        return True

    def _repeats(self, channel: Channel, now: float) -> bool:
        return channel.kind == "alertmanager" and now - self._again.get(channel.name, 0.0) >= AGAIN


def trial(now: float) -> Event:
    """What `neurath alert test` sends: over at once, it leaves nothing behind."""
    return Event(0, "test:test", "test", "test", "this is a test: somebody asked whether this way is open", now, True)


def _differ(before: Iterable[Event], found: Iterable[causes.Cause], about: Sequence[str]) -> bool:
    return {one.key: one.text for one in before if one.cause in about} != {one.key: one.text for one in found}


async def run(teller: Teller) -> None:
    """Looks and tells for as long as the server runs, in one process of those on the same database."""
    busy: dict[str, asyncio.Task[bool]] = {}
    while True:
        await asyncio.sleep(LOOKS)
        try:
            if not await asyncio.to_thread(teller.store.leads, "alerts"):
                continue  # another process tells
            now = agreed()
            if not await asyncio.to_thread(teller.look, now):
                continue
            for channel in await asyncio.to_thread(teller.due, now):
                if channel.name not in busy or busy[channel.name].done():
                    busy[channel.name] = asyncio.create_task(_told(teller, channel))
        except NeurathError as fault:
            log.warning("alerts wait: %s (%s)", fault.what, fault.why)


async def _told(teller: Teller, channel: Channel) -> bool:
    try:
        return await asyncio.to_thread(teller.tell, channel, agreed())
    except NeurathError as fault:
        log.warning("channel %s waits: %s (%s)", channel.name, fault.what, fault.why)
        return False
