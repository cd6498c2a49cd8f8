"""*Just enough*, on 1,000 random arenas, against brute force on the small ones."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from neurath.errors import DataError, RefusedError
from neurath.terminal.memory.reserve import (
    Area,
    Choice,
    Part,
    Reserve,
    Shortfall,
    Tenant,
    choose,
    largest,
    lendable,
    parts,
)


def arena(rng: random.Random, most: int) -> tuple[int, tuple[Tenant, ...]]:
    """Tenants of any size with gaps of any size between them."""
    tenants: list[Tenant] = []
    at = 0
    for n in range(rng.randrange(most + 1)):
        at += rng.choice((0, 0, rng.randrange(64)))
        length = rng.randrange(1, 200)
        least = rng.choice((0, 0, length // 2, length // 3, length))
        tenants.append(Tenant(f"t{n}", rng.randrange(4), at, length, least, rng.random() < 0.15))
        at += length
    return at + rng.choice((0, rng.randrange(100))), tuple(tenants)


def consistent(asked: tuple[Part, ...], tenants: tuple[Tenant, ...]) -> bool:
    """Whoever stops altogether has given up the tail as well."""
    tails = {p.tenant for p in parts(tenants) if not p.whole}
    whole = {p.tenant for p in asked if p.whole}
    return all(any(p.tenant == name and not p.whole for p in asked) for name in whole & tails)


def test_giving_back_any_one_of_those_asked_makes_the_file_not_fit_in_1000_random_arenas(seed: int) -> None:
    rng = random.Random(seed)
    asked_for = 0
    for _ in range(1000):
        size, tenants = arena(rng, 12)
        amount = rng.randrange(1, max(2, size))
        choice = choose(size, tenants, amount)
        if isinstance(choice, Shortfall):
            assert lendable(size, tenants) == amount - choice.by
            continue
        assert choice.area.length == amount
        assert largest(size, tenants, choice.leaving) >= amount
        for name in {p.tenant for p in choice.leaving}:
            stays = [p for p in choice.leaving if p.tenant != name]
            assert largest(size, tenants, stays) < amount, "a tenant was asked in vain"
        for part in choice.leaving:
            if part.whole:  # going on with the first `least` bytes would not have been enough
                assert largest(size, tenants, [p for p in choice.leaving if p is not part]) < amount
        asked_for += len(choice.leaving)
        outside = [t for t in tenants if t.name not in {p.tenant for p in choice.leaving}]
        area = choice.area
        assert all(t.base + t.length <= area.base or t.base >= area.base + area.length for t in outside)
    assert asked_for > 500, "the arenas were too easy to show anything"


def test_the_choice_is_the_least_of_all_choices_on_small_arenas(seed: int) -> None:
    rng = random.Random(seed + 1)
    for _ in range(150):
        size, tenants = arena(rng, 4)
        amount = rng.randrange(1, max(2, size))
        ranked = parts(tenants)
        fits = []
        for count in range(len(ranked) + 1):
            for asked in combinations(ranked, count):
                if consistent(asked, tenants) and largest(size, tenants, asked) >= amount:
                    fits.append(sum(1 << ranked.index(p) for p in asked))
        choice = choose(size, tenants, amount)
        if isinstance(choice, Shortfall):
            assert not fits
        else:
            assert sum(1 << ranked.index(p) for p in choice.leaving) == min(fits)


class Program:
    """Software that fills its memory and notices when anybody else writes there."""

    def __init__(self, tenant: Tenant, *, stubborn: bool = False) -> None:
        self.tenant = tenant
        self.stubborn = stubborn
        self.runs = True
        self.calls: list[str] = []

    def leave(self, part: Part) -> bool:
        self.calls.append("stop" if part.whole else "shrink")
        self.runs = self.runs and (self.stubborn or not part.whole)
        return not self.stubborn

    def back(self) -> None:
        self.calls.append("back")
        self.runs = True


CACHE = Tenant("cache", 1, 0, 100, least=20)
BROWSER = Tenant("browser", 2, 100, 200)
PHONE = Tenant("phone", 9, 300, 50, vital=True)


def programs(*stubborn: str) -> dict[str, Program]:
    return {t.name: Program(t, stubborn=t.name in stubborn) for t in (CACHE, BROWSER, PHONE)}


def test_tenants_leave_in_order_of_priority_and_in_part_where_that_is_enough() -> None:
    software = programs()
    reserve = Reserve(400, (CACHE, BROWSER, PHONE), software)
    assert reserve.free(80) == Area(20, 80)
    assert reserve.asked == ("cache",)
    assert software["cache"].calls == ["shrink"]
    assert software["browser"].calls == []
    reserve.give_back()
    assert software["cache"].calls == ["shrink", "back"]


def test_memory_that_is_free_already_disturbs_nobody() -> None:
    reserve = Reserve(400, (CACHE, BROWSER, PHONE), programs())
    assert reserve.free(50) == Area(350, 50)
    assert reserve.asked == ()


def test_a_terminal_that_cannot_lend_says_by_how_much_and_puts_everything_back() -> None:
    software = programs()
    reserve = Reserve(400, (CACHE, BROWSER, PHONE), software)
    assert reserve.lendable == 300
    assert reserve.free(301) == Shortfall(1)
    assert all(p.runs for p in software.values())
    assert reserve.area is None
    assert reserve.free(300) == Area(0, 300)


def test_a_tenant_that_does_not_leave_is_passed_over_and_the_others_come_back() -> None:
    software = programs("browser")
    reserve = Reserve(400, (CACHE, BROWSER, PHONE), software)
    assert reserve.free(200) == Shortfall(100)
    assert software["browser"].runs
    assert all(p.runs for p in software.values())
    assert reserve.asked == ()


def test_memory_is_secured_once_at_a_time() -> None:
    reserve = Reserve(400, (CACHE, BROWSER, PHONE), programs())
    reserve.free(10)
    with pytest.raises(RefusedError):
        reserve.free(10)
    reserve.view()[:] = bytes(10)
    reserve.give_back()
    with pytest.raises(RefusedError):
        reserve.view()


def test_an_arena_whose_tenants_overlap_is_refused() -> None:
    with pytest.raises(DataError):
        Reserve(400, (CACHE, Tenant("other", 1, 50, 100)), {})
    with pytest.raises(DataError):
        Reserve(40, (CACHE,), {})


def test_a_choice_that_asks_one_too_many_would_be_seen() -> None:
    """The check above can fail: everyone leaving is not just enough."""
    choice = choose(400, (CACHE, BROWSER, PHONE), 80)
    assert isinstance(choice, Choice)
    everyone = parts((CACHE, BROWSER, PHONE))
    assert largest(400, (CACHE, BROWSER, PHONE), [p for p in everyone if p.tenant != "browser"]) >= 80
