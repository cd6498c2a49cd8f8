"""The restoration responder in C: who may write what, in which state, and what is left after every cut."""

from __future__ import annotations

import hashlib
import itertools
import random
import struct
from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.flash.bank import Fate
from neurath.flash.native import Core, Nor, PowerCut
from neurath.flash.wire import SmpServer
from neurath.wire import keys, package, smp
from neurath.wire.smp import BirthState, Message, Why
from tests.station.device import HOLED, KEY, SMALL, Device, Refused, birth_of, envelope_of, image_of, package_of

NEW = image_of(2, 3500)
PACKAGE = package_of(NEW, SMALL, 6)
HEADER = package.read(PACKAGE).header


def test_a_terminal_that_runs_its_image_identifies_itself_and_takes_nothing() -> None:
    device = Device()
    seen = device.identity()
    assert (seen.id, seen.model, seen.fate, seen.why) == ("lab-07", "phone", smp.Fate.BOOT, Why.NONE)
    assert seen.installed is not None
    assert (seen.installed.sequence, seen.floor.sequence) == (5, 5)
    with pytest.raises(Refused):
        device.restore(PACKAGE)
    assert device.nor.operations == 0
    assert device.identity().last == 10


@pytest.mark.parametrize("piece", [80, 300, 480])
@pytest.mark.parametrize("ecc", [False, True])
def test_a_broken_terminal_is_restored_and_keeps_its_identity(piece: int, ecc: bool) -> None:
    device = Device(ecc=ecc)
    before = device.identity()
    device.break_it()
    assert device.identity().why is Why.UNCONFIRMED
    device.restore(PACKAGE, piece)
    assert device.server.fate is Fate.BOOT
    assert device.power_up() is Fate.BOOT
    assert device.bank(len(NEW)) == NEW
    after = device.identity()
    assert (after.id, after.model, after.klass, after.vendor) == (before.id, before.model, before.klass, before.vendor)
    assert after.installed is not None
    assert (after.installed.sequence, after.candidate, after.installs) == (6, True, before.installs + 1)
    assert after.nonce != before.nonce
    assert device.nor.violations == 0


def test_settings_between_and_behind_the_bank_survive() -> None:
    device = Device(HOLED)
    settings = {0x1C00: image_of(7, 1024), 0x2800: image_of(8, 1024)}
    for base, data in settings.items():
        device.nor.write_raw(base, data)
    device.break_it()
    new = image_of(3, 4000)
    device.restore(package_of(new, HOLED, 6))
    assert device.power_up() is Fate.BOOT
    assert device.bank(len(new)) == new
    for base, data in settings.items():
        assert device.nor.read_raw(base, len(data)) == data


def _bank_untouched(device: Device) -> bool:
    return device.bank(len(device.old)) == device.old


OTHER = replace(SMALL, name="radio", klass=bytes([9]) * 16)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("another model", package_of(NEW, OTHER, 6)),
        ("below the floor", package_of(NEW, SMALL, 4)),
        ("another key", package_of(NEW, SMALL, 6, key=keys.from_seed(bytes(32)))),
        ("an image not signed", package.build(envelope_of(image_of(9, 3500), SMALL, 6), NEW, 512)),
        ("another leaf size", package.build(envelope_of(NEW, SMALL, 6), NEW, 256)),
        ("larger than the bank", package_of(image_of(2, 5000), SMALL, 6)),
        ("bytes missing", PACKAGE[:-1]),
        ("bytes behind the end", PACKAGE + b"\0"),
        ("no magic", b"NRP\x02" + PACKAGE[4:]),
        ("not a package at all", bytes(2000)),
    ],
)
def test_a_wrong_package_is_refused_before_the_first_write(name: str, data: bytes) -> None:
    device = Device()
    device.break_it()
    before = device.nor.operations
    with pytest.raises(Refused):
        device.restore(data)
    assert _bank_untouched(device), name
    assert device.nor.operations == before, name
    assert device.identity().last != 0
    # and the right one is still taken
    device.restore(PACKAGE)
    assert device.power_up() is Fate.BOOT


