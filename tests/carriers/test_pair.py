"""A high-availability pair: every schedule of beats, cuts, deaths and returns; the contract of riding carriers over real UDP;
and a fail-over while a file trickles."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from neurath.carriers.base import Descriptor
from neurath.carriers.pair import Node, Settings, settings
from neurath.carriers.pair_roles import Member
from neurath.errors import LinkError, UsageError
from neurath.sim.processes import free_port
from neurath.terminal.staging.trickle import Ram, Session
from neurath.wire import pair
from neurath.wire.pair import Beat, Role
from neurath.wire.trickle import State
from tests.contracts.riding import FILE, ROOM, RidesContract, Shelf, Stream, asks, gathered

#: Seconds that a heartbeat waits for its answer: as long as the busiest machine may take.
LOADED = 30.0
KEY = b"k" * 32

# ---- roles --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Both:
    """The two of them and what lies between; None: dead."""

    one: Member | None
    two: Member | None
    joined: bool = True

    def of(self, node: int) -> Member | None:
        return self.one if node == 1 else self.two

    def but(self, node: int, member: Member | None) -> Both:
        return replace(self, one=member) if node == 1 else replace(self, two=member)

    def beat(self, node: int) -> Both:
        """This node beats; the other one answers if it can."""
        own, other = self.of(node), self.of(3 - node)
        if own is None:
            return self
        if other is None or not self.joined:
            return self.but(node, own.silent())
        return self.but(node, own.answered(Beat(other.node, other.role, other.term, 0, True)))

    def active(self) -> list[int]:
        return [m.node for m in (self.one, self.two) if m is not None and m.role is Role.ACTIVE]


def test_every_schedule_ends_with_exactly_one_active() -> None:
    """All orders of beats, cuts, deaths and returns: wherever it stands, a whole pair has one active node after a few beats,
    and a lone one is active after three."""
    start = Both(Member(1), Member(2))
    frontier, known = [start], {start}
    while frontier:
        both = frontier.pop()
        _converges(both)
        for following in _steps(both):
            terms = [m.term for m in (following.one, following.two) if m is not None]
            missed = max((m.missed for m in (following.one, following.two) if m is not None), default=0)
            if following not in known and max(terms, default=0) <= 4 and missed <= 5:
                known.add(following)
                frontier.append(following)
    assert len(known) > 1000


def _steps(both: Both) -> Iterator[Both]:
    for node in (1, 2):
        after = both.beat(node)
        other, own, now = both.of(3 - node), both.of(node), after.of(node)
        if own is not None and now is not None and other is not None and both.joined and other.role is Role.ACTIVE:
            assert not (own.role is Role.STANDBY and now.role is Role.ACTIVE), "took over from one that answers"
        yield after
        yield both.but(node, None if both.of(node) is not None else Member(node))
    yield replace(both, joined=not both.joined)


def _converges(both: Both) -> None:
    alive = [node for node in (1, 2) if both.of(node) is not None]
    for _ in range(8):
        for node in alive:
            both = both.beat(node)
    if len(alive) == 2 and both.joined:
        assert len(both.active()) == 1, both
    else:
        assert both.active() == alive, both


def test_a_standby_takes_over_at_the_third_missed_heartbeat_and_not_before() -> None:
    member = Member(2)
    for missed in (1, 2):
        member = member.silent()
        assert (member.role, member.missed) == (Role.STANDBY, missed)
    assert member.silent().role is Role.ACTIVE
    assert member.answered(Beat(1, Role.ACTIVE, 5, 0, True)).missed == 0


def test_of_two_that_are_active_the_later_take_over_stays_then_the_lower_number() -> None:
    one, two = Member(1, role=Role.ACTIVE, term=4), Member(2, role=Role.ACTIVE, term=5)
    assert one.answered(Beat(2, Role.ACTIVE, 5, 0, True)).role is Role.STANDBY
    assert two.answered(Beat(1, Role.ACTIVE, 4, 0, True)).role is Role.ACTIVE
    same = replace(one, term=5)
    assert same.answered(Beat(2, Role.ACTIVE, 5, 0, True)).role is Role.ACTIVE
    assert two.answered(Beat(1, Role.ACTIVE, 5, 0, True)).role is Role.STANDBY


# ---- over UDP --------------------------------------------------------------------------------


class Between:
    """A cable: what comes to it from either node goes to the other, unless it is cut."""

    def __init__(self) -> None:
        self.ends = [_free(), _free()]
        self.nodes: list[tuple[str, int]] = []
        self.heartbeats = self.answers = 0
        self.lengths: list[int] = []
        self.whole = True
        for way in (0, 1):
            threading.Thread(target=self._pass, args=(way,), daemon=True).start()

    def _pass(self, way: int) -> None:
        """What comes to `ends[way]`, which stands for node `way`, came from the other one."""
        end = self.ends[way]
        while True:
            try:
                data = end.recv(4096)
            except OSError:
                return
            if data[0] & 1:
                self.answers += 1
            elif way == 0:
                self.heartbeats += 1
            self.lengths.append(len(data))
            if self.whole:
                self.ends[1 - way].sendto(data, self.nodes[way])

    def close(self) -> None:
        for end in self.ends:
            end.close()


def _free() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


@dataclass
class Spoiling:
    """The second node's heartbeat; `on`: what rode arrives with a changed byte."""

    node: Node
    on: bool = False

    @property
    def descriptor(self) -> Descriptor:
        return self.node.descriptor

    def beat(self, state: bytes) -> bytes:
        data = self.node.beat(state)
        return data[:-1] + bytes([data[-1] ^ 1]) if self.on and len(data) > 8 else data


