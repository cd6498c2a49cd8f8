"""Both back ends under the one contract, and the durable one under power cuts at every operation of its disk."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from neurath.errors import RefusedError
from neurath.terminal.staging.area import Backend, Staging, Volatile
from neurath.terminal.staging.durable import Durable, anything
from neurath.wire.piece import Piece
from tests.contracts.staging import DIGEST, FILE, PIECE, StagingContract, pieces


class TestVolatile(StagingContract):
    def backend(self) -> Backend:
        return Volatile(memoryview(bytearray(len(FILE) + 100)), len(FILE))

    def test_ram_that_is_too_small_is_refused(self) -> None:
        with pytest.raises(RefusedError):
            Volatile(memoryview(bytearray(10)), 11)


class TestDurable(StagingContract):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.place = tmp_path

    def backend(self) -> Backend:
        return Durable(self.place, DIGEST, len(FILE), PIECE)

    def test_a_new_process_goes_on_at_the_sync_point(self) -> None:
        staging = Staging(DIGEST, len(FILE), self.backend(), piece=PIECE, sync_every=4)
        staging.take(0, FILE[: 7 * PIECE])
        assert staging.sync_point == 4 * PIECE
        assert anything(self.place) == (DIGEST[:16], 4 * PIECE)
        again = Staging(DIGEST[:16], len(FILE), self.backend(), piece=PIECE)
        assert again.held == again.sync_point == 4 * PIECE
        again.take(4 * PIECE, FILE[4 * PIECE :])
        again.seal()
        assert again.contents() == FILE
        assert anything(self.place) == (DIGEST[:16], len(FILE))

    def test_another_piece_size_keeps_what_is_whole(self) -> None:
        first = Staging(DIGEST, len(FILE), self.backend(), piece=PIECE)
        first.take(0, FILE[: 5 * PIECE])
        first.feed(pieces()[7])
        first.sync()
        other = Staging(DIGEST, len(FILE), Durable(self.place, DIGEST, len(FILE), 200), piece=200)
        assert other.held == other.sync_point == 5 * PIECE // 200 * 200
        assert [other.has(index) for index in (17, 18, 19, 20)] == [False, True, True, False]
        while not other.complete:
            at, length = other.gap()
            other.take(at, FILE[at : at + length])
        other.seal()
        back = Staging(DIGEST, len(FILE), Durable(self.place, DIGEST, len(FILE), 1024), piece=1024)
        assert back.complete
        back.seal()

    def test_one_file_is_staged_at_a_time_and_strangers_are_left_alone(self) -> None:
        Staging(DIGEST, len(FILE), self.backend(), piece=PIECE).take(0, FILE)
        (self.place / "mine.txt").write_text("kept")
        Staging(b"o" * 32, 600, Durable(self.place, b"o" * 32, 600, PIECE), piece=PIECE)
        assert [p.name for p in self.place.iterdir()] == ["mine.txt"]


def test_the_map_is_what_its_page_says(tmp_path: Path) -> None:
    vector = json.loads((Path(__file__).parents[2] / "vectors" / "staging-map.json").read_text())
    file = bytes(i % 251 for i in range(vector["size"]))
    name = bytes.fromhex(vector["sha256"])
    store = Durable(tmp_path, name, len(file), vector["piece"])
    staging = Staging(name, len(file), store, piece=vector["piece"], sync_every=1)
    for index in vector["pieces_held"]:
        at = index * vector["piece"]
        staging.feed(Piece(name[:4], at, file[at : at + vector["piece"]]))
    assert (tmp_path / f"{name[:16].hex()}.map").read_bytes().hex() == vector["map"]
    assert staging.sync_point == vector["sync_point"]
    assert anything(tmp_path) == (name[:16], vector["sync_point"])


class Cut(Exception):  # noqa: N818 (an event of the world, not a fault of ours)
    """The power fails at a disk operation."""


@dataclass
class PowerDisk:
    """A disk that forgets, at a power cut, a random part of what was never synced. Pages of 64 bytes reach it in any order."""

    rng: random.Random
    cut_at: int
    done: int = 0
    seen: dict[Path, bytearray] = field(default_factory=dict)
    kept: dict[Path, bytearray] = field(default_factory=dict)

    def _operation(self) -> None:
        self.done += 1
        if self.done == self.cut_at:
            for path in {*self.seen, *self.kept}:
                self._settle(path)
            raise Cut

    def _settle(self, path: Path) -> None:
        """After the cut each page is what was synced or what was written, at random."""
        now, old = self.seen.get(path), self.kept.get(path)
        if now is None:
            if old is not None and self.rng.random() < 0.5:
                del self.kept[path]
            return
        if old is None and self.rng.random() < 0.3:
            return  # even the name may be missing
        old = bytearray(old or b"").ljust(len(now), b"\0")
        for at in range(0, len(now), 64):
            if self.rng.random() < 0.5:
                old[at : at + 64] = now[at : at + 64]
        self.kept[path] = old

    def write(self, path: Path, offset: int, data: bytes) -> None:
        held = self.seen.setdefault(path, bytearray())
        held.extend(bytes(max(0, offset + len(data) - len(held))))
        held[offset : offset + len(data)] = data
        self._operation()

    def read(self, path: Path, offset: int, length: int) -> bytes:
        return bytes(self.seen.get(path, b"")[offset : offset + length])

    def sync(self, path: Path) -> None:
        self._operation()
        self.kept[path] = bytearray(self.seen[path])

    def remove(self, path: Path) -> None:
        self.seen.pop(path, None)
        self._operation()

    def listing(self, folder: Path) -> list[Path]:
        return sorted(self.seen)

    def after(self) -> PowerDisk:
        """The same disk when power is back."""
        kept = {path: bytearray(data) for path, data in self.kept.items()}
        return PowerDisk(self.rng, 0, 0, kept, {path: bytearray(data) for path, data in kept.items()})


def test_a_sync_point_is_never_reported_above_what_a_power_cut_leaves(seed: int) -> None:
    """Cut at every disk operation of a transfer, with any subset of unsynced pages lost."""
    folder = Path("/staging")
    data = FILE[: 6 * PIECE + 40]
    cut_at = 0
    while True:
        cut_at += 1
        disk = PowerDisk(random.Random(seed * 1000 + cut_at), cut_at)
        reported = 0
        try:
            staging = Staging(DIGEST, len(data), Durable(folder, DIGEST, len(data), PIECE, disk), piece=PIECE, sync_every=2)
            for piece in pieces()[:7]:
                staging.feed(piece if piece.offset < 6 * PIECE else type(piece)(piece.file, piece.offset, piece.data[:40]))
                reported = max(reported, staging.sync_point)
        except Cut:
            pass
        else:
            break
        after = disk.after()
        again = Staging(DIGEST, len(data), Durable(folder, DIGEST, len(data), PIECE, after), piece=PIECE)
        assert again.held >= reported, f"cut at operation {cut_at}: {reported} reported, {again.held} there"
        held = after.read(folder / f"{DIGEST[:16].hex()}.nru", 0, again.held)
        assert held == data[: again.held], "a bit vouches for bytes that are not there"
    assert cut_at > 12
