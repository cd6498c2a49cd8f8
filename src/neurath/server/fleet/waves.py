"""How a release spreads: a first wave, more waves while enough of them succeed, and a halt when too many fail. A machine that
is a value: it knows counts and times that it is told; it must never know which terminals they are, nor read a clock. Spec:
docs/spec/waves.md."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from math import ceil

from neurath.errors import UsageError
from neurath.server.fleet import terms
from neurath.server.fleet.terms import PLAIN, Terms
from neurath.units import Seconds

_PATIENCE = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_HINT = "--policy 'waves=5%,50% go-on=90% halt=10% patience=1d', or at-once"
_MOST_WAVES = 16
DAY = Seconds(86400.0)


class State(Enum):
    """Where a rollout stands. Only a running one is offered."""

    DRAFT = "draft"
    WAITING = "waiting"  # for a second person
    SCHEDULED = "scheduled"  # for its first moment
    RUNNING = "running"
    PAUSED = "paused"  # by a person
    HALTED = "halted"  # by itself: too many failed
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True)
class Size:
    """How many terminals a wave reaches, those of earlier waves included: a number, or a share of all it is for."""

    count: int = 0
    share: float = 0.0

    def of(self, targets: int) -> int:
        # A share that would be nobody is one terminal: a wave always tries.
        return self.count or max(1, ceil(round(self.share * targets, 6)))

    def __str__(self) -> str:
        return str(self.count) if self.count else _percent(self.share)


@dataclass(frozen=True, slots=True)
class Policy:
    """The waves before everybody; the share of a wave that must succeed before the next one, the share that may fail, and
    how long a terminal may take: after `patience` seconds without a verdict it counts as failed."""

    waves: tuple[Size, ...] = (Size(share=0.05),)
    go_on: float = 0.9
    halt: float = 0.1
    patience: Seconds = DAY
    terms: Terms = PLAIN

    def __str__(self) -> str:
        tail = f" {self.terms}" if self.terms != PLAIN else ""
        if replace(self, terms=PLAIN) == AT_ONCE:
            return f"at-once{tail}"
        sizes = ",".join(map(str, self.waves)) or "none"
        return f"waves={sizes} go-on={_percent(self.go_on)} halt={_percent(self.halt)} patience={_span(self.patience)}{tail}"


#: What a folder or a rollout has that names no policy but wants one: a first wave, and a threshold of errors.
DEFAULT = Policy()
#: Everybody the moment it starts; nothing halts it but a person.
AT_ONCE = Policy((), 0.0, 1.0)


@lru_cache(maxsize=256)
def policy(text: str) -> Policy:
    """A policy from its text: `at-once`, `default`, or words like `waves=10,50% go-on=90% halt=10% patience=12h`, and terms
    after any of them; what is not said is as in the default. UsageError."""
    words = text.split()
    named = words[0] if words and words[0] in ("at-once", "default") else ""
    made = AT_ONCE if named == "at-once" else DEFAULT
    for word in words[1:] if named else words:
        name, _, value = word.partition("=")
        match name:
            case "waves":
                made = replace(made, waves=() if value == "none" else tuple(_size(part) for part in value.split(",")))
            case "go-on":
                made = replace(made, go_on=_share(value))
            case "halt":
                made = replace(made, halt=_share(value))
            case "patience":
                made = replace(made, patience=_seconds(value))
            case _ if name in terms.NAMES:
                made = replace(made, terms=terms.read(made.terms, name, value))
            case _:
                known = ("waves", "go-on", "halt", "patience", *terms.NAMES)
                raise UsageError(f"{word!r} is no part of a rollout policy", ", ".join(f"{one}=" for one in known), _HINT)
    if not words or len(made.waves) > _MOST_WAVES:
        raise UsageError(f"{text!r} is no rollout policy", f"at most {_MOST_WAVES} waves, at least one word", _HINT)
    return made


# ---- events and actions ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """A person, or a folder's policy, says go; `targets` is for how many terminals it is. Also goes on after a pause or a
    halt; what failed until then is excused."""

    targets: int
    by: str = ""


@dataclass(frozen=True, slots=True)
class Approve:
    """A second person says go."""

    targets: int
    by: str


@dataclass(frozen=True, slots=True)
class Deny:
    """... or no."""

    by: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    pass


@dataclass(frozen=True, slots=True)
class Abort:
    """For good: a person's word, or its release was revoked."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class Retry:
    """Who failed or fell silent is tried again, and has all its time again."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How it stands: for how many it is, how many it was opened to, and what became of those. The rest of the admitted is
    still at it."""

    targets: int
    admitted: int
    confirmed: int
    failed: int
    silent: int

    @property
    def bad(self) -> int:
        return self.failed + self.silent