@dataclass
class Site:
    """Node 1 with a shelf, node 2 with a terminal, a cable between."""

    shelf: Shelf = field(default_factory=Shelf)
    between: Between = field(default_factory=Between)
    terminal: str = "terminal-2"
    cost: int = 1

    def __post_init__(self) -> None:
        places = [("127.0.0.1", free_port()), ("127.0.0.1", free_port())]
        self.between.nodes = places
        ends = [end.getsockname() for end in self.between.ends]
        self.first = Settings(1, places[0], ends[1], KEY, patience=LOADED, terminal=self.terminal)
        self.one = Node(self.first, self.shelf)
        self.two = Node(Settings(2, places[1], ends[0], KEY, patience=LOADED))
        self.rides = Spoiling(self.two)

    def packets(self) -> int:
        return self.between.heartbeats

    def silent(self, patience: float = 0.3) -> None:
        """From now on no answer is expected by the second node: it need not wait as long as a loaded machine may take."""
        object.__setattr__(self.two.settings, "patience", patience)

    def cut(self) -> None:
        self.between.whole = False
        self.silent()

    def mend(self) -> None:
        self.between.whole = True
        self.silent(LOADED)

    def damage(self, on: bool) -> None:
        self.rides.on = on

    def close(self) -> None:
        self.one.close()
        self.two.close()
        self.between.close()


@pytest.fixture
def pair_site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


class TestPair(RidesContract):
    """What every riding carrier promises."""

    @pytest.fixture
    def site(self, pair_site: Site) -> Site:
        return pair_site


def test_a_piece_costs_eight_bytes(pair_site: Site) -> None:
    pair_site.rides.beat(asks(State()))
    empty = pair_site.between.lengths[-1]
    pair_site.shelf.streams, pair_site.shelf.most = [Stream(FILE)], 1
    session = Session(Ram(ROOM))
    for _ in range(2):
        session.accept(pair_site.rides.beat(asks(session.state(1000))))
    assert pair_site.between.lengths[-1] - empty == 208


