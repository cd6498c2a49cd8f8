"""The writing half of the terminal's machine: file digest, proof, last word, rewrite, judgement, confirmation, and the way
back from an open plan. It knows the order of the gates; it must never skip one, nor write while the link is open."""

from __future__ import annotations

from dataclasses import replace

from neurath.terminal.machine import events as ev
from neurath.terminal.machine.events import Do, Tell
from neurath.terminal.machine.state import HANDLERS, MAX_PROOFS, Actions, Machine, Step, idle, more
from neurath.wire.report import Phase, Verdict


def _checking_file(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.FileGood() if m.rescue is not None:
            return replace(m, step=Step.REWRITING), (Do.CLOSE_LINK, Do.RESUME)
        case ev.FileGood() if m.late:
            return replace(m, step=Step.PROVING), (Do.CLOSE_LINK, Do.REHEARSE)
        case ev.FileGood():
            return replace(m, step=Step.PROVING), (Tell(Phase.DOWNLOADED), Do.CLOSE_LINK, Do.REHEARSE)
        case ev.FileBad() if m.rescue is not None and not m.secured:
            return replace(m, step=Step.RESERVING), (Do.DROP_STAGED, Do.RESERVE)
        case ev.FileBad() if m.rescue is not None:
            parked = replace(m, step=Step.PARKED, held=0, tries=more(m), due=now + m.policy.retry_most)
            return parked, (Do.CLOSE_LINK, Do.DROP_STAGED)
        case ev.FileBad(reason=reason):
            told = (Tell(Phase.DOWNLOADING, reason=reason), Do.CLOSE_LINK, Do.DROP_STAGED, Do.RETURN_MEMORY)
            return idle(m, now + m.policy.retry_most), told
    return m, ()


def _proving(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    assert m.offer is not None
    match event:
        case ev.Proved() if m.policy.ahead:
            return replace(m, step=Step.ASKING, late=True, tries=0), (Do.ASK_GATE,)
        case ev.Proved():
            return replace(m, step=Step.READYING, tries=0), (Do.CHECK_READY,)
        case ev.NotProved(failures=failures, reason=reason) if failures >= MAX_PROOFS:
            left = replace(
                m,
                step=Step.TELLING,
                due=now + m.policy.poll,
                secured=0,
                late=False,
                avoid=m.offer.envelope,
                avoid_until=now + m.policy.back_off,
            )
            return left, (Do.DROP_STAGED, Do.RETURN_MEMORY, Tell(Phase.FAILED, Verdict.REFUSED, reason))
        case ev.NotProved(reason=reason):
            told = (Do.DROP_STAGED, Do.RETURN_MEMORY, Tell(Phase.DOWNLOADED, reason=reason), Do.CLOSE_LINK)
            return idle(m, now + m.policy.retry_most), told
    return m, ()


def _readying(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Ready() if m.policy.ask_last:
            return replace(m, step=Step.LAST_WORD), (Do.ASK_LAST,)
        case ev.Ready():
            return replace(m, step=Step.REWRITING), (Do.REWRITE,)
        case ev.NotReady() if m.tries >= m.policy.most_tries:
            return idle(m, now + m.policy.retry_most), (Do.RETURN_MEMORY,)
        case ev.NotReady():
            return replace(m, tries=more(m), due=now + m.policy.delay(m.tries + 1)), ()
        case ev.Tick() if m.tries and now >= m.due:
            return m, (Do.CHECK_READY,)
    return m, ()


def _last_word(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Go():
            return replace(m, step=Step.REWRITING), (Do.CLOSE_LINK, Do.REWRITE)
        case ev.NoWord() if m.policy.go_when_silent:
            return replace(m, step=Step.REWRITING), (Do.CLOSE_LINK, Do.REWRITE)
        case ev.NoWord() | ev.LinkLost():
            # Wait: G6 is asked again too, for power may have failed meanwhile.
            waiting = replace(m, step=Step.READYING, tries=1, due=now + m.policy.retry_most)
            return waiting, (Do.CLOSE_LINK,)
        case ev.Stop(reason=reason):
            stopped = replace(m, step=Step.TELLING, due=now + m.policy.poll, secured=0)
            return stopped, (Do.DROP_STAGED, Do.RETURN_MEMORY, Tell(Phase.IDLE, Verdict.REFUSED, reason))
    return m, ()


def _rewriting(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Rewritten():
            return replace(m, step=Step.JUDGING), (Do.JUDGE,)
        case ev.RewriteRefused() if m.rescue is not None:
            # The file is not the one the open plan needs: the wire helps; by air it is tried again later.
            wired = replace(m, step=Step.RESTORING, secured=0, held=0, due=now + m.policy.back_off)
            return wired, (Do.DROP_STAGED, Do.RETURN_MEMORY, Do.OPEN_WIRE)
        case ev.RewriteRefused(reason=reason):
            refused = replace(m, step=Step.TELLING, due=now + m.policy.poll, secured=0)
            return refused, (Do.DROP_STAGED, Do.RETURN_MEMORY, Tell(Phase.FAILED, Verdict.REFUSED, reason))
        case ev.RewriteStopped():
            # Nothing may run from a torn bank: a restart finds the open plan and fetches the same file anew.
            return Machine(policy=m.policy, step=Step.RESTARTING), (Do.RETURN_MEMORY, Do.RESTART)
        case ev.RewriteFailed():
            failed = Machine(policy=m.policy, step=Step.RESTARTING)
            return failed, (Do.GIVE_UP, Do.DROP_STAGED, Do.RETURN_MEMORY, Do.RESTART)
    return m, ()


def _judging(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    restarting = Machine(policy=m.policy, step=Step.RESTARTING)
    match event:
        case ev.Judged(good=True):
            return restarting, (Do.DROP_STAGED, Do.RETURN_MEMORY, Do.RESTART)
        case ev.Judged():
            return restarting, (Do.GIVE_UP, Do.DROP_STAGED, Do.RETURN_MEMORY, Do.RESTART)
    return m, ()


def _trying(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.SelfTested(good=True) if m.policy.confirm_by_contact:
            return replace(m, step=Step.CONTACTING), (Do.CHECK_IN,)
        case ev.SelfTested(good=True):
            return replace(m, step=Step.CONFIRMING), (Do.CONFIRM,)
        case ev.SelfTested():
            return replace(m, step=Step.RESTORING, due=now), (Do.GIVE_UP, Do.OPEN_WIRE)
    return m, ()


def _contacting(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    """Any answer of the server shows that the new image can be updated again: that is what confirms it."""
    match event:
        case ev.Offered(offer=offer):
            return replace(m, step=Step.CONFIRMING, offer=offer, tries=0), (Do.CONFIRM,)
        case ev.NothingNewer():
            return replace(m, step=Step.CONFIRMING, tries=0), (Do.CONFIRM,)
        case ev.LinkLost() | ev.LinkRefused():
            return replace(m, tries=more(m), due=now + m.policy.delay(m.tries + 1)), (Do.CLOSE_LINK,)
        case ev.Tick() if m.tries and now >= m.due:
            return m, (Do.CHECK_IN,)
    return m, ()


def _confirming(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Confirmed() if m.offer is not None:
            return replace(m, step=Step.WEIGHING), (Do.WEIGH,)
        case ev.Confirmed() if m.action:
            return replace(m, step=Step.TELLING, due=now + m.policy.retry), (
                Tell(Phase.UPDATED, Verdict.CONFIRMED, action=m.action),
            )
        case ev.Confirmed():
            # The server learns it from the next check-in, which is due at once.
            return idle(m, now), (Do.CLOSE_LINK,)
        case ev.NotConfirmed():
            return replace(m, step=Step.RESTORING, offer=None, due=now), (Do.CLOSE_LINK, Do.GIVE_UP, Do.OPEN_WIRE)
    return m, ()


def _finding(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    match event:
        case ev.Found(complete=True):
            return replace(m, step=Step.CHECKING_FILE), (Do.CHECK_FILE,)
        case ev.Found():
            return replace(m, step=Step.RESERVING), (Do.RESERVE,)
    return m, ()


def _restoring(m: Machine, event: ev.Event, now: float) -> tuple[Machine, Actions]:
    """The wire works; meanwhile the air is tried again where there is an open plan, else the server is told."""
    match event:
        case ev.Tick() if now >= m.due and m.rescue is not None:
            return replace(m, step=Step.RESERVING, tries=0), (Do.RESERVE,)
        case ev.Tick() if now >= m.due:
            return replace(m, due=now + m.policy.poll), (Do.CHECK_IN,)
        case ev.WireSpeaks():
            return replace(m, due=now + m.policy.back_off), (Do.CLOSE_LINK,)
        case ev.Offered(offer=offer):
            told = Tell(Phase.RESTORING, Verdict.RESTORATION, action=offer.action)
            return replace(m, action=""), (told, Do.CLOSE_LINK)
        case ev.NothingNewer() if m.action:
            return replace(m, action=""), (Tell(Phase.RESTORING, Verdict.RESTORATION, action=m.action), Do.CLOSE_LINK)
        case ev.NothingNewer() | ev.LinkLost() | ev.LinkRefused():
            return m, (Do.CLOSE_LINK,)
        case ev.RolledBack(reason=reason) if m.action:
            told = Tell(Phase.FAILED, Verdict.FAILED, reason, action=m.action)
            # Not carried on: whatever is told of `action` later would be a confirmation.
            return replace(m, step=Step.TELLING, action="", due=now + m.policy.poll), (told,)
        case ev.RolledBack():
            return idle(m, now), (Do.CLOSE_LINK,)
        case ev.Restored():
            return Machine(policy=m.policy, step=Step.RESTARTING), (Do.RETURN_MEMORY, Do.RESTART)
    return m, ()


HANDLERS.update(
    {
        Step.CHECKING_FILE: _checking_file,
        Step.PROVING: _proving,
        Step.READYING: _readying,
        Step.LAST_WORD: _last_word,
        Step.REWRITING: _rewriting,
        Step.JUDGING: _judging,
        Step.TRYING: _trying,
        Step.CONTACTING: _contacting,
        Step.CONFIRMING: _confirming,
        Step.FINDING: _finding,
        Step.RESTORING: _restoring,
    }
)
