"""What delivery promises every carrier, in its three calls. A carrier's test module subclasses DeliveryContract and gives
`open`: a world with a terminal, and the three calls as that carrier makes them (directly, over HTTP, in packets)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Protocol

from neurath.server.fleet.rollout import Rollout
from neurath.server.software.catalog import Release
from neurath.wire import piece
from neurath.wire.check import Check
from neurath.wire.offer import Kind, Offer
from neurath.wire.report import Phase, Report, Verdict


class Hands(Protocol):
    """The terminal's side of a carrier, and an operator's hands beside it."""

    def check(self, check: Check) -> Offer | None: ...

    def answer(self, file: bytes, offset: int, room: int) -> bytes: ...

    def report(self, report: Report) -> None: ...

    def says(self, bank: bytes, sequence: int, **more: object) -> Check: ...

    def release(self, version: str, data: bytes, sequence: int) -> Release: ...

    def start(self, release: Release) -> Rollout: ...

    def stop(self, rollout: Rollout) -> None: ...


OLD, NEW, NEWER = (bytes([n]) * 20_000 for n in (1, 2, 3))


@dataclass(frozen=True)
class Story:
    hands: Hands
    new: Release
    rollout: Rollout


class DeliveryContract:
    def open(self) -> Hands:
        raise NotImplementedError

    def begin(self) -> Story:
        """The terminal runs 1.0, and 1.1 is rolled out."""
        hands = self.open()
        hands.release("1.0", OLD, 1)
        new = hands.release("1.1", NEW, 2)
        return Story(hands, new, hands.start(new))

    def fetch(self, hands: Hands, offer: Offer, room: int = 300) -> bytes:
        got = b""
        while len(got) < offer.size:
            found = piece.decode(hands.answer(offer.file, len(got), room))
            assert found.offset == len(got)
            assert found.file == offer.file[:4]
            got += found.data
        return got

    def test_a_release_nobody_started_is_not_offered(self) -> None:
        hands = self.open()
        hands.release("1.0", OLD, 1)
        hands.release("1.1", NEW, 2)
        assert hands.check(hands.says(OLD, 1)) is None

    def test_the_offer_names_file_envelope_and_ticket_before_a_byte_leaves(self) -> None:
        story = self.begin()
        offer = story.hands.check(story.hands.says(OLD, 1))
        assert offer is not None
        assert offer.kind is Kind.DELTA
        assert offer.version == "1.1"
        assert offer.envelope == story.new.envelope
        assert offer.ticket
        assert offer.size > 0
        assert offer.need > 0
        assert len(offer.blocks) == 16 * -(-offer.size // 4096)

    def test_no_piece_leaves_before_room_is_secured_for_the_whole_file(self) -> None:
        story = self.begin()
        offer = story.hands.check(story.hands.says(OLD, 1))
        assert offer is not None
        assert story.hands.answer(offer.file, 0, 300) == b""
        story.hands.report(Report(offer.action, Phase.OFFERED, secured=offer.size - 1))
        assert story.hands.answer(offer.file, 0, 300) == b""
        story.hands.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
        assert story.hands.answer(offer.file, 0, 300) != b""

    def test_pieces_make_the_file_and_a_confirmed_bank_ends_it(self) -> None:
        story = self.begin()
        offer = story.hands.check(story.hands.says(OLD, 1))
        assert offer is not None
        story.hands.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
        assert hashlib.sha256(self.fetch(story.hands, offer)).digest() == offer.file
        assert story.hands.answer(offer.file, offer.size, 300) == b""
        done = Report(offer.action, Phase.UPDATED, Verdict.CONFIRMED, bank=hashlib.sha256(NEW).digest())
        story.hands.report(done)
        assert story.hands.check(story.hands.says(NEW, 2)) is None

    def test_asking_again_gives_the_same_file_and_a_higher_ticket(self) -> None:
        story = self.begin()
        first = story.hands.check(story.hands.says(OLD, 1))
        second = story.hands.check(story.hands.says(OLD, 1))
        assert first is not None
        assert second is not None
        assert (first.file, first.action) == (second.file, second.action)
        assert first.ticket != second.ticket

    def test_a_bank_that_holds_the_release_ends_it_without_any_report(self) -> None:
        story = self.begin()
        assert story.hands.check(story.hands.says(OLD, 1)) is not None
        assert story.hands.check(story.hands.says(NEW, 2)) is None
        assert story.hands.check(story.hands.says(NEW, 2)) is None

    def test_a_torn_terminal_gets_its_file_though_the_rollout_was_stopped_and_a_newer_one_runs(self) -> None:
        story = self.begin()
        offer = story.hands.check(story.hands.says(OLD, 1))
        assert offer is not None
        story.hands.report(Report(offer.action, Phase.UPDATING, secured=offer.size))
        story.hands.stop(story.rollout)
        story.hands.start(story.hands.release("1.2", NEWER, 3))
        torn = replace(story.hands.says(b"half of one, half of the other", 1), open_file=offer.file[:16], state="updating")
        again = story.hands.check(torn)
        assert again is not None
        assert again.file == offer.file
        assert hashlib.sha256(self.fetch(story.hands, again)).digest() == offer.file

    def test_below_the_floor_nothing_is_offered(self) -> None:
        story = self.begin()
        assert story.hands.check(story.hands.says(OLD, 9)) is None

    def test_the_word_version_is_never_believed(self) -> None:
        story = self.begin()
        assert story.hands.check(story.hands.says(OLD, 1, version="1.1")) is not None

    def test_a_piece_of_another_file_or_beyond_the_end_is_nothing(self) -> None:
        story = self.begin()
        offer = story.hands.check(story.hands.says(OLD, 1))
        assert offer is not None
        story.hands.report(Report(offer.action, Phase.OFFERED, secured=offer.size))
        assert story.hands.answer(bytes(32), 0, 300) == b""
        assert story.hands.answer(b"", 0, 300) == b""
        assert story.hands.answer(offer.file, offer.size + 1, 300) == b""
        assert story.hands.answer(offer.file, 0, 10) == b""