def test_the_standby_takes_over_while_a_program_trickles_and_it_goes_on(pair_site: Site, tmp_path: Path) -> None:
    """T22: the active one dies; the other takes over at the third missed heartbeat; the first comes back as a standby, and
    what trickles goes on at its sync point."""
    site = pair_site
    mark = tmp_path / "took-over"
    object.__setattr__(site.two.settings, "on_active", f"touch {mark}")
    site.shelf.streams, site.shelf.most = [Stream(FILE)], 1
    for _ in range(3):  # neither is active yet: the first one begins
        site.one.beat(b"")
    assert (site.one.role, site.two.role) == (Role.ACTIVE, Role.STANDBY)
    session = Session(Ram(ROOM))
    for _ in range(20):
        session.accept(site.rides.beat(asks(session.state(1000))))
    before = session.state(1000).sync
    assert before > 15
    site.one.close()
    site.silent()
    for missed in (1, 2, 3):
        assert site.two.role is Role.STANDBY, f"took over after {missed - 1}"
        with pytest.raises(LinkError):
            site.rides.beat(asks(session.state(1000)))
    assert site.two.role is Role.ACTIVE
    site.silent(LOADED)
    end = time.monotonic() + 60
    while not mark.exists():
        assert time.monotonic() < end, "the command of the take-over did not run"
        time.sleep(0.02)
    asked = len(site.shelf.states)
    site.one = Node(site.first, site.shelf)
    for _ in range(5):
        site.one.beat(b"")
    assert (site.one.role, site.two.role) == (Role.STANDBY, Role.ACTIVE), "who comes back does not take it away"
    assert gathered(site, session) is not None
    syncs = [int.from_bytes(state[6:9], "big") for state in site.shelf.states[asked:] if state]
    assert min(syncs) >= before, "nothing before the sync point was asked for again"


def test_recorded_heartbeats_and_answers_count_for_nothing(pair_site: Site) -> None:
    site = pair_site
    site.rides.beat(asks(State()))
    heard = len(site.shelf.states)
    old = Beat(2, Role.STANDBY, 0, site.two._number, riding=asks(State()))
    late = Beat(1, Role.ACTIVE, 9, site.two._number, True)
    with _free() as thief:
        thief.sendto(pair.encode(old, KEY), site.first.address)
        thief.sendto(pair.encode(late, KEY), site.two.settings.address)
        thief.sendto(pair.encode(replace(late, node=2), b"x" * 32), site.two.settings.address)
        time.sleep(0.2)
    assert len(site.shelf.states) == heard
    site.cut()
    thief = _free()
    recorded = pair.encode(late, KEY)
    later = threading.Timer(0.1, lambda: thief.sendto(recorded, site.two.settings.address))
    later.start()
    with pytest.raises(LinkError):
        site.rides.beat(asks(State()))
    later.join()
    thief.close()
    assert site.two.member.missed == 1, "an answer to an earlier heartbeat is none to this one"


# ---- its file --------------------------------------------------------------------------------

GOOD = f'node = 2\naddress = "127.0.0.1:7700"\npeer = "10.0.0.1:7700"\nkey = "{KEY.hex()}"\n'


def test_a_nodes_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(GOOD + 'misses = 5\npatience = 0.5\nterminal = "T-1"\non_active = "true"\n')
    expected = Settings(2, ("127.0.0.1", 7700), ("10.0.0.1", 7700), KEY, 5, 0.5, "T-1", on_active="true")
    assert settings(file) == expected


@pytest.mark.parametrize(
    "text",
    [
        "node = ", "", GOOD + "more = 1\n", GOOD.replace("node = 2", "node = 3"), GOOD.replace(":7700", "", 1),
        GOOD.replace(KEY.hex(), "6b6b"), GOOD.replace(KEY.hex(), "zz"), GOOD + "patience = 0\n", GOOD + "terminal = 5\n",
    ],
)  # fmt: skip
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "node.toml"
    file.write_text(text)
    with pytest.raises(UsageError):
        settings(file)