def test_every_flipped_bit_of_the_header_is_refused_with_nothing_written() -> None:
    device = Device()
    device.break_it()
    before = device.nor.operations
    for bit in range(8 * HEADER):
        bad = bytearray(PACKAGE[:HEADER])
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refused):
            device.restore(bytes(bad) + PACKAGE[HEADER:], 480)
    assert device.nor.operations == before


def test_a_tampered_leaf_is_not_written_and_is_asked_for_again() -> None:
    device = Device()
    device.break_it()
    bad = bytearray(PACKAGE)
    bad[HEADER + 1536 + 17] ^= 1  # in the fourth leaf
    with pytest.raises(Refused):
        device.restore(bytes(bad), 480)
    bank = device.bank(len(NEW))
    assert bank[:1536] == NEW[:1536]
    assert bytes(bad[HEADER + 1536 : HEADER + 2048]) not in bank
    assert device.power_up() is Fate.RESTORE
    device.restore(PACKAGE, 480)
    assert device.power_up() is Fate.BOOT
    assert device.bank(len(NEW)) == NEW


def test_the_last_confirmed_image_may_come_back_over_the_wire() -> None:
    device = Device()
    device.break_it()
    device.restore(package_of(device.old, SMALL, 5))
    assert device.power_up() is Fate.BOOT
    assert _bank_untouched(device)


def test_a_pulled_cable_resumes_at_the_byte_and_a_power_cut_at_the_unit() -> None:
    for frame in range(1, 12):
        device = Device()
        device.break_it()
        sending = device.upload(PACKAGE)
        off = [next(sending) for _ in range(frame)][-1]
        assert next(device.upload(PACKAGE)) == off  # cable: the power stayed on
        done = device.core.facts.done
        assert device.power_up() is Fate.RESTORE
        device.nor.forget()
        answers = device.restore(PACKAGE)
        if done:
            assert HEADER + 1024 * done in answers
            layout = SMALL.layout
            assert device.nor.erases(layout.bank[0].base) == 0  # a unit that was DONE is not written again
        assert device.power_up() is Fate.BOOT
        assert device.bank(len(NEW)) == NEW


def _run(device: Device, data: bytes) -> bool:
    """Restores; False when the power was cut on the way."""
    try:
        device.restore(data, 480)
    except PowerCut:
        return False
    return True


def _operations() -> int:
    device = Device()
    device.break_it()
    device.nor.forget()
    device.restore(PACKAGE, 480)
    return device.nor.operations


def _recover(device: Device) -> None:
    """After a cut: restoration or the new image, and the same package finishes it."""
    if device.power_up() is Fate.BOOT:
        assert device.bank(len(NEW)) == NEW
        return
    assert device.identity().fate is smp.Fate.RESTORE
    assert _run(device, PACKAGE)
    assert device.power_up() is Fate.BOOT
    assert device.bank(len(NEW)) == NEW


@pytest.mark.parametrize("kind", ["before", "early", "late", "after", "random", "weak", "meta"])
@pytest.mark.parametrize("ecc", [False, True])
def test_power_cut_at_every_flash_operation_of_a_restoration_is_recovered(kind: str, ecc: bool, seed: int) -> None:
    for n in range(_operations()):
        device = Device(ecc=ecc)
        device.break_it()
        device.nor.cut_at(n, kind, seed + n)
        assert not _run(device, PACKAGE), n
        device.nor.power(seed + n)
        _recover(device)
        assert device.nor.violations == 0


def test_any_number_of_cuts_in_a_row_is_recovered(seed: int) -> None:
    for trial in range(60):
        rng = random.Random(seed + trial)
        device = Device(ecc=bool(trial % 2))
        device.break_it()
        for _ in range(rng.randrange(2, 12)):
            device.nor.cut_at(
                rng.randrange(30),
                rng.choice(["before", "early", "late", "after", "random", "weak", "meta"]),
                rng.randrange(9999),
            )
            other = package_of(image_of(4, 3000), SMALL, 7) if rng.random() < 0.3 else PACKAGE
            try:
                if device.power_up() is Fate.BOOT:
                    break
                device.restore(other, 480)
            except PowerCut:
                device.nor.power(rng.randrange(3))
        device.nor.no_cut()
        if device.power_up() is not Fate.BOOT:
            _recover(device)
        size = device.core.facts.installed.size
        assert device.core.bank_digest(size) == device.core.facts.installed.image
        assert device.nor.violations == 0


