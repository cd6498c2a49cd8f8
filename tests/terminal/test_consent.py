"""What people said, as a value: explored whole over a grid of times, and the rules one by one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from neurath.terminal.consent import DAY, HOUR, Answer, Consent, Seen, Word, decide
from neurath.terminal.setup import Asking

WISH, OTHER = b"w" * 16, b"o" * 16
NOON = 12 * 3600
ASK = Asking("ask", again=4 * HOUR)
RULES = {
    "none": Asking("none"),
    "wait": Asking("wait"),
    "ask": ASK,
    "window": Asking("wait", window=(2 * 3600, 4 * 3600)),
    "ask in a window over midnight": Asking("ask", window=(22 * 3600, 6 * 3600), again=4 * HOUR),
    "deadline": Asking("ask", deadline=6 * HOUR, warning=HOUR, again=4 * HOUR),
}
#: Moments of a day and more, after noon.
TIMES = [HOUR * n for n in (1, 2, 3, 4, 5, 6, 8, 10, 13, 14, 15, 18, 22, 26)]


def seen(now: float, use: str = "", wish: bytes = WISH) -> Seen:
    return Seen(wish, use, now, int(NOON + now) % int(DAY))


def second(now: float) -> int:
    return int(NOON + now) % int(DAY)


def judge(rules: Asking, before: Consent, moment: Seen, after: Consent, went: bool) -> None:
    """What must hold of every decision, whatever came before it."""
    over = bool(rules.deadline) and moment.now >= after.met + rules.deadline
    agreed = after.answer in (Answer.NOW, Answer.HOUR, Answer.TONIGHT) and moment.now >= after.until
    if went and rules.consent != "none" and not over:
        assert not moment.use, "it was installed while somebody used it"
        assert rules.consent != "ask" or agreed, "it was installed and nobody had said yes"
        inside = rules.window is None or agreed or _inside(rules.window, moment.second)
        assert inside, "it was installed outside of its hours"
    if rules.consent == "none" or over:
        assert went
    if not moment.use and (agreed or (rules.consent == "wait" and rules.window is None)):
        assert went, "nothing was in the way"
    if before.wish == moment.wish and before.answer is Answer.NO and moment.now < before.until:
        assert after.answer is Answer.NO, "a no was forgotten"
    assert after.wish == moment.wish


def _inside(window: tuple[int, int], at: int) -> bool:
    begin, end = window
    return begin <= at < end if begin < end else at >= begin or at < end


@pytest.mark.parametrize("name", RULES)
def test_every_state_at_every_hour_keeps_every_promise(name: str) -> None:
    """Each answer, reminder, other wish, and decision, in use and not, in any order."""
    rules = RULES[name]
    layer = {Consent()}
    met = 0
    for now in TIMES:
        found: set[Consent] = set()
        for state in layer:
            for use, wish in product(("", "recorder runs it"), (WISH, OTHER)):
                moment = seen(now, use, wish)
                after, decided = decide(state, rules, moment)
                judge(rules, state, moment, after, decided.go)
                if not decided.go:
                    assert decided.until > now, "it is worth asking again at a later time only"
                    assert decided.reason
                # Asked again at the same moment it says the same, and tells nobody twice.
                again, repeated = decide(after, rules, moment)
                assert again == after
                assert repeated == replace(decided, tell=None)
                found.add(after)
            if state.wish:
                found |= {state.answered(answer, now, second(now), rules.again) for answer in Answer}
                found.add(state.reminded())
        layer = _thin(found, now)
        met += len(layer)
    assert met > len(TIMES)


def _thin(states: set[Consent], now: float) -> set[Consent]:
    """States that differ in times long past behave alike: one of each kind is enough."""
    kinds: dict[object, Consent] = {}
    for state in states:
        ahead = state.until - now if state.until > now else -1
        age = min(int((now - state.told) / HOUR), 25)
        kinds.setdefault(
            (state.wish, state.word, state.answer, ahead, age, min(now - state.met, 7 * HOUR), state.warned), state
        )
    return set(kinds.values())


def test_somebody_is_asked_once_and_again_after_a_no() -> None:
    state, decided = decide(Consent(), ASK, seen(0))
    assert (decided.tell, decided.ask, decided.go) == (Word.ASK, True, False)
    state, decided = decide(state, ASK, seen(HOUR))
    assert decided.tell is None
    state = state.answered(Answer.NO, HOUR, second(HOUR), ASK.again)
    state, decided = decide(state, ASK, seen(2 * HOUR))
    assert (decided.go, decided.tell, decided.until) == (False, None, 5 * HOUR)
    state, decided = decide(state, ASK, seen(5 * HOUR))
    assert decided.tell is Word.ASK


def test_a_reminder_asks_again_at_once_and_another_release_too() -> None:
    state, _ = decide(Consent(), ASK, seen(0))
    state = state.answered(Answer.NO, 0, second(0), ASK.again)
    assert decide(state.reminded(), ASK, seen(1))[1].tell is Word.ASK
    assert decide(state, ASK, seen(1, wish=OTHER))[1].tell is Word.ASK


@pytest.mark.parametrize(("answer", "after"), [(Answer.NOW, 0.0), (Answer.HOUR, HOUR), (Answer.TONIGHT, 14 * HOUR)])
def test_a_yes_holds_from_its_hour_on(answer: Answer, after: float) -> None:
    state, _ = decide(Consent(), ASK, seen(0))
    state = state.answered(answer, 0, second(0), ASK.again)
    if after:
        assert not decide(state, ASK, seen(after - 1))[1].go
    assert decide(state, ASK, seen(after))[1].go
    used = decide(state, ASK, seen(after, "recorder runs it"))[1]
    assert (used.go, used.tell, used.ask) == (False, Word.CLOSE, False)


def test_before_the_deadline_there_is_a_last_warning_and_then_nobody_is_asked() -> None:
    rules = RULES["deadline"]
    state, decided = decide(Consent(), rules, seen(0))
    assert decided.until <= 5 * HOUR
    state = state.answered(Answer.NO, 0, second(0), rules.again)
    state, decided = decide(state, rules, seen(5 * HOUR, "recorder runs it"))
    assert (decided.go, decided.tell) == (False, Word.LAST)
    assert decided.until <= 6 * HOUR
    assert decide(state, rules, seen(6 * HOUR, "recorder runs it"))[1].go
