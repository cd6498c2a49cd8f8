"""Hostile update files against the real decoder on a model of flash: whatever they are, 0 flash operations in the bank, the
bank identical, bounded time. What the terminal would accept is rebuilt with the right digests, so that only the gate under
attack can refuse."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from neurath.delta import build, code, full, native, simulate
from neurath.delta.encoder import Encoder, Hints
from neurath.delta.format import Head, Save, pack, parse, varint
from neurath.delta.match import Segment
from neurath.errors import DataError, NeurathError, RefusedError
from neurath.flash.geometry import Layout
from neurath.flash.native import Core, Nor
from neurath.flash.profiles import LARGE, QUICK, RAW, SIMPLE, SMALL
from tests.delta.images import pair, small_layout
from tests.parts import ASSURANCE

LAYOUT = small_layout(16384)
UNITS = native.units(LAYOUT)
OLD, NEW = pair(100)
#: Seconds one refusal may take: decoding 16 KiB takes a millisecond.
PATIENCE = 2.0
RAM = 32768
#: And for profile 3.
MUCH = 4_200_000


@dataclass
class Victim:
    """A terminal that runs OLD, and what its bank held before the attack."""

    nor: Nor
    core: Core
    layout: Layout
    bank: bytes

    @classmethod
    def running(cls, old: bytes = OLD, layout: Layout = LAYOUT) -> Victim:
        nor, core = simulate.terminal(old, layout)
        return cls(nor, core, layout, core.bank_bytes(layout.bank_size))

    def refuses(self, data: bytes, new: bytes = NEW, kind: type[NeurathError] = DataError, ram: int = RAM) -> NeurathError:
        """`prove` and `rewrite` refuse this file under a target that names exactly it; nothing in the bank moved."""
        target = simulate.target(new, data, self.layout)
        began = time.process_time()
        for call in (self.core.prove, self.core.rewrite):
            with pytest.raises(kind) as caught:
                call(data, target, ram)
        assert time.process_time() - began < PATIENCE
        assert self.core.bank_bytes(self.layout.bank_size) == self.bank
        bank = self.layout.bank[0]
        assert all(self.nor.erases(at) == 0 for at in range(bank.base, bank.end, 1024))
        scratch = self.layout.scratch
        assert all(self.nor.erases(at) == 0 for at in range(scratch.base, scratch.end, 1024))
        return caught.value

    def takes(self, data: bytes, new: bytes = NEW, ram: int = RAM) -> None:
        self.core.rewrite(data, simulate.target(new, data, self.layout), ram)
        assert self.core.bank_bytes(len(new)) == new


def headed(old: bytes, new: bytes, order: Sequence[int], table: Sequence[Segment], profile: int = RAW) -> Head:
    return Head(
        profile=profile,
        old_size=len(old),
        new_size=len(new),
        base=zlib.crc32(old) & 0xFFFF,
        crc=zlib.crc32(new, zlib.crc32(old)),
        group=2048,
        unit_shift=0,
        order=tuple(order),
        segments=len(table),
        control=code.control(profile, table),
    )


def filed(head: Head, old: bytes, new: bytes, table: Sequence[Segment]) -> bytes:
    ranges = code.groups(UNITS, head.order, len(new), 2048)
    return pack(head, code.frames(head.profile, old, new, table, ranges))


GOOD = build(OLD, NEW, LAYOUT).data


def test_the_victim_takes_the_file_before_it_is_tampered_with() -> None:
    Victim.running().takes(GOOD)


def test_every_wrong_base_is_refused() -> None:
    for sector in range(0, len(OLD), 1024):
        other = bytearray(OLD)
        other[sector + 3] ^= 0x10
        assert "base" in Victim.running(bytes(other)).refuses(GOOD).why
    assert "base" in Victim.running(OLD + b"\0").refuses(GOOD).why
    assert "base" in Victim.running(OLD[:-1]).refuses(GOOD).why


def test_a_truncated_file_is_refused_at_every_byte() -> None:
    victim = Victim.running()
    step = 1 if ASSURANCE else 7
    for length in [*range(0, len(GOOD), step), len(GOOD) - 1]:
        victim.refuses(GOOD[:length])


def test_bytes_after_the_end_are_refused() -> None:
    for more in (b"\0", b"\1\0", varint(300) + bytes(300)):
        Victim.running().refuses(GOOD + more)


def test_a_flipped_bit_is_refused_or_makes_the_same_image() -> None:
    """Only the CRC over both images may be flipped unseen by the core: the leaf list stands above it."""
    dice = random.Random(1)
    bits = range(len(GOOD) * 8) if ASSURANCE else dice.sample(range(len(GOOD) * 8), 250)
    head, _ = parse(GOOD)
    crc = GOOD.index(head.crc.to_bytes(4, "little"))
    accepted = 0
    for bit in bits:
        broken = bytearray(GOOD)
        broken[bit // 8] ^= 1 << bit % 8
        victim = Victim.running()
        try:
            victim.core.prove(bytes(broken), simulate.target(NEW, bytes(broken), LAYOUT), RAM)
        except NeurathError:
            assert victim.core.bank_bytes(len(victim.bank)) == victim.bank
        else:
            accepted += 1
            victim.takes(bytes(broken))
    assert accepted <= 32 + 16, f"besides the CRC (at byte {crc}) hardly any bit is free"


def test_the_file_of_another_image_is_refused() -> None:
    """A server that was taken over sends a whole, well-formed file for software nobody signed."""
    evil = bytes(b ^ 0x41 for b in NEW)
    for data in (build(OLD, evil, LAYOUT).data, full(evil, LAYOUT).data):
        assert "digest" in Victim.running().refuses(data).why


def mangled() -> list[tuple[str, bytes]]:
    head, frames = parse(GOOD)
    body = pack(head, frames)
    assert body == GOOD
    return [
        ("magic", b"NRV" + GOOD[3:]),
        ("version", GOOD[:3] + b"\2" + GOOD[4:]),
        ("profile", GOOD[:4] + b"\4" + GOOD[5:]),
        ("isa", GOOD[:4] + b"\x31" + GOOD[5:]),
        ("flag", GOOD[:5] + b"\x88" + GOOD[6:]),
        ("apart", pack(replace(head, apart=True), frames)),
        ("group", pack(replace(head, group=4096), frames)),
        ("unit", pack(replace(head, unit_shift=1), frames)),
        ("long varint", GOOD[:6] + bytes((GOOD[6] | 0x80, GOOD[7] | 0x80, 0)) + GOOD[8:]),
        ("unit twice", pack(replace(head, order=(head.order[0], *head.order)), [frames[0], *frames])),
        ("unit missing", pack(replace(head, order=head.order[1:]), frames[1:])),
        ("unit past the bank", pack(replace(head, order=(*head.order, 4000)), [*frames, b""])),
        ("unit past the image", pack(replace(head, order=(*head.order, 7)), [*frames, b""])),
        ("smaller", pack(replace(head, new_size=head.new_size - 1), frames)),
        ("larger", pack(replace(head, new_size=head.new_size + 1), frames)),
        ("old size", pack(replace(head, old_size=head.old_size - 1), frames)),
        ("base", pack(replace(head, base=head.base ^ 1), frames)),
        ("segments", pack(replace(head, segments=head.segments - 1), frames)),
        ("more segments", pack(replace(head, segments=head.segments + 1), frames)),
        ("table of nothing", pack(replace(head, control=b""), frames)),
        ("longer frame", pack(head, [frames[0] + bytes(8), *frames[1:]])),
        ("frames swapped", pack(head, [frames[1], frames[0], *frames[2:]])),
        ("save of nothing", pack(replace(head, saves=(Save(0, head.old_size),)), frames)),
        ("save in mid-sector", pack(replace(head, saves=(Save(0, 5),)), frames)),
        ("empty", b""),
        ("only magic", GOOD[:4]),
    ]


@pytest.mark.parametrize(("name", "data"), mangled(), ids=[name for name, _ in mangled()])
def test_a_malformed_file_is_refused(name: str, data: bytes) -> None:
    Victim.running().refuses(data)


def test_an_image_larger_than_the_bank_or_a_table_beyond_its_limit_is_refused() -> None:
    head, frames = parse(GOOD)
    victim = Victim.running()
    for broken in (replace(head, new_size=1 << 31), replace(head, old_size=1 << 31)):
        victim.refuses(pack(broken, frames), kind=RefusedError)
    table = [Segment(i * 2, 0, 1) for i in range(513)]
    data = filed(headed(OLD, NEW, range(3), table), OLD, NEW, table)
    assert "asks for more" in victim.refuses(data).why


@pytest.mark.parametrize("profile", [RAW, SIMPLE, SMALL, LARGE, QUICK])
def test_a_copy_that_leaves_either_image_is_refused_as_such(profile: int) -> None:
    """Before a byte is decoded: `asks for more`, not what the decoder would stumble over later."""
    size = len(OLD)
    for segment in (Segment(0, size - 9, 10), Segment(0, -1, 10), Segment(size - 9, 0, 10), Segment(0, 0, 0)):
        if profile >= SMALL and segment.length == 0:
            continue  # there it is a hint to the map
        head = headed(OLD, OLD, (0,), [segment], profile)
        data = pack(head, [b"\1"])
        assert "asks for more" in Victim.running().refuses(data, OLD, ram=MUCH if profile == LARGE else RAM).why


def test_an_order_beyond_bank_or_image_is_refused_as_such() -> None:
    head, frames = parse(GOOD)
    for unit in (7, 8, 4000):
        data = pack(replace(head, order=(*head.order, unit)), [*frames, b""])
        assert "asks for more" in Victim.running().refuses(data).why


# ---- hazards: right on pristine flash, wrong in place ----------------------------------------------------------------


def hazard(profile: int) -> bytes:
    """Unit 0 is rewritten first; unit 1 then copies what unit 0 held."""
    new = bytes(b ^ 0xFF for b in OLD[:2048]) + OLD[:2048] + OLD[4096:]
    table = [Segment(2048, 0, 2048)]
    return filed(headed(OLD, new, (0, 1), table, profile), OLD, new, table)


@pytest.mark.parametrize("profile", [RAW, SIMPLE, SMALL, LARGE, QUICK])
def test_a_hazard_delta_is_right_on_pristine_flash_and_refused_in_place(profile: int) -> None:
    new = bytes(b ^ 0xFF for b in OLD[:2048]) + OLD[:2048] + OLD[4096:]
    data, ram = hazard(profile), MUCH if profile == LARGE else RAM
    assert native.decode_apart(OLD, data, LAYOUT) == new
    assert "erased by then" in Victim.running().refuses(data, new, ram=ram).why
    table = [Segment(2048, 0, 2048)]
    Victim.running().takes(filed(headed(OLD, new, (1, 0), table, profile), OLD, new, table), new, ram)


def test_one_byte_of_context_from_an_erased_sector_is_refused() -> None:
    """A copy that begins one byte before what is still there: a dictionary that reaches too far."""
    new = bytes(b ^ 0xFF for b in OLD[:2048]) + OLD[2047:4095] + OLD[4096:]
    for table in ([Segment(2048, 2047, 2048)], [Segment(2048, 2047, 1), Segment(2049, 2048, 2047)]):
        for profile in (RAW, SIMPLE, SMALL, LARGE):
            data = filed(headed(OLD, new, (0, 1), table, profile), OLD, new, table)
            assert native.decode_apart(OLD, data, LAYOUT) == new
            assert "erased by then" in Victim.running().refuses(data, new, ram=MUCH if profile == LARGE else RAM).why


def test_a_read_of_erased_bytes_that_could_not_change_the_output_is_refused_too() -> None:
    """Every byte of the copy is a miss: the old byte matters to no one, and still it must not be read."""
    new = bytes(b ^ 0xFF for b in OLD[:2048]) + bytes((a + 1) & 0xFF for a in OLD[:2048]) + OLD[4096:]
    table = [Segment(2048, 0, 2048)]
    for profile in (SIMPLE, SMALL, LARGE):
        data = filed(headed(OLD, new, (0, 1), table, profile), OLD, new, table)
        assert native.decode_apart(OLD, data, LAYOUT) == new
        assert "erased by then" in Victim.running().refuses(data, new, ram=MUCH if profile == LARGE else RAM).why


def test_a_hazard_across_unchanged_sectors_of_a_planned_unit_is_refused() -> None:
    """The second sector of unit 0 keeps its bytes; a plan that names the unit has given them up all the same."""
    new = bytes(b ^ 0xFF for b in OLD[:1024]) + OLD[1024:2048] + OLD[1024:2048] + OLD[3072:]
    table = [Segment(2048, 1024, 1024)]
    data = filed(headed(OLD, new, (0, 1), table), OLD, new, table)
    assert "erased by then" in Victim.running().refuses(data, new).why


# ---- bombs -----------------------------------------------------------------------------------------------------------


def bomb(dice: random.Random, layout: Layout) -> tuple[bytes, int]:
    """A small file that promises much: absurd tables, tiny frames, long orders; any of its numbers may be a lie."""
    units = native.units(layout)
    new_size = dice.choice((1, 2048, layout.bank_size, dice.randrange(1, layout.bank_size)))
    reach = sum(start < new_size for start, _ in units)
    order = dice.sample(range(reach), dice.randint(0, reach))
    old_size = dice.choice((len(OLD), 0))
    table, at = [], 0
    while old_size and len(table) < 512 and at < new_size - 2 and dice.random() < 0.995:
        length = dice.choice((1, 1, 1, dice.randint(1, 64)))
        at += dice.randint(0, 3)
        if at + length > new_size:
            break
        table.append(Segment(at, dice.randrange(old_size - length), length))
        at += length
    profile = dice.choice((RAW, SIMPLE, SMALL, LARGE))
    head = replace(headed(OLD, b"\0" * new_size, order, table, profile), old_size=old_size)
    frames = [
        dice.choice((b"", b"\1", dice.randbytes(dice.randint(1, 40)))) for _ in code.groups(units, order, new_size, 2048)
    ]
    data = bytearray(pack(head, frames))
    if dice.random() < 0.5:
        data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data), new_size


def test_decompression_bombs_end_in_bounded_time() -> None:
    """50 generated ones, 1,000 under NEURATH_ASSURANCE=1."""
    dice = random.Random(77)
    slowest = 0.0
    for _ in range(1000 if ASSURANCE else 50):
        data, size = bomb(dice, LAYOUT)
        victim = Victim.running()
        began = time.process_time()
        with pytest.raises(NeurathError):
            victim.core.prove(data, simulate.target(bytes(size), data, LAYOUT), MUCH)
        slowest = max(slowest, time.process_time() - began)
        assert victim.core.bank_bytes(len(victim.bank)) == victim.bank
    assert slowest < PATIENCE


def test_512_scattered_copies_of_one_byte_cost_no_more_than_their_output() -> None:
    """The worst table: each byte of a group is fetched by itself."""
    dice = random.Random(3)
    table = [Segment(2 * i, dice.randrange(len(OLD)), 1) for i in range(512)]
    new = bytearray(dice.randbytes(2048))
    for s in table:
        new[s.at] = OLD[s.source]
    whole = bytes(new) + OLD[2048:]
    began = time.process_time()
    Victim.running().takes(filed(headed(OLD, whole, (0,), table), OLD, whole, table), whole)
    assert time.process_time() - began < PATIENCE


# ---- what a refusal leaves behind ---------------------------------------------------------------------------------------


def test_failed_rehearsals_are_counted_and_only_the_log_is_written() -> None:
    victim = Victim.running()
    data = hazard(RAW)
    new = bytes(b ^ 0xFF for b in OLD[:2048]) + OLD[:2048] + OLD[4096:]
    target = simulate.target(new, data, LAYOUT)
    for count in (1, 2, 3):
        with pytest.raises(DataError):
            victim.core.prove(data, target, RAM)
        assert (victim.core.facts.failed_proofs, victim.core.facts.failed) == (count, target.envelope)
    assert victim.core.bank_bytes(len(victim.bank)) == victim.bank


def test_too_little_ram_or_a_wrong_file_digest_are_not_counted() -> None:
    victim = Victim.running()
    target = simulate.target(NEW, GOOD, LAYOUT)
    with pytest.raises(RefusedError):
        victim.core.prove(GOOD, target, 1000)
    with pytest.raises(DataError):
        victim.core.prove(GOOD[:-1] + bytes((GOOD[-1] ^ 1,)), target, RAM)
    assert victim.core.facts.failed_proofs == 0
    assert victim.nor.operations == 0
    victim.takes(GOOD)


def test_a_copy_among_literals_that_reads_what_is_erased_is_refused() -> None:
    """No segment names it: the encoder was let believe that nothing ever goes away."""
    new = bytes(b ^ 0xFF for b in OLD[:2048]) + OLD[:2048] + OLD[4096:]
    data = filed(headed(OLD, new, (0, 1), [], SMALL), OLD, new, [])
    assert len(data) < 2048 + 1200
    assert native.decode_apart(OLD, data, LAYOUT) == new
    assert "erased by then" in Victim.running().refuses(data, new).why


def test_predictions_look_at_nothing_beyond_their_own_copy() -> None:
    """The last two bytes before what is erased by then: a field that begins there would be four bytes long."""
    flipped = bytes(b ^ 0xFF for b in OLD)
    new = OLD[:2048] + OLD[4094:4096] + flipped[2050:6144] + OLD[6144:]
    table = [Segment(2048, 4094, 2)]
    encoder = Encoder(OLD, new, table, Hints(1))
    frames = code.small_frames(encoder, native.units(LAYOUT), (2, 1), (len(OLD), len(new), 2048), 1)
    head = replace(headed(OLD, new, (2, 1), table, SMALL), isa=1, control=encoder.control())
    Victim.running().takes(pack(head, frames), new)
