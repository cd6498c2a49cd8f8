"""Whether people let an update be installed: who was asked, what they said, and until when that holds. A pure value; it knows
times and answers, and must never look at a clock, a process or a screen. Spec: docs/spec/control.md 3."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from neurath.terminal.setup import Asking

HOUR = 3600.0
DAY = 86400.0
#: "Tonight" is this second of the local day.
NIGHT = 2 * 3600
#: Somebody who uses it is asked again to end that after this, seconds.
NAG = 900.0
#: A wait without an end of its own is looked at again after this, seconds.
LOOK = 600.0


#: Why it waits while a person has not answered.
ASKED = "somebody is asked"


class Answer(Enum):
    """What a person may say: close and update, in 1 hour, tonight, no."""

    NOW = "now"
    HOUR = "hour"
    TONIGHT = "tonight"
    NO = "no"


class Word(Enum):
    """What a person is to be told."""

    ASK = "ask"  # something is here: may it be installed?
    CLOSE = "close"  # it is in use: please end it
    LAST = "last"  # it will be installed soon whatever you say


@dataclass(frozen=True, slots=True)
class Consent:
    """About one wish (the first 16 bytes of its file's digest; b"": none): when it was first met, when somebody was last told
    and what, what they answered, and until when that holds."""

    wish: bytes = b""
    met: float = 0.0
    told: float = 0.0
    word: Word | None = None
    answer: Answer | None = None
    until: float = 0.0
    warned: bool = False

    def answered(self, answer: Answer, now: float, second: int, again: float) -> Consent:
        """Somebody answered; `second` is that of the local day, `again` how long a no is respected, seconds."""
        until = {
            Answer.NOW: now,
            Answer.HOUR: now + HOUR,
            Answer.TONIGHT: now + _until(second, NIGHT),
            Answer.NO: now + again,
        }[answer]
        return replace(self, answer=answer, until=until)

    def reminded(self) -> Consent:
        """It may be asked again at once, whatever was said before; a yes stays a yes."""
        if self.answer is Answer.NOW:
            return replace(self, told=0.0, word=None)
        return replace(self, answer=None, until=0.0, told=0.0, word=None)


@dataclass(frozen=True, slots=True)
class Seen:
    """The moment: what is wished for, who uses it ("" nobody), the time, the second of the local day."""

    wish: bytes
    use: str
    now: float
    second: int


@dataclass(frozen=True, slots=True)
class Decided:
    """`go`, or why not, until when, and whether it is people who are waited for; `tell` is to be said now."""

    go: bool
    reason: str = ""
    until: float = 0.0
    ask: bool = False
    tell: Word | None = None


def decide(state: Consent, rules: Asking, seen: Seen) -> tuple[Consent, Decided]:
    """What holds at this moment, and what is remembered of it."""
    now = seen.now
    if state.wish != seen.wish:
        state = Consent(seen.wish, met=now)
    if state.answer is Answer.NO and now >= state.until:
        state = replace(state, answer=None, told=0.0, word=None)
    if rules.consent == "none" or (rules.deadline and now >= state.met + rules.deadline):
        return state, Decided(True)
    decided = _refused(state, rules, seen)
    if decided is None:
        return state, Decided(True)
    if rules.deadline:
        end = state.met + rules.deadline
        late = now >= end - rules.warning
        decided = replace(decided, until=min(decided.until, end if late else end - rules.warning))
        if late and not state.warned:
            return replace(state, warned=True, told=now, word=Word.LAST), replace(decided, tell=Word.LAST)
    if decided.tell is not None:
        state = replace(state, told=now, word=decided.tell)
    return state, decided


def _refused(state: Consent, rules: Asking, seen: Seen) -> Decided | None:
    """Why not, before any deadline; None: nothing is in the way."""
    now = seen.now
    agreed = state.answer in (Answer.NOW, Answer.HOUR, Answer.TONIGHT) and now >= state.until
    if rules.window is not None and not agreed and not _inside(rules.window, seen.second):
        return Decided(False, "it waits for its hours", now + _until(seen.second, rules.window[0]))
    if rules.consent == "ask" and not agreed:
        if state.answer is Answer.NO:
            return Decided(False, "somebody said no", state.until, ask=True)
        if state.answer is not None:
            return Decided(False, f"somebody said: {state.answer.value}", state.until, ask=True)
        fresh = state.word not in (Word.ASK, Word.LAST) or now >= state.told + rules.again
        return Decided(False, ASKED, now + LOOK, ask=True, tell=Word.ASK if fresh else None)
    if seen.use:
        fresh = state.word not in (Word.CLOSE, Word.LAST) or now >= state.told + NAG
        return Decided(False, seen.use, now + LOOK, tell=Word.CLOSE if fresh else None)
    return None


def _inside(window: tuple[int, int], second: int) -> bool:
    begin, end = window
    return begin <= second < end if begin < end else second >= begin or second < end


def _until(second: int, target: int) -> float:
    """Seconds from this second of the day to that one; a whole day where they are the same."""
    return float((target - second) % DAY) or DAY
