"""A terminal's end of trickle delivery against any order of answers: the file is the same, programs do not mix, and the next
heartbeat never asks for a piece that is here, nor passes over one that a power cut would take."""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurath.carriers.memory import Memory, Shelf
from neurath.ids import Version, digest
from neurath.terminal.machine import events as ev
from neurath.terminal.memory.reserve import Reserve
from neurath.terminal.staging.durable import Folder, RealDisk
from neurath.terminal.staging.transfer import Transfer, Wanted
from neurath.terminal.staging.trickle import Place, Ram, Session
from neurath.wire import trickle
from neurath.wire.offer import Kind
from neurath.wire.trickle import About, Ask, Reply, State
from tests.terminal.test_staging import Cut, PowerDisk

ROOM = 1 << 20
SCHEDULES = 10_000 if os.environ.get("NEURATH_ASSURANCE") == "1" else 200


@dataclass
class Far:
    """A server's end with nothing but streams; `sent` counts how often each piece left it."""

    file: bytes
    piece: int = 64
    count: int = 3
    sent: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        blocks = b"".join(digest(self.file[at : at + 4096])[:16] for at in range(0, len(self.file), 4096))
        about = About(Kind.DELTA, digest(self.file), len(self.file), b"e" * 100, blocks, Version("2"))
        head = trickle.header(about)
        self.plan = trickle.plan(head, self.piece)
        self.stream = head.ljust(self.plan.begin * self.piece, b"\0") + self.file

    @property
    def program(self) -> bytes:
        return digest(self.file)[:4]

    def reply(self, first: int, count: int) -> Reply:
        cut = [self.stream[at * self.piece : (at + 1) * self.piece] for at in range(first, first + count)]
        pieces = tuple(piece for piece in cut if piece)
        for index in range(first, first + len(pieces)):
            self.sent[index] = self.sent.get(index, 0) + 1
        return Reply(self.program, first, self.piece, pieces, first + len(pieces) == self.plan.count)

    def answer(self, data: bytes) -> bytes:
        state = trickle.decode_state(data)
        if state.ask is Ask.PIECES and (state.program != self.program or state.sync >= self.plan.count):
            return trickle.encode_reply(Reply(self.program))
        count = min(self.count, (state.room - 8) // self.piece)
        return trickle.encode_reply(self.reply(state.sync, count) if count else Reply(self.program))


def asks(session: Session, room: int = 0xFFFF) -> bytes:
    return trickle.encode_state(session.state(room))


def gather(session: Session, far: Far, beats: int = 2000) -> About:
    """Heartbeats until the file is complete."""
    for _ in range(beats):
        complete = session.accept(far.answer(asks(session))).complete
        if complete is not None:
            return complete
    raise AssertionError("never complete")


def staged(folder: Path, file: bytes) -> bytes:
    return (folder / f"{digest(file)[:16].hex()}.nru").read_bytes()


def data(seed: int, size: int = 9_000) -> bytes:
    return random.Random(seed).randbytes(size)


FILE = data(1)


@pytest.fixture(params=["durable", "volatile"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Folder(tmp_path, ROOM) if request.param == "durable" else Ram(ROOM)


def test_the_first_heartbeat_asks_for_news_and_only_a_piece_makes_it_ask_for_more(place: Place) -> None:
    session, far = Session(place), Far(FILE)
    assert session.state(500) == State(room=500)
    session.accept(trickle.encode_reply(Reply()))
    assert session.state(500) == State(room=500)
    session.accept(far.answer(asks(session)))
    assert session.state(500) == State(Ask.PIECES, far.program, 3, 500)


def test_the_file_is_whole_and_no_piece_was_sent_twice(place: Place) -> None:
    session, far = Session(place), Far(FILE)
    about = gather(session, far)
    assert (about.file, about.size, about.envelope) == (digest(FILE), len(FILE), b"e" * 100)
    assert set(far.sent.values()) == {1}
    assert session.state(500) == State(Ask.PIECES, far.program, far.plan.count, 500)


@pytest.mark.parametrize("piece", [64, 200, 4096])
def test_it_lies_in_the_staging_that_bulk_takes_over(tmp_path: Path, piece: int) -> None:
    about = gather(Session(Folder(tmp_path, ROOM)), Far(FILE, piece))
    transfer = Transfer(Reserve(1024, (), {}), tmp_path, alone=False)
    wanted = Wanted(about.file, about.size)
    assert transfer.found(wanted)
    assert isinstance(transfer.run(Memory(Shelf()), wanted, lambda held: True), ev.Complete)
    assert isinstance(transfer.seal(), ev.FileGood)
    assert transfer.contents() == FILE


def test_a_download_changes_carrier_in_the_middle_and_back(tmp_path: Path) -> None:
    far = Far(FILE, 200)
    session = Session(Folder(tmp_path, ROOM))
    while session.state(500).sync < far.plan.begin + 10:
        session.accept(far.answer(asks(session)))
    held = far.plan.held(session.state(500).sync)
    shelf = Shelf(files={digest(FILE): FILE}, secured=1 << 20)
    carrier = Memory(shelf)
    carrier.line.left = 3000
    transfer = Transfer(Reserve(1024, (), {}), tmp_path, piece=512, alone=False)
    assert isinstance(transfer.run(carrier, Wanted(digest(FILE), len(FILE)), lambda held: True), ev.LinkLost)
    assert held - 512 + 3000 - 512 < transfer.held <= held + 3000
    carrier.line.mend()
    bulk = transfer.held
    far.sent.clear()
    session = Session(Folder(tmp_path, ROOM))
    assert far.plan.held(session.state(500).sync) > bulk - 200
    gather(session, far)
    assert min(far.sent) == far.plan.sync(bulk // 200 * 200)
    assert staged(tmp_path, FILE) == FILE


def test_a_new_life_goes_on_at_the_sync_point_after_any_number_of_answers(tmp_path: Path) -> None:
    far = Far(FILE)
    beats = 0
    complete = None
    while complete is None:
        session = Session(Folder(tmp_path, ROOM))  # power comes; nothing but the disk survives
        complete = session.accept(far.answer(asks(session))).complete
        beats += 1
    assert beats == -(-far.plan.count // far.count)
    assert set(far.sent.values()) == {1}
    assert staged(tmp_path, FILE) == FILE


def test_a_heartbeat_never_names_a_sync_point_that_a_power_cut_takes_back(seed: int) -> None:
    """Cut at every disk operation of a whole download, with any subset of unsynced pages lost."""
    folder, file = Path("/staging"), data(40, 700)
    cut_at = 0
    while True:
        cut_at += 1
        disk = PowerDisk(random.Random(seed * 1000 + cut_at), cut_at)
        far, named = Far(file, count=2), 0
        try:
            session = Session(Folder(folder, ROOM, disk))
            while session.accept(far.answer(asks(session))).complete is None:
                named = max(named, session.state(500).sync)
        except Cut:
            pass
        else:
            break
        again = Session(Folder(folder, ROOM, disk.after()))
        assert again.state(500).sync >= named, f"cut at operation {cut_at}"
        assert gather(again, far).file == digest(file)
    assert cut_at > 20


def test_ram_has_nothing_after_a_power_cut_and_says_so() -> None:
    far, session = Far(FILE), Session(Ram(ROOM))
    for _ in range(20):
        session.accept(far.answer(asks(session)))
    assert session.state(500).sync == 60
    assert session.active is not None
    assert session.active.file is not None
    assert session.active.file.sync_point == 0
    assert Session(Ram(ROOM)).state(500) == State(room=500)


def test_what_a_disk_or_a_line_changed_is_found_by_its_block_and_asked_for_again(tmp_path: Path) -> None:
    far = Far(FILE)
    session = Session(Folder(tmp_path, ROOM))
    while session.state(500).sync < far.plan.begin + 40:
        session.accept(far.answer(asks(session)))
    bad = far.reply(session.state(500).sync, 3)
    hurt = Reply(bad.program, bad.first, bad.size, (bad.pieces[0], b"!" * 64, bad.pieces[2]), bad.last)
    session.accept(trickle.encode_reply(hurt))
    gather(session, far)
    assert staged(tmp_path, FILE) == FILE
    assert max(far.sent.values()) == 2
    assert sum(n - 1 for n in far.sent.values()) <= 4096 // 64  # no more than the block


def test_another_release_in_mid_way_begins_anew_and_keeps_the_blocks_they_share(tmp_path: Path) -> None:
    newer = FILE[:4096] + data(9, 4096) + FILE[:4096] + data(10, 500)
    first, second = Far(FILE), Far(newer)
    session = Session(Folder(tmp_path, ROOM))
    while session.state(500).sync < first.plan.begin + 70:
        session.accept(first.answer(asks(session)))
    about = gather(session, second)
    assert about.file == digest(newer)
    assert staged(tmp_path, newer) == newer
    assert not {second.plan.begin + n for n in (3, 30, 63, 128, 191)} & set(second.sent), "shared blocks came again"
    gather(session, first)
    assert set(first.sent.values()) == {1}, "what was there of the first one was kept"


def test_two_programs_in_turn_do_not_mix(place: Place, tmp_path: Path) -> None:
    one, two = Far(data(3)), Far(data(4), piece=128)
    session = Session(place)
    done = []
    for beat in range(2000):
        far = (one, two)[beat // 4 % 2]
        heard = session.accept(far.answer(asks(session)))
        done += [heard.complete.file] if heard.complete else []
        if {digest(one.file), digest(two.file)} <= set(done):
            break
    assert {digest(one.file), digest(two.file)} <= set(done)
    if place.durable:
        assert staged(tmp_path, one.file) == one.file
        assert staged(tmp_path, two.file) == two.file


def test_a_file_that_was_dropped_after_it_was_handed_on_comes_again(tmp_path: Path) -> None:
    far = Far(FILE)
    session = Session(Folder(tmp_path, ROOM))
    about = gather(session, far)
    assert session.accept(far.answer(asks(session))).complete == about
    (tmp_path / f"{about.file[:16].hex()}.map").unlink()
    assert session.accept(far.answer(asks(session))).complete is None
    assert session.state(500).sync == far.plan.begin
    assert gather(session, far) == about


def test_of_more_programs_than_it_keeps_the_first_is_forgotten(tmp_path: Path) -> None:
    session = Session(Folder(tmp_path, ROOM))
    for seed in range(20, 26):
        session.accept(Far(data(seed)).answer(trickle.encode_state(State())))
    assert len(list(tmp_path.glob("*.map"))) == 4


class FullDisk(RealDisk):
    """No byte goes onto it, or is synced, while it is full."""

    full = False

    def write(self, path: Path, offset: int, data: bytes) -> None:
        self._room()
        super().write(path, offset, data)

    def sync(self, path: Path) -> None:
        self._room()
        super().sync(path)

    def _room(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")


@pytest.mark.parametrize("how", ["write", "sync"])
def test_a_full_disk_stops_the_sync_point_and_nothing_else(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk()
    if how == "sync":
        monkeypatch.setattr(FullDisk, "write", RealDisk.write)
    far, session = Far(FILE), Session(Folder(tmp_path, ROOM, disk))
    for full in (True, False, True, False, True):
        disk.full = full
        before = session.state(500).sync
        for _ in range(5):
            session.accept(far.answer(asks(session)))
        assert (session.state(500).sync > before) is not full
        assert Session(Folder(tmp_path, ROOM)).state(500).sync == session.state(500).sync
    disk.full = False
    gather(session, far)
    assert staged(tmp_path, FILE) == FILE


def test_a_piece_from_the_middle_of_an_unknown_program_is_never_taken_for_its_beginning(place: Place) -> None:
    far, session = Far(FILE), Session(place)
    heard = session.accept(trickle.encode_reply(Reply(far.program, 3, 64, (far.stream[:64],))))
    assert (heard.new, heard.dropped) == (0, 1)
    assert session.state(500) == State(room=500)


def test_a_program_that_fits_no_room_is_dropped_and_harms_nothing(tmp_path: Path) -> None:
    session, small, large = Session(Folder(tmp_path, 10_000)), Far(FILE), Far(data(5, 20_000))
    gather(session, small)
    for _ in range(40):
        session.accept(large.answer(asks(session)))
    assert staged(tmp_path, FILE) == FILE


def test_any_schedule_gives_the_identical_file(seed: int) -> None:
    """Fault 13: answers lost, late, twice, reordered; heartbeats whose answer never comes."""
    for number in range(SCHEDULES):
        rng = random.Random(seed * 100_003 + number)
        file = rng.randbytes(rng.choice((1, 63, 64, 65, 700, 4096, 5000)))
        far, session = Far(file, rng.choice((64, 128, 200)), rng.randint(1, 4)), Session(Ram(ROOM))
        on_the_way: list[bytes] = []
        complete = None
        for _ in range(3000):
            if rng.random() > 0.2:
                on_the_way.append(far.answer(asks(session)))
            while on_the_way and rng.random() < 0.7 and complete is None:
                got = on_the_way.pop(rng.randrange(len(on_the_way)) if rng.random() < 0.3 else 0)
                if rng.random() < 0.1:
                    continue
                if rng.random() < 0.1:
                    on_the_way.append(got)
                complete = session.accept(got).complete
            if complete is not None:
                break
        assert complete is not None, f"schedule {number} never ended"
        assert complete.file == digest(file)
        assert session.active is not None
        assert session.active.file is not None
        assert session.active.file.read(0, len(file)) == file


def test_pieces_of_other_terminals_and_jobs_never_enter_a_file() -> None:
    """Fault 14, all cross pairs: every other one's answer, at every sync point of this one."""
    files = [data(30 + n, 3000) for n in range(4)]
    for mine in files:
        session, far = Session(Ram(ROOM)), Far(mine)
        complete = None
        while complete is None:
            for other in files:
                if other is not mine:
                    stranger = Far(other)
                    sync = session.state(500).sync
                    before = session.active.sync if session.active else 0
                    heard = session.accept(trickle.encode_reply(stranger.reply(min(sync + 1, stranger.plan.count - 1), 2)))
                    assert heard.new == 0
                    assert (session.active.sync if session.active else 0) == before
            complete = session.accept(far.answer(asks(session))).complete
        assert complete.file == digest(mine)
        assert session.active is not None
        assert session.active.file is not None
        assert session.active.file.read(0, 3000) == mine


def test_a_header_that_names_another_file_is_forgotten(place: Place) -> None:
    far, wrong = Far(FILE), Far(data(6))
    session = Session(place)
    for first in range(0, wrong.plan.begin, 3):
        forged = wrong.reply(first, min(3, wrong.plan.begin - first))
        session.accept(trickle.encode_reply(Reply(far.program, first, forged.size, forged.pieces)))
    assert gather(session, far).file == digest(FILE)


def test_a_forged_header_whose_file_has_another_digest_never_completes(place: Place) -> None:
    """Block hashes of other bytes under the digest of the true file: nothing of it stays."""
    far, wrong = Far(FILE), Far(data(6))
    about = trickle.about(far.stream[: far.plan.begin * 64])
    swapped = replace(about, blocks=trickle.about(wrong.stream[: wrong.plan.begin * 64]).blocks)
    wrong.stream = trickle.header(swapped).ljust(far.plan.begin * 64, b"\0") + wrong.file
    session = Session(place)
    for first in range(0, far.plan.count, 3):
        reply = wrong.reply(first, 3)
        heard = session.accept(trickle.encode_reply(Reply(far.program, first, 64, reply.pieces, reply.last)))
        assert heard.complete is None
    assert gather(session, far).file == digest(FILE)


@given(st.lists(st.binary(max_size=200) | st.integers(0, 60), max_size=30))
def test_no_answer_crashes_a_session_nor_spoils_its_file(noise: list[bytes | int]) -> None:
    file = FILE[:1500]
    session, far = Session(Ram(ROOM)), Far(file)
    for item in noise:
        if isinstance(item, bytes):
            session.accept(item)
            session.accept(b"\x48" + far.program + item)
        else:
            session.accept(trickle.encode_reply(far.reply(min(item, far.plan.count - 1), 1)))
    about = gather(session, far)
    assert about.file == hashlib.sha256(file).digest()


def test_an_answer_never_has_more_than_the_gap(place: Place) -> None:
    far, session = Far(FILE), Session(place)
    while session.state(500).sync < far.plan.begin:
        session.accept(far.answer(asks(session)))
    sync = session.state(0xFFFF).sync
    session.accept(trickle.encode_reply(far.reply(sync + 2, 1)))
    assert session.state(0xFFFF).sync == sync
    assert session.state(0xFFFF).room == 8 + 2 * 64


def test_a_new_life_keeps_no_more_programs_than_the_last_one_did(tmp_path: Path) -> None:
    for seed in range(40, 47):
        far, session = Far(data(seed, 3000)), Session(Folder(tmp_path, ROOM))
        session.accept(trickle.encode_reply(far.reply(0, far.plan.begin)))
    Session(Folder(tmp_path, ROOM))
    heads = [path for path in tmp_path.glob("*.map") if path.stem.endswith("0" * 24)]
    assert len(heads) == 4


def test_the_header_of_an_installed_file_goes_when_nothing_more_is_wanted(tmp_path: Path) -> None:
    far, session = Far(FILE), Session(Folder(tmp_path, ROOM))
    about = gather(session, far)
    transfer = Transfer(Reserve(1024, (), {}), tmp_path, alone=False)
    transfer.open(Wanted(about.file, about.size))
    session.accept(trickle.encode_reply(Reply()))
    assert list(tmp_path.glob("*.map")), "it is not installed yet"
    session.accept(far.answer(asks(session)))
    gather(session, far)
    transfer.drop()
    session.accept(trickle.encode_reply(Reply()))
    assert list(tmp_path.iterdir()) == []
