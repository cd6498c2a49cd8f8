"""Hostile frames on the restoration wire, against the real responder: whatever they say about length, offset or upload, a
healthy bank is not touched, and a broken one holds nothing that was not proven."""

from __future__ import annotations

import hashlib
import random

import cbor2
import pytest

from neurath.errors import RefusedError
from neurath.flash.bank import Fate, Why
from neurath.flash.native import Core
from neurath.flash.wire import SmpServer
from neurath.wire import smp
from neurath.wire.smp import Message
from tests.parts import ASSURANCE
from tests.station.device import SMALL, Device, birth_of, image_of, package_of

NEW = image_of(2, SMALL.layout.bank_size - 60)
PACKAGE = package_of(NEW, SMALL, 6)
SHA = hashlib.sha256(PACKAGE).digest()
WILD = (0, 1, 59, len(PACKAGE) - 1, len(PACKAGE), len(PACKAGE) + 1, 0xFFFF, 1 << 31, 0xFFFF_FFFF, 1 << 32, (1 << 64) - 1)


def says(device: Device, **body: object) -> dict[str, object]:
    return device.ask(2, 1, 1, body)


def healthy(device: Device) -> bool:
    return device.bank(len(device.old)) == device.old and device.core.facts.broken is Why.NONE


def test_a_healthy_terminal_takes_no_upload_whatever_it_says() -> None:
    device = Device()
    dice = random.Random(1)
    for _ in range(20_000 if ASSURANCE else 400):
        body = {
            "off": dice.choice(WILD),
            "len": dice.choice(WILD),
            "sha": dice.choice((SHA, bytes(32), b"", bytes(33))),
            "data": dice.choice((PACKAGE[:200], b"", dice.randbytes(90))),
            "image": dice.choice((0, 0, 1)),
        }
        answer = says(device, **{key: body[key] for key in body if dice.random() < 0.9})
        assert "rc" not in answer or answer["rc"] != 0
        assert "off" not in answer
    assert healthy(device)
    assert device.nor.operations == 0


@pytest.mark.parametrize("length", WILD)
def test_a_length_that_is_not_the_packages_is_refused_with_nothing_written(length: int) -> None:
    device = Device()
    device.break_it()
    before = device.nor.operations
    off = 0
    for _ in range(12):
        answer = says(device, off=off, len=length, sha=SHA, data=PACKAGE[off : off + 200])
        if "err" in answer or off == answer.get("off"):
            break
        off = int(str(answer["off"]))
    if length == len(PACKAGE):
        return
    assert "err" in answer or off < 200
    assert device.nor.operations == before
    device.restore(PACKAGE)
    assert device.power_up() is Fate.BOOT


def test_offsets_that_jump_write_nothing_and_lose_nothing() -> None:
    device = Device()
    device.break_it()
    dice = random.Random(2)
    off = 0
    while off < len(PACKAGE):
        for wild in dice.sample(WILD[1:], 2):
            if wild in (off, 0):
                continue
            operations = device.nor.operations
            answer = says(device, off=wild, data=dice.randbytes(100))
            assert answer.get("off", off) == off
            assert device.nor.operations == operations
        body: dict[str, object] = {"off": off, "data": PACKAGE[off : off + 250]}
        off = int(str(says(device, **(body if off else body | {"len": len(PACKAGE), "sha": SHA}))["off"]))
    assert device.power_up() is Fate.BOOT
    assert device.bank(len(NEW)) == NEW


def test_data_beyond_the_length_that_was_named_is_refused_and_the_bank_is_never_booted_half_written() -> None:
    device = Device()
    device.break_it()
    longer = PACKAGE + bytes(500)
    off = 0
    for _ in range(30):
        body: dict[str, object] = {"off": off, "data": longer[off : off + 400]}
        answer = says(device, **(body if off else body | {"len": len(PACKAGE), "sha": SHA}))
        if "err" in answer:
            break
        off = int(str(answer["off"]))
        assert off <= len(PACKAGE)
    assert "err" in answer
    assert device.power_up() in (Fate.RESTORE, Fate.BOOT)
    if device.fate is Fate.BOOT:
        assert device.bank(len(NEW)) == NEW
    else:
        device.restore(PACKAGE)
        assert device.bank(len(NEW)) == NEW


def test_an_upload_begun_in_restoration_does_not_go_on_once_the_bank_is_whole() -> None:
    """Its first bytes wait in one responder while the bank is made whole in another way."""
    device = Device()
    device.break_it()
    waiting = package_of(image_of(3, 3000), SMALL, 9)
    answer = says(device, off=0, len=len(waiting), sha=hashlib.sha256(waiting).digest(), data=waiting[:100])
    assert answer["off"] == 100
    late = device.server
    device.server = SmpServer(device.core, birth_of(SMALL), device._hear, device.fate, buffer=512)
    device.restore(PACKAGE)
    operations = device.nor.operations
    device.server = late
    off = 100
    for _ in range(20):
        answer = says(device, off=off, data=waiting[off : off + 250])
        if "err" in answer:
            break
        off = int(str(answer["off"]))
    assert "err" in answer
    assert device.nor.operations == operations
    assert device.bank(len(NEW)) == NEW


def test_frames_that_lie_about_their_own_length_are_dropped() -> None:
    device = Device()
    device.break_it()
    dice = random.Random(3)
    good = smp.frame(Message(2, 1, 1, cbor2.dumps({"off": 0, "len": len(PACKAGE), "sha": SHA, "data": PACKAGE[:200]})))
    before = device.nor.operations
    for _ in range(5000 if ASSURANCE else 200):
        raw = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(raw))
            match dice.randrange(4):
                case 0:
                    raw[at] ^= 1 << dice.randrange(8)
                case 1:
                    del raw[at : at + dice.randint(1, 40)]
                case 2:
                    raw[at:at] = bytes(raw[: dice.randint(1, 60)])
                case _:
                    raw += b"\x06\x09" + b"A" * dice.randint(1, 2000)
        device.server.feed(bytes(raw))
    assert device.nor.operations == before
    device.power_up()
    assert device.restore(PACKAGE)
    assert device.bank(len(NEW)) == NEW


def test_a_terminal_is_provisioned_once_and_keeps_its_floor() -> None:
    device = Device()
    with pytest.raises(RefusedError):
        Core(SMALL.layout, device.nor).provision()
    assert device.nor.operations == 0
    assert device.power_up() is Fate.BOOT
    assert device.core.facts.confirmed.sequence == 5
