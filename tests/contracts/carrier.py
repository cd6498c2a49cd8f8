"""What every carrier promises; a carrier's test module subclasses CarrierContract and says what stands at the far end."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pytest

from neurath.carriers.base import Carrier
from neurath.errors import LinkError, NotFound, RefusedError
from neurath.ids import ModelName, Version, digest
from neurath.wire.check import Check
from neurath.wire.offer import Kind, Offer
from neurath.wire.report import Phase, Report, Verdict

FILE = random.Random(11).randbytes(10 * 1024)
OFFER = Offer(Kind.DELTA, digest(FILE), len(FILE), 20000, b"envelope", b"ticket", Version("2.0"), action="41")
CHECK = Check(ModelName("board"), b"b" * 32, 4096, 65536, b"n" * 8, version="1.0")


class Site(Protocol):
    """A far end as the contract drives it: one terminal of it is ours."""

    carrier: Carrier
    check: Check

    def publish(self) -> Offer:
        """From now on the terminal is offered a file whose bytes are `data()`."""
        ...

    def data(self) -> bytes: ...

    def pin(self) -> None:
        """The file is served by digest: its ticket was given out and has no verdict."""
        ...

    def withdraw(self) -> None:
        """The action is closed on the server."""
        ...

    def cut_after(self, count: int) -> None:
        """The link dies after about this many more bytes towards the terminal (framing may count)."""
        ...

    def mend(self) -> None: ...

    def told(self) -> list[Report]: ...


def same(left: Offer | None, right: Offer) -> bool:
    """The same offer; its ticket may be a newer one."""
    return left is not None and replace(left, ticket=b"") == replace(right, ticket=b"")


def secured(offer: Offer) -> Report:
    return Report(offer.action, Phase.DOWNLOADING, total=offer.size, secured=offer.need)


class CarrierContract:
    """One terminal, one server, a link that breaks."""

    @pytest.fixture
    def site(self) -> Site:
        raise NotImplementedError

    def test_nothing_newer_is_answered_as_such(self, site: Site) -> None:
        assert site.carrier.check(site.check).offer is None

    def test_an_offer_arrives_whole(self, site: Site) -> None:
        assert site.carrier.check(site.check).offer is None
        offer = site.publish()
        assert same(site.carrier.check(site.check).offer, offer)

    def test_no_transfer_without_the_report_of_secured_memory(self, site: Site) -> None:
        offer = site.publish()
        site.carrier.check(site.check)
        with pytest.raises(RefusedError):
            next(iter(site.carrier.fetch(offer.file, 0, offer.size)))
        site.carrier.report(secured(offer))
        assert b"".join(site.carrier.fetch(offer.file, 0, offer.size)) == site.data()

    def test_any_range_comes_exactly(self, site: Site, seed: int) -> None:
        offer = site.publish()
        site.carrier.check(site.check)
        site.carrier.report(secured(offer))
        rng = random.Random(seed)
        for _ in range(8):
            offset = rng.randrange(offer.size)
            length = rng.randrange(1, offer.size - offset + 1)
            assert b"".join(site.carrier.fetch(offer.file, offset, length)) == site.data()[offset : offset + length]

    def test_a_file_that_was_not_offered_is_not_found(self, site: Site) -> None:
        site.publish()
        site.carrier.check(site.check)
        with pytest.raises(NotFound):
            next(iter(site.carrier.fetch(b"x" * 32, 0, 10)))

    def test_a_pinned_file_comes_by_digest_alone_and_no_other_does(self, site: Site) -> None:
        offer = site.publish()
        with pytest.raises(NotFound):
            next(iter(site.carrier.fetch_by_digest(b"x" * 16, 0, 10)))
        site.carrier.check(site.check)
        site.pin()
        assert b"".join(site.carrier.fetch_by_digest(offer.file[:16], 3, 1000)) == site.data()[3:1003]

    def test_reports_arrive_in_order(self, site: Site) -> None:
        offer = site.publish()
        site.carrier.check(site.check)
        said = [
            secured(offer),
            Report(offer.action, Phase.DOWNLOADED, done=offer.size, total=offer.size),
            Report(offer.action, Phase.FAILED, Verdict.REFUSED, reason="leaves differ"),
        ]
        for report in said:
            site.carrier.report(report)
        assert [(r.phase, r.verdict, r.secured) for r in site.told()] == [(r.phase, r.verdict, r.secured) for r in said]

    def test_the_last_word_says_whether_the_action_is_still_open(self, site: Site) -> None:
        offer = site.publish()
        site.carrier.check(site.check)
        assert site.carrier.still_wanted(offer.action)
        site.withdraw()
        assert not site.carrier.still_wanted(offer.action)
        assert site.carrier.check(site.check).offer is None

    def test_a_closed_link_opens_again_and_closing_twice_is_harmless(self, site: Site) -> None:
        site.carrier.check(site.check)
        site.carrier.close()
        site.carrier.close()
        assert site.carrier.check(site.check).offer is None

    def test_a_dead_link_is_a_link_error_everywhere(self, site: Site) -> None:
        offer = site.publish()
        site.carrier.check(site.check)
        site.carrier.report(secured(offer))
        site.carrier.close()
        site.cut_after(0)
        calls: list[Callable[[], object]] = [
            lambda: site.carrier.check(site.check),
            lambda: site.carrier.report(secured(offer)),
            lambda: next(iter(site.carrier.fetch(offer.file, 0, 10))),
            lambda: next(iter(site.carrier.fetch_by_digest(offer.file[:16], 0, 10))),
            lambda: site.carrier.still_wanted(offer.action),
        ]
        for call in calls:
            with pytest.raises(LinkError):
                call()
        site.mend()
        assert same(site.carrier.check(site.check).offer, offer)

    def test_a_cut_transfer_gives_what_came_and_then_a_link_error(self, site: Site) -> None:
        offer = site.publish()
        site.carrier.check(site.check)
        site.carrier.report(secured(offer))
        site.cut_after(5000)
        came = bytearray()

        def receive() -> None:
            for data in site.carrier.fetch(offer.file, 0, offer.size):
                came.extend(data)

        with pytest.raises(LinkError):
            receive()
        assert len(came) < offer.size
        assert came == site.data()[: len(came)]
        site.mend()
        came += b"".join(site.carrier.fetch(offer.file, len(came), offer.size - len(came)))
        assert came == site.data()

    def test_an_abandoned_transfer_does_not_spoil_the_next_message(self, site: Site) -> None:
        offer = site.publish()
        site.carrier.check(site.check)
        site.carrier.report(secured(offer))
        stream = site.carrier.fetch(offer.file, 0, offer.size)
        next(stream)
        stream.close()  # type: ignore[attr-defined]  # every carrier's fetch is a generator
        assert same(site.carrier.check(site.check).offer, offer)
