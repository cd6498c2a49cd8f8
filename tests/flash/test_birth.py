"""The birth record is written once, whole write units, reads back equal, and never reads as anything else."""

import dataclasses
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.errors import DataError
from neurath.flash import trust
from neurath.flash._core import ffi, lib
from neurath.flash.geometry import Layout, simple_layout
from neurath.flash.trust import Alg, Birth, PublicKey
from tests.flash.chip import Chip
from tests.wire.vectors import cases

NAME = st.text(alphabet="abcXYZ019._:-", min_size=1, max_size=64)
KEYS = st.builds(PublicKey, st.just(Alg.ES256), st.binary(min_size=65, max_size=65)) | st.builds(
    PublicKey, st.just(Alg.ED25519), st.binary(min_size=32, max_size=32)
)
BIRTHS = st.builds(
    Birth,
    id=NAME,
    model=NAME,
    vendor=st.binary(min_size=16, max_size=16),
    klass=st.binary(min_size=16, max_size=16),
    device_key=st.binary(min_size=32, max_size=32),
    release=st.lists(KEYS, max_size=4).map(tuple),
    ticket=st.none() | KEYS,
    root=st.just(b"") | st.binary(min_size=32, max_size=32).filter(any),
)
ONE = Birth("lamp-0001", "lamp", b"v" * 16, b"c" * 16, b"d" * 32, (PublicKey(Alg.ES256, bytes(65)),), None)


def layout(write_unit: int = 4, erased: int = 0xFF, page: int = 256) -> Layout:
    return simple_layout(16384, sector=1024, page=page, group=2048, leaf=1024, write_unit=write_unit, erased=erased)


def write(chip: Chip, birth: Birth) -> int:
    return int(lib.nrt_birth_write(chip.map, chip.port, trust.c_birth(birth)))


def read(chip: Chip) -> tuple[int, Any]:
    out = ffi.new("struct nrt_birth *")
    return int(lib.nrt_birth_read(chip.map, chip.port, out)), out


@given(BIRTHS, st.sampled_from([1, 4, 8, 32]), st.sampled_from([0xFF, 0x00]), st.sampled_from([64, 256, 512]))
def test_every_birth_record_reads_back_equal_from_any_chip(birth: Birth, unit: int, erased: int, page: int) -> None:
    chip = Chip(layout(unit, erased, page))
    assert read(chip)[0] == lib.NRT_E_STATE
    assert write(chip, birth) == lib.NRT_OK
    code, out = read(chip)
    assert code == lib.NRT_OK
    assert trust.birth_value(out) == birth
    outside = chip.memory[chip.layout.birth.end :]
    assert set(outside) == {erased}


def test_a_second_write_is_refused_and_changes_nothing() -> None:
    chip = Chip(layout())
    write(chip, ONE)
    before = bytes(chip.memory)
    assert write(chip, dataclasses.replace(ONE, id="thief")) == lib.NRT_E_STATE
    assert (
        int(lib.nrt_birth_renew(chip.map, chip.port, trust.c_birth(dataclasses.replace(ONE, id="thief")))) == lib.NRT_E_STATE
    )
    assert bytes(chip.memory) == before


@pytest.mark.parametrize("operations", range(3))
def test_a_cut_leaves_no_record_or_the_whole_one_and_re_enrolment_mends_it(operations: int) -> None:
    chip = Chip(layout(page=64), left=operations)
    assert write(chip, ONE) == lib.NRT_E_FLASH
    assert read(chip)[0] in (lib.NRT_E_STATE, lib.NRT_E_FORMAT)
    chip.left = None
    assert int(lib.nrt_birth_renew(chip.map, chip.port, trust.c_birth(ONE))) == lib.NRT_OK
    assert trust.birth_value(read(chip)[1]) == ONE


