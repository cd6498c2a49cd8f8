"""Twelve classes of hostile input, as whoever has taken the server over would make them: true envelopes of true releases,
tickets signed with the true online key, and a file that is meant to destroy. It knows how each is made from a seed; it must
never judge one."""

from __future__ import annotations

import hashlib
import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from neurath.delta import build, code, native
from neurath.delta.format import Head, pack, parse
from neurath.delta.match import Segment
from neurath.flash.profiles import RAW, SIMPLE, SMALL
from tests.delta.images import pair
from tests.terminal.world import MODEL

LAYOUT = MODEL.layout
UNITS = native.units(LAYOUT)
PROFILES = (RAW, SIMPLE, SMALL)
OLD, NEW = pair(100)
#: Another release of the same kind of terminal, signed as well.
OTHER = pair(101)[1]
GOOD = build(OLD, NEW, LAYOUT).data


@dataclass(frozen=True, slots=True)
class Case:
    """`bank` is what the terminal runs, `new` the signed image the ticket says it will run; `ticket` what else it says."""

    data: bytes
    new: bytes = NEW
    bank: bytes = OLD
    ticket: Mapping[str, object] = field(default_factory=dict)


def _headed(old: bytes, new: bytes, order: list[int], table: list[Segment], profile: int) -> Head:
    return Head(
        profile=profile, old_size=len(old), new_size=len(new), base=zlib.crc32(old) & 0xFFFF,
        crc=zlib.crc32(new, zlib.crc32(old)), group=LAYOUT.group, unit_shift=0, order=tuple(order), segments=len(table),
        control=code.control(profile, table),
    )  # fmt: skip


def _filed(head: Head, new: bytes, table: list[Segment]) -> bytes:
    ranges = code.groups(UNITS, head.order, len(new), LAYOUT.group)
    return pack(head, code.frames(head.profile, OLD, new, table, ranges))


def _units_of(image: bytes | bytearray) -> int:
    return sum(start < len(image) for start, _ in UNITS)


def cut_short(dice: random.Random) -> Case:
    """The file ends early."""
    return Case(GOOD[: dice.randrange(1, len(GOOD))])


