"""Keys are stolen and exchanged under a terminal that has no file to keep lists in: its birth record names the stolen key,
its state log a number, and lists come with what they are needed for. The very C that a bare terminal links; the roots sign
ES256."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import pytest

from neurath.errors import DataError, NeurathError, RefusedError, TrustError
from neurath.flash.bank import Fate
from neurath.flash.listed import Listed
from neurath.flash.native import PowerCut
from neurath.wire import keys, smp
from neurath.wire.keylist import Family, KeyList, Roots
from neurath.wire.keys import Alg, SigningKey
from tests.station.device import KEY, SMALL, Device, Refused, image_of, package_of
from tests.wire.test_keylist import after, signed

#: Who stole the key of the birth record has THIEF; the roots name FRESH in its place.
THIEF, FRESH = KEY, keys.create(Alg.ES256)
PEOPLE = [keys.create(Alg.ES256) for _ in range(4)]
ROOTS = Roots(tuple(key.public for key in PEOPLE[:3]))
NEW = image_of(7, 4000)
TRUST, STATE, SPACE, FORMAT, DIGEST = 9, 10, 3, 2, 7
OURS, THEIRS = "phone", "lamp"


def family(key: SigningKey, *models: str) -> Family:
    return Family(models or (OURS,), (key.public,))


FIRST = KeyList(1, ROOTS, ROOTS, (family(THIEF),))
EXCHANGED = after(FIRST, families=(family(FRESH),))


@cache
def raw(found: KeyList, *people: SigningKey) -> bytes:
    return signed(found, *(people or PEOPLE[:2]))


@cache
def package(key: SigningKey) -> bytes:
    return package_of(NEW, SMALL, 6, key=key)


class Bare(Device):
    """A terminal whose factory knew the roots, with no image that boots."""

    def __init__(self, lists: int | None = 4096) -> None:
        super().__init__(root=ROOTS.digest, lists=lists)
        self.break_it()

    def give(self, data: bytes, piece: int = 300, **wrong: object) -> int:
        """A list over the wire; 0, or why it was refused."""
        off = 0
        while off < len(data):
            body: dict[str, object] = {"off": off, "data": data[off : off + piece]}
            if off == 0:
                body |= {"len": len(data), "sha": hashlib.sha256(data).digest()} | wrong
            answer = self.ask(2, smp.GROUP, smp.KEYS, body)
            if "err" in answer:
                error = answer["err"]
                assert isinstance(error, dict)
                return int(error["rc"])
            off = int(str(answer["off"]))
        return 0

    def learn(self, *lists: bytes) -> None:
        assert [self.give(one) for one in lists] == [0] * len(lists)

    def takes(self, key: SigningKey) -> bool:
        """Whether it is restored by what this key signed; where it is not, its bank is as before and it says why."""
        before = self.nor.operations
        try:
            self.restore(package(key))
        except Refused as said:
            assert said.args[0]["rc"] == 22  # noqa: PT017 (the one reason)
            assert self.identity().last == TRUST
            assert self.nor.operations == before
            return False
        assert self.bank(len(NEW)) == NEW
        return self.nor.violations == 0


def test_a_stolen_release_key_ends_on_a_bare_terminal_once_two_roots_have_said_so() -> None:
    assert Bare().takes(THIEF)  # what is at stake
    terminal = Bare()
    terminal.learn(raw(FIRST), raw(EXCHANGED))
    assert not terminal.takes(THIEF)
    assert terminal.takes(FRESH)
    assert terminal.power_up() is Fate.BOOT


def test_after_a_power_cut_the_stolen_key_is_still_worth_nothing_and_nobody_is_believed_until_the_list_is_here_again() -> None:
    terminal = Bare()
    terminal.learn(raw(FIRST), raw(EXCHANGED))
    terminal.power_up()
    assert not terminal.takes(THIEF)
    assert not terminal.takes(FRESH)
    terminal.learn(raw(FIRST), raw(EXCHANGED))
    assert not terminal.takes(THIEF)
    assert terminal.takes(FRESH)


def test_a_list_that_is_put_back_gives_the_stolen_key_nothing() -> None:
    terminal = Bare()
    terminal.learn(raw(FIRST), raw(EXCHANGED))
    terminal.power_up()
    terminal.learn(raw(FIRST))  # it is the first of the row, and no more than that
    assert terminal.core.facts.key_list == 2
    assert not terminal.takes(THIEF)
    assert terminal.give(raw(FIRST, *PEOPLE[1:3])) == STATE
    terminal.learn(raw(EXCHANGED))
    assert terminal.give(raw(FIRST, *PEOPLE[:3])) == STATE
    assert not terminal.takes(THIEF)
    assert terminal.takes(FRESH)


def test_one_root_alone_with_every_other_key_changes_nothing() -> None:
    terminal = Bare()
    before = terminal.nor.operations
    one, other = PEOPLE[0], PEOPLE[3]
    forged = KeyList(1, ROOTS, ROOTS, (family(FRESH),))
    own = Roots((one.public, other.public, FRESH.public))
    for found, people in (
        (forged, (one, FRESH, THIEF, other)),
        (replace(forged, roots=own, successors=own), (one, other, FRESH)),  # roots it brings itself
        (replace(forged, successors=own), (one, other, FRESH)),  # the new have signed, the old have not
        (replace(forged, successors=own), (PEOPLE[1], PEOPLE[2])),  # the old have, the new have not
    ):
        assert terminal.give(signed(found, *people)) == TRUST
    assert terminal.nor.operations == before
    assert terminal.core.facts.key_list == 0
    assert not terminal.takes(FRESH)
    assert terminal.takes(THIEF)


def test_the_list_of_another_family_brings_none_of_its_keys_here() -> None:
    terminal = Bare()
    terminal.learn(raw(KeyList(1, ROOTS, ROOTS, (family(FRESH, THEIRS),))))
    assert not terminal.takes(FRESH)
    assert not terminal.takes(THIEF)  # a model that no family names takes no release
    terminal = Bare()
    terminal.learn(raw(KeyList(1, ROOTS, ROOTS, (family(THIEF, THEIRS), family(FRESH, "phones", OURS)))))
    assert not terminal.takes(THIEF)
    assert terminal.takes(FRESH)


def test_no_flipped_bit_and_no_missing_byte_is_believed_and_nothing_is_written() -> None:
    terminal = Bare()
    listed = Listed(terminal.core, terminal.core.birth())
    data, before = raw(FIRST), terminal.nor.operations
    for bit in range(len(data) * 8):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises((DataError, RefusedError, TrustError)):
            listed.take(bytes(broken))
    for wrong in [data[:end] for end in range(len(data))] + [data + b"\0", data + data]:
        with pytest.raises(DataError):
            listed.take(wrong)
    assert (terminal.nor.operations, listed.version) == (before, 0)
    listed.take(data)


def test_over_the_wire_a_damaged_list_is_refused_with_its_reason() -> None:
    terminal = Bare()
    data = raw(FIRST)
    assert terminal.give(data[:-1]) == FORMAT
    assert terminal.give(data, sha=bytes(32)) == DIGEST
    assert terminal.give(data, len=len(data) + 5, sha=bytes(31)) == FORMAT
    assert terminal.give(data, len=4097) == SPACE
    assert terminal.give(raw(EXCHANGED)) == STATE
    assert terminal.core.facts.key_list == 0
    assert terminal.takes(THIEF)


def test_a_power_cut_at_any_operation_of_taking_it_leaves_the_old_keys_or_the_new_and_the_list_can_come_again() -> None:
    lists = [raw(FIRST), raw(EXCHANGED)]
    seen = set()
    for kind in ("before", "early", "late", "after", "random", "meta"):
        n = 0
        while True:
            terminal = Bare()
            terminal.nor.cut_at(n, kind, n)
            try:
                terminal.learn(*lists)
                break
            except PowerCut:
                terminal.nor.power(n)
            n += 1
            assert terminal.power_up() is Fate.RESTORE
            version = terminal.core.facts.key_list
            seen.add(version)
            assert version in (0, 1, 2)
            assert terminal.takes(THIEF) == (version == 0)
            if version:
                terminal.learn(*lists)
                assert not terminal.takes(THIEF)
                assert terminal.takes(FRESH)
            assert terminal.nor.violations == 0
        assert n >= 2, "nothing was written"
    assert seen == {0, 1, 2}


def test_a_terminal_that_lost_its_log_takes_the_list_and_says_so_in_the_next() -> None:
    terminal = Bare()
    for span in SMALL.layout.log:
        terminal.nor.write_raw(span.base, b"\xff" * span.length)
    assert terminal.power_up() is Fate.RESTORE
    before = terminal.nor.operations
    terminal.learn(raw(FIRST), raw(EXCHANGED))
    assert terminal.nor.operations == before
    assert not terminal.takes(THIEF)
    assert terminal.takes(FRESH)
    terminal.power_up()
    assert terminal.core.facts.key_list == 2


def test_fifty_exchanges_of_roots_are_followed_and_a_gap_or_another_row_is_not() -> None:
    people = [keys.from_seed(hashlib.sha256(b"person %d" % n).digest()) for n in range(53)]

    def row(first: int, count: int, key: SigningKey) -> Iterable[bytes]:
        for n in range(first, count):
            mine, theirs = (Roots(tuple(one.public for one in people[k : k + 3])) for k in (n, n + 1))
            yield signed(KeyList(n + 1, mine, theirs, (family(key),)), *people[n + 1 : n + 4])

    terminal = Device(root=Roots(tuple(one.public for one in people[:3])).digest, lists=2048)
    listed = Listed(terminal.core, terminal.core.birth())
    chain = list(row(0, 50, FRESH))
    for one in chain[:20]:
        listed.take(one)
    with pytest.raises(RefusedError):
        listed.take(chain[21])
    with pytest.raises(TrustError):  # those who were roots are none any more
        listed.take(signed(KeyList(21, ROOTS, ROOTS, (family(THIEF),)), *people[:3], *PEOPLE))
    for one in chain[20:]:
        listed.take(one)
    assert (listed.version, terminal.core.facts.key_list) == (50, 50)
    assert listed.birth.release == (FRESH.public,)
    terminal.power_up()
    again = Listed(terminal.core, terminal.core.birth())
    for one in chain[:49]:
        again.take(one)
        assert again.birth.release == ()
    again.take(chain[49])
    assert again.birth.release == (FRESH.public,)


def test_while_a_package_is_on_its_way_no_list_touches_its_memory() -> None:
    terminal = Bare(lists=0)
    seeds = [keys.from_seed(hashlib.sha256(b"root %d" % n).digest()) for n in range(3)]
    data = signed(replace(FIRST, roots=Roots(tuple(key.public for key in seeds))), *seeds[:2])
    steps = terminal.upload(package(THIEF))
    next(steps)
    assert terminal.give(data) == STATE
    for _ in range(3):
        next(steps)
    assert terminal.give(data) == STATE
    assert list(steps)[-1] == len(package(THIEF))
    assert terminal.bank(len(NEW)) == NEW


def test_a_pulled_cable_goes_on_at_the_byte_and_who_missed_the_last_answer_hears_it_again() -> None:
    terminal, data = Bare(), raw(FIRST)
    first: dict[str, object] = {"off": 0, "data": data[:200], "len": len(data), "sha": hashlib.sha256(data).digest()}
    for _ in range(2):
        assert terminal.ask(2, smp.GROUP, smp.KEYS, first) == {"off": 200}
    last: dict[str, object] = {"off": 200, "data": data[200:]}
    for _ in range(2):
        assert terminal.ask(2, smp.GROUP, smp.KEYS, last) == {"off": len(data)}
    assert terminal.ask(2, smp.GROUP, smp.KEYS, first) == {"off": len(data)}
    assert terminal.ask(0, smp.GROUP, smp.KEYS) == {"root": ROOTS.digest, "list": 1, "least": 1}


def test_a_terminal_without_roots_or_without_the_command_believes_no_list() -> None:
    terminal = Device(lists=4096)
    terminal.break_it()
    assert terminal.ask(0, smp.GROUP, smp.KEYS) == {"root": bytes(32), "list": 0, "least": 0}
    with pytest.raises(NeurathError):
        Listed(terminal.core, terminal.core.birth()).take(raw(FIRST))
    assert Bare(lists=None).ask(0, smp.GROUP, smp.KEYS) == {"rc": 8}


def test_no_map_crashes_it() -> None:
    terminal, dice, data = Bare(), random.Random(3), raw(FIRST)
    values = [0, 1, 299, 4096, 4097, 0xFFFFFFFF, 1 << 40, b"", bytes(32), bytes(33), data[:100], "x", None, True]
    before = terminal.nor.operations
    for _ in range(2000):
        body = {key: dice.choice(values) for key in ("off", "data", "len", "sha") if dice.random() < 0.9}
        terminal.ask(2, smp.GROUP, smp.KEYS, body)
    assert terminal.nor.operations == before
    assert terminal.takes(THIEF)
