"""What the ledger promises every carrier and every later part: the rules of docs/reference/server.md, run against any way of
telling it. Subclass LedgerContract and give `open`."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Protocol

from neurath.server.fleet.progress import RANK, WAITS, Entry
from neurath.wire.report import Phase, Report, Verdict

SIZE = 1000
IMAGE = bytes(range(32))
OTHER = bytes(32)
ENDED = ("confirmed", "refused", "failed")


class Told(Protocol):
    """One terminal with one action of SIZE bytes whose release's image has the digest IMAGE."""

    def report(self, report: Report, now: float) -> None: ...

    def served(self, start: int, count: int, now: float) -> None: ...

    def entry(self) -> Entry: ...


def word(phase: Phase, verdict: Verdict = Verdict.PENDING, done: int = 0, bank: bytes = b"", reason: str = "") -> Report:
    return Report("1", phase, verdict, done=done, total=SIZE, bank=bank, reason=reason)


class LedgerContract:
    def open(self) -> Told:
        raise NotImplementedError

    def test_a_fresh_offer_is_pending_and_nothing_else(self) -> None:
        entry = self.open().entry()
        assert (entry.verdict, entry.phase, entry.sync, entry.bytes) == ("pending", "offered", 0, 0)
        assert entry.offered is not None
        assert entry.distributed is entry.installed is entry.ended is None

    def test_a_confirmation_with_the_images_digest_is_installed(self) -> None:
        told = self.open()
        told.report(word(Phase.UPDATED, Verdict.CONFIRMED, bank=IMAGE), 50.0)
        entry = told.entry()
        assert (entry.verdict, entry.phase, entry.installed, entry.sync) == ("confirmed", "updated", 50.0, SIZE)
        assert entry.distributed == 50.0

    def test_a_confirmation_with_another_digest_or_none_is_a_failure(self) -> None:
        for bank in (OTHER, b""):
            told = self.open()
            told.report(word(Phase.UPDATED, Verdict.CONFIRMED, bank=bank), 50.0)
            entry = told.entry()
            assert entry.verdict == "failed"
            assert entry.installed is None
            assert "bank" in entry.reason

    def test_a_refusal_keeps_its_reason(self) -> None:
        told = self.open()
        told.report(word(Phase.IDLE, Verdict.REFUSED, reason="cannot lend 44 KiB"), 50.0)
        assert (told.entry().verdict, told.entry().reason) == ("refused", "cannot lend 44 KiB")

    def test_restoration_is_no_end_and_a_confirmation_may_follow(self) -> None:
        told = self.open()
        told.report(word(Phase.RESTORING, Verdict.RESTORATION, reason="cut in the rewrite"), 50.0)
        assert (told.entry().verdict, told.entry().ended) == ("restoration", None)
        told.report(word(Phase.UPDATED, Verdict.CONFIRMED, bank=IMAGE), 60.0)
        assert told.entry().verdict == "confirmed"

    def test_after_an_end_no_word_changes_it(self) -> None:
        ends = (
            word(Phase.UPDATED, Verdict.CONFIRMED, bank=IMAGE),
            word(Phase.FAILED, Verdict.FAILED, reason="x"),
            word(Phase.IDLE, Verdict.REFUSED, reason="x"),
        )
        for first in ends:
            for second in ends:
                told = self.open()
                told.report(first, 50.0)
                before = told.entry()
                told.report(second, 60.0)
                told.report(word(Phase.DOWNLOADING, done=5), 61.0)
                assert told.entry() == before

    def test_bytes_are_counted_and_whole_means_distributed(self) -> None:
        told = self.open()
        told.served(0, 600, 10.0)
        told.served(500, 500, 11.0)
        assert told.entry().bytes == 1100
        assert told.entry().distributed is None
        told.report(word(Phase.DOWNLOADED, done=SIZE), 12.0)
        assert told.entry().distributed == 12.0

    def test_a_wait_before_the_download_is_no_distribution_and_the_download_follows_it(self) -> None:
        told = self.open()
        told.report(word(Phase.WAITING_FOR_USE_END, reason="in use: recorder"), 10.0)
        assert (told.entry().phase, told.entry().distributed) == ("waiting-for-use-end", None)
        told.report(word(Phase.DOWNLOADING, done=5), 11.0)
        assert told.entry().phase == "downloading"
        told.report(word(Phase.DOWNLOADED, done=SIZE), 12.0)
        told.report(word(Phase.WAITING_FOR_USER, done=SIZE), 13.0)
        assert (told.entry().phase, told.entry().distributed) == ("waiting-for-user", 12.0)
        told.report(word(Phase.DOWNLOADING, done=5), 14.0)
        assert told.entry().phase == "waiting-for-user"
        told.report(word(Phase.UPDATING), 15.0)
        told.report(word(Phase.WAITING_FOR_USER), 16.0)
        assert told.entry().phase == "updating"

    def test_nothing_moves_back_whatever_the_order_of_words(self) -> None:
        rng = random.Random(7)
        for _ in range(20):
            told = self.open()
            before = told.entry()
            for step in range(8):
                report = word(
                    rng.choice(list(Phase)),
                    rng.choice([Verdict.PENDING] * 6 + list(Verdict)),
                    done=rng.randrange(SIZE + 50),
                    bank=rng.choice([b"", IMAGE, OTHER]),
                )
                if rng.random() < 0.3:
                    told.served(rng.randrange(SIZE), 10, 20.0 + step)
                told.report(report, 20.0 + step)
                after = told.entry()
                assert after.sync >= before.sync
                assert after.sync <= SIZE
                assert after.bytes >= before.bytes
                assert (
                    Phase(before.phase) in WAITS
                    or Phase(after.phase) in WAITS
                    or RANK[Phase(after.phase)] >= RANK[Phase(before.phase)]
                )
                assert before.distributed in (None, after.distributed)
                assert before.installed in (None, after.installed)
                if before.verdict in ENDED:
                    # Late bytes are counted, and change nothing else.
                    assert replace(after, bytes=before.bytes, updated=before.updated) == before
                before = after