def test_a_lost_state_log_is_restored_too() -> None:
    device = Device()
    for span in SMALL.layout.log:
        device.nor.write_raw(span.base, bytes(span.length))
    assert device.power_up() is Fate.RESTORE
    assert device.identity().why is Why.BLANK
    device.restore(PACKAGE)
    assert device.power_up() is Fate.BOOT


@pytest.mark.parametrize("rate", [1e-4, 1e-3])
def test_noise_on_the_wire_writes_no_wrong_byte(rate: float, seed: int) -> None:
    rng = random.Random(seed)
    device = Device()
    device.break_it()
    heard: list[bytes] = []
    device.server = SmpServer(device.core, birth_of(SMALL), heard.append, device.fate, buffer=512)
    sha, off, tries, taker = hashlib.sha256(PACKAGE).digest(), 0, 0, smp.Deframer()
    while off < len(PACKAGE):
        tries += 1
        assert tries < 2000
        body: dict[str, object] = {"off": off, "data": PACKAGE[off : off + 200]}
        if off == 0:
            body |= {"len": len(PACKAGE), "sha": sha}
        raw = bytearray(smp.frame(Message(2, 1, 1, cbor2.dumps(body))))
        for bit in range(8 * len(raw)):
            if rng.random() < rate:
                raw[bit // 8] ^= 1 << bit % 8
        heard.clear()
        device.server.feed(bytes(raw))
        for message in taker.feed(b"".join(heard)):
            answer = cbor2.loads(message.body)
            off = answer.get("off", 0)
        bank, done = device.bank(len(NEW)), device.core.facts.done
        assert bank[: 1024 * done] == NEW[: 1024 * done]
    assert device.power_up() is Fate.BOOT
    assert device.bank(len(NEW)) == NEW


@given(st.binary(max_size=600))
def test_no_bytes_on_the_wire_write_or_crash(data: bytes) -> None:
    device = Device()
    device.break_it()
    before = device.nor.operations
    device.server.feed(data)
    device.server.feed(b"\n" + smp.frame(Message(2, 1, 1, data[:400])) + smp.frame(Message(2, 64, 1, data[:400])))
    assert device.nor.operations == before
    assert device.identity().id == "lab-07"


odd = st.one_of(
    st.integers(-5, 2**40),
    st.binary(max_size=40),
    st.text(max_size=5),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=2),
)


@given(st.dictionaries(st.sampled_from(["off", "data", "len", "sha", "image", "d", "x"]), odd, max_size=6))
def test_no_map_crashes_the_responder(body: dict[str, object]) -> None:
    device = Device()
    device.break_it()
    for group, command in ((1, 1), (0, 0), (0, 5), (0, 6), (1, 0), (64, 0), (64, 1), (9, 9)):
        for op in (0, 2):
            device.ask(op, group, command, body)


def test_echo_parameters_and_images_answer_in_both_versions_of_the_protocol() -> None:
    device = Device()
    for version in (0, 1):
        assert device.ask(2, 0, 0, {"d": "hello"}, version=version) == {"r": "hello"}
        assert device.ask(0, 0, 6, version=version) == {"buf_size": 512, "buf_count": 1}
        images = device.ask(0, 1, 0, version=version)["images"]
        assert isinstance(images, list)
        assert (images[0]["version"], images[0]["bootable"], images[0]["confirmed"]) == ("sequence 5", True, True)
        assert device.ask(0, 7, 7, version=version) == {"rc": 8}
    assert device.ask(2, 1, 1, {"off": 0, "data": b"", "len": 5}, version=0) == {"rc": 6}
    assert device.ask(2, 1, 1, {"off": 0, "data": b"", "len": 5})["err"] == {"rc": 32, "group": 1}
    assert not device.server.reset
    assert device.ask(2, 0, 5) == {}
    assert device.server.reset


def test_the_longest_frame_is_taken_and_one_byte_more_is_dropped() -> None:
    device = Device()
    room = device.buffer - 4 - 8  # length, check, header
    for extra, answers in ((0, 1), (1, 0)):
        text = "x" * (room - 6 + extra)
        device.heard.clear()
        device.server.feed(smp.frame(Message(2, 0, 0, cbor2.dumps({"d": text}))))
        assert len(device.heard) == answers


