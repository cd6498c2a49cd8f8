"""Section 11 of docs/spec/delta.md, slowly: the model of profile 3 as the specification words it, for tests. Production never
calls it; it shares no code with the core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from neurath.delta.oracle import _CLASS, _TRUST, AHEAD, M32, Bit, Field, Map, Model, _over, _squash, _stretch, _within, hashed

POOL, FLAGS, PAST, HEADS, CACHE = 0x98000, 0x8000, 0x80000, 0x10000, 1024
TAUGHT = 1 << 19
LIMIT_FLAG, LIMIT_BYTE = 255, 127
BYTES, MISSES, CONTEXTS = 11, 8, 14


@dataclass(slots=True)
class Slot:
    """Section 11.1."""

    p: int = 32768
    seen: int = 0
    check: int = 0

    def learn(self, bit: int, limit: int) -> None:
        rate = 131072 // (2 * self.seen + 3)
        self.p += (65535 - self.p) * rate >> 16 if bit else -(self.p * rate >> 16)
        self.seen = min(limit, self.seen + 1)

    def opinion(self) -> int:
        return _stretch(self.p) if self.seen >= 8 else _over(_stretch(self.p) * _TRUST[self.seen], 256)


@dataclass(slots=True)
class Table:
    """Slots that exist when they are asked for; a context has one of two neighbours."""

    size: int
    slots: dict[int, Slot] = field(default_factory=dict)

    def find(self, key: int) -> Slot:
        at, check = key * self.size >> 32, key & 255
        pair = [self.slots.setdefault(i, Slot()) for i in (at, at ^ 1)]
        for slot in pair:
            if slot.seen and slot.check == check:
                return slot
        slot = pair[1] if pair[1].seen < pair[0].seen else pair[0]
        slot.p, slot.seen, slot.check = 32768, 0, check
        return slot


class Mixing:
    """Section 11.2: two sets of weights, two corrections."""

    def __init__(self, count: int, first: int, others: int) -> None:
        self.fresh = [first] + [others] * (count - 1)
        self.weights: list[dict[int, list[int]]] = [{}, {}]
        self.rows: list[dict[int, list[int]]] = [{}, {}]

    def bit(self, code: Bit, xs: Sequence[int], sets: tuple[int, int], rows: tuple[int, int]) -> int:
        weights = [table.setdefault(i, list(self.fresh)) for table, i in zip(self.weights, sets, strict=True)]
        sums = [_within(_over(sum(w * x for w, x in zip(ws, xs, strict=True)), 65536), 4095) for ws in weights]
        x = _over(sum(sums), 2)
        points = [
            table.setdefault(i, [_squash((j - 16) * 256) for j in range(33)]) for table, i in zip(self.rows, rows, strict=True)
        ]
        low, part = x + 4096 >> 8, x + 4096 & 255
        corrected = sum(row[low] * (256 - part) + row[low + 1] * part >> 8 for row in points)
        bit = code(min(max((2 * _squash(x) + corrected) // 4, 2), 65534))
        for ws, total in zip(weights, sums, strict=True):
            error = 65536 * bit - _squash(total)
            ws[:] = [_within(w + _over(error * v, 32768), 1 << 19) for w, v in zip(ws, xs, strict=True)]
        near = low if part < 128 else low + 1
        for row in points:
            row[near] += 65535 - row[near] >> 6 if bit else -(row[near] >> 6)
        return bit


class LargeModel(Model):
    """Section 11: goes on from group to group."""

    def __init__(self, code: Bit, map_: Map) -> None:
        super().__init__(code, map_)
        self.predictor.cache = CACHE
        self.past, self.heads = bytearray(), dict[int, int]()
        self.opcodes, self.word, self.longer, self.missed_kind = 0, 0, 0, 0
        self.twin, self.match, self.matched = 0, 0, 0
        self.plain = [[Slot() for _ in range(256)] for _ in range(3)]
        self.matches = [[Slot() for _ in range(64)] for _ in range(2)]
        self.first = [Slot(self.flag0.p[i], 4) for i in range(256)]
        self.flag_table, self.byte_table = Table(FLAGS), Table(POOL)
        self.flag_mixing = Mixing(1 + CONTEXTS, 22000, 5000)
        self.byte_mixing = Mixing(1 + BYTES + MISSES + 2, 8000, 12000)

    def goes_on(self, code: Bit) -> None:
        self.code, self.map.here, self.field = code, None, Field()
        self.predictor.uppers.clear()

    # ---- bytes

    def _recent(self, count: int) -> int:
        """The last bytes, the latest lowest."""
        return int.from_bytes(self.past[max(0, len(self.past) - count) :], "big")

    def _remember(self, at: int, byte: int) -> None:
        if self.matched and self.past[self.match] == byte:
            self.match, self.matched = self.match + 1, min(63, self.matched + 1)
        else:
            self.matched = 0
        self.past.append(byte)
        if at & 1:
            self.opcodes = self.opcodes << 8 & M32 | byte
        self.word = hashed(self.word, byte) if ord("a") <= byte | 32 <= ord("z") else 0
        head = hashed(self._recent(4), 5) % HEADS
        self.twin, self.heads[head] = self.heads.get(head, 0), len(self.past)
        self.last = [byte, *self.last[:2]]

    def _seek(self) -> None:
        place, here = self.twin, len(self.past)
        if self.matched or not place or here - place >= PAST - 64:
            return
        length = 0
        while length < min(32, place) and self.past[place - 1 - length] == self.past[here - 1 - length]:
            length += 1
        if length >= 4:
            self.match, self.matched = place, length

    def _orders(self, at: int) -> list[int]:
        r, odd, ops = self._recent(4), at & 1, self.opcodes
        return [
            hashed(r & 0xFF, 0x100 | odd),
            hashed(r & 0xFFFF, 0x200 | odd),
            hashed(r & 0xFFFFFF, 0x300 | odd),
            hashed(r, 0x400),
            hashed(r, hashed(self._recent(6) >> 32 & 0xFFFF, 0x500)),
            hashed(r & 0xFF00, 0x600 | odd),
            hashed(r & 0xFFFF00, 0x700 | odd),
            hashed(r & 0xFF000000, 0x800 | at & 3),
            hashed(ops & 0xFFFF | r << 24 & M32 if odd else ops & 0xFFFFFF, 0x900 | odd),
            hashed(ops & 0xFF | r << 24 & M32 if odd else ops & 0xFFFF, 0xA00 | odd),
            hashed(self.word, 0xB00 | (0 if self.word else r & 0xFF)),
        ]

    def _coded(self, mode: int, contexts: Sequence[int]) -> int:
        node = 1
        self._seek()
        for i in range(7, -1, -1):
            slots, xs, known = [self.plain[mode][node]], [self.plain[mode][node].opinion()], 0
            for k, c in enumerate(contexts):  # one after the other: a slot may be taken over within one bit
                slots.append(self.byte_table.find(hashed(c, node)))
                xs.append(slots[-1].opinion())
                known += 1 <= k <= 4 and slots[-1].seen > 0
            xs += [0] * (1 + BYTES + MISSES - len(slots))
            hope = self.past[self.match] | 256 if self.matched else 0
            hoped, says = hope >> i + 1 == node, hope >> i & 1
            told = self.matches[mode != 0][self.matched]
            xs += [told.opinion() * (1 if says else -1), 256 if says else -256] if hoped else [0, 0]
            length = 0 if not hoped else 1 if self.matched < 8 else 2 if self.matched < 24 else 3
            sets = (mode * 20 + known * 4 + length, (mode != 0) * 256 + node)
            rows = (mode << 8 | node, hashed(self._recent(1), node | mode << 8) % 1024)
            bit = self.byte_mixing.bit(self.code, xs, sets, rows)
            for slot in slots:
                slot.learn(bit, LIMIT_BYTE)
            if hoped:
                told.learn(int(bit == says), LIMIT_FLAG)
            node = node * 2 + bit
        return node & 255

    def literal(self, at: int, taught: int | None = None) -> int:
        byte = self._coded(0, self._orders(at))
        self._remember(at, byte)
        self.history, self.run = self.history << 1 & M32, 0
        return byte

    def teach(self, old: bytes, start: int, end: int) -> None:
        """The tables learn old bytes without being asked."""
        for at in range(start, end):
            node, contexts = 1, self._orders(at)
            for i in range(7, -1, -1):
                bit = old[at] >> i & 1
                self.plain[0][node].learn(bit, LIMIT_BYTE)
                for c in contexts:
                    self.byte_table.find(hashed(c, node)).learn(bit, LIMIT_BYTE)
                node = node * 2 + bit
            self._remember(at, old[at])

    # ---- copied bytes

    def copied(self, old: bytes, at: int, source: int, part: tuple[int, int]) -> int:
        start, end = part
        if not self.field.data:
            self.field = self.predictor.predict(old[source : min(end, source + AHEAD)], source, at)
            self.field_at, self.fresh = at, bytearray()
        guessed, odd = bool(self.field.data), at & 1
        kind, done = self.field.kind if guessed else 0, len(self.fresh)
        guess = self.field.data[done] if guessed else old[source]
        place = kind << 2 | (done & 3 if guessed else odd)
        before = old[source - 1] if source > start else 0
        after = old[source + 1] if source + 1 < end else 0
        half = before | guess << 8 if source & 1 else guess | after << 8
        around = (guess, before, after, half, place, kind)
        missed = self._flag(at, around, int(guessed and done > 0), min(source - start, end - source))
        byte = guess
        self.run += 1
        if missed:
            byte = self._missed(at, around, guessed)
            self.grown, self.longer, self.missed_kind, self.run = (byte - guess) % 256, self.run - 1, kind, 0
        self.history = (self.history << 1 | missed) & M32
        self._remember(at, byte)
        if guessed:
            self.fresh.append(byte)
            if len(self.fresh) == len(self.field.data):
                self.predictor.learn(self.field, self.field_at, bytes(self.fresh))
                self.field = Field()
        return byte

    def _flag(self, at: int, around: tuple[int, ...], inside: int, edge: int) -> int:
        guess, before, after, half, place, kind = around
        h, far, key = self.history, self.run.bit_length(), self.field.key if self.field.data else 0
        keys = (
            hashed(guess | place << 8, h & 15),
            hashed(before | guess << 8 | after << 16, place | 0x100),
            hashed(h & 0xFFF, at & 3 | (0 if kind else 4) | 0x200),
            hashed(self.grown | min(31, self.run) << 8, place | 0x300),
            hashed(half | (at & 1) << 16, place | 0x400),
            hashed(far | edge.bit_length() << 8, kind | 0x500),
            hashed(far | self.longer.bit_length() << 8, place | 0x600),
            hashed(h & 0xFFFFF, place | 0x700),
            hashed(key, place | 0x800),
            hashed(half >> 8 | (self.opcodes & 0xFF) << 8, place | (h & 3) << 12 | 0x900),
            hashed(self.missed_kind | self.grown << 8, kind | far << 8 | 0xA000),
            hashed(self.last[0] | before << 8, place | (h & 1) << 12 | 0xB00),
            hashed(self.last[0] | self.last[1] << 8 | guess << 16, place | 0xC00),
            hashed(self._recent(4), guess | place << 8 | 0xD0000),
        )
        first = self._grade() << 4 | _CLASS[kind] << 1 | inside
        slots, xs = [self.first[first]], [_stretch(self.first[first].p)]
        for k in keys:
            slot = self.flag_table.find(k)
            slots.append(slot)
            if slot.seen == 0:
                slot.p = slots[0].p
            trust = _TRUST[slot.seen] if slot.seen < 8 else 256
            xs.append(_over(_stretch(slot.p) * trust + xs[0] * (256 - trust), 256))
        sets = (_CLASS[kind] << 2 | (h & 1) << 1 | inside, self._grade() << 2 | at & 3)
        missed = self.flag_mixing.bit(self.code, xs, sets, (first, place << 4 | h & 15))
        for slot in slots:
            slot.learn(missed, LIMIT_FLAG)
        return missed

    def _missed(self, at: int, around: tuple[int, ...], guessed: bool) -> int:
        guess, before, _after, half, place, _kind = around
        odd, last = at & 1, self.last[0]
        changed = int(odd and last != before)
        contexts = [
            *self._orders(at),
            hashed(guess | place << 8, 0x1000),
            hashed((guess + self.grown) % 256 | place << 8, 0x1100),
            hashed(last | odd << 8, 0x1200),
            hashed(place | (at & 3) << 8, 0x1300),
            hashed(half | odd << 16 | changed << 17, 0x1400),
            hashed(guess | before << 8 | last << 16, 0x1500 | place << 16),
            hashed(guess, 0x1600),
            hashed(self.field.key if guessed else half, 0x1700 | place << 16),
        ]
        return self._coded(2 if guessed else 1, contexts)

    def group(self, old: bytes, start: int, end: int) -> Iterator[int]:
        """The bytes of one group, without the bit that profile 2 begins with."""
        return self._bytes(old, start, end)


def decode(
    old: bytes, frames: Sequence[tuple[tuple[int, int], int, Bit]], map_: Map, units: Sequence[tuple[int, int]], apart: bool
) -> Iterator[Iterator[int]]:
    """The bytes of each group; `frames` are (range of the new image, unit, decoder of its bits) in the order of the file."""
    model: LargeModel | None = None
    for (start, end), unit, code in frames:
        if model is None or (not apart and start == units[unit][0]):
            model = LargeModel(code, map_)
            first, last = (0, TAUGHT) if apart else units[unit]
            model.teach(old, first, min(last, len(old)))
        model.goes_on(code)
        yield model.group(old, start, end)
