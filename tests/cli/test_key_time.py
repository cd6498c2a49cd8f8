"""A list's date is taken from one clock only where nothing speaks against it: it ends certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurath.cli import key_time
from neurath.cli.key_time import DAY, FAR, NONE, date
from neurath.cli.main import main
from neurath.errors import NeurathError, RefusedError, UsageError
from neurath.units import EARLIEST

BUILT = int(EARLIEST)
NOW = BUILT + 100 * DAY + 5000
LATER = BUILT + FAR + 40 * DAY + 5000


def said(at: int, times: int = 1) -> list[str]:
    return [date(at)] * times


@pytest.mark.parametrize(
    ("words", "known", "clock", "taken"),
    [
        ([], 0, NOW, NOW),
        ([], NOW, NOW, NOW),
        ([], NOW + 300, NOW, NOW + 300),  # the machine of the list before was a little fast
        (said(NOW), NOW + 300, NOW, NOW + 300),
        (said(NOW), 0, NOW, NOW),  # the day of the clock: its moment
        ([NONE], 0, NOW, 0),
        ([NONE], NOW, 0, 0),
        (said(NOW), 0, 86400, NOW - NOW % DAY),  # a clock that was never set says nothing
        (said(LATER), 0, LATER, LATER),  # the clock and a person
        (said(LATER, 2), 0, 86400, LATER - LATER % DAY),
        (said(NOW, 2), LATER, NOW, NOW),  # lower than the one before, which was wrong
        (said(NOW + 9 * DAY, 2), 0, NOW, NOW + 9 * DAY - NOW % DAY),
    ],
)
def test_a_date_that_was_said_often_enough_is_taken(words: list[str], known: int, clock: int, taken: int) -> None:
    assert key_time.drafted(words, known, float(clock)) == taken


@pytest.mark.parametrize(
    ("words", "known", "clock"),
    [
        ([], 0, 86400),  # 1970
        ([], 0, LATER),  # far ahead of all that is known
        ([], 0, 4_294_967_290),
        (said(LATER), 0, 86400),
        (said(LATER), 0, NOW),
        (said(NOW + 9 * DAY), 0, NOW),  # not what the clock says
        ([], LATER, NOW),  # lower than the one before
        (said(NOW), LATER, NOW),
        (said(LATER), NOW, LATER + 2 * DAY),
    ],
)
def test_a_date_in_doubt_is_refused_and_the_hint_says_how_it_is_taken(words: list[str], known: int, clock: int) -> None:
    with pytest.raises(RefusedError, match=r"is it \d{4}-\d\d-\d\d") as met:
        key_time.drafted(words, known, float(clock))
    hint = str(met.value.hint)
    more = [hint.split("--time ")[1].split()[0]] * (2 if hint.endswith("twice") else 1)
    assert key_time.drafted(words + more, known, float(clock)) > 0


@pytest.mark.parametrize(
    "words", [["soon"], [""], ["2027-13-01"], ["2027-01-01", "2027-01-02"], [NONE, NONE], [NONE, "2027-01-01"]]
)
def test_what_is_no_date_or_two_is_refused(words: list[str]) -> None:
    with pytest.raises(NeurathError) as met:
        key_time.drafted(words, 0, float(NOW))
    assert isinstance(met.value, UsageError)


@pytest.mark.parametrize("far", [True, False])
def test_who_signs_or_passes_on_looks_again_by_a_clock_of_its_own(far: bool) -> None:
    key_time.demand(0, [], 0.0, far=far)
    key_time.demand(NOW, [], NOW - 3600.0, far=far)
    key_time.demand(NOW, [], NOW + 90.0 * DAY, far=far)
    for clock in (NOW - 2.0 * DAY, 86400.0):
        with pytest.raises(RefusedError, match=date(NOW)):
            key_time.demand(NOW, [], clock, far=far)
        with pytest.raises(RefusedError, match=date(NOW)):
            key_time.demand(NOW, said(NOW - 2 * DAY), clock, far=far)
        key_time.demand(NOW, said(NOW), clock, far=far)


def test_a_clock_far_ahead_vouches_for_no_date_far_ahead() -> None:
    key_time.demand(LATER, [], LATER + 1.0, far=False)  # a server's clock is set
    with pytest.raises(RefusedError):
        key_time.demand(LATER, [], LATER + 1.0, far=True)
    key_time.demand(LATER, said(LATER), LATER + 1.0, far=True)


def test_the_verbs_ask_for_a_date_in_doubt(tmp_path: Path) -> None:
    def says(*words: str) -> int:
        return main(["key", *words])

    for name in "abc":
        assert says("create", name, "-o", str(tmp_path), "--alg", "ed25519") == 0
    roots = [word for name in "abc" for word in ("--root", f"{tmp_path}/{name}.pub.pem")]
    far, file = ("--time", "2099-01-31"), str(tmp_path / "1.keys")
    assert says("delegate", *roots, *far, "-o", file) == RefusedError.exit_code
    assert says("delegate", *roots, *far, *far, "-o", file) == 0
    sign = ("sign", file, "--key", f"{tmp_path}/a.pem")
    assert says(*sign) == RefusedError.exit_code
    assert says(*sign, *far) == 0
    assert says("publish", file, "--data", str(tmp_path / "data")) == RefusedError.exit_code
    lower = ("revoke", "--after", file, f"{tmp_path}/c.pub.pem", "-o", str(tmp_path / "2.keys"), "--time", date(NOW))
    assert says(*lower) == RefusedError.exit_code
    assert says(*lower, "--time", date(NOW)) == 0
