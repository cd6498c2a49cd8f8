"""Lists of keys over carriers beside HTTP: a key that two roots revoked counts no more, however the list came; and who stands
on the way makes no list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from neurath.carriers import shield
from neurath.carriers.base import Lists
from neurath.carriers.coap import Coap
from neurath.carriers.http import Place
from neurath.errors import NotFound, TrustError
from neurath.server.software import keylists
from neurath.wire import keylist
from neurath.wire.keylist import Family, KeyList, Roots
from neurath.wire.keys import Alg, create
from tests.attack.test_keys import FRESH, PEOPLE, RELEASE, ROOTS, Site, family
from tests.server.coap_site import CoapServer, serving
from tests.wire.test_keylist import after, signed


@pytest.fixture
def server(tmp_path: Path) -> Iterator[CoapServer]:
    with serving(tmp_path / "data") as found:
        yield found


def publish(server: CoapServer, found: KeyList) -> bytes:
    raw = signed(found, PEOPLE[0], PEOPLE[1])
    with server.world.store.write() as db:
        keylists.publish(db, raw, server.world.delivery.key.public, 1.0)
    return raw


def first(server: CoapServer, families: tuple[Family, ...]) -> KeyList:
    return KeyList(1, ROOTS, ROOTS, families, server.world.delivery.key.public)


@pytest.mark.parametrize("way", ["in clear", "OSCORE"])
def test_a_stolen_release_key_is_revoked_over_coap_by_lists_of_many_blocks(
    server: CoapServer, tmp_path: Path, way: str
) -> None:
    token = server.enrol("t1")
    shield._open.clear()
    folder = str(tmp_path) if way == "OSCORE" else ""
    link = Coap(Place(server.url, "t1", token, message_limit=20.0, oscore=folder))
    assert isinstance(link, Lists)
    site = Site(tmp_path / "keys")
    many = tuple(Family((f"other-{n:03d}",), (create(Alg.ES256).public,)) for n in range(24))
    one = first(server, (*family(RELEASE), *many))
    assert len(publish(server, one)) > 2 * 1024
    assert site.world.bank.learn(link.key_list) == 1
    server_key = server.world.delivery.key
    assert site.takes(site.offer(server=server_key, key_list=1))
    two = after(one, families=(*family(FRESH), *many))
    publish(server, two)
    publish(server, after(two))
    assert site.world.bank.learn(link.key_list) == 2
    assert not site.takes(site.offer(RELEASE, server=server_key, key_list=3))
    assert site.takes(site.offer(FRESH, server=server_key, key_list=3))
    with pytest.raises(NotFound):
        link.key_list(4)
    link.close()


def test_a_list_that_was_changed_on_its_way_over_coap_is_believed_by_nobody(server: CoapServer, tmp_path: Path) -> None:
    link = Coap(Place(server.url, "t1", message_limit=20.0))
    site = Site(tmp_path / "keys")
    publish(server, first(server, family(RELEASE)))
    raw = link.key_list(1)
    for forged in (_forged(raw, roots=ROOTS), _forged(raw, roots=Roots(tuple(one.public for one in PEOPLE[10:13])))):
        with pytest.raises(TrustError):
            site.world.bank.learn(lambda _version, forged=forged: forged)
    assert site.world.bank.facts.key_list == 0
    assert site.world.bank.learn(link.key_list) == 1
    link.close()


def _forged(raw: bytes, roots: Roots) -> bytes:
    """A list that names another key, signed by one root of three and by two strangers."""
    found = replace(keylist.unpack(raw)[1], families=family(FRESH), roots=roots, successors=roots)
    return signed(found, PEOPLE[0], PEOPLE[10], PEOPLE[11])
