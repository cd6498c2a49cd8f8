"""On which terms a rollout is given to its terminals: how urgently, in which hours, from when until when, after whose
word. It knows words and calendars; it must never read a clock, nor know a terminal. Grammar: docs/spec/waves.md."""

from __future__ import annotations

import datetime
import re
import zoneinfo
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

from neurath.errors import UsageError

#: A window in this zone is in each terminal's own, its attribute `timezone`; UTC where it sent none that is known.
OWN_ZONE = "terminal"
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MINUTES = 24 * 60
_HINT = "--policy 'default window=mon-fri,22:00-04:00,Europe/Berlin urgency=soft confirm=yes'"
_MOST_WINDOWS = 14


class Urgency(Enum):
    """How it is put to a third-party client: do it, try it, or fetch it and wait."""

    FORCED = "forced"
    SOFT = "soft"
    DOWNLOAD_ONLY = "download-only"


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of some days of the week, minutes since midnight there; `end` not above `begin`: of the next day."""

    days: tuple[int, ...]
    begin: int
    end: int
    zone: str

    def spans(self, zone: datetime.tzinfo, around: datetime.date) -> Iterator[tuple[float, float]]:
        """(opens, closes) from the day before to nine days after, seconds since 1970."""
        for offset in range(-2, 10):
            day = around + datetime.timedelta(days=offset)
            if day.weekday() in self.days:
                after = day + datetime.timedelta(days=int(self.end <= self.begin))
                yield _moment(day, self.begin, zone), _moment(after, self.end, zone)

    def __str__(self) -> str:
        return f"{_days(self.days)},{_clock(self.begin)}-{_clock(self.end)},{self.zone}"


@dataclass(frozen=True, slots=True)
class Hours:
    """Whether it may be now, and when that changes; never: None."""

    open: bool
    changes: float | None = None


ALWAYS = Hours(True)


@dataclass(frozen=True, slots=True)
class Terms:
    """`forced_from`: when a soft one turns forced; `begin`, `until`: the days of the rollout; `approve`: a second person
    starts it; `confirm`: each terminal, its user or an operator says yes first. Times are seconds since 1970."""

    urgency: Urgency = Urgency.FORCED
    forced_from: float | None = None
    windows: tuple[Window, ...] = ()
    begin: float | None = None
    until: float | None = None
    approve: bool = False
    confirm: bool = False

    def hours(self, now: float, own_zone: str = "") -> Hours:
        """Whether a terminal in this zone may install now."""
        if not self.windows:
            return ALWAYS
        spans: list[tuple[float, float]] = []
        for window in self.windows:
            zone = _zone(own_zone) or datetime.UTC if window.zone == OWN_ZONE else _zone(window.zone) or datetime.UTC
            spans += window.spans(zone, datetime.datetime.fromtimestamp(now, zone).date())
        for begin, end in _merged(spans):
            if begin <= now < end:
                return Hours(True, end)
            if now < begin:
                return Hours(False, begin)
        return Hours(False)

    def first_hour(self, at: float) -> float:
        """The first moment from `at` on at which a terminal in whatever zone was let install."""
        found = self.hours(at, "Etc/GMT+12")
        return at if found.open or found.changes is None else found.changes

    def forced(self, now: float) -> bool:
        """Whether a client is told to, and not only asked to."""
        return self.urgency is not Urgency.SOFT or (self.forced_from is not None and now >= self.forced_from)

    def __str__(self) -> str:
        words = [f"window={window}" for window in self.windows]
        if self.urgency is not Urgency.FORCED:
            since = "" if self.forced_from is None else f":{_iso(self.forced_from)}"
            words.append(f"urgency={self.urgency.value}{since}")
        words += [f"{name}={_iso(at)}" for name, at in (("from", self.begin), ("until", self.until)) if at is not None]
        words += [f"{name}=yes" for name, on in (("approve", self.approve), ("confirm", self.confirm)) if on]
        return " ".join(words)


PLAIN = Terms()
NAMES = ("window", "urgency", "from", "until", "approve", "confirm")


def read(terms: Terms, name: str, value: str) -> Terms:
    """The terms with one more word, or UsageError."""
    match name:
        case "window":
            if len(terms.windows) == _MOST_WINDOWS:
                raise _wrong(value, f"at most {_MOST_WINDOWS} windows")
            return replace(terms, windows=(*terms.windows, _window(value)))
        case "urgency":
            word, _, since = value.partition(":")
            if word not in {one.value for one in Urgency} or (since and word != "soft"):
                raise _wrong(value, "forced, soft, soft:MOMENT or download-only")
            return replace(terms, urgency=Urgency(word), forced_from=_at(since) if since else None)
        case "from":
            return replace(terms, begin=_at(value))
        case "until":
            return replace(terms, until=_at(value))
    if value not in ("yes", "no"):
        raise _wrong(value, "yes or no")
    if name == "approve":
        return replace(terms, approve=value == "yes")
    return replace(terms, confirm=value == "yes")


# ---- text and calendars ----------------------------------------------------------------------------------------------


def _window(text: str) -> Window:
    match = re.fullmatch(r"([a-z,-]+),(\d\d):(\d\d)-(\d\d):(\d\d),([A-Za-z0-9_+/-]{1,64})", text)
    if match is None:
        raise _wrong(text, "DAYS,HH:MM-HH:MM,ZONE; DAYS like mon-fri or sat,sun or daily")
    days, *clock, zone = match.groups()
    begin, end = (int(h) * 60 + int(m) for h, m in (clock[:2], clock[2:]))
    if begin >= _MINUTES or end > _MINUTES or begin == end or int(clock[1]) > 59 or int(clock[3]) > 59:
        raise _wrong(text, "hours are 00:00 to 24:00, and a window lasts a minute at least")
    if zone != OWN_ZONE and _zone(zone) is None:
        raise _wrong(text, f"no time zone {zone!r}; one like Europe/Berlin, UTC, or `{OWN_ZONE}` for each terminal's own")
    return Window(_week(days, text), begin, end, zone)


def _week(text: str, whole: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if part == "daily":
            found |= set(range(7))
        elif first in _DAYS and (not last or last in _DAYS):
            begin, count = _DAYS.index(first), (_DAYS.index(last or first) - _DAYS.index(first)) % 7
            found |= {(begin + step) % 7 for step in range(count + 1)}
        else:
            raise _wrong(whole, f"{part!r} is no day: mon tue wed thu fri sat sun, or daily")
    return tuple(sorted(found))


def _days(days: tuple[int, ...]) -> str:
    return "daily" if len(days) == 7 else ",".join(_DAYS[day] for day in days)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _moment(day: datetime.date, minutes: int, zone: datetime.tzinfo) -> float:
    if minutes == _MINUTES:
        day, minutes = day + datetime.timedelta(days=1), 0
    return datetime.datetime(day.year, day.month, day.day, minutes // 60, minutes % 60, tzinfo=zone).timestamp()


def _merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same hours as spans that neither meet nor overlap, in order; a night whose end the clocks jumped over is none."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return found


@lru_cache(maxsize=256)
def _zone(name: str) -> datetime.tzinfo | None:
    if not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", name):
        return None
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return datetime.UTC if name == "UTC" else None


def _at(text: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise _wrong(text, "a moment like 2026-11-22T03:00Z or 2026-11-22T03:00+01:00") from None
    if moment.tzinfo is None:
        raise _wrong(text, "a moment says its zone: 2026-11-22T03:00Z")
    return moment.timestamp()


def _iso(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _wrong(text: str, why: str) -> UsageError:
    return UsageError(f"{text[:60]!r} are no terms of a rollout", why, _HINT)
