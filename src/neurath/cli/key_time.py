"""The time that a list of keys carries: terminals believe no certificate that ended before it (docs/decisions/0432). So it is
never taken from one clock alone where that clock may be wrong. It knows dates; it must never look at a key."""

from __future__ import annotations

import argparse
import calendar
import time

from neurath.errors import RefusedError, UsageError
from neurath.units import EARLIEST

#: Two clocks that are right differ by less.
DAY = 86400
#: Further than this after what is known to be past nobody dates a list by one word alone.
FAR = 2 * 365 * DAY
NONE = "none"


def option(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--time", action="append", default=[], metavar="DATE", help=text)


def drafted(said: list[str], known: int, clock: float) -> int:
    """When a list is signed that is drafted now; 0: it does not say. `known` is when the one before was, `clock` what this
    machine thinks. What is behind what is known, far ahead of it, or not what the clock says, is taken only if it is said
    twice: by the clock and a person, or by a person two times."""
    if said == [NONE]:
        return 0
    known = max(known, int(EARLIEST))
    days = {_day(text) for text in said}
    if len(days) > 1:
        raise UsageError("this list would have two dates", " ".join(said), "the same date, or none")
    right = clock >= known - DAY  # a clock that is behind was never set, and says nothing
    at = _moment(days.pop(), clock) if days else int(clock)
    if known - DAY <= at < known:
        at = known  # two clocks that are right
    agrees = right and abs(at - clock) <= DAY
    wanted = 1 if known <= at <= known + FAR and (agrees or not right) else 2
    if len(said) + agrees < wanted:
        raise _doubtful(at, known, clock, wanted - len(said) - agrees)
    return at


def _moment(day: int, clock: float) -> int:
    """A moment of this day: as the clock has it where it is today, else the first."""
    return int(clock) if day <= clock < day + DAY else day


def demand(at: int, said: list[str], clock: float, *, far: bool) -> None:
    """Nothing where a list of this time may be signed, or passed on, here; RefusedError where this machine has not come so far
    (or, if `far`, where it lies far ahead), and nobody says its date."""
    ahead = at > clock + DAY or (far and at > EARLIEST + FAR)
    if at and ahead and date(at) not in said:
        raise _doubtful(at, int(EARLIEST), clock, 1)


def date(at: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def _day(text: str) -> int:
    try:
        return calendar.timegm(time.strptime(text, "%Y-%m-%d"))
    except ValueError:
        raise UsageError(f"{text[:40]!r} is no date", "YYYY-MM-DD is", f"--time 2027-01-31, or --time {NONE}") from None


def _doubtful(at: int, known: int, clock: float, missing: int) -> RefusedError:
    why = (
        f"{date(known)} is past for certain, and this machine's clock says {date(int(clock))}; a wrong date ends certificates"
    )
    again = "once more" if missing == 1 else "twice"
    hint = f"look at a calendar; if it is so, say --time {date(at)} {again}"
    return RefusedError(f"is it {date(at)}?", why, hint, id="NRT-302")