def flipped(dice: random.Random) -> Case:
    """One to eight bits are turned, and the ticket is for what came of it."""
    data = bytearray(GOOD)
    for bit in dice.sample(range(8 * len(data)), dice.randint(1, 8)):
        data[bit // 8] ^= 1 << bit % 8
    return Case(bytes(data))


def another_base(dice: random.Random) -> Case:
    """The bank holds something else than the file was made for, by one byte or altogether; the ticket says it is right."""
    bank = bytearray(OLD)
    if dice.random() < 0.2:
        bank = bytearray(OTHER[: len(OLD)].ljust(len(OLD), b"\0"))
    for _ in range(dice.randint(1, 3)):
        bank[dice.randrange(len(bank))] ^= 1 << dice.randrange(8)
    return Case(GOOD, bank=bytes(bank), ticket={"base": hashlib.sha256(bank).digest()[:16]})


def another_order(dice: random.Random) -> Case:
    """The units are written in an order that nobody planned; some are left out."""
    head, frames = parse(GOOD)
    order = list(head.order)
    dice.shuffle(order)
    if dice.random() < 0.3:
        del order[dice.randrange(len(order))]
    if dice.random() < 0.5:  # the groups stay where they were, or go along
        return Case(pack(replace(head, order=tuple(order)), frames))
    shuffled = [frames[head.order.index(unit)] for unit in order] if len(frames) == len(head.order) else frames
    return Case(pack(replace(head, order=tuple(order)), shuffled))


def copies_beyond(dice: random.Random) -> Case:
    """Copies that read beside the old image, or write beside the new one."""
    size = len(OLD)
    table, at = [], 0
    for _ in range(dice.randint(1, 6)):
        length = dice.randint(1, 400)
        source = dice.choice(
            (size - dice.randint(0, length - 1), size + dice.randrange(1 << 20), -dice.randint(1, 4000), 1 << 29)
        )
        table.append(Segment(at, source, length))
        at += length + dice.randint(0, 300)
    head = _headed(OLD, NEW, list(range(_units_of(NEW))), table, dice.choice(PROFILES))
    return Case(pack(head, [dice.randbytes(dice.randint(1, 30)) for _ in range(_units_of(NEW))]))


def beyond_the_bank(dice: random.Random) -> Case:
    """Units to be erased that lie behind the image, behind the bank, or nowhere."""
    head, frames = parse(GOOD)
    wild = dice.choice((_units_of(NEW), len(UNITS), len(UNITS) + dice.randrange(1000), 1 << dice.randint(12, 30)))
    order = list(head.order)
    if dice.random() < 0.5:
        order.insert(dice.randint(0, len(order)), wild)
        return Case(pack(replace(head, order=tuple(order)), [*frames, b"\1"]))
    order[dice.randrange(len(order))] = wild
    return Case(pack(replace(head, order=tuple(order)), frames))


def units_twice(dice: random.Random) -> Case:
    """One unit is erased twice."""
    head, frames = parse(GOOD)
    order, frames = list(head.order), list(frames)
    chosen = dice.randrange(len(order))
    where = dice.randint(0, len(order))
    order.insert(where, order[chosen])
    frames.insert(min(where, len(frames)), dice.choice((frames[min(chosen, len(frames) - 1)], b"", b"\1")))
    return Case(pack(replace(head, order=tuple(order)), frames))


def cycles(dice: random.Random) -> Case:
    """Right on whole flash, destructive in place: each unit of a ring takes what the one before it held, so whichever is first
    destroys what the last still needs."""
    size, count = LAYOUT.group, len(OLD) // LAYOUT.group
    ring = dice.sample(range(count), dice.randint(2, count))
    new, table = bytearray(OLD), []
    for at, source in zip(ring, ring[1:] + ring[:1], strict=True):
        new[at * size : (at + 1) * size] = OLD[source * size : (source + 1) * size]
        table.append(Segment(at * size, source * size, size))
    table.sort(key=lambda one: one.at)
    order = list(ring)
    dice.shuffle(order)
    head = _headed(OLD, bytes(new), order, table, dice.choice(PROFILES))
    return Case(_filed(head, bytes(new), table), bytes(new))


def bombs(dice: random.Random) -> Case:
    """A small file that asks for much work: hundreds of copies, frames of nothing."""
    new_size = dice.choice((len(NEW), LAYOUT.bank_size, dice.randrange(1, LAYOUT.bank_size)))
    table, at = [], 0
    while len(table) < 512 and at < new_size - 70:
        length = dice.choice((1, 1, 1, dice.randint(1, 64)))
        at += dice.randint(0, 3)
        table.append(Segment(at, dice.randrange(len(OLD) - length), length))
        at += length
    order = dice.sample(range(_units_of(bytes(new_size))), _units_of(bytes(new_size)))
    head = _headed(OLD, bytes(new_size), order, table, dice.choice(PROFILES))
    groups = code.groups(UNITS, head.order, new_size, LAYOUT.group)
    return Case(pack(head, [dice.choice((b"", b"\1", dice.randbytes(dice.randint(1, 40)))) for _ in groups]), bytes(new_size))


def header_lies(dice: random.Random) -> Case:
    """One of the header's numbers is another: sizes, base, check, group, units, copies."""
    head, frames = parse(GOOD)
    lie = dice.choice(
        (0, 1, len(OLD) - 1, len(NEW) + 1, LAYOUT.bank_size + 1, dice.randrange(1 << 16), dice.randrange(1 << 31))
    )
    name = dice.choice(("old_size", "new_size", "base", "crc", "group", "unit_shift", "segments", "profile"))
    bound = {"base": 1 << 16, "unit_shift": 8, "segments": 1 << 14, "profile": 8}.get(name, 1 << 31)
    value = lie % bound
    try:
        return Case(pack(replace(head, **{name: value}), frames))  # type: ignore[arg-type]  # a number for a number
    except Exception:  # a lie that our own writer cannot write down: in the bytes, then
        data = bytearray(GOOD)
        data[dice.randrange(min(24, len(data)))] = value & 0xFF
        return Case(bytes(data))


def another_tickets(dice: random.Random) -> Case:
    """The honest file under a ticket that was used, or is another terminal's, another moment's, another release's."""
    told: dict[str, object] = {
        "serial": dice.randint(1, 9), "device": dice.randbytes(16), "nonce": dice.randbytes(8), "envelope": dice.randbytes(16),
        "base": dice.randbytes(16), "key_list": dice.randint(1, 9), "file_size": len(GOOD) + dice.choice((-1, 1, 1000)),
    }  # fmt: skip
    name = dice.choice(sorted(told))
    return Case(GOOD, ticket={name: told[name]})


def another_image(dice: random.Random) -> Case:
    """A file in perfect order for an image nobody signed, under the envelope of one that somebody did."""
    evil = bytearray(NEW)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(evil) - 8)
        evil[at : at + 8] = dice.randbytes(8)
    if bytes(evil) == NEW:
        evil[0] ^= 1
    if dice.random() < 0.05:  # as our own encoder would write it; that takes as long as all else
        return Case(build(OLD, bytes(evil), LAYOUT).data)
    whole = _headed(OLD, bytes(evil), list(range(_units_of(evil))), [], dice.choice(PROFILES))
    return Case(_filed(whole, bytes(evil), []))


#: Each with what of it may be taken: "" nothing; else why it may end as the signed image.
CLASSES: dict[str, tuple[Callable[[random.Random], Case], str]] = {
    "cut short": (cut_short, ""),
    "bits flipped": (flipped, "a bit that changes nothing of the image, or of nothing but the check over both images"),
    "another base": (another_base, ""),
    "another order of writes": (another_order, "an order that happens to be safe"),
    "copies out of bounds": (copies_beyond, ""),
    "erased outside the bank": (beyond_the_bank, ""),
    "a unit twice": (units_twice, ""),
    "rings of units": (cycles, ""),
    "bombs": (bombs, ""),
    "a header that lies": (header_lies, "a lie that is the truth, or about nothing but the check over both images"),
    "another's ticket": (another_tickets, ""),
    "another image": (another_image, ""),
}