def test_a_terminal_without_a_birth_record_takes_an_enrolment_and_nothing_else() -> None:
    nor = Nor.memory(SMALL.layout)
    core = Core(SMALL.layout, nor)
    core.provision(None)
    device = Device()
    device.nor, device.core = nor, core
    device.server = SmpServer(core, None, device._hear, Fate.RESTORE, buffer=512)
    seen = device.identity()
    assert (seen.birth, seen.id, seen.nonce) == (BirthState.BLANK, "", b"")
    with pytest.raises(Refused):
        device.restore(PACKAGE)
    key = struct.pack("B", KEY.public.alg) + KEY.public.data
    birth = birth_of(SMALL)
    body: dict[str, object] = {
        "id": birth.id, "model": birth.model, "vendor": birth.vendor, "klass": birth.klass, "key": birth.device_key,
        "release": key, "ticket": b"",
    }  # fmt: skip
    for name in body:
        assert "err" in device.ask(
            2, 64, 1, {k: v for k, v in body.items() if k != name} | ({"ticket": 5} if name == "ticket" else {})
        )
    assert device.identity().birth is BirthState.BLANK
    assert device.ask(2, 64, 1, body) == {}
    device.power_up()
    assert device.identity().id == "lab-07"
    assert "err" in device.ask(2, 64, 1, body)  # written once
    device.restore(PACKAGE)
    assert device.power_up() is Fate.BOOT


def _broken_with(units: int) -> Device:
    """A restoration with this many units DONE, then a power cut."""
    device = Device()
    device.break_it()
    for off in device.upload(PACKAGE):
        if off > HEADER and device.core.facts.done == units:
            break
    device.power_up()
    return device


def test_a_unit_that_was_done_and_rotted_is_written_again() -> None:
    device = _broken_with(2)
    base = SMALL.layout.bank[0].base
    device.nor.write_raw(base + 700, b"\0\0\0\0")
    assert HEADER in device.restore(PACKAGE, HEADER + 60)
    assert device.power_up() is Fate.BOOT
    assert device.bank(len(NEW)) == NEW


@pytest.mark.parametrize("units", [0, 2])
def test_a_tool_that_names_the_digest_of_another_upload_resumes_nothing(units: int) -> None:
    device = _broken_with(units)
    other = package_of(image_of(4, 3500), SMALL, 7)
    assert len(other) == len(PACKAGE)
    sha = hashlib.sha256(PACKAGE).digest()
    off, answers = 0, []
    while off < len(other):
        body: dict[str, object] = {"off": off, "data": other[off : off + 300]}
        off = int(str(device.ask(2, 1, 1, body | ({"len": len(other), "sha": sha} if off == 0 else {}))["off"]))
        answers.append(off)
    assert answers == sorted(set(answers))
    assert len(answers) == -(-len(other) // 300)  # nothing was passed over
    assert device.power_up() is Fate.BOOT
    assert device.bank(3500) == image_of(4, 3500)


def test_an_upload_without_a_digest_is_taken_and_never_resumed() -> None:
    device = _broken_with(2)
    off = 0
    while off < len(PACKAGE):
        body: dict[str, object] = {"off": off, "data": PACKAGE[off : off + 300]}
        before = off
        off = int(str(device.ask(2, 1, 1, body | ({"len": len(PACKAGE)} if off == 0 else {}))["off"]))
        assert off <= before + 300
    assert device.power_up() is Fate.BOOT


def test_the_unit_left_open_is_erased_before_the_log_forgets_it() -> None:
    for n in itertools.count(3):
        device = _broken_with(3)
        device.nor.cut_at(n, "early", 1)
        assert not _run(device, PACKAGE)
        device.nor.power(1)
        device.power_up()
        if device.core.facts.commit == 4:
            break
    assert device.core.facts.done == 3
    last = SMALL.layout.bank[0].base + 3 * 1024
    before = device.nor.erases(last)
    device.restore(package_of(image_of(4, 1000), SMALL, 7))  # does not reach that unit
    assert device.nor.erases(last) == before + 1
    assert device.power_up() is Fate.BOOT
