"""Server and terminal agree within two check-ins after what befalls an offer: made for another bank, a piece of another one's
file, a user who says nothing or no, a bomb, the image of another model, keys that were exchanged (faults 9, 14, 16, 30, 31,
34)."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.errors import LinkError, NeurathError
from neurath.flash.geometry import Model, model_to_toml
from neurath.ids import FIRMWARE, Floor, ModelName, digest
from neurath.server.fleet import actions, progress
from neurath.server.fleet.progress import Key
from neurath.server.software import catalog, keylists
from neurath.server.software.catalog import Upload
from neurath.server.software.models import add_model
from neurath.terminal.gate import Closed
from neurath.terminal.machine import Step
from neurath.terminal.machine import events as ev
from neurath.wire import keys, manifest, ticket, trickle
from neurath.wire.keylist import Family, KeyList, Roots
from neurath.wire.keys import public_pem
from neurath.wire.offer import Offer
from tests.agree.site import DONE, IMAGES, Site, Word
from tests.attack.test_decoder import bomb
from tests.parts import ASSURANCE
from tests.terminal.world import MODEL, NEW, RELEASE, image
from tests.wire.test_keylist import signed

# ---- 9 -----------------------------------------------------------------------------------------------------------------

OTHERS = {f"0.{n}": image(100 + n) for n in range(10 if ASSURANCE else 2)}


@pytest.mark.parametrize("version", OTHERS)
def test_fault_9_the_offer_is_for_another_bank(version: str, tmp_path: Path) -> None:
    """The server goes by a check-in of before a station was at it: the file it offers was made for what is no longer there."""
    other = OTHERS[version]
    site = Site(tmp_path, images={version: other, **IMAGES})
    site.heard = lambda check: replace(check, bank=digest(other), bank_size=len(other))
    site.world.agent.power_up()
    next(made for made in site.rests() if made == 1)
    assert "base" in refusal(site)
    assert site.fetched == 0
    said = site.server_says()
    assert (said.bank, said.offer, said.verdict) == (version, "", "refused")
    assert site.terminal_says() == Word("1.0", said.floor, verdict="refused")
    assert site.goes_on() == replace(DONE, floor=site._floor("2.0"))


def refusal(site: Site) -> str:
    """Why the terminal refused last, in the words that the server keeps."""
    with site.store.read() as db:
        told = [line.text for line in progress.timeline(db, site.me().n) if line.kind == "refused"]
    return told[-1]


# ---- 14 ----------------------------------------------------------------------------------------------------------------


def gathered(site: Site) -> tuple[int, int]:
    """Bytes of the file that rides to it, as the server counts them and as the terminal holds them."""
    heart = site.world.agent.parts.heart
    assert heart is not None
    site.server.trickle.flush()
    with site.store.read() as db:
        entry = progress.entry(db, Key(site.me().n, FIRMWARE, catalog.find_release(db, f"{MODEL.name}/2.0").id))
        action = actions.current_action(db, site.me().n, FIRMWARE)
    assert entry is not None
    assert action is not None
    own = heart.session._known.get(bytes.fromhex(action.file)[:4])
    return entry.sync, 0 if own is None else own.plan.held(own.sync)


class Crossing:
    """Two sites whose terminals have different files under way: each third heartbeat is answered with pieces that were meant
    for the other."""

    def __init__(self, *sites: Site) -> None:
        self.said: dict[str, list[bytes]] = {site.name: [] for site in sites}
        self.answered = 0
        self.crossed: set[str] = set()
        for site, far in (sites, sites[::-1]):
            site.rides = self._rides(site.name, far.name)

    def _rides(self, name: str, far: str) -> Callable[[bytes], bytes]:
        def rides(reply: bytes) -> bytes:
            self.answered += 1
            if trickle.decode_reply(reply).pieces:
                self.said[name].append(reply)
            if self.answered // 2 % 3 or not self.said[far]:
                return reply
            self.crossed.add(name)
            return self.said[far][-1]

        return rides


def beats(count: int, *sites: Site) -> None:
    """So many heartbeats of each, in turn; no more where both are done."""
    for _ in range(count):
        for site in sites:
            site.world.agent.wait(60.0)
            site.world.clock.sleep(1.0)
        if all(site.holds() == "2.0" and site.agree() for site in sites):
            return


def test_fault_14_pieces_of_another_terminals_file_come_instead(tmp_path: Path) -> None:
    images = {"0.9": image(50), **IMAGES}
    one = Site(tmp_path / "data", images=images, folder=tmp_path / "a", period=60.0)
    other = Site(tmp_path, name="unit-2", server=one.server, images=images, first="0.9", folder=tmp_path / "b", period=60.0)
    both = (one, other)
    crossing = Crossing(*both)
    for site in both:
        site.room = 300
        site.world.agent.power_up()
    beats(9, *both)
    assert crossing.crossed == {"unit-1", "unit-2"}
    for site in both:
        site.rides, site.room = bytes, trickle.REPLY_HEADER  # heartbeats that bring nothing: the last word of both
    beats(2, *both)
    for site in both:
        told, held = gathered(site)
        assert told == held > 0
        site.calm()
    Crossing(*both)
    beats(400, *both)
    for site in both:
        assert site.agreed() == replace(DONE, floor=site._floor("2.0"))


# ---- 16 ----------------------------------------------------------------------------------------------------------------

STEPS = ("ignores", "refuses", "restarts", "the server restarts")


def at_the_prompt(place: Path) -> Site:
    site = Site(place, gate=Closed("somebody works on it", ask=True, wait=600.0))
    site.until(lambda: site.world.agent.machine.step is Step.WAITING_FOR_USER)
    return site


def does(site: Site, step: str) -> None:
    if step == "refuses":
        site.world.agent.hear(ev.Answered(False))
        site.world.agent.settle()
    if step == "restarts":
        site.world.power()
        site.world.agent.power_up()
    if step == "the server restarts":
        site.server.again()


def asked(site: Site) -> None:
    """Both say that a person is asked, about the same file, and nothing was done to the bank."""
    said = site.agreed()
    assert said == Word("1.0", offer=said.offer, verdict="pending")
    assert said.offer
    assert site.world.agent.machine.step is Step.WAITING_FOR_USER
    with site.store.read() as db:
        entry = progress.entry(db, Key(site.me().n, FIRMWARE, catalog.find_release(db, f"{MODEL.name}/2.0").id))
    assert entry is not None
    assert entry.phase == "waiting-for-user"
    assert site.fetched == 0


def test_fault_16_whatever_a_user_does_at_the_question_nothing_is_lost_and_nothing_forced(tmp_path: Path) -> None:
    walks = list(itertools.product(STEPS, repeat=4))
    for n, walk in enumerate(walks if ASSURANCE else random.Random(16).sample(walks, 3)):
        site = at_the_prompt(tmp_path / str(n))
        asked(site)
        for step in walk:
            does(site, step)
            site.after_two()
            asked(site)
        site.world.agent.hear(ev.Answered(True))
        site.world.agent.settle()
        assert site.goes_on() == DONE
        site.over()


# ---- 30 ----------------------------------------------------------------------------------------------------------------


def taken_over(site: Site, data: bytes, **forged: int) -> None:
    """Whoever holds the server offers these bytes in place of the file, under a true ticket."""
    key = site.delivery.key

    def gives(offer: Offer) -> Offer:
        word = ticket.verify(offer.ticket, [key.public])
        size = forged.get("size", len(data))
        word = replace(word, file=digest(data)[:16], file_size=size, blocks=digest(b"")[:16])
        need = forged.get("need", offer.need + len(data))
        return replace(offer, file=digest(data), size=size, need=need, blocks=b"", ticket=ticket.sign(word, key))

    true = site.file

    def file(name: bytes) -> bytes:
        if not digest(data).startswith(name):
            return true(name)
        site.fetched += 1
        return data

    site.gives = gives
    site.file = file  # type: ignore[method-assign]


def test_fault_30_a_bomb_is_offered(tmp_path: Path) -> None:
    dice, refused = random.Random(30), 0
    for n in range(200 if ASSURANCE else 2):
        site = Site(tmp_path / str(n))
        taken_over(site, bomb(dice, MODEL.layout)[0])
        site.until(lambda site=site: site.fetched >= 3)
        assert site.terminal_says().bank == "1.0"
        # One that asks for more RAM than was lent is no failed proof: it is asked for again until the offer is another one.
        if site.link.verdict == "refused":
            refused += 1
            assert site.agreed() == Word("1.0", verdict="refused")
            assert refusal(site).startswith("the update file was refused")
        said = site.goes_on()
        assert said in (Word("1.0", offer=said.offer, verdict="pending"), DONE)  # it leaves that release alone for a day
        site.over()
    assert refused > (180 if ASSURANCE else 1)


@pytest.mark.parametrize("numbers", [{"size": 1 << 30}, {"need": 1 << 31}, {"size": 1 << 30, "need": 1 << 31}, {"need": 1}])
def test_fault_30_an_offer_of_absurd_numbers_is_made(numbers: dict[str, int], tmp_path: Path) -> None:
    site = Site(tmp_path)
    taken_over(site, b"NRU" * 100, **numbers)
    site.world.agent.power_up()
    next(made for made in site.rests() if made >= 1)
    assert site.agreed() == Word("1.0", verdict="refused")
    assert site.fetched == 0
    assert site.goes_on() == DONE


# ---- 31 ----------------------------------------------------------------------------------------------------------------


def test_fault_31_an_image_of_another_model_is_uploaded_meanwhile(tmp_path: Path) -> None:
    """Every pair of models, while the terminal is on its way: refused at the upload, and nothing of it is ever offered."""
    site = Site(tmp_path)
    models = [Model(ModelName(name), MODEL.layout, ram=MODEL.ram) for name in ("phone", "radio", "board2")]
    with site.store.write() as db:
        for model in models:
            add_model(db, model_to_toml(model), [public_pem(RELEASE.public).decode()], 0.0)
    refused = []

    def uploads() -> None:
        for signed_for, named in itertools.permutations([*models, MODEL], 2):
            contents = manifest.contents_of(image(9), signed_for, sequence=9, version="9.0")
            upload = Upload(image(9), named.name, "9.0", envelope=manifest.sign(contents, RELEASE))
            with pytest.raises(NeurathError):
                catalog.add(site.store, upload, site.now)
            refused.append(named.name)

    site.offered = uploads
    site.until(lambda: bool(refused))
    assert len(refused) == 12
    with site.store.read() as db:
        assert [one.version for one in catalog.list_releases(db, MODEL.name)] == [*IMAGES][::-1]
    assert site.goes_on() == DONE


# ---- 34 ----------------------------------------------------------------------------------------------------------------

NEWEST = NEW[:2000] + image(7, 9000) + NEW[11000:]
FRESH = keys.from_seed(b"y" * 32)
CHAIN = 50 if ASSURANCE else 6
PEOPLE = [keys.from_seed(hashlib.sha256(b"person %d" % n).digest()) for n in range(CHAIN + 3)]


def roots(at: int) -> Roots:
    return Roots(tuple(key.public for key in PEOPLE[at : at + 3]))


def rotate(site: Site) -> None:
    """All roots and, in the end, the release key are exchanged, list by list."""
    with site.store.write() as db:
        for n in range(CHAIN):
            key = FRESH if n == CHAIN - 1 else RELEASE
            families = (Family((str(MODEL.name),), (key.public,)),)
            found = KeyList(n + 1, roots(n), roots(n + 1), families, site.delivery.key.public)
            keylists.publish(db, signed(found, *PEOPLE[n + 1 : n + 4]), site.delivery.key.public, site.now)
    contents = manifest.contents_of(NEWEST, MODEL, sequence=3, version="3.0")
    catalog.add(site.store, Upload(NEWEST, MODEL.name, "3.0", envelope=manifest.sign(contents, FRESH)), site.now)
    site.images, site.goal = {**IMAGES, "3.0": NEWEST}, "3.0"
    site.server.roll_out("3.0", site.now)


@pytest.mark.parametrize("breaks", [False, True], ids=["whole", "broken off"])
def test_fault_34_it_slept_for_a_year_while_all_keys_were_exchanged(breaks: bool, tmp_path: Path) -> None:
    """`breaks`: the link goes in the middle of the chain, twice."""
    site = Site(tmp_path / "data", root=roots(0).digest, lists=tmp_path / "keys")
    site.until(lambda: site.holds() == "2.0" and site.agree())
    site.world.clock.sleep(365 * 86400.0)
    site.world.power()
    rotate(site)
    true = site.key_list
    for broken in (CHAIN // 3, CHAIN // 2) if breaks else ():

        def key_list(version: int, broken: int = broken) -> bytes:
            if version > broken:
                raise LinkError("the link is cut", "no byte passes", "it is tried again")
            return true(version)

        site.key_list = key_list  # type: ignore[method-assign]
        site.world.agent.power_up()
        site.world.agent.wait()
        assert site.world.bank.facts.key_list == broken
        site.world.power()
    site.key_list = true  # type: ignore[method-assign]
    assert site.goes_on(ends_in="3.0") == Word("3.0", Floor(0, 3), verdict="confirmed", keys=CHAIN)
