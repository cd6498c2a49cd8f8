"""AArch64, RV32 and x86-64: what the C encoder writes for their code, raw and in ELF files, the core and the slow oracle read;
the encoder finds by trial whose code it is."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurath.delta import Wish, build, elf, insight, native
from neurath.delta.apply import apply
from neurath.delta.encoder import Encoder, Hints
from neurath.delta.format import parse
from neurath.delta.match import Suffix
from neurath.delta.oracle_more import Rv32, strew
from neurath.flash.isas import A64, ALL, ISAS, RV32, X86
from tests.delta.images import small_layout

LAYOUT = small_layout(32768)
UNITS = native.units(LAYOUT)
MACHINE = {A64: 183, RV32: 243, X86: 62}
DATA = 0x2000


def _a64(dice: random.Random, at: int, starts: list[int], data: int) -> bytes:
    """Prologue, calls, near branches, an address in two halves (with another instruction between), a literal, the end."""
    out = [0xA9BF7BFD]
    for callee in dice.choices(starts, k=3):
        out.append(0x94000000 | (callee - at - 4 * len(out)) // 4 & 0x3FFFFFF)
    out += [0x540000A0, 0x340000C1, 0x36080044, 0x58000063, 0x10000045]
    target, reg = data + 8 * dice.randrange(20), dice.randrange(8)
    page = (target >> 12) - (at + 4 * len(out) >> 12)
    out.append(strew(0x90000000 | reg, page, (29, 2, 0), (5, 19, 2)))
    out += [0xD2800000 | dice.randrange(65536) << 5, 0x91000000 | (target & 0xFFF) << 10 | reg << 5 | dice.choice((reg, 9))]
    out += [0xF9400000 | (target & 0xFFF) // 8 << 10 | reg << 5 | 10, 0xD65F03C0]
    return struct.pack(f"<{len(out)}I", *out)


def _rv32(dice: random.Random, at: int, starts: list[int], data: int) -> bytes:
    isa, out = Rv32(), bytearray(struct.pack("<H", 0x1141))
    for callee in dice.choices(starts, k=3):
        out += struct.pack("<I", strew(0xEF, callee - at - len(out), *isa._JAL))
    out += struct.pack("<HHI", 0xA011, 0xC111, 0x00050463)
    target = data + 4 * dice.randrange(20)
    for op, absolute in ((0x17, False), (0x37, True)):
        here = at + len(out)
        value = target if absolute else target - here
        out += struct.pack("<I", (value + 0x800) & 0xFFFFF000 | 0x500 | op) + struct.pack("<H", dice.randrange(64) << 7 | 1)
        out += struct.pack("<I", (value & 0xFFF) << 20 | 10 << 15 | dice.choice((0x513, 0x2583)))
    return bytes(out + struct.pack("<HH", 0x8082, 1))


def _x86(dice: random.Random, at: int, starts: list[int], data: int) -> bytes:
    out = bytearray(b"\xf3\x0f\x1e\xfa\x55")
    for callee in dice.choices(starts, k=3):
        out += dice.choice((b"\xe8", b"\xe9", b"\x0f\x84"))
        out += struct.pack("<i", callee - at - len(out) - 4) + bytes((0x89, dice.randrange(0xC0, 0x100)))
    for head, tail in ((b"\x48\x8b\x05", b""), (b"\x48\x83\x3d", b"\0"), (b"\xc7\x05", bytes(4)), (b"\xf7\x05", bytes(4))):
        out += head
        out += struct.pack("<i", data + 8 * dice.randrange(20) - at - len(out) - 4 - len(tail)) + tail
    return bytes(out + b"\x5d\xc3" + bytes((-len(out) - 2) % 4))


WRITERS: dict[int, Callable[[random.Random, int, list[int], int], bytes]] = {A64: _a64, RV32: _rv32, X86: _x86}


def linked(isa: int, seeds: list[int], data: int) -> bytes:
    """Functions one after the other, then a table of their addresses; where data begins is given."""
    starts = [0] * len(seeds)
    for _ in range(2):
        place, bodies = 0, []
        for k, seed in enumerate(seeds):
            starts[k] = place
            bodies.append(WRITERS[isa](random.Random(seed), place, starts, data))
            place += len(bodies[-1])
    return b"".join(bodies)


def programs(isa: int, seed: int, functions: int = 30) -> tuple[bytes, bytes]:
    """Two builds, raw: some functions changed, two added, data a little farther on."""
    dice = random.Random(seed)
    old = [dice.randrange(1 << 30) for _ in range(functions)]
    new = list(old)
    new[dice.randrange(functions)] = dice.randrange(1 << 30)
    new.insert(dice.randrange(functions), dice.randrange(1 << 30))
    new.insert(3, 77)
    table = [random.Random(n).randbytes(8) for n in range(24)]
    build_ = []
    for seeds, grown in ((old, 0), (new, 48)):
        code = linked(isa, seeds, DATA + grown)
        assert len(code) < DATA
        build_.append(code.ljust(DATA + grown, b"\0") + b"".join(table))
    return build_[0], build_[1]


def packed(isa: int, image: bytes, data: int, stretch: int) -> bytes:
    """An ELF file: code, data of addresses, eh_frame and its table, memory without bytes, a symbol table without address."""
    wide = isa != RV32
    code, words = image[:data], struct.pack("<8I", *(0x10000 + 8 * n for n in range(8)))
    frame = struct.pack("<8i", *(-(n + 1) * 64 - len(code) for n in range(8)))
    parts = [
        (".text", 1, 6, 0x10000, code), (".data", 1, 3, 0x20000 + stretch, words + image[data:]),
        (".eh_frame_hdr", 1, 2, 0x28000, struct.pack("<8i", *(0x10000 - 0x28000 + 64 * n for n in range(8)))),
        (".eh_frame", 1, 2, 0x10000 + 64 + len(code) + stretch, frame), (".bss", 8, 3, 0x30000 + stretch, b"\0" * 64),
        (".symtab", 2, 0, 0, words), (".shstrtab", 3, 0, 0, b""),
    ]  # fmt: skip
    names = b"\0" + b"".join(name.encode() + b"\0" for name, *_ in parts)
    body, rows, head = bytearray(64), [bytes(64 if wide else 40)], 64
    for name, kind, flags, address, data_ in parts:
        data_ = names if name == ".shstrtab" else data_
        fields = (names.index(name.encode() + b"\0"), kind, flags, address, len(body), len(data_), 0, 0, 4, 0)
        rows.append(struct.pack("<IIQQQQIIQQ" if wide else "<10I", *fields))
        body += b"" if kind == 8 else data_ + bytes(-len(data_) % 8)
    table = len(body)
    body[:4], body[4:7] = b"\x7fELF", bytes((2 if wide else 1, 1, 1))
    struct.pack_into("<HH", body, 16, 3, MACHINE[isa])
    struct.pack_into("<Q" if wide else "<I", body, 40 if wide else 32, table)
    struct.pack_into("<HHH", body, 58 if wide else 46, 64 if wide else 40, len(rows), len(parts))
    assert head == 64
    return bytes(body + b"".join(rows))


@pytest.mark.parametrize("profile", [2, 3, 4])
@pytest.mark.parametrize("isa", WRITERS, ids=lambda isa: ISAS[isa])
def test_core_and_oracle_decode_what_was_encoded_for_code(isa: int, profile: int) -> None:
    for seed in range(3):
        old, new = programs(isa, seed)
        made = build(old, new, LAYOUT, Wish(profile, apart=seed % 2 == 0, workspace=6144 if profile == 4 else 20480))
        assert parse(made.data)[0].isa == isa
        assert apply(old, made.data, UNITS) == new


@pytest.mark.parametrize("isa", WRITERS, ids=lambda isa: ISAS[isa])
def test_core_and_oracle_decode_what_was_encoded_for_sections(isa: int) -> None:
    for seed in range(1):
        old, new = programs(isa, seed)
        before, after = packed(isa, old, DATA, 0), packed(isa, new, DATA + 48, 16)
        named, sections, shifts = elf.sections(before, after)
        assert named == isa
        assert {one[4] for one in sections} == {0, 16, isa, 8, 9, 10, 24} - {0}
        hints, found = Hints(isa, 0, 0, shifts, sections), Suffix().match(before, after)
        data = coded(before, after, found, hints, 3)
        assert parse(data)[0].sections
        assert apply(before, data, UNITS) == after
        assert native.decode_apart(before, data, LAYOUT) == after


@pytest.mark.parametrize("isa", WRITERS, ids=lambda isa: ISAS[isa])
def test_the_instruction_set_is_found_by_trial_and_pays(isa: int) -> None:
    old, new = programs(isa, 4)
    found = Suffix().match(old, new)
    hints = insight.chosen(old, new, found, ALL)
    assert hints.isa == isa
    sizes = [len(Encoder(old, new, found, h).group(0, DATA)) for h in (hints, Hints())]
    assert sizes[0] < 0.8 * sizes[1]


SHAPES = {
    A64: (0x54000000, 0x36000000, 0x18000000, 0x10000000, 0x90000000, 0x91000000, 0xF9400000, 0x3DC00000, 0x14000000),
    RV32: (0x37, 0x17, 0x6F, 0x63, 0x13, 0x67, 0x23, 0x07, 0x03, 0xA001, 0xC101, 0x2001, 0x13),
}


def _instruction(isa: int, dice: random.Random) -> bytes:
    """One with an operand that stays near, as far as its shape lets it."""
    if isa == X86:
        head = bytes((dice.choice((0xE8, 0x0F, 0x8B, 0xF7, 0x83)), dice.choice((0x85, 5 | dice.randrange(8) << 3))))
        return head + struct.pack("<i", dice.randrange(-900, 900))
    mask = 0x3FFFF if isa == A64 else 0x3FF80
    return struct.pack("<I", dice.choice(SHAPES[isa]) | dice.getrandbits(32) & mask)


@pytest.mark.parametrize("profile", [2, 3, 4])
@pytest.mark.parametrize("isa", WRITERS, ids=lambda isa: ISAS[isa])
def test_bytes_that_hardly_are_code_come_back_the_same_in_core_and_oracle(isa: int, profile: int, seed: int) -> None:
    """Every field at every place: instructions with random operands, cut and moved anywhere."""
    for round_ in range(2 if profile == 3 else 6):
        dice = random.Random(f"{seed} {round_}")
        old = b"".join(_instruction(isa, dice) for _ in range(150))
        cut = 4 * dice.randrange(100) + dice.choice((0, 0, 2, 1))
        new = old[:cut] + dice.randbytes(dice.choice((4, 2, 8, 12))) + old[cut : cut + 300] + old[cut + 340 :] + old[:40]
        hints = Hints(isa, dice.choice((0, 0x20000)), 0, ((0x1000, 4), (0x90000, 0)))
        data = coded(old, new, Suffix().match(old, new), hints, profile)
        assert apply(old, data, UNITS) == new, round_
        assert native.decode_apart(old, data, LAYOUT) == new


def coded(old: bytes, new: bytes, found: list, hints: Hints, profile: int) -> bytes:  # type: ignore[type-arg]
    """The file with just these hints, whatever a trial would say."""
    from neurath.delta.assemble import Pair, assembled
    from neurath.delta.plan import apart

    pair, wish = Pair(old, new), Wish(profile, apart=True, workspace={3: 4000000, 4: 6144}.get(profile, 20480))
    return assembled(pair, LAYOUT, wish, apart(old, new, UNITS, found), hints)


def test_a_file_for_an_instruction_set_that_nobody_has_is_refused() -> None:
    old, new = programs(A64, 1)
    data = bytearray(build(old, new, LAYOUT, Wish(2, apart=True)).data)
    data[4] = 0x62
    with pytest.raises(Exception, match="cannot be used here"):
        native.header(bytes(data), LAYOUT)


@given(st.binary(max_size=400), st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_no_broken_elf_file_crashes_the_reader(head: bytes, tail: bytes) -> None:
    image = b"\x7fELF" + head + tail
    elf.read(image)
    old, _ = programs(X86, 1)
    whole = bytearray(packed(X86, old, DATA, 0))
    for k, byte in enumerate(tail):
        whole[(k * 7919 + byte) % len(whole)] ^= byte
    elf.sections(bytes(whole), bytes(whole[: len(whole) - len(head)]))