Event = Start | Approve | Deny | Pause | Abort | Retry | Tally


@dataclass(frozen=True, slots=True)
class Open:
    """Opens it to this many terminals, None: to all, later ones too; and tells them."""

    size: int | None


@dataclass(frozen=True, slots=True)
class Again:
    """Offers it anew to those that failed; and tells them."""


Act = Open | Again

# ---- the machine -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Waves:
    """One rollout. `step` counts waves opened before the present one, `opened` says when each step was (seconds since 1970,
    pauses taken out); `bad` is what had failed at the last halt, `excused` what a person went on in spite of; `author` and
    `approver` are the two persons where two are needed."""

    policy: Policy
    state: State = State.DRAFT
    step: int = 0
    opened: tuple[tuple[int, float], ...] = ()
    stopped: float | None = None
    bad: int = 0
    excused: int = 0
    why: str = ""
    author: str = ""
    approver: str = ""

    @property
    def last(self) -> bool:
        """Everybody is in."""
        return self.step >= len(self.policy.waves)

    def handle(self, event: Event, now: float) -> tuple[Waves, tuple[Act, ...]]:
        """What comes of it; the same state where it may not be."""
        if isinstance(event, Start | Approve | Deny):
            return self._told(event, now)
        until = self.policy.terms.until
        match self.state, event:
            case State.ABORTED, _:
                return self, ()
            case _, Abort(why=why):
                return replace(self, state=State.ABORTED, stopped=now, why=why), ()
            case ((State.RUNNING | State.SCHEDULED), Pause()):
                return replace(self, state=State.PAUSED, stopped=now), ()
            case ((State.RUNNING | State.HALTED), Retry()):
                opened = tuple((step, now) for step, _ in self.opened)
                fresh = replace(self, state=State.RUNNING, opened=opened, stopped=None, bad=0, excused=0, why="")
                return fresh, (Again(),)
            case _, Tally() if self.state is not State.DRAFT and until is not None and now >= until:
                return replace(self, state=State.ABORTED, stopped=now, why="its time is over"), ()
            case State.SCHEDULED, Tally(targets=targets):
                return self._begin(targets, now)
            case State.RUNNING, Tally() as tally:
                return self._counted(tally, now)
        return self, ()

    def _told(self, event: Start | Approve | Deny, now: float) -> tuple[Waves, tuple[Act, ...]]:
        """A person's word about whether it begins or goes on."""
        match self.state, event:
            case State.DRAFT, Start(by=by) if self.policy.terms.approve:
                return replace(self, state=State.WAITING, author=by, why=""), ()
            case State.DRAFT, Start(targets=targets):
                return self._begin(targets, now)
            case State.WAITING, Approve(targets=targets, by=by) if by and self.author and by != self.author:
                return replace(self, approver=by)._begin(targets, now)
            case State.WAITING, Deny(by=by, why=why):
                said = f"{by or 'a second person'} says no{f': {why}' if why else ''}"
                return replace(self, state=State.DRAFT, author="", why=said), ()
            case ((State.PAUSED | State.HALTED), Start(targets=targets)):
                # What was paused before its first moment has no wave yet.
                return (self._resumed(now), ()) if self.opened else replace(self, stopped=None)._begin(targets, now)
        return self, ()

    def _begin(self, targets: int, now: float) -> tuple[Waves, tuple[Act, ...]]:
        """The first wave, or the wait for its moment."""
        begin = self.policy.terms.begin
        if begin is not None and now < begin:
            return replace(self, state=State.SCHEDULED, why=""), ()
        return replace(self, why="")._open(0, targets, now)

    def _resumed(self, now: float) -> Waves:
        """Nobody's patience ran out while it stood still."""
        away = now - (now if self.stopped is None else self.stopped)
        excused = self.bad if self.state is State.HALTED else self.excused
        opened = tuple((step, at + away) for step, at in self.opened)
        return replace(self, state=State.RUNNING, opened=opened, stopped=None, excused=excused, why="")

    def _counted(self, tally: Tally, now: float) -> tuple[Waves, tuple[Act, ...]]:
        if tally.admitted == 0:
            # Nobody was there when it opened; terminals that came since make a wave of their own.
            return self._open(self.step, tally.targets, now) if tally.targets and not self.last else (self, ())
        bad = max(0, tally.bad - self.excused)
        if bad > self.policy.halt * tally.admitted:
            return self._halted(tally, f"{bad} of {tally.admitted} failed{_of_them_silent(tally)}", now), ()
        if self.last:
            return self, ()
        if tally.confirmed >= self.policy.go_on * max(0, tally.admitted - self.excused):
            return self._open(self._next(tally), tally.targets, now)
        if tally.confirmed + tally.bad >= tally.admitted:
            return self._halted(
                tally, f"only {tally.confirmed} of {tally.admitted} succeeded{_of_them_silent(tally)}", now
            ), ()
        return self, ()

    def _next(self, tally: Tally) -> int:
        """The next step that reaches anybody more."""
        sizes = self.policy.waves
        more = (step for step in range(self.step + 1, len(sizes)) if sizes[step].of(tally.targets) > tally.admitted)
        return next(more, len(sizes))

    def _open(self, step: int, targets: int, now: float) -> tuple[Waves, tuple[Act, ...]]:
        size = self.policy.waves[step].of(targets) if step < len(self.policy.waves) else None
        before = tuple(one for one in self.opened if one[0] != step)
        return replace(self, state=State.RUNNING, step=step, opened=(*before, (step, now))), (Open(size),)

    def _halted(self, tally: Tally, why: str, now: float) -> Waves:
        return replace(self, state=State.HALTED, stopped=now, bad=tally.bad, why=f"wave {self.step + 1}: {why}")


