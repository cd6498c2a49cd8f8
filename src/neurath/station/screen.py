"""The technician's screen as text: six steps, one huge word, progress, and always the answer to "is it safe to unplug now?".
It knows how a state reads; it must never change one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurath.station.machine import Machine, Step, Unplug, Verdict
from neurath.station.run import Pace
from neurath.wire.smp import Why

if TYPE_CHECKING:
    from neurath.station.desk import Desk, Seat

WIDTH = 72
_WORD = {
    Step.CONNECT: "PLUG IN",
    Step.IDENTIFY: "WHO IS IT",
    Step.CHOOSE: "CHOOSING",
    Step.WRITE: "WRITING",
    Step.JUDGE: "JUDGING",
}
_ENDED = {
    Verdict.RESTORED: "RESTORED",
    Verdict.HEALTHY: "HEALTHY",
    Verdict.REFUSED: "REFUSED",
    Verdict.NO_RELEASE: "NO RELEASE",
    Verdict.NO_IDENTITY: "NO NAME",
    Verdict.FAILED: "FAILED",
    Verdict.MISTAKEN: "WRONG DEVICE",
}
#: The whole screen says it once more, by its colour; the word says the same without it.
_TONE = {Verdict.RESTORED: "good", Verdict.HEALTHY: "good", Verdict.NONE: "busy"}
#: Why a terminal is here, as it says itself; one that boots says nothing.
_WHY = {
    Why.NONE: "",
    Why.REWRITE: "stopped in mid-rewrite",
    Why.UNCONFIRMED: "its image never confirmed",
    Why.DIGEST: "its image is damaged",
    Why.FLASH: "its flash failed",
    Why.BLANK: "its bank is blank",
    Why.RESTORE: "in restoration",
}
_ENROL = (
    "this terminal lost its birth record; it cannot tell who it is or whom to trust",
    "  1. read its id from the label",
    "  2. neurath station enrol --port PORT --id ID --model MODEL.toml --release-key PUB.pem",
    "  3. unplug it, plug it in again: this screen goes on",
)


def word(state: Machine) -> str:
    """The one huge word."""
    return _ENDED.get(state.verdict, "DONE") if state.step is Step.UNPLUG else _WORD[state.step]


def tone(state: Machine) -> str:
    """What the colour of the screen says: empty, busy, good or bad."""
    return "empty" if state.step is Step.CONNECT and state.choice is None else _TONE.get(state.verdict, "bad")


def steps(state: Machine) -> str:
    """The six steps, the current one in brackets, those behind it ticked."""
    return "  ".join(
        f"[{one.name.title()}]" if one is state.step else f"{'x' if one.value < state.step.value else ' '} {one.name.title()}"
        for one in Step
    )


def unplug(state: Machine) -> str:
    """The answer that is always on the screen."""
    match state.unplug:
        case Unplug.YES:
            return "YES"
        case Unplug.WAIT:
            return "WAIT  one moment, it is not known yet"
    if state.step is Step.CONNECT:
        return "NO    it was unplugged before it was done: plug it in again and it goes on"
    if state.step is Step.WRITE:
        return "NO    if it is pulled now, nothing is lost: plug it in again and it goes on"
    return "NO    the terminal holds no software that runs; it has to be restored"


def progress(state: Machine, pace: Pace) -> str:
    """Phase, bytes and time left by the measured rate. 100 % only with the verdict."""
    if not state.total or state.step not in (Step.WRITE, Step.JUDGE):
        return ""
    bar = "#" * int(_share(state) * 40)
    return f"{state.step.name.lower()} |{bar:40}| {amounts(state, pace)}"


def _share(state: Machine) -> float:
    return min(state.held / state.total, 1.0) * 0.99


def amounts(state: Machine, pace: Pace) -> str:
    """How much of it, how fast, how long it takes yet."""
    left = f"{(state.total - state.held) / pace.rate:.0f} s left" if pace.rate else "measuring"
    speed = f"{pace.rate / 1000:.1f} kB/s  {left}"
    return f"{int(_share(state) * 100)} %  {state.held:,} of {state.total:,} bytes  {speed}"


def facts(state: Machine) -> list[str]:
    """Who it is, what it gets and why, what is wrong."""
    lines = []
    identity, choice = state.identity, state.choice
    if identity is not None and identity.enrolled:
        lines.append(f"terminal  {identity.id}   model {identity.model}   {_WHY[identity.why]}".rstrip())
    if choice is not None:
        lines.append(f"release   {choice.version}   {choice.reason}")
    if state.aid:
        lines.append(f"sends     {state.aid}")
    if state.reason:
        lines.append(f"because   {state.reason}")
    return lines + (list(_ENROL) if state.verdict is Verdict.NO_IDENTITY else [])


def text(state: Machine, pace: Pace) -> str:
    """One terminal's whole screen."""
    body = [steps(state), "", " ".join(word(state)).center(WIDTH).rstrip(), "", *facts(state)]
    moving = progress(state, pace)
    return "\n".join([*body, *([moving] if moving else []), "", f"Safe to unplug now?  {unplug(state)}"])


def trouble(seat: Seat) -> list[str]:
    """Why a port cannot be used, and the cure."""
    return [line for one in seat.troubles for line in (f"{one.what}: {one.why}", f"  cure: {one.cure}")]


def shift(desk: Desk) -> str:
    """What this shift has done, and what was read last."""
    done = ", ".join(f"{count} {verdict.value}" for verdict, count in desk.shift.items()) or "none yet"
    return f"this shift: {done}   label: {desk.label or 'none, whichever comes'}"


def line(state: Machine, pace: Pace) -> str:
    """The state in one line, for a log."""
    parts = (f"{state.step.name.lower()}: {word(state).lower()}", progress(state, pace), state.reason)
    return "  ".join([*filter(None, parts), f"safe to unplug: {state.unplug.value}"])
