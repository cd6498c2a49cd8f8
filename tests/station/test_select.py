"""Which release a terminal on the wire gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.errors import NeurathError, NotFound, RefusedError, UsageError
from neurath.ids import ModelName, TerminalId, Version
from neurath.station.select import Entry, Wish, select
from neurath.wire.smp import BirthState, Fate, Held, Identity, Wanted, Why


def entry(n: int, *, epoch: int = 0, revoked: bool = False, model: str = "m") -> Entry:
    name = f"{n:02x}" * 32
    return Entry(ModelName(model), Version(f"1.{n}"), name, 10, b"e", name, n, epoch, revoked)


TORN = Identity(
    bank=4096,
    grains=(4, 256, 1024, 512),
    fate=Fate.RESTORE,
    why=Why.REWRITE,
    birth=BirthState.WRITTEN,
    id=TerminalId("a"),
    model=ModelName("m"),
)


def wants(n: int) -> Identity:
    return replace(TORN, target=Wanted(Held(bytes([n]) * 16, bytes(32), 10, n, 0), bytes(16), 5))


def floor(epoch: int, sequence: int) -> Identity:
    return replace(TORN, confirmed=Held(bytes(16), bytes(32), 10, sequence, epoch))


STOCK = [entry(1), entry(2), entry(3), entry(9, model="other")]


def test_the_release_in_the_state_log_comes_first() -> None:
    assert select(wants(2), STOCK, Version("1.1")).entry.sequence == 2


def test_else_the_assigned_release_else_the_newest_of_its_model() -> None:
    assert select(TORN, STOCK, Version("1.1")).entry.sequence == 1
    assert select(TORN, STOCK, Version("1.7")).entry.sequence == 3
    assert select(wants(8), STOCK, None).entry.sequence == 3


def test_a_newer_epoch_is_newer_than_any_sequence() -> None:
    assert select(TORN, [entry(9), entry(1, epoch=1)], None).entry.epoch == 1


def test_nothing_below_the_floor_is_chosen_whoever_asks() -> None:
    low = replace(wants(1), confirmed=floor(0, 2).confirmed)
    assert select(low, STOCK, Version("1.1")).entry.sequence == 3
    with pytest.raises(RefusedError):
        select(low, STOCK, None, Wish(Version("1.1"), "test"))
    with pytest.raises(NotFound):
        select(floor(1, 0), STOCK, None)


def test_the_last_confirmed_release_itself_may_come_back() -> None:
    assert select(floor(0, 3), STOCK, None).entry.sequence == 3


def test_a_revoked_release_is_taken_only_where_there_is_no_other() -> None:
    stock = [entry(1), entry(2, revoked=True)]
    assert select(wants(2), stock, Version("1.2")).entry.sequence == 1
    with pytest.raises(RefusedError):
        select(TORN, stock, None, Wish(Version("1.2"), "test"))
    alone = select(replace(wants(2), confirmed=floor(0, 2).confirmed), stock, None)
    assert (alone.entry.sequence, alone.entry.revoked) == (2, True)


def test_the_technician_may_choose_another_with_a_reason_that_is_recorded() -> None:
    chosen = select(wants(3), STOCK, None, Wish(Version("1.1"), "customer trial"))
    assert chosen.entry.sequence == 1
    assert "customer trial" in chosen.reason
    with pytest.raises(UsageError):
        select(TORN, STOCK, None, Wish(Version("1.1"), "  "))
    with pytest.raises(NotFound):
        select(TORN, STOCK, None, Wish(Version("7"), "x"))


@given(
    st.lists(st.builds(entry, st.integers(0, 9), epoch=st.integers(0, 2), revoked=st.booleans()), max_size=6),
    st.integers(0, 2),
    st.integers(0, 9),
    st.integers(0, 9),
    st.none() | st.integers(0, 9),
)
def test_the_rule_holds_for_any_stock(entries: list[Entry], epoch: int, sequence: int, target: int, pin: int | None) -> None:
    terminal = replace(wants(target), confirmed=floor(epoch, sequence).confirmed)
    allowed = [e for e in entries if (e.epoch, e.sequence) >= (epoch, sequence)]
    try:
        found = select(terminal, entries, None if pin is None else Version(f"1.{pin}")).entry
    except NeurathError:
        assert not allowed
        return
    assert found in allowed
    assert not found.revoked or all(e.revoked for e in allowed)
