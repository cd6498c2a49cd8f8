"""Heartbeats over real HTTP against the real server: one request each, with and without an update, and the file they carry."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import pytest

from neurath.carriers.heartbeat import HttpHeartbeat
from neurath.carriers.http import Place
from neurath.errors import DataError, RefusedError
from neurath.ids import digest
from neurath.server.fleet import access
from neurath.terminal.heart import Heart
from neurath.terminal.staging.durable import Folder
from neurath.terminal.staging.trickle import Session
from neurath.wire import trickle
from neurath.wire.trickle import Ask, Reply, State
from tests.server.test_http import Running, serving
from tests.server.world import image

OLD, NEW = image(1), image(2)
BEATS = 60


class Counting(HttpHeartbeat):
    """The carrier, and the requests that leave it."""

    sent: list[tuple[str, str]]

    def _send(self, method: str, target: str, headers: dict[str, str], body: bytes | None) -> None:
        self.sent.append((method, target))
        super()._send(method, target, headers, body)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("beats") / "data") as running:
        running.world.release("1.0", OLD, 1)
        running.new = running.world.release("1.1", NEW, 2)  # type: ignore[attr-defined]
        yield running


def terminal(site: Running, name: str, *, waits: bool) -> Counting:
    client = site.enrol(name)
    link = Counting(Place(f"http://127.0.0.1:{site.port}", name, client.token))
    link.sent = []
    assert link.check(site.world.says(OLD, stage=1 << 20)).offer is None
    if waits:
        with site.world.store.read() as db:
            found = access.find(db, name)
        site.world.start(site.new, found)  # type: ignore[attr-defined]
    link.sent = []
    return link


def test_the_same_requests_with_and_without_an_update(site: Running, tmp_path: Path) -> None:
    """B1 over real HTTP; the quick form of the thousand in tests/terminal/test_heart.py."""
    counts, came = [], []
    for name, waits in (("without", False), ("with", True)):
        link = terminal(site, name, waits=waits)
        heart = Heart(link, Session(Folder(tmp_path / name, 1 << 20)), 60.0)
        for beat in range(BEATS):
            heart.beat(60.0 * beat)
            if beat == 7:
                link.close()  # kept or not, a connection changes nothing
        counts.append([method for method, _ in link.sent])
        came.append(heart.session.active is not None)
        link.close()
    assert counts[0] == counts[1] == ["POST"] * BEATS
    assert came == [False, True]


def test_a_full_answer_fits_one_segment_with_its_headers(site: Running) -> None:
    """B1 counts packets, not requests: 1,280 bytes of IPv6 less 40, 32 and 20 for IP, TCP and its options."""
    link = terminal(site, "wide", waits=True)
    heads: list[int] = []

    class Measuring(HttpHeartbeat):
        def _ask(self, method, path, headers, body):  # type: ignore[no-untyped-def]
            answer = super()._ask(method, path, headers, body)
            fields = "".join(f"{name}: {value}\r\n" for name, value in answer._headers.items())
            heads.append(len(f"HTTP/1.1 {answer.status} {answer.reason}\r\n{fields}\r\n") + answer.length)
            return answer

    wide = Measuring(link._place)
    for _ in range(2):
        reply = trickle.decode_reply(wide.beat(trickle.encode_state(State(room=wide.descriptor.reply_room, link=255))))
        time.sleep(0.5)
    assert len(reply.pieces) == (wide.descriptor.reply_room - 8) // reply.size
    assert max(heads) <= 1280 - 40 - 32 - 20


def test_the_file_comes_whole_and_the_check_in_after_it_gives_its_ticket(site: Running, tmp_path: Path) -> None:
    link = terminal(site, "whole", waits=True)
    session = Session(Folder(tmp_path, 1 << 20))
    complete = None
    while complete is None:
        complete = session.accept(link.beat(trickle.encode_state(session.state(2000, 255)))).complete
    offer = link.check(site.world.says(OLD, stage=1 << 20)).offer
    assert offer is not None
    assert (offer.file, offer.size, offer.envelope, offer.blocks) == (
        complete.file, complete.size, complete.envelope, complete.blocks,
    )  # fmt: skip
    assert offer.ticket
    assert digest((tmp_path / f"{offer.file[:16].hex()}.nru").read_bytes()) == offer.file
    with pytest.raises(RefusedError):  # A6: the bulk route stays closed until memory is secured
        next(iter(link.fetch(offer.file, 0, offer.size)))


def test_a_stranger_and_a_malformed_state_are_refused(site: Running) -> None:
    link = terminal(site, "odd", waits=False)
    assert trickle.decode_reply(link.beat(trickle.encode_state(State()))) == Reply()
    for body in (b"", b"\x40", bytes(12), bytes(4000)):
        with pytest.raises((RefusedError, DataError)):
            link.beat(body)
    thief = HttpHeartbeat(Place(f"http://127.0.0.1:{site.port}", "odd", "wrong"))
    with pytest.raises(RefusedError):
        thief.beat(trickle.encode_state(State()))


def test_a_heartbeat_that_changes_nothing_takes_no_worker_thread(site: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    link = terminal(site, "quick", waits=True)
    program = b""
    for _ in range(10):  # its file is built meanwhile
        program = trickle.decode_reply(link.beat(trickle.encode_state(State()))).program
        time.sleep(0.1)
    threads: list[object] = []
    run_sync = anyio.to_thread.run_sync

    async def counted(work, *given):  # type: ignore[no-untyped-def]
        threads.append(work)
        return await run_sync(work, *given)

    monkeypatch.setattr(anyio.to_thread, "run_sync", counted)
    for sync in range(20):
        reply = trickle.decode_reply(link.beat(trickle.encode_state(State(Ask.PIECES, program, sync))))
        assert (reply.first, len(reply.pieces)) == (sync, 1)
        time.sleep(0.15)  # what is written every two seconds falls in between
    assert threads == []


def test_a_token_that_was_renewed_ends_the_old_one_at_the_next_heartbeat(site: Running) -> None:
    link = terminal(site, "renewed", waits=False)
    for _ in range(3):
        link.beat(trickle.encode_state(State()))
    with site.world.store.write() as db:
        access.renew_token(db, access.find(db, "renewed"))
    with pytest.raises(RefusedError):
        link.beat(trickle.encode_state(State()))
