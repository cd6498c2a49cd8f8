"""What every back end of staging promises; a back end's test module subclasses StagingContract and says how to open one."""

from __future__ import annotations

import random

import pytest

from neurath.errors import DataError
from neurath.ids import digest
from neurath.terminal.staging.area import Backend, Staging
from neurath.wire.piece import Piece

FILE = random.Random(7).randbytes(10 * 1024 + 77)
DIGEST = digest(FILE)
PIECE = 512


def pieces(data: bytes = FILE) -> list[Piece]:
    tag = digest(data)[:4]
    return [Piece(tag, at, data[at : at + PIECE]) for at in range(0, len(data), PIECE)]


class StagingContract:
    """Pieces and ranges feed one file; nothing else gets in; the sync point never lies."""

    def backend(self) -> Backend:
        """The same place each time it is called: what a restart without loss of power finds."""
        raise NotImplementedError

    @pytest.fixture
    def staging(self) -> Staging:
        return Staging(DIGEST, len(FILE), self.backend(), piece=PIECE)

    def test_ranges_of_any_length_make_the_file(self, staging: Staging, seed: int) -> None:
        rng = random.Random(seed)
        at = 0
        while at < len(FILE):
            step = rng.choice((1, 7, 511, 512, 513, 3000))
            staging.take(at, FILE[at : at + step])
            at = min(at + step, len(FILE))
            assert at - PIECE < staging.held <= at or staging.complete
        staging.seal()
        assert staging.contents() == FILE

    def test_pieces_in_any_order_and_twice_make_the_same_file(self, staging: Staging, seed: int) -> None:
        rng = random.Random(seed)
        sent = pieces() * 2
        rng.shuffle(sent)
        assert sum(staging.feed(piece) for piece in sent) == staging.count
        staging.seal()
        assert staging.contents() == FILE

    def test_pieces_and_ranges_feed_the_same_file(self, staging: Staging) -> None:
        for piece in pieces()[3:9:2]:
            staging.feed(piece)
        while not staging.complete:
            at, length = staging.gap()
            staging.take(at, FILE[at : at + length])
        staging.seal()
        assert staging.contents() == FILE

    def test_a_piece_of_another_file_is_refused(self, staging: Staging) -> None:
        with pytest.raises(DataError):
            staging.feed(pieces(b"x" * 4096)[0])
        assert staging.held == 0

    @pytest.mark.parametrize(("offset", "length"), [(1, 512), (0, 511), (512, 1), (10752, 512), (11264, 1), (0xFFFFFE00, 512)])
    def test_a_piece_off_its_place_is_refused(self, staging: Staging, offset: int, length: int) -> None:
        with pytest.raises(DataError):
            staging.feed(Piece(DIGEST[:4], offset, bytes(length)))
        assert staging.held == 0

    def test_bytes_beyond_the_gap_are_refused(self, staging: Staging) -> None:
        staging.feed(pieces()[1])
        with pytest.raises(DataError):
            staging.take(0, FILE[: PIECE + 1])
        with pytest.raises(DataError):
            staging.take(1, FILE[1:2])

    def test_a_lost_link_costs_at_most_one_piece(self, staging: Staging) -> None:
        staging.take(0, FILE[:1500])
        staging.link_lost()
        assert staging.held == 1024
        staging.take(1024, FILE[1024:])
        staging.seal()

    def test_a_file_with_another_digest_is_refused(self) -> None:
        staging = Staging(digest(b"other"), len(FILE), self.backend(), piece=PIECE)
        staging.take(0, FILE)
        with pytest.raises(DataError):
            staging.seal()

    def test_one_damaged_block_is_mended_and_two_are_not(self, staging: Staging) -> None:
        staging.take(0, FILE)
        staging.seal()
        self.backend_of(staging).write(700, b"????")
        assert staging.contents() == FILE
        self.backend_of(staging).write(700, b"????")
        self.backend_of(staging).write(5000, b"????")
        with pytest.raises(DataError):
            staging.contents()

    def test_the_sync_point_never_exceeds_what_is_held_and_is_nothing_in_ram(self, staging: Staging) -> None:
        for piece in pieces():
            staging.feed(piece)
            assert staging.sync_point <= staging.held
            assert self.backend_of(staging).durable or staging.sync_point == 0

    def test_dropping_begins_anew(self, staging: Staging) -> None:
        staging.take(0, FILE)
        staging.drop()
        assert (staging.held, staging.sync_point, staging.complete) == (0, 0, False)
        again = Staging(DIGEST, len(FILE), self.backend(), piece=PIECE)
        assert again.held == 0

    def backend_of(self, staging: Staging) -> Backend:
        return staging._backend
