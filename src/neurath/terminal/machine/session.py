"""The talking half of the terminal's machine: check, offer, memory, gate, transfer, report. It knows when something may be
asked for; it must never ask for a transfer before the memory is secured, nor for flash at all."""

from __future__ import annotations

from dataclasses import replace

from neurath.terminal.machine import events as ev
from neurath.terminal.machine.events import Do, Tell, Weight
from neurath.terminal.machine.state import HANDLERS, Actions, Machine, Step, idle, more
from neurath.wire.report import Phase, Verdict


def _at_rest(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Tick() if now >= m.due:
            return replace(m, step=Step.CHECKING), (Do.CHECK_IN,)
        case ev.Notice():
            return replace(m, step=Step.CHECKING), (Do.CHECK_IN,)
    return m, ()


def _checking(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.NothingNewer(again_in=again) if m.action:
            # The server gave no new file, but it has not heard yet how the last one ended.
            return replace(m, step=Step.TELLING, due=now + m.policy.retry), (
                Tell(Phase.UPDATED, Verdict.CONFIRMED, action=m.action),
            )
        case ev.NothingNewer(again_in=again):
            return idle(m, now + m.policy.again(again), consent=b""), (Do.CLOSE_LINK,)
        case ev.Offered(offer=offer) if offer.envelope == m.avoid and now < m.avoid_until:
            return idle(m, now + m.policy.poll), (Do.CLOSE_LINK,)
        case ev.Offered(offer=offer):
            return replace(m, step=Step.WEIGHING, offer=offer, late=False, tries=0), (Do.WEIGH,)
        case ev.LinkLost() if m.late:
            # Nobody says that the file that is here is wanted no more. The use may have ended meanwhile: looked at once.
            return replace(m, step=Step.WAITING_FOR_USE_END, due=now), (Do.CLOSE_LINK,)
        case ev.LinkLost():
            return idle(m, now + m.policy.delay(m.tries + 1), tries=more(m)), (Do.CLOSE_LINK,)
        case ev.LinkRefused():
            return idle(m, now + m.policy.poll), (Do.CLOSE_LINK,)
    return m, ()


def _weighing(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Weighed(weight=Weight.ACCEPTED):
            return replace(m, step=Step.RESERVING, action=""), (Do.RESERVE,)
        case ev.Weighed(weight=Weight.INSTALLED):
            return replace(m, step=Step.TELLING, due=now + m.policy.retry), (Tell(Phase.UPDATED, Verdict.CONFIRMED),)
        case ev.Weighed(reason=reason):
            return replace(m, step=Step.TELLING, due=now + m.policy.poll, action=""), (
                Tell(Phase.FAILED, Verdict.REFUSED, reason),
            )
        case ev.LinkLost():
            return idle(m, now + m.policy.delay(1)), (Do.CLOSE_LINK,)
    return m, ()


def _reserving(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Secured(amount=amount) if m.rescue is not None:
            return replace(m, step=Step.RECEIVING, secured=amount), (Do.RESCUE,)
        case ev.Secured(amount=amount) if m.late:
            return replace(m, step=Step.CHECKING_FILE, secured=amount), (Do.CHECK_FILE,)
        case ev.Secured(amount=amount) if m.policy.ahead:
            return replace(m, step=Step.ASKING_LINE, secured=amount), (Do.ASK_LINE,)
        case ev.Secured(amount=amount):
            return replace(m, step=Step.ASKING, secured=amount), (Do.ASK_GATE,)
        case ev.Short(by=by) if m.rescue is not None:
            return replace(m, step=Step.RESTORING, due=now + m.policy.back_off), (Do.OPEN_WIRE,)
        case ev.Short(by=by):
            reason = f"cannot lend the memory: short by {by} bytes"
            return replace(m, step=Step.TELLING, due=now + m.policy.poll), (Tell(Phase.FAILED, Verdict.REFUSED, reason),)
        case ev.LinkLost() if m.rescue is None:
            return idle(m, now + m.policy.delay(1)), (Do.CLOSE_LINK, Do.RETURN_MEMORY)
    return m, ()


def _asking(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    assert m.offer is not None
    go: tuple[Machine, Actions] = replace(m, step=Step.RECEIVING), (Tell(Phase.DOWNLOADING, secured=m.secured), Do.FETCH)
    if m.late:
        go = replace(m, step=Step.READYING, tries=0), (Do.CHECK_READY,)
    match event:
        case ev.MayInstall():
            return go
        case ev.MayNot(ask=True) if m.consent == m.offer.envelope:
            return go
        case ev.MayNot(reason=reason, ask=True, until=until):
            waiting = replace(m, step=Step.WAITING_FOR_USER, secured=0, due=until)
            return waiting, (Do.RETURN_MEMORY, Tell(Phase.WAITING_FOR_USER, reason=reason), Do.CLOSE_LINK, Do.ASK_USER)
        case ev.MayNot(reason=reason, until=until):
            waiting = replace(m, step=Step.WAITING_FOR_USE_END, secured=0, due=until)
            return waiting, (Do.RETURN_MEMORY, Tell(Phase.WAITING_FOR_USE_END, reason=reason), Do.CLOSE_LINK)
        case ev.LinkLost():
            return idle(m, now + m.policy.delay(1)), (Do.CLOSE_LINK, Do.RETURN_MEMORY)
    return m, ()


def _asking_line(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.MayFetch() if not m.secured:
            return replace(m, step=Step.RESERVING), (Do.RESERVE,)
        case ev.MayFetch():
            return replace(m, step=Step.RECEIVING), (Tell(Phase.DOWNLOADING, secured=m.secured), Do.FETCH)
        case ev.MayNotFetch(until=until) if not m.secured:
            return replace(m, step=Step.WAITING_FOR_QUIET, due=until), ()
        case ev.MayNotFetch(reason=reason, until=until):
            waiting = replace(m, step=Step.WAITING_FOR_QUIET, secured=0, due=until)
            return waiting, (Do.RETURN_MEMORY, Tell(Phase.OFFERED, reason=reason), Do.CLOSE_LINK)
        case ev.LinkLost():
            return idle(m, now + m.policy.delay(1)), (Do.CLOSE_LINK, Do.RETURN_MEMORY)
    return m, ()


def _waiting_for_quiet(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    """Only the line is looked at: nothing goes over it because somebody waits for it."""
    match event:
        case ev.Tick() if now >= m.due:
            return replace(m, step=Step.ASKING_LINE), (Do.ASK_LINE,)
        case ev.Notice():
            return replace(m, step=Step.CHECKING, offer=None), (Do.CHECK_IN,)
    return m, ()


def _waiting_late(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    """The file is here: whatever ends the wait, no network is needed. It is looked at and proven again."""
    assert m.offer is not None
    again = replace(m, step=Step.RESERVING), (Do.RESERVE,)
    match event:
        case ev.Answered(yes=True):
            return replace(again[0], consent=m.offer.envelope), again[1]
        case ev.Answered():
            return replace(m, due=now + m.policy.ask_again), ()
        case ev.UseEnded():
            return again
        case ev.Tick() if now >= m.due:
            return again
        case ev.Notice():
            return replace(m, step=Step.CHECKING), (Do.CHECK_IN,)
    return m, ()


def _waiting(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    """For people or for the end of use. Whatever ends it, the offer is asked for anew: it may have been withdrawn."""
    assert m.offer is not None
    if m.late:
        return _waiting_late(m, event, now)
    match event:
        case ev.Answered(yes=True):
            return replace(m, step=Step.CHECKING, consent=m.offer.envelope, offer=None), (Do.CHECK_IN,)
        case ev.Answered():
            return replace(m, due=now + m.policy.ask_again), ()
        case ev.UseEnded() | ev.Notice():
            return replace(m, step=Step.CHECKING, offer=None), (Do.CHECK_IN,)
        case ev.Tick() if now >= m.due:
            return replace(m, step=Step.CHECKING, offer=None), (Do.CHECK_IN,)
    return m, ()


def _receiving(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Received(held=held):
            return replace(m, held=held, tries=0), ()
        case ev.Complete():
            return replace(m, step=Step.CHECKING_FILE, tries=0), (Do.CHECK_FILE,)
        case ev.Paused(until=until):
            return replace(m, step=Step.PARKED, due=until), (Do.CLOSE_LINK,)
        case ev.FileBad():
            return HANDLERS[Step.CHECKING_FILE](m, event, now)
        case ev.LinkLost() if m.rescue is None and m.tries >= m.policy.most_tries:
            return idle(m, now + m.policy.retry_most), (Do.CLOSE_LINK, Do.RETURN_MEMORY)
        case ev.LinkLost():
            parked = replace(m, step=Step.PARKED, tries=more(m), due=now + m.policy.delay(m.tries + 1))
            return parked, (Do.CLOSE_LINK,)
        case ev.LinkRefused() if m.rescue is not None:
            parked = replace(m, step=Step.PARKED, tries=more(m), due=now + m.policy.retry_most)
            return parked, (Do.CLOSE_LINK,)
        case ev.LinkRefused():
            return idle(m, now + m.policy.poll), (Do.CLOSE_LINK, Do.DROP_STAGED, Do.RETURN_MEMORY)
    return m, ()


def _parked(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Tick() if now >= m.due:
            return replace(m, step=Step.RECEIVING), (Do.FETCH if m.rescue is None else Do.RESCUE,)
        case ev.Notice():
            return replace(m, step=Step.RECEIVING), (Do.FETCH if m.rescue is None else Do.RESCUE,)
    return m, ()


def _telling(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Told() | ev.LinkRefused():
            return idle(m, m.due, action="", consent=b""), (Do.CLOSE_LINK, Do.RETURN_MEMORY)
        case ev.LinkLost():
            # A lost verdict is told at the next contact: the offer comes again, or `action` is still known.
            return idle(m, now + m.policy.delay(1)), (Do.CLOSE_LINK, Do.RETURN_MEMORY)
    return m, ()


HANDLERS.update(
    {
        Step.IDLE: _at_rest,
        Step.CHECKING: _checking,
        Step.WEIGHING: _weighing,
        Step.RESERVING: _reserving,
        Step.ASKING: _asking,
        Step.ASKING_LINE: _asking_line,
        Step.WAITING_FOR_QUIET: _waiting_for_quiet,
        Step.WAITING_FOR_USE_END: _waiting,
        Step.WAITING_FOR_USER: _waiting,
        Step.RECEIVING: _receiving,
        Step.PARKED: _parked,
        Step.TELLING: _telling,
    }
)
