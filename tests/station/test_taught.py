"""A station teaches terminals whom to believe: the lists of keys in its stock go before a package that the birth record alone
would not believe, to those that take them, and to nobody else."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from neurath.carriers.pty import Pty
from neurath.errors import NotFound
from neurath.flash.bank import Fate
from neurath.flash.wire import SmpServer
from neurath.ids import Version
from neurath.station import keylists
from neurath.station.line import Line
from neurath.station.machine import Verdict
from neurath.station.run import Bench
from neurath.station.select import Entry
from neurath.station.stock import Index, Stock
from neurath.wire import keys, manifest
from neurath.wire.keylist import Family, KeyList, Roots
from neurath.wire.keys import Alg, SigningKey
from tests.station.bench import MODEL, NEW
from tests.station.device import KEY, Device, envelope_of
from tests.station.rig import Rig
from tests.wire.test_keylist import after, signed

PEOPLE = [keys.create(Alg.ES256) for _ in range(3)]
FRESH, OTHER = keys.create(Alg.ES256), keys.create(Alg.ES256)
ROOTS = Roots(tuple(key.public for key in PEOPLE))


def family(key: SigningKey) -> tuple[Family, ...]:
    return (Family((str(MODEL.name),), (key.public,)),)


FIRST = KeyList(1, ROOTS, ROOTS, family(KEY))
SECOND = after(FIRST, families=family(FRESH))
LISTS = {one.version: signed(one, *PEOPLE[:2]) for one in (FIRST, SECOND)}


def served(version: int) -> bytes:
    """What a server would say."""
    if version not in LISTS:
        raise NotFound(f"no key list {version}")
    return LISTS[version]


def stocked(place: Path, key: SigningKey = FRESH, *, lists: bool = True) -> Stock:
    """One release, signed by this key, and the lists."""
    found = Stock(place)
    raw = envelope_of(NEW, MODEL, 6, key=key)
    named = manifest.verify(raw, [key.public]).digest.hex()
    entry = Entry(MODEL.name, Version("1.6"), hashlib.sha256(NEW).hexdigest(), len(NEW), raw, named, 6, 0)
    if lists:
        keylists.catch_up(found, served)
    found.keep(Index((entry,), ((MODEL.name, keys.public_pem(key.public).decode()),), (), 1.0))
    found.put(entry, NEW)
    return found


class Wire(Rig):
    """A terminal that takes lists of keys, on a line."""

    def make(self, line: Pty) -> SmpServer:
        device = self.device
        device.power_up()
        return SmpServer(device.core, device.core.birth(), line.write, device.fate, buffer=1024, lists=device.lists)


@contextmanager
def on(device: Device, port: Path) -> Iterator[None]:
    wire = Wire(device, port)
    try:
        yield
    finally:
        wire.close()


def broken(lists: int | None = 4096) -> Device:
    device = Device(MODEL, buffer=1024, root=ROOTS.digest, lists=lists)
    device.break_it()
    return device


def restored(device: Device, stock: Stock, port: Path) -> Bench:
    bench = Bench(stock, Line(str(port)), lambda _state, _pace: None)

    async def until_done() -> None:
        while bench.state.verdict is Verdict.NONE:
            await asyncio.wait_for(bench.run(once=True), 60)

    with on(device, port):
        asyncio.run(until_done())
    return bench


def test_a_terminal_whose_birth_record_names_a_revoked_key_is_restored_by_the_new_one(tmp_path: Path) -> None:
    device = broken()
    bench = restored(device, stocked(tmp_path / "stock"), tmp_path / "wire")
    assert bench.state.verdict is Verdict.RESTORED
    assert device.power_up() is Fate.BOOT
    assert device.bank(len(NEW)) == NEW
    assert device.core.facts.key_list == 2


def test_a_power_cut_while_it_learns_or_is_restored_ends_in_the_same(tmp_path: Path) -> None:
    stock = stocked(tmp_path / "stock")
    for n in (0, 1, 2, 9):
        device = broken()
        device.nor.cut_at(n, "random", n)
        bench = restored(device, stock, tmp_path / f"wire{n}")
        assert bench.state.verdict is Verdict.RESTORED
        assert device.power_up() is Fate.BOOT
        assert device.bank(len(NEW)) == NEW
        assert device.nor.violations == 0


def test_after_a_list_was_taken_a_station_without_lists_cannot_bring_what_the_stolen_key_signed(tmp_path: Path) -> None:
    device = broken()
    restored(device, stocked(tmp_path / "stock"), tmp_path / "wire")
    device.break_it()
    old = stocked(tmp_path / "old", KEY, lists=False)
    bench = restored(device, old, tmp_path / "wire2")
    assert bench.state.verdict is Verdict.REFUSED
    assert "it goes by key list 2" in bench.state.reason
    assert json.loads(old.queued()[0].read_text())["reason"] == bench.state.reason


@pytest.mark.parametrize("kind", ["takes no lists", "other roots", "no lists in the stock"])
def test_who_takes_no_lists_of_these_roots_is_restored_as_before(kind: str, tmp_path: Path) -> None:
    device = broken(None if kind == "takes no lists" else 4096)
    if kind == "other roots":
        device = Device(MODEL, buffer=1024, root=bytes(range(32)), lists=4096)
        device.break_it()
    stock = stocked(tmp_path / "stock", KEY, lists=kind != "no lists in the stock")
    bench = restored(device, stock, tmp_path / "wire")
    assert bench.state.verdict is Verdict.RESTORED
    assert device.core.facts.key_list == 0


def test_a_stock_that_kept_only_the_newest_list_fetches_the_others_unless_they_do_not_lead_to_it(tmp_path: Path) -> None:
    stock = stocked(tmp_path / "stock")
    assert keylists.chain(stock) == (LISTS[1], LISTS[2])
    kept = stock.root / keylists.ALL / "1.keys"
    kept.unlink()
    assert keylists.chain(stock) == ()
    forged = signed(KeyList(1, ROOTS, ROOTS, family(OTHER)), *PEOPLE[:1])
    keylists.catch_up(stock, lambda n: forged if n == 1 else served(n))
    assert keylists.chain(stock) == ()
    keylists.catch_up(stock, served)
    assert keylists.chain(stock) == (LISTS[1], LISTS[2])
