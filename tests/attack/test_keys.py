"""Keys are stolen, exchanged and revoked; lists of them are forged, withheld, put back. A whole terminal goes by what two
roots of three have signed, and by nothing else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import pytest

from neurath.carriers.memory import Memory, Shelf
from neurath.errors import LinkError, NotFound
from neurath.flash.native import Nor, PowerCut
from neurath.terminal.machine.events import Fate, Weight
from neurath.wire import keys, manifest, ticket
from neurath.wire.keylist import Family, KeyList, Roots
from neurath.wire.keys import SigningKey
from neurath.wire.offer import Offer
from tests.terminal.world import MODEL, NEW, OLD, RELEASE, TICKET, World, factory
from tests.wire.test_keylist import after, signed

PEOPLE = [keys.from_seed(hashlib.sha256(b"person %d" % n).digest()) for n in range(53)]
ROOTS = Roots(tuple(key.public for key in PEOPLE[:3]))
THIEF, FRESH, SERVER = (keys.from_seed(letter * 32) for letter in (b"x", b"y", b"z"))
FIRST = KeyList(1, ROOTS, ROOTS, (Family((str(MODEL.name),), (RELEASE.public,)),), TICKET.public)


def family(key: SigningKey) -> tuple[Family, ...]:
    return (Family((str(MODEL.name),), (key.public,)),)


@dataclass
class Listing(Memory):
    """A far end that passes lists on as well."""

    lists: dict[int, bytes] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def key_list(self, version: int) -> bytes:
        self.asked.append(version)
        if self.line.left == 0:
            raise LinkError("the link is cut", "no byte passes", "it is tried again")
        if version not in self.lists:
            raise NotFound(f"no key list {version}")
        return self.lists[version]


@cache
def _true() -> tuple[Offer, bytes]:
    """What an honest server would offer, and the file: built once."""
    world = World.fresh()
    made = world.publish()
    return made, world.far.files[made.file]


class Site:
    """One terminal whose factory knew the roots."""

    def __init__(self, place: Path | None) -> None:
        nor = Nor.memory(MODEL.layout)
        factory(nor, root=ROOTS.digest)
        self.world = World(nor, lists=place)
        self.link = Listing(self.world.far)
        self.world.carrier = self.link
        self.power()

    def power(self) -> Fate:
        self.world.power()
        return self.world.bank.start().fate

    def learn(self) -> int:
        return self.world.bank.learn(self.link.key_list)

    def publish(self, found: KeyList, *signers: SigningKey) -> None:
        self.link.lists[found.version] = signed(found, *signers)

    def offer(self, release: SigningKey = RELEASE, server: SigningKey = TICKET, key_list: int = 0) -> Offer:
        """A true update, signed by these keys."""
        made, file = _true()
        self.world.far.files[made.file] = file
        self.world.far.pinned.add(made.file)
        contents = manifest.verify(made.envelope, [RELEASE.public])
        envelope = manifest.sign(contents, release)
        word = ticket.verify(made.ticket, [TICKET.public])
        digest = manifest.verify(envelope, [release.public]).digest[:16]
        word = replace(word, envelope=digest, key_list=key_list)
        self.world.far.offer = replace(made, envelope=envelope, ticket=ticket.sign(word, server))
        return self.world.far.offer

    def takes(self, offer: Offer) -> bool:
        return self.world.bank.weigh(offer, in_ram=True).weight is Weight.ACCEPTED


@pytest.fixture(params=["kept", "nowhere"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(tmp_path / "keys" if request.param == "kept" else None)


def test_a_stolen_release_key_signs_nothing_any_more_once_two_roots_have_said_so(site: Site) -> None:
    site.publish(FIRST, *PEOPLE[:2])
    site.publish(after(FIRST, families=family(FRESH)), *PEOPLE[1:3])
    assert site.takes(site.offer())
    assert site.learn() == 2
    for version in (0, 1, 2):
        assert not site.takes(site.offer(key_list=version))
    assert site.takes(site.offer(FRESH, key_list=2))


def test_a_stolen_ticket_key_is_exchanged_and_its_tickets_are_worth_nothing(site: Site) -> None:
    site.publish(FIRST, *PEOPLE[:2])
    site.publish(after(FIRST, ticket=SERVER.public), *PEOPLE[:2])
    assert site.learn() == 2
    assert not site.takes(site.offer(key_list=2))
    assert not site.takes(site.offer(server=SERVER, key_list=1))
    assert site.takes(site.offer(server=SERVER, key_list=2))


def test_one_stolen_root_with_every_key_that_is_online_changes_nothing(site: Site) -> None:
    site.publish(FIRST, *PEOPLE[:2])
    assert site.learn() == 1
    for signers in ((PEOPLE[0],), (PEOPLE[0], TICKET), (PEOPLE[0], RELEASE, TICKET, THIEF)):
        site.publish(after(FIRST, families=family(THIEF)), *signers)
        with pytest.raises(Exception, match="not to be trusted"):
            site.learn()
    own = Roots((PEOPLE[0].public, THIEF.public, FRESH.public))
    site.publish(replace(after(FIRST, families=family(THIEF)), roots=own, successors=own), PEOPLE[0], THIEF)
    with pytest.raises(Exception, match="not to be trusted"):
        site.learn()
    assert not site.takes(site.offer(THIEF, key_list=1))
    assert site.takes(site.offer(key_list=1))


def test_a_mirror_with_a_forged_list_holds_up_no_update(site: Site) -> None:
    site.publish(FIRST, *PEOPLE[:2])
    site.publish(after(FIRST, families=family(THIEF)), PEOPLE[0], THIEF)
    site.offer(key_list=1)
    site.world.until_rest()
    assert site.world.holds(NEW)
    assert site.world.bank.facts.key_list == 1


def test_a_terminal_that_slept_through_fifty_exchanges_of_roots_wakes_and_is_updated(site: Site) -> None:
    for n in range(50):
        mine, theirs = (Roots(tuple(key.public for key in PEOPLE[at : at + 3])) for at in (n, n + 1))
        found = KeyList(n + 1, mine, theirs, family(FRESH if n == 49 else RELEASE), SERVER.public)
        site.publish(found, PEOPLE[n + 1], PEOPLE[n + 2], PEOPLE[n + 3])
    site.offer(FRESH, SERVER, key_list=50)
    site.world.until_rest()
    assert site.world.holds(NEW)
    assert site.world.bank.facts.key_list == 50
    assert site.world.bank.facts.installed.sequence == 2


def test_a_link_that_breaks_in_the_chain_goes_on_where_it_stopped(tmp_path: Path) -> None:
    site, found = Site(tmp_path / "keys"), FIRST
    for _ in range(6):
        site.publish(found, *PEOPLE[:2])
        found = after(found)
    last = site.link.lists.pop(4)
    assert site.learn() == 3
    site.link.lists[4] = last
    site.power()
    site.link.asked.clear()
    assert site.learn() == 3
    assert site.link.asked == [4, 5, 6, 7]


def test_a_list_that_is_put_back_is_believed_by_nobody_until_the_newer_is_there_again(tmp_path: Path) -> None:
    site = Site(tmp_path / "keys")
    site.publish(FIRST, *PEOPLE[:2])
    site.learn()
    before = (tmp_path / "keys").read_bytes()
    site.publish(after(FIRST, families=family(FRESH)), *PEOPLE[:2])
    site.learn()
    for spoiled in (before, b"", before[:-1], None):
        if spoiled is None:
            (tmp_path / "keys").unlink()
        else:
            (tmp_path / "keys").write_bytes(spoiled)
        site.power()
        for version in (0, 1, 2):
            assert not site.takes(site.offer(key_list=version))
            assert not site.takes(site.offer(FRESH, key_list=version))
        assert site.learn() > 0
        assert site.takes(site.offer(FRESH, key_list=2))
        assert not site.takes(site.offer(key_list=2))


def test_on_the_wire_a_terminal_that_lost_its_list_still_believes_the_keys_of_its_birth(tmp_path: Path) -> None:
    site = Site(tmp_path / "keys")
    site.publish(replace(FIRST, families=family(FRESH)), *PEOPLE[:2])
    site.learn()
    (tmp_path / "keys").unlink()
    site.power()
    assert site.world.bank.birth is not None
    assert site.world.bank.birth.release == ()
    wired = site.world.bank.on_the_wire()
    assert wired is not None
    assert wired.release == (RELEASE.public,)


@pytest.mark.parametrize("kind", ["before", "early", "late", "after"])
def test_a_power_cut_while_a_list_is_taken_leaves_this_list_or_the_one_before(tmp_path: Path, kind: str) -> None:
    for operation in range(40):
        site = Site(tmp_path / f"keys-{operation}")
        site.publish(FIRST, *PEOPLE[:2])
        site.learn()
        site.power()
        site.publish(after(FIRST, families=family(FRESH)), *PEOPLE[:2])
        site.world.nor.cut_at(operation, kind, seed=operation)
        try:
            site.learn()
            site.world.nor.no_cut()
            break
        except PowerCut:
            site.power()
        assert site.world.bank.facts.key_list in (1, 2)
        site.learn()
        assert site.world.bank.facts.key_list == 2
        assert site.takes(site.offer(FRESH, key_list=2))
    else:
        pytest.fail("no learning without a cut in 40 operations")
    assert operation > 0


def test_lists_are_asked_for_before_an_offer_and_once_a_day_and_not_more_often(site: Site) -> None:
    world = site.world
    world.agent.power_up()
    for _ in range(30):
        world.agent.wait(3600.0)
    beats = len(site.link.asked)
    assert world.clock.at - 1_700_000_000.0 < 2 * 86400
    assert 1 <= beats <= 2
    world.clock.at += 86400
    world.agent.wait()
    for _ in range(3):
        world.agent.wait(3600.0)
    assert len(site.link.asked) == beats + 1


def test_a_clock_that_is_set_back_puts_off_no_list(site: Site) -> None:
    world = site.world
    world.agent.power_up()
    for _ in range(3):
        world.agent.wait(3600.0)
    beats = len(site.link.asked)
    assert beats == 1
    world.clock.at -= 2 * 86400
    for _ in range(3):
        world.agent.wait(3600.0)
    assert len(site.link.asked) == beats + 1


def test_without_roots_no_list_is_asked_for_or_taken() -> None:
    world = World.fresh()
    link = Listing(Shelf(), lists={1: signed(FIRST, *PEOPLE[:2])})
    world.bank.start()
    assert world.bank.learn(link.key_list) == 0
    assert link.asked == []
    assert world.holds(OLD)


def test_the_time_of_a_kept_list_is_known_before_the_first_power_up(tmp_path: Path) -> None:
    """An agent listens for notices, over TLS, before it has begun."""
    site = Site(tmp_path / "keys")
    site.publish(replace(FIRST, issued=1_900_000_000), *PEOPLE[:2])
    site.learn()
    site.world.power()
    site.world.bank.identify()
    assert site.world.bank.keyring is None
    assert site.world.bank.signed_at == 1.9e9
