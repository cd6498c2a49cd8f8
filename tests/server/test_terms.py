"""Maintenance windows on real calendars: nights, weekends, zones of their own, and the days on which clocks are changed."""

from __future__ import annotations

import datetime
import zoneinfo

from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.server.fleet import waves
from neurath.server.fleet.terms import Hours, Terms


def terms(text: str) -> Terms:
    return waves.policy(f"at-once {text}").terms


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp()


def test_a_night_of_the_week_reaches_into_the_next_day() -> None:
    nights = terms("window=mon-fri,22:00-04:00,Europe/Berlin")
    # 2026-11-20 is a Friday; Berlin is an hour ahead of UTC.
    assert nights.hours(at("2026-11-20T20:59Z")) == Hours(False, at("2026-11-20T21:00Z"))
    assert nights.hours(at("2026-11-20T21:00Z")) == Hours(True, at("2026-11-21T03:00Z"))
    assert nights.hours(at("2026-11-21T02:59Z")) == Hours(True, at("2026-11-21T03:00Z"))  # Saturday, of Friday's night
    assert nights.hours(at("2026-11-21T03:00Z")) == Hours(False, at("2026-11-23T21:00Z"))  # no night of Saturday or Sunday


def test_windows_that_meet_are_one() -> None:
    both = terms("window=fri,18:00-24:00,UTC window=sat,00:00-06:00,UTC window=sat,05:00-07:00,UTC")
    assert both.hours(at("2026-11-20T23:59Z")) == Hours(True, at("2026-11-21T07:00Z"))
    always = terms("window=daily,00:00-24:00,UTC")
    assert always.hours(at("2026-11-20T12:00Z")).open


def test_a_terminal_in_its_own_zone_has_its_own_night_and_utc_where_it_names_none() -> None:
    own = terms("window=daily,02:00-03:00,terminal")
    moment = at("2026-11-20T17:30Z")
    assert own.hours(moment, "Asia/Tokyo").open  # half past two there
    for other in ("", "UTC", "Nowhere/Land", "../../etc/localtime", "Europe/Berlin"):
        assert not own.hours(moment, other).open


def test_nights_on_which_clocks_are_changed_are_as_long_as_they_are() -> None:
    berlin = terms("window=daily,01:00-04:00,Europe/Berlin")
    spring, autumn = berlin.hours(at("2026-03-29T00:00Z")), berlin.hours(at("2026-10-24T23:00Z"))
    assert (spring.changes or 0) - at("2026-03-29T00:00Z") == 2 * 3600
    assert (autumn.changes or 0) - at("2026-10-24T23:00Z") == 4 * 3600


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Kiritimati"]
MINUTES = st.integers(0, 1439)
MOMENTS = st.integers(1_700_000_000, 1_900_000_000)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ZONES), st.sets(st.integers(0, 6), min_size=1), MINUTES, MINUTES, MOMENTS)
def test_whether_it_is_open_is_what_a_clock_on_the_wall_there_says(zone, days, begin, end, now) -> None:
    if begin == end:
        return
    names = ",".join("mon tue wed thu fri sat sun".split()[day] for day in sorted(days))
    text = f"window={names},{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02},{zone}"
    found = terms(text).hours(float(now))
    wall = datetime.datetime.fromtimestamp(now, zoneinfo.ZoneInfo(zone))
    minute = wall.hour * 60 + wall.minute
    tonight, yesterday = wall.weekday() in days, (wall.weekday() - 1) % 7 in days
    says = (tonight and begin <= minute and (minute < end or end < begin)) or (end < begin and yesterday and minute < end)
    around = {(wall + datetime.timedelta(days=step)).utcoffset() for step in (-2, 0, 2)}
    assert len(around) > 1 or found.open == says
    assert found.changes is not None
    assert found.changes > now
    assert terms(text).hours(found.changes).open != found.open  # at the moment it changes, it has changed
