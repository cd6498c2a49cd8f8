"""Lists of keys on the emulated phone: it fetches them over CoAP, through every rotation that it slept through, believes the
newest and nobody else, and forgets nothing by losing its power."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.sim.processes import verb
from neurath.sim.radio import Radio
from neurath.wire import coap, keys
from neurath.wire.keylist import Family, KeyList, Roots
from neurath.wire.keys import Alg, SigningKey
from tests.firmware.rig import KEY, Kit, kit
from tests.firmware.site import Home, home
from tests.parts import ASSURANCE
from tests.wire.test_keylist import signed

pytestmark = pytest.mark.heavy
#: Exchanges of roots that the phone slept through.
SLEPT = 50 if ASSURANCE else 5
PEOPLE = [keys.create(Alg.ES256) for _ in range(SLEPT + 3)]
FRESH = keys.create(Alg.ES256)


def roots(number: int) -> Roots:
    """Who signs list `number` + 1."""
    return Roots(tuple(one.public for one in PEOPLE[number : number + 3]))


def publish(site: Home, *families: tuple[SigningKey, ...]) -> None:
    """Lists from number 1 on, each with the release keys of its turn; with each but the last one root goes and one comes."""
    ticket = keys.load_public(site.place / "data" / "ticket.pub.pem")
    for number, some in enumerate(families):
        last = number == len(families) - 1
        found = KeyList(
            number + 1,
            roots(number),
            roots(number if last else number + 1),
            (Family((site.kit.board,), tuple(key.public for key in some)),),
            ticket,
        )
        file = site.place / f"{number + 1}.keys"
        file.write_bytes(signed(found, *PEOPLE[number + 1 : number + (3 if last else 4)]))
        verb("key", "publish", file, "--data", site.place / "data")


def add(site: Home, version: str, sequence: int, key: SigningKey) -> None:
    """A release of one of the kit's images, and everybody is to have it."""
    (site.place / f"{version}.bin").write_bytes(site.kit.images[version])
    (site.place / f"{version}.env").write_bytes(site.kit.envelope(version, sequence, key))
    words = ("--model", site.kit.board, "--version", version, "--envelope", site.place / f"{version}.env")
    verb("image", "add", site.place / f"{version}.bin", *words, "--data", site.place / "data")
    site.begin(version)


def asked(radio: Radio) -> list[bytes]:
    """Numbers of the lists that were asked for, in order, those that came a second time left out."""
    found: list[bytes] = []
    for upward, datagram in list(radio.arrived):
        path = coap.decode(datagram).all(coap.URI_PATH)
        if upward and path[:1] == (b"k",) and found[-1:] != [path[1]]:
            found.append(path[1])
    return found


def grown(phones: Kit) -> Kit:
    """With a third release."""
    more = hashlib.sha256(b"1.2").digest() * 64
    return replace(phones, images={**phones.images, "1.2": phones.images["1.1"] + more})


def test_a_phone_wakes_through_all_rotations_refuses_the_revoked_key_and_installs_by_the_new_one(tmp_path: Path) -> None:
    phones = grown(kit("sx1", 20_000))
    with home(phones, tmp_path, later=True, root=roots(0).digest) as site:
        site.begin()  # 1.1, by the key that is stolen
        publish(site, *[(KEY,)] * SLEPT, (FRESH,))
        numbers = [str(n + 1).encode() for n in range(SLEPT + 2)]
        with site.on(site.flash) as (phone, radio):
            assert phone.says("refused by the core with -09, nothing was erased", 240), phone.said
            assert phone.said.count(b"update: another list of keys") == 1
            assert asked(radio)[: SLEPT + 2] == numbers
            after = phone.off()
        assert site.holds(after, "1.0")
        add(site, "1.2", 3, FRESH)
        # The power was away: the list's number is all that was kept, and all lists are asked for again.
        with site.on(after) as (phone, radio):
            assert phone.says("update: confirmed", 240), phone.said
            assert asked(radio)[: SLEPT + 2] == numbers
            assert b"another list" not in phone.said
            assert phone.disk.illegal == 0
            assert site.holds(phone.off(), "1.2")


def test_a_boot_core_that_asks_for_the_way_back_asks_for_the_lists_first(tmp_path: Path) -> None:
    phones = kit("sx1", 20_000)
    with home(phones, tmp_path, "1.1", later=True, root=roots(0).digest) as site:
        publish(site, (KEY,), (KEY, FRESH))
        add(site, "hang-1", 3, FRESH)
        with site.on(site.flash) as (phone, radio):
            assert phone.says("asking for the way back", 240), phone.said
            assert phone.says("update: confirmed", 240), phone.said
            assert site.holds(phone.off(), "1.0")
            paths = [coap.decode(d).all(coap.URI_PATH) for up, d in radio.arrived if up]
            question = next(n for n, path in enumerate(paths) if path[:1] == (b"q",))
            assert [path[1] for path in paths[:question] if path[:1] == (b"k",)].count(b"1") >= 2


def test_a_phone_whose_factory_named_no_roots_asks_for_no_list(tmp_path: Path) -> None:
    with home(kit("sx1", 20_000), tmp_path) as site, site.on(site.flash) as (phone, radio):
        assert phone.says("update: confirmed", 240), phone.said
        assert asked(radio) == []