def _of_them_silent(tally: Tally) -> str:
    return f", {tally.silent} of them silent" if tally.silent else ""


# ---- text ------------------------------------------------------------------------------------------------------------


def _size(text: str) -> Size:
    if text.endswith("%"):
        return Size(share=_share(text))
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
        raise UsageError(f"{text!r} is no size of a wave", "a number of terminals, or a share of them", _HINT)
    return Size(count=int(text))


def _share(text: str) -> float:
    if not re.fullmatch(r"\d{1,3}(\.\d{1,3})?%", text) or float(text[:-1]) > 100:
        raise UsageError(f"{text!r} is no share", "0% to 100%", _HINT)
    return float(text[:-1]) / 100


def _percent(share: float) -> str:
    return f"{round(share * 100, 3):g}%"


def _seconds(text: str) -> Seconds:
    if not re.fullmatch(r"\d{1,7}[smhd]", text) or not int(text[:-1]):
        raise UsageError(f"{text!r} is no patience", "a number of s, m, h or d", _HINT)
    return Seconds(float(int(text[:-1]) * _PATIENCE[text[-1]]))


def _span(seconds: Seconds) -> str:
    whole = int(seconds)
    unit = next(unit for unit in "dhms" if whole % _PATIENCE[unit] == 0)
    return f"{whole // _PATIENCE[unit]}{unit}"