def test_a_record_with_a_torn_word_does_not_read_and_can_be_renewed() -> None:
    for address in (0, 5, 20, 100):
        chip = Chip(layout())
        write(chip, ONE)
        chip.torn.add(address)
        assert read(chip)[0] == lib.NRT_E_FORMAT
        assert int(lib.nrt_birth_renew(chip.map, chip.port, trust.c_birth(ONE))) == lib.NRT_OK
        assert trust.birth_value(read(chip)[1]) == ONE


def test_every_bit_flip_of_a_record_is_found() -> None:
    chip = Chip(layout())
    write(chip, ONE)
    length = int.from_bytes(chip.memory[4:6], "big")
    for bit in range(8 * length):
        chip.memory[bit // 8] ^= 1 << bit % 8
        assert read(chip)[0] == lib.NRT_E_FORMAT
        chip.memory[bit // 8] ^= 1 << bit % 8
    assert read(chip)[0] == lib.NRT_OK


@given(st.binary(max_size=700), st.booleans())
@settings(max_examples=150)
def test_no_bytes_in_the_flash_crash_the_reader(data: bytes, dressed: bool) -> None:
    if dressed:  # a right head and a right check over anything
        body = b"NRB1" + (len(data) + 10).to_bytes(2, "big") + data
        data = body + zlib.crc32(body).to_bytes(4, "big")
    chip = Chip(layout())
    chip.memory[: len(data)] = data
    code, out = read(chip)
    if code == lib.NRT_OK:
        again = Chip(layout())
        assert write(again, trust.birth_value(out)) == lib.NRT_OK
    else:
        assert bytes(ffi.buffer(out)) == bytes(ffi.sizeof("struct nrt_birth"))


def test_a_record_longer_than_its_fields_is_refused() -> None:
    chip = Chip(layout())
    write(chip, ONE)
    length = int.from_bytes(chip.memory[4:6], "big")
    body = bytes(chip.memory[:4]) + (length + 3).to_bytes(2, "big") + bytes(chip.memory[6 : length - 4])
    for record in (body + zlib.crc32(body).to_bytes(4, "big") + bytes(3), body + bytes(7)):
        chip.memory[: len(record)] = record
        assert read(chip)[0] == lib.NRT_E_FORMAT


def test_a_record_that_does_not_fit_its_area_is_refused_before_a_byte_is_written() -> None:
    small = simple_layout(16384, sector=512, page=256, group=1024, leaf=512)
    chip = Chip(small)
    full = dataclasses.replace(
        ONE,
        id="i" * 64,
        model="m" * 64,
        release=(PublicKey(Alg.ES256, bytes(65)),) * 4,
        ticket=PublicKey(Alg.ES256, bytes(65)),
    )
    assert write(chip, full) == lib.NRT_E_SPACE
    assert not chip.operations


@pytest.mark.parametrize("case", cases("birth"))
def test_the_vectors_of_the_birth_page_hold(case: dict[str, Any]) -> None:
    birth = Birth(
        case["id"],
        case["model"],
        *(bytes.fromhex(case[name]) for name in ("vendor", "class", "device_key")),
        tuple(PublicKey(Alg[k["alg"].upper()], bytes.fromhex(k["key"])) for k in case["release"]),
        PublicKey(Alg[case["ticket"]["alg"].upper()], bytes.fromhex(case["ticket"]["key"])) if case["ticket"] else None,
    )
    chip = Chip(layout(write_unit=case["write_unit"]))
    assert write(chip, birth) == lib.NRT_OK
    record = bytes.fromhex(case["record"])
    assert chip.memory[: len(record)] == record
    assert set(chip.memory[len(record) :]) == {0xFF}


@pytest.mark.parametrize("change", [{"id": ""}, {"model": "m" * 65}, {"vendor": bytes(15)}, {"device_key": b""},
                                    {"release": (PublicKey(Alg.ED25519, bytes(32)),) * 5}])  # fmt: skip
def test_an_identity_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        trust.c_birth(dataclasses.replace(ONE, **change))
