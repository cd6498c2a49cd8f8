"""A phone without scratch that was cut in its rewrite and has no air: the station makes the file for what its bank holds."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from neurath.delta.build import build
from neurath.flash import rescue
from neurath.flash.bank import Fate, Target
from neurath.flash.geometry import model_to_toml
from neurath.flash.native import Core, Nor, PowerCut
from neurath.ids import Version
from neurath.sim.nbd import Operation
from neurath.station.select import Entry
from neurath.station.stock import Index, Stock
from neurath.wire import keys, manifest
from tests.firmware.rig import KEY, Kit, kit
from tests.firmware.test_phone import neurath

pytestmark = pytest.mark.heavy


def torn(phones: Kit, flash: bytes) -> bytes:
    """The phone's flash after the power went in the erase of the second sector of its rewrite (by the host's core)."""
    layout = phones.model.layout
    envelope = manifest.verify(phones.envelope("1.1", 2), [KEY.public])
    file = build(phones.images["1.0"], phones.images["1.1"], layout).data
    target = Target(
        image=envelope.image, image_size=envelope.image_size, leaves=envelope.leaves, file=hashlib.sha256(file).digest()[:16],
        file_size=len(file), envelope=envelope.digest[:16], sequence=2, serial=1,
    )  # fmt: skip
    for operation in range(3, 4000, 97):
        nor = Nor.memory(layout)
        nor.write_raw(0, flash)
        core = Core(layout, nor)
        assert core.power_up() is Fate.BOOT
        nor.cut_at(operation, "late")
        with pytest.raises(PowerCut):
            core.rewrite(file, target, phones.model.ram)
        nor.power()
        core = Core(layout, nor)
        if core.power_up() is Fate.FETCH and core.facts.done > 0 and rescue.torn(core) is not None:
            return nor.read_raw(0, layout.size)
    raise AssertionError("no cut left a sector open")


def stock_of(phones: Kit, place: Path) -> Stock:
    stock, entries = Stock(place), []
    for sequence, version in enumerate(("1.0", "1.1"), 1):
        image, raw = phones.images[version], phones.envelope(version, sequence)
        digest, name = hashlib.sha256(image).hexdigest(), manifest.verify(raw, [KEY.public]).digest.hex()
        entries.append(Entry(phones.model.name, Version(version), digest, len(image), raw, name, sequence, 0))
        stock.put(entries[-1], image)
    pem = keys.public_pem(KEY.public).decode()
    shown = ((phones.model.name, model_to_toml(phones.model)),)
    stock.keep(Index(tuple(entries), ((phones.model.name, pem),), (), 1.0, shown))
    return stock


def erased(operations: list[Operation], phones: Kit) -> list[int]:
    bank = phones.model.layout.bank[0]
    return [one.at for one in operations if one.kind == "erase" and bank.base <= one.at < bank.end]


def test_a_phone_that_has_no_air_is_brought_home_by_the_file_for_what_its_bank_holds(tmp_path: Path) -> None:
    phones = kit("sx1-resume", 320_000)
    flash = torn(phones, phones.factory().flash(tmp_path / "flash.bin"))
    stock = stock_of(phones, tmp_path / "stock")
    with phones.on(flash, tmp_path) as phone:
        assert phone.says("in mid-rewrite", 240), phone.said
        ended = neurath("station", "run", "--port", phone.wire, "--stock", stock.root, "--once")
        assert ended["verdict"] == "restored", ended
        assert phone.says("application 1.1\r", 240), phone.said[-600:]
        assert phone.disk.illegal == 0
        again = erased(list(phone.disk.operations), phones)
        after = phone.off()
    record = json.loads(stock.queued()[0].read_text())
    assert "made for what its bank holds" in record["sent"]
    assert record["bytes"] < len(phones.images["1.1"]) / 2
    assert len(again) == len(set(again))  # the sector that was open once more, the others once
    base, image = phones.model.layout.bank[0].base, phones.images["1.1"]
    assert after[base : base + len(image)] == image
